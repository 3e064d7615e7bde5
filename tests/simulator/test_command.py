"""The command line: usage, scenarios, and whole runs as processes of their own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from simulator.command import main
from tests.simulator.line_host import LineHost, until
from tests.simulator.sample_air import WARD_TOML

BUSY = """
region = "AS923-2"
[area]
latitude = 16.0678
longitude = 108.2208
[path_loss]
shadowing_db = 0
fading_db = 0
[[concentrator]]
name = "roof"
x_m = 0
y_m = 0
radios = [{ frequency_hz = 921_400_000, spreading_factor = 7 }]
[[group]]
name = "near"
kind = "flood"
count = 60
period_s = 10
frequencies_hz = [921_400_000]
spreading_factor = 7
within = [[10, 10], [100, 100]]
[[fault]]
at_s = 1.5
kind = "link_drop"
concentrator = "roof"
duration_s = 0.2
"""

FULL_RUN = ["--duration", "3", "--seed", "5", "--gateway-files"]


@pytest.mark.parametrize("arguments", [[], ["run"], ["replay"], ["idle"], ["scenarios"]])
def test_every_command_explains_itself(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(" ".join(["usage: lora-edge simulate", *arguments]))
    if arguments and arguments != ["scenarios"]:
        for option in ("--seed", "--directory", "--baud", "--gateway-files"):
            assert option in shown


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["replay"], "required: capture"),
        (["run", "--duration", "0"], "'0' is not a number above 0"),
        (["run", "--duration", "-5"], "'-5' is not a number above 0"),
        (["run", "--duration", "soon"], "'soon' is not a number above 0"),
        (["run", "--duration", "inf"], "'inf' is not a number above 0"),
        (["run", "--baud", "-1"], "'-1' is not a number from 0 on"),
        (["run", "--seed", "x"], "invalid int value"),
        (["replay", "x", "--rate", "nan"], "'nan' is not a number from 0 on"),
        (["idle", "--boards", "0"], "'0' is not a number from 1 to 64"),
        (["idle", "--boards", "65"], "'65' is not a number from 1 to 64"),
        (["idle", "--radio", "921.4"], "'921.4' is not MHZ:SF"),
        (["idle", "--radio", "921.4:x"], "'921.4:x' is not MHZ:SF"),
        (["idle", "--radio", "921.4:9:1"], "'921.4:9:1' is not MHZ:SF"),
        (["idle", "--radio", "inf:9"], "'inf:9' is not MHZ:SF"),
        (["idle", "--radio", "nan:9"], "'nan:9' is not MHZ:SF"),
        (["idle", "--radio", "2400:9"], "an SX1276 tunes from 137 to 1020 MHz"),
        (["replay", "x", "--radio", "868.1:6"], "the spreading factor goes from 7 to 12"),
        (["idle", "--radio", "868.1:13"], "the spreading factor goes from 7 to 12"),
        (["idle", *["--radio", "868.1:12"] * 33], "33 radios; a board has at most 32"),
    ],
)
def test_wrong_usage_is_told_and_is_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith("usage: lora-edge simulate")
    assert reason in shown


def test_scenarios_lists_what_is_built_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenarios"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["da-nang", "devices", "one"]
    assert "304 sensors, 2 concentrators with 3 radios" in lines[0]


def test_an_unknown_scenario_is_2_and_names_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "atlantis"]) == 2
    assert capsys.readouterr().err == (
        "simulate: atlantis: no such file, and no such scenario; known: da-nang, devices, one\n"
    )


def test_a_bad_scenario_is_2_with_every_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ward.toml"
    path.write_text(WARD_TOML.replace("AS923-2", "MARS").replace("period_s = 20", "period = 20"))
    assert main(["run", str(path), "--directory", str(tmp_path)]) == 2
    shown = capsys.readouterr().err
    assert f"{path}: region: " in shown
    assert f"{path}: group.beach.period_s: is missing" in shown
    assert f'{path}: group.beach.period: unknown key; did you mean "period_s"?' in shown


def test_too_many_radios_are_a_fault_of_the_scenario(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A heartbeat must fit a frame."""
    one = "{ frequency_hz = 921_400_000, spreading_factor = 7 }"
    path = tmp_path / "ward.toml"
    path.write_text(WARD_TOML.replace(f"[{one}]", f"[{', '.join([one] * 33)}]"))
    assert main(["run", str(path)]) == 2
    assert "concentrator.roof.radios: are 33; a concentrator has 32" in capsys.readouterr().err


