"""A radio that lost itself, a loop that stands still, a host that asks for a restart."""

from protocol.link.host_session import NoticeReceived
from protocol.link.messages import (
    BOARD,
    RadioFault,
    RadioState,
    ReceiveProfile,
    Registers,
    Reset,
    ResetCause,
    Status,
    StatusCode,
)
from protocol.lora.register_operations import (
    RegisterOperation,
    RegisterRead,
    RegisterReadModifyWrite,
    RegisterWait,
    RegisterWrite,
)
from tests.firmware.devices import FirmwareDevice
from tests.firmware.micropython_board import needs_micropython
from tests.simulator.line_host import PROFILE, LineHost, until

pytestmark = needs_micropython

VERSION = RegisterRead(0x42, 1)


def notices(host: LineHost) -> list[object]:
    """All that the board has said by itself."""
    return [event.notice for event in host.heard if isinstance(event, NoticeReceived)]


async def test_a_radio_that_lost_its_registers_is_armed_again(
    device: FirmwareDevice, host: LineHost
) -> None:
    """A brown-out of one chip: told, counted, mended within a second."""
    unit = device.board().units[1]
    unit.chip.reset(unit.now_us())
    await until(lambda: RadioFault(0x01) in notices(host), "RADIO_FAULT")
    await device.hear_on(1, b"hears again")
    await until(lambda: b"hears again" in host.payloads())
    await until(lambda: host.heartbeats() and host.heartbeats()[-1].radios[1].faults == 1)
    assert host.heartbeats()[-1].radios[0].faults == 0


async def test_one_changed_register_is_found(device: FirmwareDevice, host: LineHost) -> None:
    """A bit that flipped in the frequency."""
    unit = device.board().units[0]
    unit.chip.write(0x07, b"\x58", unit.now_us())
    await until(lambda: RadioFault(0x07) in notices(host), "RADIO_FAULT")
    await until(lambda: unit.chip.read(0x07, 1, unit.now_us()) == b"\x59")


async def test_a_missed_edge_is_made_up_for(device: FirmwareDevice, host: LineHost) -> None:
    """The packet is read at the next scrub, and the radio does not stay deaf."""
    device.board().bus.lose_edges = True
    await device.hear_on(0, b"nobody told")
    device.board().bus.lose_edges = False
    await until(lambda: b"nobody told" in host.payloads())


async def test_the_watchdog_restarts_a_loop_that_stands_still(
    device: FirmwareDevice, host: LineHost
) -> None:
    """And the board greets as another boot, with the reason."""
    first = host.opened()[0].hello
    assert first.reset_cause is ResetCause.POWER_ON
    device.board().wedge()
    await until(lambda: len(host.opened()) == 2, "another session")
    second = host.opened()[1].hello
    assert second.reset_cause is ResetCause.WATCHDOG
    assert second.boot_id != first.boot_id
    assert second.unique_id == first.unique_id


async def test_a_restart_is_answered_first(device: FirmwareDevice, host: LineHost) -> None:
    """Then the board begins anew."""
    assert await host.ask(Reset()) == Status(StatusCode.OK)
    await until(lambda: len(host.opened()) == 2, "another session")
    assert host.opened()[1].hello.reset_cause is ResetCause.SOFTWARE


async def test_a_radio_is_reset_and_set_up_as_it_was(
    device: FirmwareDevice, host: LineHost
) -> None:
    """By its pin."""
    assert await host.ask(Reset(), 0) == Status(StatusCode.OK)
    await device.hear_on(0, b"as before")
    await until(lambda: b"as before" in host.payloads())


async def test_register_lists_do_what_the_specification_says(
    device: FirmwareDevice, host: LineHost
) -> None:
    """Each operation, and each reason to stop."""

    async def run(*operations: RegisterOperation, skip: bool = False, radio: int = 0) -> Status:
        return await host.ask(Registers(operations, skip), radio)

    assert await run(VERSION) == Status(StatusCode.OK, 0, b"\x12")
    assert await run(RegisterRead(0x06, 3)) == Status(StatusCode.OK, 0, bytes.fromhex("e6599a"))
    assert await run(VERSION, RegisterWrite(0x01, b"\x00")) == Status(StatusCode.REFUSED, 1)
    assert await run(RegisterWrite(0x0B, bytes(3))) == Status(StatusCode.REFUSED, 0)
    assert await run(RegisterReadModifyWrite(0x40, 0xC0, 0x40)) == Status(StatusCode.REFUSED, 0)
    assert await run(RegisterWait(0x42, 0xFF, 0x13, 20)) == Status(StatusCode.WAIT_TIMEOUT, 0)
    assert await run(RegisterWait(0x42, 0xFF, 0x12, 20)) == Status(StatusCode.OK)
    assert await run(*[RegisterRead(0x02, 255)] * 5) == Status(StatusCode.BAD_REQUEST)
    assert await run(*[RegisterWait(0x42, 0xFF, 0x13, 251)] * 2) == Status(StatusCode.BAD_REQUEST)
    assert await run(VERSION, radio=2) == Status(StatusCode.BAD_REQUEST)
    assert await run(VERSION, radio=BOARD) == Status(StatusCode.BAD_REQUEST)
    unit = device.board().units[0]
    unit.chip.begin_reception(now_us=unit.now_us())
    assert await run(VERSION, skip=True) == Status(StatusCode.SKIPPED)
    assert await host.ask(ReceiveProfile(None), 0) == Status(StatusCode.OK)
    changed = (RegisterReadModifyWrite(0x39, 0x0F, 0x04), RegisterRead(0x39, 1))
    assert await run(*changed) == Status(StatusCode.OK, 0, b"\x34")
    owned = ReceiveProfile((*PROFILE, (0x40, 0)))
    assert await host.ask(owned, 0) == Status(StatusCode.REFUSED, len(PROFILE))
    unwritable = ReceiveProfile((*PROFILE, (0x42, 0x13)))
    assert await host.ask(unwritable, 0) == Status(StatusCode.RADIO_FAULT, len(PROFILE))
    await until(
        lambda: host.heartbeats() and host.heartbeats()[-1].radios[0].state == RadioState.FAULT
    )
