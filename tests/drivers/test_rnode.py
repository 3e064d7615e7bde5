"""The ``rnode`` driver: the conformance kit on three kinds of boards, and what only RNodes have."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.base import Downlink, DriverOptions, RadioOptions, TxOutcome
from drivers.errors import HandshakeTimeout, UnsupportedDevice
from drivers.registry import driver_factory, options_check
from drivers.rnode import RNodeDriver
from protocol.lora.events import ConcentratorStateChanged, LinkState
from simulator.fronts.rnode import RNode
from simulator.scenario import FaultKind
from simulator.simulated_site import Arrival
from tests.drivers.conformance import *  # noqa: F403 - the kit's tests
from tests.drivers.conformance import Listener
from tests.drivers.devices import Device, Family, Traits, powered

RADIO = RadioOptions(frequency_hz=921_400_000, spreading_factor=9, sync_word=0x12, payload="cbor")
RNODE = Family(
    kind="rnode",
    new_driver=RNodeDriver,
    options=DriverOptions(name="roof", port="", baud=115_200, unique_id="", radios=(RADIO,)),
    traits=Traits(
        acknowledges=False,
        frame_check=False,
        tells_bad_crc=False,
        tells_rssi=True,
        tells_snr=True,
        rssi_model="rnode",
        rssi_dbm=-106.5,  # -100 dBm times 1.066: the firmware's own arithmetic
    ),
    on_air=lambda payload: b"\x70" + payload,  # the firmware takes the first byte for its header
    longest_payload=254,
)
AVR = replace(RNODE, kind="rnode-avr")
COMMUNITY = replace(
    RNODE,
    kind="rnode-ce",
    options=replace(RNODE.options, radios=(RADIO, replace(RADIO, frequency_hz=921_600_000))),
)


@pytest.fixture(
    params=[(RNODE, 512), (RNODE, 1), (AVR, 512), (COMMUNITY, 512)],
    ids=["whole", "byte-by-byte", "avr", "community"],
)
async def device(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Device]:
    """A board with power."""
    family, chunk = request.param
    async with powered(family, tmp_path, chunk=chunk) as running:
        yield running


async def test_the_registry_knows_it() -> None:
    """``driver = "rnode"``."""
    assert driver_factory("rnode") is RNodeDriver


def set_model(device: Device, **changes: object) -> None:
    """Change what board it is, before a driver comes."""
    board = device.site.concentrators["board"].board
    assert isinstance(board, RNode)
    board.model = replace(board.model, **changes)  # type: ignore[arg-type]


@pytest.fixture
async def esp32(tmp_path: Path) -> AsyncIterator[Device]:
    """The usual board."""
    async with powered(RNODE, tmp_path) as running:
        yield running


async def test_old_firmware_is_refused_and_what_helps_is_said(esp32: Device) -> None:
    set_model(esp32, firmware=(1, 51))
    with pytest.raises(UnsupportedDevice, match=r"1\.51 is too old.*rnodeconf --update"):
        await esp32.new_driver().__aenter__()


async def test_a_board_that_is_not_provisioned_is_refused(esp32: Device) -> None:
    """It answers every question, and its radio never starts."""
    set_model(esp32, provisioned=False)
    with pytest.raises(UnsupportedDevice, match="not provisioned"):
        await esp32.new_driver().__aenter__()


async def test_a_broken_radio_module_is_told(esp32: Device) -> None:
    set_model(esp32, working=False)
    with pytest.raises(UnsupportedDevice, match="does not start"):
        await esp32.new_driver().__aenter__()


async def test_two_radios_of_a_board_that_has_one_are_refused(esp32: Device) -> None:
    """Upstream's firmware would let the second radio's settings replace the first's."""
    options = esp32.options(radios=(RADIO, RADIO))
    with pytest.raises(UnsupportedDevice, match="Community Edition"):
        await RNodeDriver(options, esp32.clock).__aenter__()


async def test_a_silent_port_is_given_up(esp32: Device) -> None:
    """A GPS receiver, a console, a board without firmware."""
    await esp32.suffer(FaultKind.WEDGE, 0)
    esp32.clock.hurry(30)
    with pytest.raises(HandshakeTimeout, match="is it the right port"):
        await esp32.new_driver().__aenter__()