def test_a_bad_capture_is_1_with_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "capture.jsonl"
    path.write_text("\n{}\n")
    assert main(["replay", str(path), "--directory", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"simulate: {path}:2: 'datr' is missing\n"
    assert main(["replay", str(tmp_path / "none"), "--directory", str(tmp_path)]) == 1
    assert "No such file" in capsys.readouterr().err


def test_a_directory_that_cannot_be_made_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["idle", "--directory", str(tmp_path / "file")]) == 1
    assert "File exists" in capsys.readouterr().err


def test_a_path_that_is_too_long_for_a_socket_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["idle", "--directory", str(tmp_path / ("x" * 120))]) == 1
    assert "AF_UNIX path too long" in capsys.readouterr().err


class Simulation:
    """A simulator process."""

    def __init__(self, process: subprocess.Popen[str], site: Path, log: Path) -> None:
        self.process, self.site, self._log = process, site, log

    @property
    def shown(self) -> str:
        """All that it has printed."""
        return self._log.read_text()

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait."""
        self.process.send_signal(number)
        await until(lambda: self.process.poll() is not None, "the simulator ends")
        return self.process.returncode


@asynccontextmanager
async def simulation(directory: Path, *arguments: str) -> AsyncIterator[Simulation]:
    """``python -m simulator`` with its site in ``directory``/site."""
    log = directory / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "simulator", *arguments, "--directory", str(directory / "site")],
            cwd=Path(__file__).parents[2],
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    running = Simulation(process, directory / "site", log)
    try:
        await until(lambda: "orders to" in running.shown or process.poll() is not None)
        assert process.poll() is None, running.shown
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
    assert "Traceback" not in running.shown, running.shown


async def ask(simulation: Simulation, **order: object) -> dict[str, object]:
    """One order."""
    reader, writer = await asyncio.open_unix_connection(simulation.site / "simulator.sock")
    writer.write(json.dumps(order).encode() + b"\n")
    answer: dict[str, object] = json.loads(await reader.readline())
    writer.close()
    return answer


def good_payloads(host: LineHost) -> set[bytes]:
    """Those without PayloadCrcError."""
    return {event.payload for event in host.events() if not event.irq_flags & 0x20}


async def test_a_whole_run_with_a_host_at_the_port(tmp_path: Path) -> None:
    """Ports shown, air played, a fault survived, silence told, balance and ledger left."""
    scenario = tmp_path / "busy.toml"
    scenario.write_text(BUSY)
    received: set[bytes] = set()
    async with simulation(tmp_path, "run", str(scenario), *FULL_RUN) as run:
        port = run.site / "roof"
        assert f"port {port} -> /dev/pts/" in run.shown
        host = LineHost(port)
        await host.set_up()
        await until(lambda: host.gone, "the link drop")
        received |= good_payloads(host)
        host.close()
        await until(port.exists, "the port comes back")
        host = LineHost(port)
        await host.set_up()
        await until(lambda: "silent after 3 s; the boards stay up" in run.shown)
        counts = await ask(run, order="counts")
        while counts["unacknowledged"]:
            await asyncio.sleep(0.02)
            counts = await ask(run, order="counts")
        assert counts["finished"] is True
        received |= good_payloads(host)
        host.close()
        assert await run.end() == 0
    assert "seed 5, AS923-2, 60 sensors, 1 concentrators with 1 radios" in run.shown
    assert run.shown.count("\nplaying\n") == 1
    balance = json.loads((run.site / "balance.json").read_text())
    assert {frame["payload"] for frame in balance["frames"]} == {p.hex() for p in received}
    assert balance["sent"] > balance["receivable"] == balance["delivered"] > 3
    last = run.shown.splitlines()[-2:]
    assert last[0] == (
        f"balance: sent {balance['sent']}, received {balance['receivable']},"
        f" delivered {balance['delivered']}"
    )
    assert last[1].startswith("of those sent: ")
    ledger = [json.loads(line) for line in (run.site / "ledger.jsonl").read_text().splitlines()]
    assert len(ledger) == balance["sent"] == sum(balance["causes"].values())
    config = tomllib.loads((run.site / "gateway.toml").read_text())
    assert config["concentrator"][0]["port"] == str(port)
    assert len(tomllib.loads((run.site / "keys.toml").read_text())) == 60
    assert not os.path.lexists(port)


async def test_a_run_without_duration_tells_of_its_progress(tmp_path: Path) -> None:
    """One line every few seconds; Ctrl-C ends it properly; silence may be ordered."""
    scenario = tmp_path / "busy.toml"
    scenario.write_text(BUSY)
    async with simulation(tmp_path, "run", str(scenario)) as run:
        host = LineHost(run.site / "roof")
        await host.set_up()
        await until(lambda: " s: sent " in run.shown, "a line of progress")
        assert await ask(run, order="silence") == {}
        await until(lambda: "silent after" in run.shown)
        host.close()
        assert await run.end(signal.SIGINT) == 0
    assert (run.site / "balance.json").exists()
    assert (run.site / "ledger.jsonl").exists()


async def test_replay_as_a_process(tmp_path: Path) -> None:
    """Captured bytes come out of the port; the counters agree."""
    lines = [
        {
            "received_at_ms": 1_700_000_000_000 + number,
            "phy_payload": f"40{number:06x}",
            "receptions": [
                {
                    "rssi_dbm": -100,
                    "snr_db": 5,
                    "frequency_hz": 921_400_000 if number % 10 else 868_100_000,
                    "datarate": "SF7BW125",
                }
            ],
        }
        for number in range(500)
    ]
    capture = tmp_path / "capture.jsonl"
    capture.write_text("\n".join(map(json.dumps, lines)))
    arguments = ["replay", str(capture), "--radio", "921.4:7", "--baud", "0", "--gateway-files"]
    async with simulation(tmp_path, *arguments) as run:
        host = LineHost(run.site / "replay")
        await host.set_up()
        await until(lambda: len(host.payloads()) == 450)
        await until(lambda: "silent after" in run.shown)
        host.close()
        assert await run.end() == 0
    assert [p.hex() for p in host.payloads()] == [
        line["phy_payload"] for n, line in enumerate(lines) if n % 10
    ]
    balance = json.loads((run.site / "balance.json").read_text())
    assert (balance["sent"], balance["receivable"]) == (500, 450)
    assert balance["causes"] == {"delivered": 450, "not_listening": 50}
    config = tomllib.loads((run.site / "gateway.toml").read_text())
    assert config["concentrator"][0]["radio"][0]["frequency_hz"] == 921_400_000


async def test_idle_boards_take_orders(tmp_path: Path) -> None:
    arguments = ["idle", "--boards", "3", "--radio", "921.4:7", "--gateway-files", "--baud", "0"]
    async with simulation(tmp_path, *arguments) as run:
        assert sorted(path.name for path in run.site.iterdir() if path.is_symlink()) == [
            "board-1",
            "board-2",
            "board-3",
        ]
        host = LineHost(run.site / "board-2")
        await host.set_up()
        inject = {"order": "inject", "concentrator": "board-2", "radio": 0, "payload": "ab"}
        while not (await ask(run, **inject))["received"]:
            await asyncio.sleep(0.01)
        await until(lambda: host.payloads() == [b"\xab"])
        host.close()
        assert (await ask(run, order="fault", concentrator="x", fault="stall"))["error"]
        assert await run.end() == 0
    config = tomllib.loads((run.site / "gateway.toml").read_text())
    assert len(config["concentrator"]) == 3
    assert json.loads((run.site / "balance.json").read_text())["delivered"] == 1


async def test_two_runs_in_one_directory_follow_each_other(tmp_path: Path) -> None:
    """What a killed run left behind does not stop the next."""
    async with simulation(tmp_path, "idle") as run:
        run.process.kill()
        run.process.wait()
    assert os.path.lexists(run.site / "board-1")
    async with simulation(tmp_path, "idle") as run:
        assert (run.site / "board-1").exists()
        assert (await ask(run, order="counts"))["sent"] == 0
        assert await run.end() == 0
