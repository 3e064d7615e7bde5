"""``lora-edge demo`` as a stranger runs it, and that its balance can tell a loss."""

import json
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from edge.cli.demo_balance import describe, read_balance
from tests.e2e.processes import uplink_payload


def demo(*options: str, deadline_s: float = 90) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-m", "edge", "demo", *options],
        capture_output=True,
        text=True,
        timeout=deadline_s,
        check=False,
    )


def balance_of(run: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The last line of a run with ``--json``."""
    assert run.returncode == 0, run.stdout + run.stderr
    balance: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return balance


def test_city_for_ten_seconds() -> None:
    """Five parties agree, and progress is told in plain lines where there is no terminal."""
    run = demo("--duration", "10", "--json", "--seed", "3")
    balance = balance_of(run)
    assert balance["receivable"] >= 10
    counted = {balance[name] for name in ("receivable", "delivered", "committed", "forwarded")}
    assert len(counted) == 1
    assert balance["lost"] == 0
    assert balance["sent"] == balance["receivable"] + sum(balance["air"].values())
    assert "heard" in run.stdout.splitlines()[0]


def test_city_under_faults(tmp_path: Path) -> None:
    """A dropped link, a stalled line and noise cost nothing."""
    scenario = tmp_path / "faults.toml"
    built_in = Path("simulator/scenarios/da-nang.toml").read_text()
    faults = [
        ("link_drop", "dragon-bridge", 2.0, 1.0),
        ("garbage", "my-khe", 2.0, 2.0),
        ("stall", "dragon-bridge", 5.0, 1.5),
        ("slow_drain", "my-khe", 5.0, 1.0),
    ]
    scenario.write_text(
        built_in
        + "".join(
            f'\n[[fault]]\nkind = "{kind}"\nconcentrator = "{name}"\nat_s = {at_s}\n'
            f"duration_s = {duration_s}\n"
            for kind, name, at_s, duration_s in faults
        )
    )
    balance = balance_of(demo("--duration", "13", "--json", "--scenario", str(scenario)))
    assert balance["receivable"] >= 10
    assert balance["lost"] == 0


def test_live_table_on_a_terminal() -> None:
    """A person sees a table that changes in place."""
    master, slave = os.openpty()
    command = [sys.executable, "-m", "edge", "demo", "--duration", "6"]
    shown = b""
    with subprocess.Popen(command, stdout=slave, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(slave)
        try:
            while part := os.read(master, 65_536):
                shown += part
        except OSError:
            pass  # EIO: the other end is closed
        finally:
            os.close(master)
    assert process.returncode == 0
    assert b"RSSI dBm" in shown
    assert b"921.4 MHz SF7" in shown
    assert b"\x1b[" in shown
    assert b"Nothing was lost." in shown


def _rxpk(number: int, again_s: int) -> dict[str, Any]:
    payload = uplink_payload(number)
    return {
        "tmst": 1_000_000 + (number * 10 + again_s) * 1_000_000,
        "freq": 868.8 if number % 10 == 9 else (868.1, 868.3, 868.5)[number % 3],
        "stat": 1,
        "modu": "LORA",
        "datr": "SF12BW125",
        "codr": "4/5",
        "rssi": -110,
        "lsnr": -5.5,
        "size": len(payload),
        "data": b64encode(payload).decode(),
    }


def test_replay(tmp_path: Path) -> None:
    """Captured frames pass the whole chain; repeats of a confirmed uplink stay separate frames."""
    # Every third frame is sent again after 4 s, every tenth on a channel that nobody hears.
    lines = [
        _rxpk(number, again_s=again * 4)
        for number in range(60)
        for again in range(1 + (number % 3 == 0))
    ]
    capture = tmp_path / "capture.jsonl"
    capture.write_text("".join(json.dumps(line) + "\n" for line in lines))
    balance = balance_of(demo("--replay", str(capture), "--json"))
    elsewhere = sum(line["freq"] == 868.8 for line in lines)
    assert elsewhere > 0
    assert balance["sent"] == len(lines)
    assert balance["forwarded"] == balance["receivable"] == len(lines) - elsewhere
    assert balance["air"] == {"not_listening": elsewhere}


def test_no_directory_to_write_to() -> None:
    """A fault is told in one line, without a traceback."""
    run = demo("--directory", "/proc/nowhere", "--duration", "5")
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert "/proc/nowhere" in run.stderr


@pytest.mark.parametrize("excuse", [None, "board_down"])
def test_missing_frame_is_lost_unless_a_board_took_it(tmp_path: Path, excuse: str | None) -> None:
    """Negative control for every run that says that nothing was lost."""
    frames = [{"payload": f"40{number:04x}", "excuse": None} for number in range(3)]
    frames.append({"payload": "40beef", "excuse": excuse})
    account = {
        "sent": 5,
        "receivable": 4,
        "delivered": 4,
        "causes": {"delivered": 4, "co_sf": 1},
        "frames": frames,
    }
    (tmp_path / "balance.json").write_text(json.dumps(account))
    arrived = [{"frame_id": f"a-b-{n}", "phy_payload": f"40{n:04x}"} for n in range(3)]
    # A repeat under the same id is one frame, not a replacement for the missing one.
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps(frame) + "\n" for frame in [*arrived, arrived[0]])
    )
    balance = read_balance(tmp_path / "balance.json", tmp_path, committed=3)
    assert (balance.forwarded, balance.lost) == (3, 0 if excuse else 1)
    assert balance.good is bool(excuse)
    assert "co_sf 1" in describe(balance)
