"""Simulated boards, real gateway, real broker: what a ChirpStack would get through outages.

The witness is mosquitto_sub with a session of its own, in ChirpStack's place.
"""

import base64
import json
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import (
    Boards,
    Gateway,
    Subscriber,
    boards,
    broker,
    gateway,
    subscriber,
    uplink_payload,
    use_upstream,
    wait_delivered,
    wait_until,
)
from tests.scale import SCALE

pytestmark = [
    pytest.mark.mosquitto,
    pytest.mark.timeout(1200 if SCALE > 1 else 120),
    pytest.mark.skipif(
        not (shutil.which("mosquitto") or Path("/usr/sbin/mosquitto").exists()),
        reason="NOT RUN: needs Debian package mosquitto",
    ),
]

# Seconds without a broker, and frames a second meanwhile.
SHORT = [(3, 50)]
LONG = [(10, 1), (60, 1), (180, 1), (600, 50)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Boards]:
    """One board with two radios."""
    with boards(tmp_path, radios=("921.4:9", "921.6:9")) as running:
        yield running


def use_chirpstack(directory: Path, port: int) -> None:
    """JSON, so that the witness is easily read; the library reads protobuf in the unit tests."""
    keys = f'kind = "chirpstack-mqtt"\nurl = "mqtt://127.0.0.1:{port}"\nformat = "json"\n'
    use_upstream(directory, keys)


def inject(site: Boards, first: int, count: int, rate_hz: float) -> int:
    """Frames of 50 devices at this rate; returns the number of the next one."""
    begin = time.monotonic()
    for index in range(count):
        site.inject_surely(uplink_payload(first + index), radio=index % 2)
        time.sleep(max(0, begin + (index + 1) / rate_hz - time.monotonic()))
    return first + count


def events(witness: Subscriber) -> list[dict[str, Any]]:
    """All uplinks so far, repeats included."""
    return [json.loads(payload) for payload in witness.messages("/event/up")]


def payload_of(event: dict[str, Any]) -> bytes:
    return base64.b64decode(event["phyPayload"])


def more_than(witness: Subscriber, count: int) -> bool:
    return len(events(witness)) > count


def settle(site: Boards, running: Gateway, witness: Subscriber) -> None:
    """Everything is committed, and has gone out and arrived."""
    wait_delivered(site, running, deadline_s=300)
    expected = len(set(site.injected))
    wait_until(
        lambda: len({event["phyPayload"] for event in events(witness)}) >= expected,
        "the witness has all frames",
    )


def check(site: Boards, witness: Subscriber) -> None:
    """0 lost, 0 invented, each under one id; each device's frames came in their order."""
    arrived = events(witness)
    assert {payload_of(event) for event in arrived} == set(site.injected)
    ids: dict[str, bytes] = {}
    for event in arrived:
        frame_id = event["rxInfo"]["metadata"]["frame"]
        assert ids.setdefault(frame_id, payload_of(event)) == payload_of(event)
    assert len(ids) == len(site.injected)
    firsts = list(dict.fromkeys(payload_of(event) for event in arrived))
    for device in {payload[1:5] for payload in firsts}:
        counters = [payload[6:8] for payload in firsts if payload[1:5] == device]
        assert counters == sorted(counters, key=lambda two: int.from_bytes(two, "little"))


def check_times(witness: Subscriber, outage: tuple[float, float]) -> None:
    """Frames of the outage say how long they were held, which is their original time."""
    held_s = [
        int(event["rxInfo"]["metadata"]["hold_ms"]) / 1000
        for event in events(witness)
        if event["rxInfo"]["metadata"]["replay"] == "1"
    ]
    began, ended = outage
    if ended - began > 10:
        assert held_s
    assert all(5 <= each < time.monotonic() - began + 1 for each in held_s)


@pytest.mark.parametrize(("outage_s", "rate_hz"), LONG if SCALE > 1 else SHORT)
def test_an_outage_under_load(site: Boards, tmp_path: Path, outage_s: int, rate_hz: int) -> None:
    """The broker is away, comes back, and frames go on: all arrive, in order."""
    with broker(tmp_path) as mqtt, subscriber(tmp_path, mqtt.port) as witness:
        use_chirpstack(tmp_path, mqtt.port)
        with gateway(tmp_path) as running:
            wait_until(running.up, "the boards are up")
            number = inject(site, 0, 20, 50)
            wait_until(lambda: len(events(witness)) >= number, "live frames arrive")
            mqtt.process.terminate()
            began = time.monotonic()
            number = inject(site, number, outage_s * rate_hz, rate_hz)
            mqtt.start()
            outage = began, time.monotonic()
            inject(site, number, 20, 50)
            settle(site, running, witness)
        check(site, witness)
        check_times(witness, outage)


def test_kills_in_the_outage_and_in_the_catch_up(site: Boards, tmp_path: Path) -> None:
    """kill -9 of the gateway, where it hurts most."""
    with broker(tmp_path) as mqtt, subscriber(tmp_path, mqtt.port) as witness:
        use_chirpstack(tmp_path, mqtt.port)
        with gateway(tmp_path) as running:
            wait_until(running.up, "the boards are up")
            number = 0
            for _ in range(min(SCALE, 20)):
                number = inject(site, number, 20, 50)
                mqtt.process.terminate()
                number = inject(site, number, 150, 200)
                running.process.kill()
                running.start()
                number = inject(site, number, 50, 200)
                mqtt.start()
                so_far = len(events(witness))
                wait_until(partial(more_than, witness, so_far + 20), "catching up")
                running.process.kill()
                running.start()
            settle(site, running, witness)
        check(site, witness)


def test_states(site: Boards, tmp_path: Path) -> None:
    """OFFLINE by the last will after kill -9, and by the gateway itself on SIGTERM."""
    with broker(tmp_path) as mqtt, subscriber(tmp_path, mqtt.port) as witness:
        use_chirpstack(tmp_path, mqtt.port)

        def states() -> list[str | None]:
            return [json.loads(text).get("state") for text in witness.messages("/state/conn")]

        with gateway(tmp_path) as running:
            wait_until(lambda: states() == ["ONLINE"], "online")
            running.process.kill()
            wait_until(lambda: states() == ["ONLINE", None], "the last will")
            running.start()
            wait_until(lambda: states()[2:] == ["ONLINE"], "online again")
            wait_until(lambda: len(witness.messages("/event/stats")) >= 2, "seen at once")
        wait_until(lambda: states()[3:] == [None], "goodbye")