async def test_two_packets_of_one_sender_arrive_as_one_payload(esp32: Device) -> None:
    """254 bytes and the rest, joined by the device."""
    payload = bytes(range(254)) * 2
    async with esp32.new_driver() as driver:
        listener = Listener(driver)
        await listener.state(LinkState.UP)
        for part in (payload[:254], payload[254:]):
            await esp32.transmission(b"\x31" + part)
        (event,) = await listener.uplinks(1)
    assert event.payload == payload
    assert driver.capabilities.max_payload == len(payload)


async def test_both_radios_of_a_community_edition_are_heard_apart(tmp_path: Path) -> None:
    async with powered(COMMUNITY, tmp_path) as device, device.new_driver() as driver:
        listener = Listener(driver)
        await listener.state(LinkState.UP)
        for index, payload in enumerate((b"\0first", b"\0second")):
            board = device.site.concentrators["board"].board
            assert board is not None
            radio = board.radios[index]
            while radio.chip.listening(radio.now_us()) is None:
                await asyncio.sleep(0.001)
            device.site.whole_frame(index, "board", radio, Arrival(payload, -100.0, 5.0))
        received = await listener.uplinks(2)
    assert [(event.radio, event.payload, event.frequency_hz) for event in received] == [
        (0, b"first", 921_400_000),
        (1, b"second", 921_600_000),
    ]


async def test_transmission_is_refused_truthfully(esp32: Device) -> None:
    """Until the regulation guard exists."""
    async with esp32.new_driver() as driver:
        result = await driver.transmit(
            Downlink(0, b"", 921_400_000, 9, 125_000, "4/5", 14, invert_iq=True, at_count_us=None)
        )
    assert result.outcome is TxOutcome.NOT_SUPPORTED


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"payload": "lorawan"}, "payload", "cannot hear LoRaWAN"),
        ({"sync_word": 0x34}, "sync_word", "fixes the sync word at 0x12"),
        ({"crc": "any"}, "crc", "does not pass on frames with a bad CRC"),
        ({"spreading_factor": 6}, "", "SF6"),
    ],
)
def test_what_it_cannot_do_is_refused_without_a_device(
    changes: dict[str, object], key: str, words: str
) -> None:
    """With the reason, and what would work."""
    radio = replace(RADIO, **changes)  # type: ignore[arg-type]
    (fault,) = options_check("rnode")(replace(RNODE.options, radios=(radio,)))
    assert (fault.radio, fault.key) == (0, key)
    assert words in fault.reason
    if key:
        assert fault.remedy


async def test_another_device_than_the_pinned_one_is_refused(esp32: Device) -> None:
    """A swapped board is noticed and not trusted."""
    async with esp32.new_driver() as driver:
        listener = Listener(driver)
        await listener.state(LinkState.UP)
        (up,) = [event for event in listener.seen if isinstance(event, ConcentratorStateChanged)]
    assert up.identity in up.detail
    async with RNodeDriver(esp32.options(unique_id=up.identity), esp32.clock):
        pass
    other = RNodeDriver(esp32.options(unique_id="0" + up.identity[1:]), esp32.clock)
    with pytest.raises(UnsupportedDevice, match=f"reports {up.identity}, not 0{up.identity[1:]}"):
        await other.__aenter__()


async def test_a_reset_by_command_brings_it_up_again(esp32: Device) -> None:
    """The first step to mend a radio that has gone deaf."""
    async with RNodeDriver(esp32.options(), esp32.clock) as driver:
        listener = Listener(driver)
        await listener.state(LinkState.UP)
        driver.soft_reset()
        await listener.state(LinkState.DOWN)
        await listener.state(LinkState.UP)
        await esp32.hear(b"anew")
        (event,) = await listener.uplinks(1)
    assert event.payload == b"anew"


def test_an_identity_or_five_radios_are_refused() -> None:
    faults = options_check("rnode")(replace(RNODE.options, unique_id="00", radios=(RADIO,) * 5))
    assert [(fault.radio, fault.key) for fault in faults] == [(None, "unique_id"), (4, "")]
