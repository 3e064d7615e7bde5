"""The service as systemd runs it: start, stop, faulty configuration, copied card."""

import json
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.processes import (
    Boards,
    boards,
    free_port,
    gateway,
    listen_on,
    samples,
    uplink_payload,
    use_mqtt,
    wait_until,
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Boards]:
    """One board with one radio."""
    with boards(tmp_path) as running:
        yield running


def received(directory: Path) -> list[dict[str, object]]:
    """What the ``file`` upstream has."""
    return [
        json.loads(line)
        for path in sorted((directory / "received").glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]


def run_gateway(directory: Path) -> subprocess.CompletedProcess[str]:
    """Start a gateway that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "edge", "run", "-c", str(directory / "gateway.toml")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_stop_commits_and_acknowledges_and_does_not_wait_for_the_backlog(
    site: Boards, tmp_path: Path
) -> None:
    """With a broker that is away, a stop takes less than 5 s and the board is acknowledged."""
    use_mqtt(tmp_path, free_port())
    with gateway(tmp_path) as running:
        wait_until(running.up, "the board is up")
        for number in range(20):
            site.inject_surely(uplink_payload(number))
        wait_until(
            lambda: running.status()["concentrators"][0]["radios"][0]["frames"] == 20,
            "all have arrived: what is still on the line is not in hand",
        )
        started = time.monotonic()
        assert running.process.terminate() == 0
        assert time.monotonic() - started < 5
        wait_until(site.drained, "all events acknowledged")
        running.start()
        assert running.pending() == 20


def test_kill_between_commit_and_acknowledgement(site: Boards, tmp_path: Path) -> None:
    """The board sends again what it was never told of, and the mark knows it."""
    listen_on(tmp_path, port := free_port())
    with gateway(tmp_path) as running:
        wait_until(running.up, "the board is up")
        site.inject_surely(uplink_payload(1))
        wait_until(
            lambda: running.status()["concentrators"][0]["radios"][0]["frames"] == 1,
            "the event has arrived and is not committed yet",
        )
        drop: dict[str, object] = {"order": "fault", "concentrator": "board-1"}
        drop |= {"fault": "link_drop", "duration_s": 3}
        with ThreadPoolExecutor() as pool:
            dropped = pool.submit(lambda: site.order(**drop))
            wait_until(lambda: running.status()["outbox"]["stored"] == 1, "committed")
            assert not site.drained(), "the acknowledgement must not have got through"
            running.process.kill()
            running.start()
            dropped.result()
        wait_until(site.drained, "recognised and acknowledged")
        assert running.status()["outbox"]["stored"] == 0, "stored twice"
        assert samples(port)["lora_edge_events_replayed_total"] >= 1
        wait_until(lambda: running.pending() == 0, "forwarded")
    assert len({frame["frame_id"] for frame in received(tmp_path)}) == 1


def test_systemd_is_told(site: Boards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """READY once it takes frames, WATCHDOG while everything moves, STOPPING at SIGTERM."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "1000000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        with gateway(tmp_path) as running:
            told: list[str] = []
            while told.count("WATCHDOG=1") < 3:
                told.append(manager.recv(4096).decode())
            # A process that does not move is not fed, so that systemd ends it.
            assert running.process.child is not None
            running.process.child.send_signal(signal.SIGSTOP)
            while select.select([manager], [], [], 0.2)[0]:
                manager.recv(4096)
            manager.settimeout(1.5)
            with pytest.raises(TimeoutError):
                manager.recv(4096)
            running.process.child.send_signal(signal.SIGCONT)
            manager.settimeout(10)
            assert running.process.terminate() == 0
            told_at_the_end = [manager.recv(4096).decode()]
            while told_at_the_end[-1] != "STOPPING=1":
                told_at_the_end.append(manager.recv(4096).decode())
    assert told[0].startswith("READY=1")


def test_faulty_configuration_at_a_restart(site: Boards, tmp_path: Path) -> None:
    """The last good one runs, every fault is logged, and status and metrics say so."""
    path = tmp_path / "gateway.toml"
    good = path.read_text()
    with gateway(tmp_path) as running:
        wait_until((tmp_path / "state" / "last-good.toml").exists, "the configuration is kept")
        running.process.terminate()
        path.write_text(good.replace("spreading_factor = 9", "spreading_factor = 13"))
        running.start()
        wait_until(running.up, "the board is up with the last good configuration")
        (notice,) = running.status()["notices"]
        assert "spreading_factor" in notice
        site.inject_surely(uplink_payload(1))
        wait_until(lambda: received(tmp_path), "frames flow all the same")
        log = running.process.log.read_text()
    (line,) = (n for n, text in enumerate(good.splitlines(), 1) if "spreading_factor" in text)
    assert f"gateway.toml:{line}" in log


def test_faulty_configuration_at_the_first_start(site: Boards, tmp_path: Path) -> None:
    """Without anything to go back to, all faults are listed and the exit status is 2."""
    path = tmp_path / "gateway.toml"
    path.write_text(path.read_text().replace("AS923-2", "Mars").replace("spreading", "spraeding"))
    run = run_gateway(tmp_path)
    assert run.returncode == 2
    assert "Mars" in run.stderr
    assert "spreading_factor" in run.stderr  # the nearest key
    assert "Traceback" not in run.stderr


def test_second_service_on_the_same_store(site: Boards, tmp_path: Path) -> None:
    """It is refused with a reason, and the first goes on."""
    with gateway(tmp_path) as running:
        run = run_gateway(tmp_path)
        assert run.returncode == 1
        assert "outbox.db" in run.stderr
        assert "Traceback" not in run.stderr
        assert running.answers()


def test_copied_card_begins_a_new_epoch(site: Boards, tmp_path: Path) -> None:
    """The same state under another identity must never give an old id to a new frame."""
    path = tmp_path / "gateway.toml"
    text = path.read_text()
    first, second = "0016c001f0000001", "0016c001f0000002"
    path.write_text(text.replace('id = "auto"', f'id = "{first}"'))
    epochs = []
    with gateway(tmp_path) as running:
        epochs.append(running.status()["epoch"])
        running.process.terminate()
        path.write_text(text.replace('id = "auto"', f'id = "{second}"'))
        for _ in range(2):
            running.start()
            epochs.append(running.status()["epoch"])
            assert running.status()["gateway"] == first  # it keeps its name until a person decides
            assert running.status()["notices"]
            wait_until(
                lambda: second in (tmp_path / "state" / "gateway-id").read_text(),
                "the change is remembered",
            )
            running.process.terminate()
        running.start()
        epochs.append(running.status()["epoch"])
    assert epochs[0] != epochs[1]
    assert epochs[1] == epochs[2] == epochs[3]


def test_state_directory_that_cannot_be_written(site: Boards, tmp_path: Path) -> None:
    """Told in one line."""
    path = tmp_path / "gateway.toml"
    path.write_text(path.read_text().replace(str(tmp_path / "state"), "/proc/nowhere"))
    run = run_gateway(tmp_path)
    assert run.returncode == 1
    assert "/proc/nowhere" in run.stderr
    assert "Traceback" not in run.stderr
