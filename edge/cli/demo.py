"""``lora-edge demo``: simulated boards, the real gateway, and a balance at the end.

Simulator and gateway are processes of their own, as on a roof: they meet at serial ports. The
gateway forwards to the embedded ``file`` upstream, so no broker, no root and no network is needed.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from edge.cli.control_client import ControlError, ask
from edge.cli.demo_balance import Balance, describe, read_balance
from edge.cli.demo_table import LiveView

START_S = 20.0
DRAIN_S = 30.0
STOP_S = 10.0


class DemoError(Exception):
    """The demonstration cannot go on; the text says why and where to look."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``lora-edge demo``."""
    parser.add_argument(
        "--duration", type=float, default=60.0, metavar="SECONDS",
        help="how long sensors send and drain; 0 = until Ctrl-C (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help="of the simulated air")
    parser.add_argument(
        "--scenario", default="da-nang", help="built-in scenario or file (default: %(default)s)"
    )
    parser.add_argument(
        "--replay", metavar="FILE", type=Path, help="replay captured traffic at high speed instead"
    )
    parser.add_argument(
        "--directory", type=Path, help="keep all files here (default: a temporary directory)"
    )
    parser.add_argument("--json", action="store_true", help="print the balance as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the demonstration; 0 only when nothing was lost."""
    with ExitStack() as stack:
        directory = arguments.directory
        if directory is None:
            directory = Path(stack.enter_context(_temporary_directory()))
        try:
            directory.mkdir(parents=True, exist_ok=True)
            balance = _demonstrate(arguments, directory)
        except (DemoError, ControlError, OSError, ValueError) as error:
            print(f"lora-edge demo: {error}", file=sys.stderr)
            _show_logs(directory)
            return 1
    _report(balance, as_json=arguments.json)
    return 0 if balance.good else 1


def _demonstrate(arguments: argparse.Namespace, directory: Path) -> Balance:
    with _simulator(arguments, directory), _gateway(directory) as gateway:
        try:
            _watch(directory, gateway, finish_s=_finish_s(arguments))
        except KeyboardInterrupt:
            print("\nstopping: sensors fall silent, the gateway drains", file=sys.stderr)
        _order(directory, {"order": "silence"})
        committed = _drain(directory, gateway)
    return read_balance(directory / "balance.json", directory / "received", committed)


def _finish_s(arguments: argparse.Namespace) -> float | None:
    """When to stop watching; None = when the simulator has nothing more to send."""
    if arguments.replay is not None:
        return None
    return float(arguments.duration) if arguments.duration else float("inf")


@contextmanager
def _temporary_directory() -> Iterator[str]:
    path = tempfile.mkdtemp(prefix="lora-edge-demo-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _simulator(arguments: argparse.Namespace, directory: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "simulator"]
    if arguments.replay is not None:
        command += ["replay", str(arguments.replay)]
    else:
        command += ["run", arguments.scenario]
        if arguments.duration:
            # Sensors fall silent 3 s before the end, so that everything can drain.
            command += ["--duration", str(max(1.0, arguments.duration - 3))]
    command += ["--seed", str(arguments.seed), "--directory", str(directory), "--gateway-files"]
    with _process(command, directory / "simulator.log") as process:
        _wait_for(directory / "gateway.toml", process, "the simulator", directory)
        yield


@contextmanager
def _gateway(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "edge", "run", "-c", str(directory / "gateway.toml")]
    with _process(command, directory / "gateway.log") as process:
        _wait_for(directory / "gateway.sock", process, "the gateway", directory)
        yield process


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child in a session of its own, so that Ctrl-C reaches only us; ended with SIGTERM."""
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own modules
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(path: Path, process: subprocess.Popen[bytes], what: str, directory: Path) -> None:
    deadline = time.monotonic() + START_S
    while not path.exists():
        if process.poll() is not None:
            raise DemoError(f"{what} ended at once with exit code {process.returncode}")
        if time.monotonic() > deadline:
            raise DemoError(f"{what} did not start within {START_S:.0f} s (files in {directory})")
        time.sleep(0.05)


def _watch(directory: Path, gateway: subprocess.Popen[bytes], *, finish_s: float | None) -> None:
    started = time.monotonic()
    with LiveView() as view:
        while True:
            elapsed_s = time.monotonic() - started
            view.show(_status(directory, gateway), elapsed_s)
            if finish_s is None and _order(directory, {"order": "counts"})["finished"]:
                return
            if finish_s is not None and elapsed_s >= finish_s - 1:
                return
            time.sleep(0.5)


def _drain(directory: Path, gateway: subprocess.Popen[bytes]) -> int:
    """Wait until boards and outbox are empty; returns how many frames were committed."""
    deadline = time.monotonic() + DRAIN_S
    while True:
        status = _status(directory, gateway)
        waiting = sum(upstream["pending"] for upstream in status["upstreams"])
        waiting += int(_order(directory, {"order": "counts"})["unacknowledged"])
        if not waiting or time.monotonic() > deadline:
            return int(status["outbox"]["stored"])
        time.sleep(0.2)


def _status(directory: Path, gateway: subprocess.Popen[bytes]) -> dict[str, Any]:
    if gateway.poll() is not None:
        raise DemoError(f"the gateway ended with exit code {gateway.returncode}")
    (status,) = ask(directory / "gateway.sock", {"command": "status"})
    return status


def _order(directory: Path, request: dict[str, object]) -> dict[str, Any]:
    return next(ask(directory / "simulator.sock", request))


def _show_logs(directory: Path) -> None:
    for name in ("simulator.log", "gateway.log"):
        with suppress(OSError):
            lines = (directory / name).read_text(errors="replace").splitlines()[-10:]
            print(f"--- {name}", *lines, sep="\n", file=sys.stderr)


def _report(balance: Balance, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({name: getattr(balance, name) for name in Balance.__slots__}))
        return
    print("\nBalance, each line counted by another party:")
    print(describe(balance))
    if balance.good:
        print("Nothing was lost.")
    elif balance.lost:
        print("LOST FRAMES:", *balance.lost_payloads[:10], sep="\n  ")
    else:
        print("Nothing was received: that proves nothing, so it counts as failed.")
