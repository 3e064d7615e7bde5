"""The ``rn2xx3`` driver: the conformance kit on three modules, and what only these modules have."""

import asyncio
import os
import sys
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import drivers.rn2xx3
from drivers.base import DriverOptions, Metadata, RadioOptions
from drivers.errors import HandshakeTimeout, PermanentDriverError, PortLost
from drivers.registry import driver_factory
from drivers.rn2xx3 import RN2xx3Driver
from drivers.rn2xx3_options import check_options
from protocol.lora.events import (
    ConcentratorStateChanged,
    LinkState,
    RecoveryStep,
    RecoveryStepTaken,
)
from simulator.fronts.registry import FRONTS
from simulator.fronts.rn2xx3 import Rn2xx3
from simulator.fronts.rn2xx3_models import RN2903 as RN2903_MODEL
from simulator.fronts.rn2xx3_models import Rn2xx3Model, Wedge
from simulator.scenario import FaultKind
from tests.drivers.conformance import *  # noqa: F403 - the kit's tests
from tests.drivers.conformance import Listener, arrived, connected
from tests.drivers.devices import Device, Family, HostClock, Traits, powered

# The simulated modules answer at once: what nobody has to answer need not be waited for as long.
HASTY = partial(RN2xx3Driver, pace=0.2)

RADIO = RadioOptions(frequency_hz=921_400_000, spreading_factor=9)
RN2903 = Family(
    kind="rn2903",
    new_driver=HASTY,
    options=DriverOptions(name="roof", port="", baud=57_600, unique_id="", radios=(RADIO,)),
    traits=Traits(
        acknowledges=False,
        frame_check=False,
        tells_bad_crc=False,
        tells_rssi=True,
        tells_snr=True,
        rssi_model="rn2xx3",
    ),
)
OLD = replace(RN2903, kind="rn2903-old", traits=replace(RN2903.traits, tells_rssi=False))
RN2483 = replace(
    RN2903,
    kind="rn2483",
    options=replace(RN2903.options, radios=(replace(RADIO, frequency_hz=868_100_000),)),
    traits=replace(RN2903.traits, frequency_hz=868_100_000),
)


@pytest.fixture(
    params=[(RN2903, 512), (RN2903, 1), (OLD, 512), (RN2483, 512)],
    ids=["whole", "byte-by-byte", "old", "rn2483"],
)
async def device(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Device]:
    """A module with power."""
    family, chunk = request.param
    async with powered(family, tmp_path, chunk=chunk) as running:
        yield running


async def test_the_registry_knows_it() -> None:
    """``driver = "rn2xx3"``."""
    assert driver_factory("rn2xx3") is RN2xx3Driver


@asynccontextmanager
async def module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Rn2xx3Model
) -> AsyncIterator[Device]:
    """A module that differs from those of the kit."""
    monkeypatch.setitem(
        FRONTS, "rn-odd", replace(FRONTS["rn2903"], power_on=f"{__name__}:power_on")
    )
    monkeypatch.setattr(sys.modules[__name__], "power_on", lambda boot: Rn2xx3(boot, model), False)
    async with powered(replace(RN2903, kind="rn-odd"), tmp_path) as running:
        yield running


async def refusal(device: Device, **changes: object) -> str:
    """Why a driver with changed options does not come up."""
    with pytest.raises(PermanentDriverError) as caught:
        await device.family.new_driver(device.options(**changes), device.clock).__aenter__()
    return str(caught.value)


async def test_an_rn2483_cannot_do_923_mhz_and_says_which_module_can(tmp_path: Path) -> None:
    """Found out when it answers: the configuration names the family, not the model."""
    async with powered(RN2483, tmp_path) as device:
        text = await refusal(device, radios=(RADIO,))
    assert "an RN2483 tunes 433.05 to 434.79 MHz and 863 to 870 MHz, not 921.4 MHz" in text
    assert "an RN2903 can" in text


