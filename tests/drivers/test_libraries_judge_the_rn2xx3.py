"""Two published host libraries drive the simulated modules: other people's reading of the manual.

``rn2903`` (MIT) compares each reply with what it expects; ``loranode`` (BSD) was written for the
RN2483. Both block, so each runs in a thread, as its own program would.
"""

import asyncio
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.devices import Device, powered
from tests.drivers.test_rn2xx3 import RN2483, RN2903

MISSING = [name for name in ("rn2903", "loranode") if importlib.util.find_spec(name) is None]
DEADLINE_S = 30.0

pytestmark = [
    pytest.mark.rn2xx3_libraries,
    pytest.mark.skipif(bool(MISSING), reason=f"needs the packages {', '.join(MISSING)}"),
]

TEXTS = ["flood 126 cm", "x" * 40, "0", "Đà Nẵng"]


@contextmanager
def rn2903(port: Path) -> Iterator[tuple[Any, Any]]:
    """The library and its port."""
    import rn2903

    connection = rn2903.open(str(port))
    try:
        yield rn2903, connection
    finally:
        connection.close()


def sending(device: Device) -> list[bytes]:
    """What a device puts on the air from now on."""
    sent: list[bytes] = []
    device.site.on_transmit = lambda _name, _radio, payload: sent.append(payload)
    return sent


async def blocking(work: Callable[[], Any]) -> Any:
    """Run what blocks beside the simulator."""
    async with asyncio.timeout(DEADLINE_S):
        return await asyncio.to_thread(work)


async def test_rn2903_sets_up_and_receives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints a line for each reply that is not as it knows it; there is none."""
    async with powered(RN2903, tmp_path) as device:
        with rn2903(device.port) as (library, connection):
            await blocking(lambda: library.raw_command(connection, ""))  # the noise of the start
            assert await blocking(lambda: library.startRX(connection))
            for name, value in (("Freq", 921_400_000), ("Spr", "sf9"), ("BW", 125), ("Pwr", 2)):
                setter = getattr(library, f"set{name}")
                assert await blocking(lambda: setter(connection, value)), name  # noqa: B023
            receive = asyncio.create_task(blocking(lambda: library.receive(connection)))
            await device.hear(b"flood 126 cm")
            assert await receive == ("Received: ", "flood 126 cm")
        assert "Bad Response" not in capsys.readouterr().out


async def test_rn2903_sends(tmp_path: Path) -> None:
    async with powered(RN2903, tmp_path) as device:
        sent = sending(device)
        with rn2903(device.port) as (library, connection):
            await blocking(lambda: library.raw_command(connection, ""))
            assert await blocking(lambda: library.startTX(connection))
            assert await blocking(lambda: library.setSpr(connection, "sf7"))
            for text in TEXTS:
                await blocking(lambda: library.send(connection, text))  # noqa: B023
                reply = await blocking(connection.readline)
                assert reply == b"radio_tx_ok\r\n"
    assert sent == [text.encode() for text in TEXTS]


async def test_loranode_drives_an_rn2483(tmp_path: Path) -> None:
    """Settings are read back as it wrote them; packets go both ways."""
    async with powered(RN2483, tmp_path) as device:
        sent = sending(device)
        controller = await blocking(lambda: _loranode(device.port))
        try:
            eui = device.site.concentrators["board"].identity.unique_id.hex().upper()
            assert controller.hweui == eui
            await blocking(lambda: controller.set_sf(8))
            await blocking(lambda: controller.set_bw(250))
            await blocking(lambda: controller.set_cr("4/7"))
            read = [controller.get_sf, controller.get_bw, controller.get_cr]
            assert [await blocking(get) for get in read] == ["sf8", "250", "4/7"]
            await blocking(lambda: controller.send_p2p("C0DB"))
            receive = asyncio.create_task(blocking(controller.recv_p2p))
            await device.hear(b"\x00\xc0\xdb")
            assert await receive == "00C0DB"
        finally:
            controller.device.close()
    assert sent == [b"\xc0\xdb"]


def _loranode(port: Path) -> Any:
    """Its first command, a reset, meets the noise of the start: the reply is one line as well."""
    from loranode import RN2483Controller

    controller = RN2483Controller(str(port))
    controller.device.timeout = DEADLINE_S / 2
    return controller
