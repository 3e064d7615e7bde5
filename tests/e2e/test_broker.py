"""Simulated boards, real serial ports, real gateway, real broker, an independent witness."""

import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import (
    Boards,
    Gateway,
    Subscriber,
    boards,
    broker,
    check_delivery,
    gateway,
    inject_some,
    subscriber,
    use_mqtt,
    wait_delivered,
    wait_until,
)
from tests.scale import SCALE

pytestmark = [
    pytest.mark.mosquitto,
    pytest.mark.timeout(300 * SCALE),
    pytest.mark.skipif(
        not (shutil.which("mosquitto") or Path("/usr/sbin/mosquitto").exists()),
        reason="NOT RUN: needs Debian package mosquitto",
    ),
]

FRAMES = 2_000 * SCALE
KILLS = 10 * SCALE


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Boards]:
    """Two boards with two radios each."""
    with boards(tmp_path, count=2, radios=("921.4:9", "921.6:9")) as running:
        yield running


def settle(site: Boards, running: Gateway, witness: Subscriber) -> None:
    """Wait until the boards are acknowledged, the outbox is empty and the witness has it all."""
    wait_delivered(site, running)
    expected = len(set(site.injected))
    wait_until(
        lambda: len({frame["phy_payload"] for frame in witness.frames()}) >= expected,
        "the witness has all frames",
    )


def test_two_thousand_frames(site: Boards, tmp_path: Path) -> None:
    """What was receivable arrives once in effect."""
    with broker(tmp_path) as mqtt, subscriber(tmp_path, mqtt.port) as witness:
        use_mqtt(tmp_path, mqtt.port)
        with gateway(tmp_path) as running:
            wait_until(running.up, "the boards are up")
            inject_some(site, 0, FRAMES)
            settle(site, running, witness)
        check_delivery(witness.frames(), site.injected)
        assert witness.messages("/state") == ["online", "offline"]


def test_broker_down_for_the_first_half(site: Boards, tmp_path: Path) -> None:
    """The outbox holds everything until somebody acknowledges it."""
    with broker(tmp_path, start=False) as mqtt:
        use_mqtt(tmp_path, mqtt.port)
        with gateway(tmp_path) as running:
            wait_until(running.up, "the boards are up")
            inject_some(site, 0, FRAMES // 2)
            wait_until(site.drained, "committed although nobody takes it")
            assert running.pending() == FRAMES // 2
            mqtt.start()
            with subscriber(tmp_path, mqtt.port) as witness:
                inject_some(site, FRAMES // 2, FRAMES // 2)
                settle(site, running, witness)
        check_delivery(witness.frames(), site.injected)


def test_kills(site: Boards, tmp_path: Path) -> None:
    """kill -9 of the gateway at random moments loses nothing and doubles nothing."""
    chance = random.Random(20261124)
    with broker(tmp_path) as mqtt, subscriber(tmp_path, mqtt.port) as witness:
        use_mqtt(tmp_path, mqtt.port)
        with gateway(tmp_path) as running:
            wait_until(running.up, "the boards are up")
            for round_number in range(KILLS):
                inject_some(site, round_number * 200, 200)
                # From "in the port's buffer" to "acknowledged by the broker".
                time.sleep(chance.uniform(0, 0.6))
                running.process.kill()
                running.start()
            settle(site, running, witness)
        check_delivery(witness.frames(), site.injected)


def test_link_dropped_and_back_under_another_tty(site: Boards, tmp_path: Path) -> None:
    """The board keeps its power, so nothing is lost."""
    with broker(tmp_path) as mqtt, subscriber(tmp_path, mqtt.port) as witness:
        use_mqtt(tmp_path, mqtt.port)
        with gateway(tmp_path) as running:
            wait_until(running.up, "the boards are up")
            before = (tmp_path / "board-1").readlink()
            inject_some(site, 0, 300)
            site.order(order="fault", concentrator="board-1", fault="link_drop", duration_s=1)
            assert (tmp_path / "board-1").readlink() != before
            inject_some(site, 300, 300)
            settle(site, running, witness)
        check_delivery(witness.frames(), site.injected)


def test_unplugged_board(site: Boards, tmp_path: Path) -> None:
    """What the board took with it is named by the boards' account; all else arrives."""
    with broker(tmp_path) as mqtt, subscriber(tmp_path, mqtt.port) as witness:
        use_mqtt(tmp_path, mqtt.port)
        with gateway(tmp_path) as running:
            wait_until(running.up, "the boards are up")
            inject_some(site, 0, 300)
            site.order(order="fault", concentrator="board-2", fault="unplug", duration_s=1)
            inject_some(site, 300, 300)
            wait_until(site.drained, "all events acknowledged")
            wait_until(lambda: running.pending() == 0, "the outbox is empty")
            account = site.balance()
            arrived = {frame["phy_payload"] for frame in witness.frames()}
            wait_until(
                lambda: (
                    {frame["payload"] for frame in account["frames"] if frame["excuse"] is None}
                    <= {frame["phy_payload"] for frame in witness.frames()}
                ),
                "all that no board took with it has arrived",
            )
        arrived = {frame["phy_payload"] for frame in witness.frames()}
        taken = [f for f in account["frames"] if f["excuse"] == "board_down"]
        survivors = [
            bytes.fromhex(frame["payload"])
            for frame in account["frames"]
            # A frame may be committed although its acknowledgement went down with the board.
            if frame["excuse"] is None or frame["payload"] in arrived
        ]
        assert len(survivors) + len([f for f in taken if f["payload"] not in arrived]) == 600
        check_delivery(witness.frames(), survivors)


def test_forbidden_topic_loses_nothing(site: Boards, tmp_path: Path) -> None:
    """A PUBACK that says "not authorised" is no acknowledgement."""
    acl = tmp_path / "acl"
    acl.write_text("topic read #\ntopic write lora-edge/+/state\n")
    with broker(tmp_path, extra=f"acl_file {acl}\nlog_type all\n") as mqtt:
        use_mqtt(tmp_path, mqtt.port)
        with gateway(tmp_path) as running:
            wait_until(running.up, "the boards are up")
            inject_some(site, 0, 50)
            wait_until(site.drained, "committed")
            wait_until(lambda: running.status()["upstreams"][0]["parked"], "the upstream is parked")
            assert running.pending() == 50


def test_two_gateways_with_one_identity(site: Boards, tmp_path: Path) -> None:
    """A copied card: they take the session from each other, notice, stop fighting and say so.

    Debian's broker does not tell a client that its session was taken over.
    """
    with broker(tmp_path) as mqtt:
        use_mqtt(tmp_path, mqtt.port)
        original = (tmp_path / "gateway.toml").read_text()
        with gateway(tmp_path) as first:
            wait_until(
                lambda: first.status()["upstreams"][0]["connected"], "the first is connected"
            )
            copy = tmp_path / "copy"
            copy.mkdir()
            # Another host has another boot id; a mount namespace gives one of its own.
            (copy / "boot_id").write_text("5d6e6f66-1111-4222-8333-444455556666\n")
            text = original.replace(str(tmp_path), str(copy))
            identity = first.status()["gateway"]
            (copy / "gateway.toml").write_text(text.replace('id = "auto"', f'id = "{identity}"'))
            with gateway(copy, own_boot_id=copy / "boot_id") as second:
                wait_until(
                    lambda: any(
                        gate.status()["upstreams"][0]["parked"] for gate in (first, second)
                    ),
                    "one of them has stopped",
                )
                faults = [gate.status()["upstreams"][0]["last_error"] for gate in (first, second)]
    assert any("copy of ours" in (fault or "") for fault in faults)