async def test_another_module_than_the_configured_one_is_not_trusted(tmp_path: Path) -> None:
    """And the right one is."""
    async with powered(RN2903, tmp_path) as device:
        assert "is not the configured one" in await refusal(device, unique_id="0004a30b00000000")
        unique_id = device.site.concentrators["board"].identity.unique_id.hex()
        options = device.options(unique_id=unique_id)
        async with HASTY(options, device.clock) as driver:
            assert driver.capabilities.lorawan


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"frequency_hz": 915_000}, "cannot be tuned to"),
        ({"frequency_hz": 900_000_000}, "an RN2903 902 to 928 MHz"),
        ({"spreading_factor": 6}, "SF7 to SF12"),
        ({"bandwidth_hz": 62_500}, "125, 250 and 500 kHz"),
        ({"coding_rate": "4/4"}, "4/5 to 4/8"),
        ({"sync_word": 0x134}, "more than one byte"),
        ({"crc": "any"}, "bad CRC"),
    ],
)
def test_what_no_module_can_do_is_a_fault_of_the_options(
    change: dict[str, object], reason: str
) -> None:
    """With its key, and without a device."""
    radio = replace(RADIO, **change)  # type: ignore[arg-type]
    (fault,) = check_options(replace(RN2903.options, radios=(radio,)))
    assert (fault.radio, fault.key) == (0, next(iter(change)))
    assert reason in str(fault)


def test_two_radios_are_one_too_many() -> None:
    (fault,) = check_options(replace(RN2903.options, radios=(RADIO, RADIO)))
    assert "has 1 radio, 2 are configured" in str(fault)


@pytest.mark.parametrize("sync_word", [0x00, 0x12, 0x34, 0xFF])
async def test_any_sync_word(tmp_path: Path, sync_word: int) -> None:
    """As the chip sees it."""
    async with powered(RN2903, tmp_path) as device:
        options = device.options(radios=(replace(RADIO, sync_word=sync_word),))
        async with HASTY(options, device.clock):
            board = device.site.concentrators["board"].board
            assert board is not None
            tuned = board.radios[0].chip.tuned(board.radios[0].now_us())
    assert tuned is not None
    assert (tuned.sync_word, tuned.invert_iq, tuned.crc_on) == (sync_word, False, True)


@pytest.mark.parametrize("wedge", [Wedge.RADIO_BUSY, Wedge.SILENT])
async def test_a_module_that_hangs_less_deeply_is_brought_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wedge: Wedge
) -> None:
    """``sys reset`` cures what only its radio says; silence does not end, and is given up."""
    model = replace(RN2903_MODEL, wedges=wedge)
    async with module(tmp_path, monkeypatch, model) as device, connected(device) as listener:
        await device.suffer(FaultKind.WEDGE, 0)
        device.clock.hurry(60)
        if wedge is Wedge.SILENT:
            with pytest.raises(HandshakeTimeout, match=r"tried in vain: .*break, dtr"):
                await listener.uplinks(1)
            return
        await listener.event(RecoveryStepTaken)
        device.clock.hurry(1)
        await listener.state(LinkState.DOWN)
        await listener.state(LinkState.UP)
        await device.hear(b"well again")
        assert arrived(await listener.uplinks(1)) == [b"well again"]
        heartbeat = await listener.heartbeat()
    taken = [event for event in listener.seen if isinstance(event, RecoveryStepTaken)]
    assert [event.step for event in taken] == [RecoveryStep.COMMAND] * 3
    assert heartbeat.supply_volts == pytest.approx(3.301)


async def test_the_module_says_which_one_it_is(tmp_path: Path) -> None:
    """With every change of state, so that one module is never taken for two."""
    async with powered(RN2903, tmp_path) as device, connected(device) as listener:
        own = device.site.concentrators["board"].identity.unique_id.hex()
    (up,) = [event for event in listener.seen if isinstance(event, ConcentratorStateChanged)]
    assert up.identity == own


