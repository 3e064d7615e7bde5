"""The ``meshcore`` driver: the conformance kit, and what only these modems do."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers.base import DriverOptions, RadioOptions
from drivers.errors import UnsupportedConfiguration, UnsupportedDevice
from drivers.meshcore import MeshCoreDriver
from drivers.registry import driver_factory
from protocol.lora.events import LinkState
from simulator.scenario import FaultKind
from tests.drivers.conformance import *  # noqa: F403 - the kit's tests
from tests.drivers.conformance import Listener, connected
from tests.drivers.devices import Device, Family, Traits, powered

RADIO = RadioOptions(921_400_000, 9, sync_word=0x12, payload="raw")
MESHCORE = Family(
    kind="meshcore",
    new_driver=MeshCoreDriver,
    options=DriverOptions(name="roof", port="", baud=115_200, unique_id="", radios=(RADIO,)),
    traits=Traits(
        acknowledges=False,
        frame_check=False,
        tells_bad_crc=False,
        tells_rssi=True,
        tells_snr=True,
        rssi_model="meshcore",
    ),
)


@pytest.fixture(params=[512, 1], ids=["whole", "byte-by-byte"])
async def device(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Device]:
    """A modem on a good line, and one whose bytes come one at a time."""
    async with powered(MESHCORE, tmp_path, chunk=request.param) as running:
        yield running


def test_the_registry_knows_it() -> None:
    """``driver = "meshcore"``."""
    assert driver_factory("meshcore") is MeshCoreDriver


@pytest.mark.parametrize(
    ("radio", "reason"),
    [
        (RadioOptions(921_400_000, 9, sync_word=0x12), "cannot hear LoRaWAN"),
        (RadioOptions(921_400_000, 9, payload="raw"), "fixes the sync word at 0x12"),
        (RadioOptions(921_400_000, 9, sync_word=0x12, payload="raw", crc="any"), "bad CRC"),
    ],
)
async def test_what_the_firmware_cannot_do_is_refused(radio: RadioOptions, reason: str) -> None:
    """With what would work, and before the port is opened."""
    options = DriverOptions("roof", "/nowhere", 115_200, "", (radio,))
    with pytest.raises(UnsupportedConfiguration, match=reason):
        await MeshCoreDriver(options, lambda: 0).__aenter__()


async def test_another_modem_than_the_pinned_one_is_refused(device: Device) -> None:
    """By the public key that it made at its first start, all 32 bytes of it."""
    own = (device.site.concentrators["board"].identity.unique_id * 4).hex()
    async with MeshCoreDriver(device.options(unique_id=own), device.clock):
        pass
    for other in (own[:16], "00" * 32):
        with pytest.raises(UnsupportedDevice, match="if it was replaced on purpose"):
            await MeshCoreDriver(device.options(unique_id=other), device.clock).__aenter__()


async def test_a_restart_between_two_packets_costs_neither(device: Device) -> None:
    """The modem forgets its settings, and is told them again."""
    async with connected(device) as listener:
        await device.hear(b"before")
        await listener.uplinks(1)
        await device.suffer(FaultKind.REBOOT, 0)
        await listener.state(LinkState.DOWN)
        await listener.state(LinkState.UP)
        await device.hear(b"after")
        assert [event.payload for event in await listener.uplinks(2)] == [b"before", b"after"]


async def test_a_soft_reset_restarts_the_modem(device: Device) -> None:
    """And it is set up again."""
    async with MeshCoreDriver(device.options(), device.clock) as driver:
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


async def test_heartbeats_tell_of_the_modem(device: Device) -> None:
    """Noise, temperature and supply, as soon as it has been asked for them."""
    async with device.new_driver() as driver:
        listener = Listener(driver)
        heartbeat = await listener.heartbeat()
        while heartbeat.supply_volts is None:
            heartbeat = await listener.heartbeat()
    assert heartbeat.radios[0].noise_rssi_dbm == -112
    assert heartbeat.temperature_celsius == 41.5
    assert heartbeat.supply_volts == 4.98
