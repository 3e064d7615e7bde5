"""The ``loraprs`` driver: the conformance kit, and what only these modems do."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers.base import BoottimeUs, DriverOptions, RadioOptions
from drivers.errors import UnsupportedConfiguration
from drivers.loraprs import LoraprsDriver, radio_settings
from drivers.registry import driver_factory
from protocol.dialects.loraprs import LoraprsSession, RadioSettings
from protocol.lora.events import ConcentratorStateChanged, LinkState
from tests.drivers.conformance import *  # noqa: F403 - the kit's tests
from tests.drivers.conformance import Listener, connected
from tests.drivers.devices import Device, Family, Traits, powered

RADIO = RadioOptions(921_400_000, 9)
HURRY = 20
"""A real modem is given 2.5 s to boot and to take its settings; the simulated one needs less."""


class OftenWoken(LoraprsSession):
    """Looks at a hurrying clock each 20 ms: to wait, the driver relies on true seconds."""

    def __init__(self, settings: RadioSettings, clock: BoottimeUs) -> None:
        super().__init__(settings, clock())
        self._clock = clock

    def timer_us(self) -> int:
        return min(super().timer_us(), self._clock() + 20_000)


class ImpatientDriver(LoraprsDriver):
    """As its parent, on a clock that hurries."""

    def begin_session(self, now_us: int) -> LoraprsSession:
        return OftenWoken(radio_settings(self.options.radios[0]), self.now_us)


LORAPRS = Family(
    kind="loraprs",
    new_driver=ImpatientDriver,
    options=DriverOptions(name="roof", port="", baud=115_200, unique_id="", radios=(RADIO,)),
    traits=Traits(
        acknowledges=False,
        frame_check=False,
        tells_bad_crc=False,
        tells_rssi=True,
        tells_snr=True,
        rssi_model="loraprs",
    ),
    hurry=HURRY,
)


@pytest.fixture(params=[512, 1], ids=["whole", "byte-by-byte"])
async def device(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Device]:
    """A modem on a good line, and one whose bytes come one at a time."""
    async with powered(LORAPRS, tmp_path, chunk=request.param) as running:
        yield running


def test_the_registry_knows_it() -> None:
    """``driver = "loraprs"``."""
    assert driver_factory("loraprs") is LoraprsDriver


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (DriverOptions("roof", "/no", 115_200, "ab12", (RADIO,)), "reports no identity"),
        (DriverOptions("roof", "/no", 115_200, "", (RADIO, RADIO)), "has 1 radio, 2 are"),
        (
            DriverOptions("roof", "/no", 115_200, "", (RadioOptions(921_400_000, 9, crc="any"),)),
            "bad CRC",
        ),
        (
            DriverOptions("roof", "/no", 115_200, "", (RadioOptions(600_000_000, 9),)),
            "would not say so .its bands are 137 to 175",
        ),
    ],
)
async def test_what_the_firmware_cannot_do_is_refused(options: DriverOptions, reason: str) -> None:
    """With what would work, and before the port is opened."""
    with pytest.raises(UnsupportedConfiguration, match=reason):
        await LoraprsDriver(options, lambda: 0).__aenter__()


async def test_the_modem_never_sends(device: Device) -> None:
    """Being restarted, set up and listened to puts nothing on the air."""
    sent: list[bytes] = []
    device.site.on_transmit = lambda _name, _radio, payload: sent.append(payload)
    async with connected(device) as listener:
        await device.hear(b"\xc0\x00not to be repeated\xc0")
        await listener.uplinks(1)
    assert sent == []


async def test_people_are_told_what_nobody_can_check(device: Device) -> None:
    """A build for the SX1278 would be deaf at this frequency, and look alive."""
    async with connected(device) as listener:
        (change,) = [e for e in listener.seen if isinstance(e, ConcentratorStateChanged)]
    assert "does not confirm settings" in change.detail
    assert "this frequency needs a build for the SX1276" in change.detail


async def test_a_soft_reset_restarts_the_modem(device: Device) -> None:
    """And it is set up again."""
    async with ImpatientDriver(device.options(), device.clock) as driver:
        listener = Listener(driver)
        await listener.state(LinkState.UP)
        before = device.site.concentrators["board"].board
        driver.soft_reset()
        await listener.state(LinkState.DOWN)
        await listener.state(LinkState.UP)
        assert device.site.concentrators["board"].board is not before
        await device.hear(b"again")
        (event,) = await listener.uplinks(1)
    assert event.payload == b"again"


async def test_a_payload_that_looks_like_a_restart_is_none(device: Device) -> None:
    """Whoever sends it makes nobody deaf."""
    spelt = b"\r\nrst:0x1 (POWERON_RESET),boot:0x13"
    async with connected(device) as listener:
        await device.hear(spelt)
        await device.hear(b"next")
        received = await listener.uplinks(2)
        await listener.heartbeat()
    assert [event.payload for event in received] == [spelt, b"next"]
    assert listener.driver.is_up  # type: ignore[attr-defined]
