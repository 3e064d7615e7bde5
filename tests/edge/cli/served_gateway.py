"""The gateway as the tools see it: real handlers over a real store, behind a real socket.

It runs on a thread, so that tests can call ``main`` as a shell would.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from edge.config.load import load_config
from edge.control import serve_control
from edge.control_handlers import control_handlers
from edge.data_path import build_ingest
from edge.gateway_status import GatewayStatus
from edge.ingest import Ingest
from edge.monitoring.metrics import Metrics
from edge.outbox.admission import Admission, OutboxSettings, UpstreamLimits
from edge.outbox.store import Outbox, open_outbox
from protocol.lora.events import CrcStatus
from protocol.records.sensor_frame import (
    FrameClass,
    FrameContent,
    FrameId,
    Measurement,
    Reception,
    Verified,
    WallTime,
)
from tests.edge.fake_clock import FakeClock

GATEWAY = bytes.fromhex("b827ebfffe123456")
BOOT, EARLIER_BOOT = bytes(range(16)), bytes(range(16, 32))
# 2026-11-24T08:00:00Z (date --utc --date=2026-11-24T08:00:00Z +%s), an hour after the host started.
EIGHT_US = 1_795_507_200_000_000
BOOTTIME_US = 3_600_000_000

CONFIG = """\
[gateway]
id = "b827ebfffe123456"
region = "AS923-2"
state_dir = "{directory}/state"
control_socket = "{directory}/control.sock"

[[concentrator]]
name = "roof"
port = "{directory}/roof"
[[concentrator.radio]]
frequency_hz = 921_400_000
spreading_factor = 9
[[concentrator.radio]]
frequency_hz = 921_600_000
spreading_factor = 10

[[upstream]]
name = "disk"
kind = "file"
path = "{directory}/received"

[monitoring]
listen = ""
"""

RECEPTION = Reception(
    concentrator="roof",
    radio=0,
    frequency_hz=921_400_000,
    spreading_factor=9,
    bandwidth_hz=125_000,
    coding_rate="4/5",
    rssi_dbm=-97.0,
    rssi_model="sx1276",
    snr_db=7.5,
    frequency_error_hz=None,
    crc_status=CrcStatus.OK,
)


def plain_content(seconds: int = 0, **members: object) -> FrameContent:
    """A frame nobody knows the device of, received so many seconds after eight."""
    content = FrameContent(
        boot_id=BOOT,
        received_boottime_us=BOOTTIME_US + seconds * 1_000_000,
        receptions=(RECEPTION,),
        phy_payload=bytes.fromhex("40c4b3a201800100"),
        dev_addr=bytes.fromhex("01a2b3c4"),
        f_cnt=1,
        f_port=5,
    )
    return replace(content, **members)  # type: ignore[arg-type]


FRAMES = (
    # Of a boot whose clock was never synchronised.
    plain_content(boot_id=EARLIER_BOOT, received_boottime_us=61_500_000),
    plain_content(0),
    plain_content(
        60,
        device="flood-cam-le-01",
        frame_class=FrameClass.ALARM,
        receptions=(RECEPTION, replace(RECEPTION, radio=1, snr_db=None)),
        verified=Verified.YES,
        measurements=(Measurement("water_level", 2.94, "m"), Measurement("open", True)),
    ),
    plain_content(
        120,
        dev_addr=None,
        f_port=None,
        f_cnt=None,
        # What a hostile node could send: it clears the screen, and a spreadsheet runs it.
        measurements=(Measurement("x", "\x1b[2J\x9b2J\r\nroot:"), Measurement("y", "=1+1")),
    ),
    plain_content(
        180, verified=Verified.NO, verified_reason="replay", decode_error="=cmd|' /C calc'!A0"
    ),
    plain_content(240, dev_addr=None, f_port=None, dev_eui=bytes.fromhex("a81758fffe04b1c1")),
)


@dataclass(frozen=True)
class ServedGateway:
    """What runs on the thread."""

    config: Path
    loop: asyncio.AbstractEventLoop
    outbox: Outbox
    ingest: Ingest
    status: GatewayStatus
    clock: FakeClock

    def append(self, *contents: FrameContent) -> tuple[FrameId, ...]:
        """Store frames as ingest would."""

        async def append() -> tuple[FrameId, ...]:
            # Each by itself: frames of one commit are numbered by class.
            return tuple([(await self.outbox.append(Admission.of(c)))[0] for c in contents])

        return asyncio.run_coroutine_threadsafe(append(), self.loop).result(10)

    def do(self, action: Callable[[], object]) -> None:
        """Have something done on the gateway's own thread."""
        done: Future[object] = Future()
        self.loop.call_soon_threadsafe(lambda: done.set_result(action()))
        done.result(10)


def write_config(directory: Path) -> Path:
    """A valid configuration whose paths are all below the directory."""
    path = directory / "gateway.toml"
    path.write_text(CONFIG.format(directory=directory))
    (directory / "state").mkdir(exist_ok=True)
    return path


@contextmanager
def served_gateway(
    directory: Path, contents: Sequence[FrameContent] = (), notices: Sequence[str] = ()
) -> Iterator[ServedGateway]:
    """Run a gateway's store and control socket while the context lasts."""
    config = write_config(directory)
    started: Future[ServedGateway] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        clock = FakeClock(BOOTTIME_US, BOOT, WallTime(EIGHT_US, 1000))
        metrics = Metrics("1.2.3")
        loaded = load_config(config, {}).config
        settings = OutboxSettings(commit_linger_s=0, upstreams={"disk": UpstreamLimits()})
        async with open_outbox(
            loaded.gateway.state_dir / "outbox.db",
            gateway=GATEWAY,
            clock=clock,
            settings=settings,
            metrics=metrics,
        ) as outbox:
            ingest = build_ingest(loaded, clock=clock, metrics=metrics, outbox=outbox)
            status = GatewayStatus(
                version="1.2.3",
                gateway=GATEWAY,
                config=loaded,
                clock=clock,
                started_us=0,
                ingest=ingest,
                outbox=outbox,
                notices=notices,
            )
            loop = asyncio.get_running_loop()
            gateway = ServedGateway(config, loop, outbox, ingest, status, clock)

            def ready(_path: Path) -> None:
                stops.append(lambda: loop.call_soon_threadsafe(stop.set))
                started.set_result(gateway)

            async with asyncio.TaskGroup() as group:
                writer = group.create_task(outbox.run())
                control = group.create_task(
                    serve_control(
                        loaded.gateway.control_socket, control_handlers(outbox, status), ready=ready
                    )
                )
                await stop.wait()
                control.cancel()
                await asyncio.wait([control])
                outbox.stop()
                await writer

    stops: list[Callable[[], object]] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            failures.append(error)
            if not started.done():
                started.set_exception(error)

    thread = threading.Thread(target=work, name="served gateway")
    thread.start()
    try:
        gateway = started.result(30)
        if contents:
            gateway.append(*contents)
        yield gateway
    finally:
        for stop_it in stops:
            stop_it()
        thread.join(30)
    assert not failures