async def test_a_soft_reset_starts_the_module_anew(tmp_path: Path) -> None:
    """It is told like any restart."""
    async with powered(RN2903, tmp_path) as device, connected(device) as listener:
        before = device.site.concentrators["board"].board
        assert isinstance(listener.driver, RN2xx3Driver)
        listener.driver.soft_reset()
        await listener.state(LinkState.DOWN)
        await listener.state(LinkState.UP)
        assert device.site.concentrators["board"].board is not before
        await device.hear(b"anew")
        assert arrived(await listener.uplinks(1)) == [b"anew"]


async def test_signal_not_asked_for(tmp_path: Path) -> None:
    """The frame comes without, and nobody was promised more."""
    async with powered(RN2903, tmp_path) as device:
        driver = HASTY(device.options(signal_reading="never"), device.clock)
        async with driver:
            await device.hear(b"one")
            (event,) = await Listener(driver).uplinks(1)
    assert (event.snr_db, event.rssi_dbm) == (None, None)
    assert not driver.capabilities.metadata & {Metadata.SNR, Metadata.RSSI}


def test_when_to_ask_for_the_signal_is_one_of_three() -> None:
    (fault,) = check_options(replace(RN2903.options, signal_reading="during"))
    assert (fault.radio, fault.key) == (None, "signal_reading")
    assert "before, after, never" in fault.reason


async def test_signal_after_opening_where_the_firmware_answers_then(tmp_path: Path) -> None:
    """For firmware that has been tried; elsewhere the frame comes without."""
    for family, snr_db in ((RN2483, 5), (RN2903, None)):
        async with powered(family, tmp_path) as device:
            options = device.options(signal_reading="after")
            driver = HASTY(options, device.clock)
            async with driver:
                await device.hear(b"one")
                (event,) = await Listener(driver).uplinks(1)
        assert event.snr_db == snr_db


async def test_a_port_that_says_nothing_is_given_up() -> None:
    """Nor does a port without a module hang the start."""
    master, slave = os.openpty()
    try:
        tty.setraw(slave)
        clock = HostClock()
        clock.hurry(60)
        options = replace(RN2903.options, port=os.ttyname(slave))
        with pytest.raises(HandshakeTimeout, match="no RN2483 or RN2903 answers"):
            await HASTY(options, clock).__aenter__()
        os.set_blocking(master, False)
        assert b"U" in os.read(master, 65_536)  # 0x55, after the break
    finally:
        os.close(slave)
        os.close(master)


async def test_a_consumer_that_does_not_come_closes_the_radio_and_loses_nothing(
    tmp_path: Path,
) -> None:
    """Memory is bounded: what cannot be held is not received."""
    async with powered(RN2903, tmp_path) as device, connected(device) as listener:
        heard = 0
        with suppress(TimeoutError):
            while heard < 2 * drivers.rn2xx3._MAX_WAITING:
                async with asyncio.timeout(1):
                    await device.hear(heard.to_bytes(2, "big"))
                heard += 1
        assert heard < drivers.rn2xx3._MAX_WAITING + 2
        received = await listener.uplinks(heard)
    assert arrived(received) == [number.to_bytes(2, "big") for number in range(heard)]


async def test_a_packet_is_told_although_the_port_goes_while_its_signal_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is here; only the answer about its strength is not, from a module that is slow to tell."""
    asked: list[str] = []
    monkeypatch.setattr(Rn2xx3, "_tell_signal", lambda _module, name: asked.append(name))
    async with powered(RN2903, tmp_path) as device, connected(device) as listener:
        await device.hear(b"the last one")
        async with asyncio.timeout(10):
            while not asked:
                await asyncio.sleep(0)
        await device.suffer(FaultKind.LINK_DROP, 0)
        assert arrived(await listener.uplinks(1)) == [b"the last one"]
        with pytest.raises(PortLost):
            await listener.uplinks(2)
