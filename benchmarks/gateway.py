"""Memory, start-up and latency of the real gateway process, with a real broker.

``python -m benchmarks.gateway``. Frames are injected at the boards' RX event; the line is not
paced, so that what is measured is the gateway and not 115,200 baud.

- *ready*: from exec to the control socket's first answer.
- *to acknowledgement*: from the last byte of the event on the pty until the board has the
  acknowledgement, which the gateway sends after the commit. The linger (250 ms) is part of it.
- *to broker*: until an independent subscriber has the message.
- *floor*: fsync of one 4 KiB block in the same directory, in the same run.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.processes import (
    Boards,
    Gateway,
    Process,
    Subscriber,
    boards,
    broker,
    uplink_payload,
    use_mqtt,
    wait_until,
)

RATES = (1, 20, 200)
STARTS = 5


def main() -> int:
    """Print the figures."""
    with tempfile.TemporaryDirectory(prefix="lora-edge-bench-") as name:
        directory = Path(name)
        print(f"floor: fsync of 4 KiB, median {1e3 * _fsync_s(directory):.2f} ms")
        with boards(directory, count=2) as site, broker(directory) as mqtt:
            use_mqtt(directory, mqtt.port)
            command = [sys.executable, "-m", "edge", "run", "-c", str(directory / "gateway.toml")]
            running = Gateway(directory, Process(command, directory / "gateway.log"))
            print(f"ready: median {statistics.median(_starts_s(running)):.2f} s of {STARTS} starts")
            with _witness(directory, mqtt.port) as witness:
                running.start()
                wait_until(running.up, "the boards are up")
                time.sleep(2)
                print(f"memory idle: {_rss_mb(running):.1f} MB RSS (mqtt and cryptography loaded)")
                for rate in RATES:
                    _measure_rate(site, running, witness, rate)
                print(f"memory after: {_rss_mb(running):.1f} MB RSS")
            running.process.end()
    return 0


def _fsync_s(directory: Path) -> float:
    times = []
    with (directory / "floor").open("wb", buffering=0) as file:
        for _ in range(50):
            started = time.perf_counter()
            os.pwrite(file.fileno(), bytes(4096), 0)
            os.fsync(file.fileno())
            times.append(time.perf_counter() - started)
    return statistics.median(times)


def _starts_s(running: Gateway) -> Iterator[float]:
    for _ in range(STARTS):
        started = time.perf_counter()
        running.start()
        yield time.perf_counter() - started
        running.process.end()


def _rss_mb(running: Gateway) -> float:
    assert running.process.child is not None
    status = Path(f"/proc/{running.process.child.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@contextmanager
def _witness(directory: Path, port: int) -> Iterator[Subscriber]:
    """A subscriber whose lines begin with the Unix time of their arrival."""
    output = directory / "timed.txt"
    output.touch()
    command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-V", "5", "-q", "1"]
    witness = Subscriber(output, Process([*command, "-t", "#", "-F", "%U %t %p"], output))
    witness.process.start()
    try:
        yield witness
    finally:
        witness.process.end()


def _arrivals(witness: Subscriber) -> dict[str, float]:
    arrivals: dict[str, float] = {}
    for line in witness.output.read_text().splitlines():
        unix_s, topic, payload = line.split(" ", 2)
        if "/up/" in topic:
            arrivals.setdefault(json.loads(payload)["phy_payload"], float(unix_s))
    return arrivals


def _measure_rate(site: Boards, running: Gateway, witness: Subscriber, rate: int) -> None:
    count = min(max(rate * 10, 20), 1000)
    first = len(site.injected)
    started = time.perf_counter()
    for number in range(count):
        time.sleep(max(0.0, started + number / rate - time.perf_counter()))
        site.inject(uplink_payload(first + number), f"board-{number % 2 + 1}")
    wait_until(site.drained, "all events acknowledged")
    wait_until(lambda: running.pending() == 0, "the outbox is empty")
    wait_until(lambda: len(_arrivals(witness)) >= len(site.injected), "the witness has all")
    arrivals = _arrivals(witness)
    payloads = {payload.hex() for payload in site.injected[first:]}
    events = [e for e in site.order(order="timings")["events"] if e["payload"] in payloads]
    commit = [1e3 * (event["acknowledged"] - event["written"]) for event in events]
    delivery = [1e3 * (arrivals[event["payload"]] - event["written"]) for event in events]
    print(
        f"{rate:>4} frames/s, {len(events)} frames:"
        f"  to acknowledgement {_percentiles(commit)}  to broker {_percentiles(delivery)}"
    )


def _percentiles(milliseconds: list[float]) -> str:
    quantiles = statistics.quantiles(milliseconds, n=100, method="inclusive")
    return f"p50 {quantiles[49]:.0f} ms, p99 {quantiles[98]:.0f} ms"


if __name__ == "__main__":
    sys.exit(main())
