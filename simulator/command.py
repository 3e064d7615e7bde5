"""The simulator's command line.

``run`` plays a scenario, ``replay`` captured traffic, ``idle`` only keeps boards that take orders;
all put concentrators on ptys behind stable links. ``scenarios`` lists what is built in.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from simulator.capture import CaptureError, read_capture
from simulator.control import ControlServer
from simulator.gateway_files import (
    bare_gateway_toml,
    gateway_toml,
    keys_toml,
    write_private,
)
from simulator.ledger import Ledger
from simulator.live import LiveAir
from simulator.replay import replay
from simulator.scenario import RadioPlan, Scenario
from simulator.scenario_file import ScenarioError, load_scenario, scenario_path
from simulator.simulated_site import Site

_READY_S = 10.0


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0 = fine, 1 = failed, 2 = usage or scenario."""
    parsed = _parser().parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except ScenarioError as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 2
    except (CaptureError, OSError) as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lora-edge simulate", description="Simulated SX127x concentrators on serial ports."
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="play a scenario in real time")
    run.add_argument("scenario", nargs="?", default="da-nang", help="built-in name or TOML file")
    run.add_argument("--duration", type=float, metavar="SECONDS", help="then fall silent")
    run.set_defaults(run=_run)
    again = commands.add_parser("replay", help="play captured traffic (JSON lines) at high speed")
    again.add_argument("capture", type=Path, help="rxpk or reception lines, also gzipped")
    again.add_argument("--rate", type=float, default=0, help="frames/s at most (default: no limit)")
    again.add_argument(
        "--radio",
        type=_radio,
        action="append",
        metavar="MHZ:SF",
        help="one radio's channel; default 868.1:12 868.3:12 868.5:12",
    )
    again.set_defaults(run=_replay)
    idle = commands.add_parser("idle", help="boards without an air, for orders and tests")
    idle.add_argument(
        "--radio", type=_radio, action="append", metavar="MHZ:SF", help="default 921.4:9"
    )
    idle.add_argument("--boards", type=int, default=1)
    idle.set_defaults(run=_idle)
    names = commands.add_parser("scenarios", help="list the built-in scenarios")
    names.set_defaults(run=_scenarios)
    for command in (run, again, idle):
        command.add_argument("--seed", type=int, help="of everything left to chance")
        command.add_argument(
            "--directory", type=Path, default=Path("simulated-site"),
            help="where ports, control socket and accounts are made (default: %(default)s)",
        )  # fmt: skip
        command.add_argument("--baud", type=int, default=115_200, help="line rate; 0 = no limit")
        command.add_argument(
            "--gateway-files",
            action="store_true",
            help="also write gateway.toml and keys.toml for a gateway at this site",
        )
    return parser


def _radio(text: str) -> RadioPlan:
    frequency_mhz, _, spreading_factor = text.partition(":")
    return RadioPlan(round(float(frequency_mhz) * 1e6), int(spreading_factor), 125_000, 0x34)


def _run(arguments: argparse.Namespace) -> int:
    scenario = load_scenario(scenario_path(arguments.scenario))
    seed = scenario.seed if arguments.seed is None else arguments.seed
    directory = _directory(arguments)
    radios = {plan.name: len(plan.radios) for plan in scenario.concentrators}
    site = Site(directory, radios, seed, arguments.baud)
    ledger = Ledger()
    live = LiveAir(site, scenario, seed, ledger)
    site.balance.causes = lambda: {cause.value: n for cause, n in ledger.counts().items()}

    def files() -> None:
        write_private(directory / "keys.toml", keys_toml(scenario))
        write_private(directory / "gateway.toml", gateway_toml(scenario, directory))

    def silence() -> None:
        live.silent = True

    print(f"seed {seed}, {_describe(scenario)}, ports in {directory}", flush=True)
    asyncio.run(_serve(site, lambda: live.play(arguments.duration), silence, files, arguments))
    ledger.write(directory / "ledger.jsonl")
    return 0


def _replay(arguments: argparse.Namespace) -> int:
    plans = arguments.radio or [_radio(f"{mhz}:12") for mhz in ("868.1", "868.3", "868.5")]
    frames = list(read_capture(arguments.capture))
    directory = _directory(arguments)
    site = Site(directory, {"replay": len(plans)}, arguments.seed or 0, arguments.baud)

    def files() -> None:
        text = bare_gateway_toml("EU868", directory, {"replay": plans})
        write_private(directory / "gateway.toml", text)

    print(f"{len(frames)} captured frames, ports in {directory}", flush=True)
    asyncio.run(
        _serve(
            site,
            lambda: replay(site, frames, rate=arguments.rate),
            lambda: None,
            files,
            arguments,
        )
    )
    return 0


def _idle(arguments: argparse.Namespace) -> int:
    plans = arguments.radio or [_radio("921.4:9")]
    directory = _directory(arguments)
    names = [f"board-{number + 1}" for number in range(arguments.boards)]
    site = Site(
        directory, {name: len(plans) for name in names}, arguments.seed or 0, arguments.baud
    )

    def files() -> None:
        text = bare_gateway_toml("AS923-2", directory, dict.fromkeys(names, plans))
        write_private(directory / "gateway.toml", text)

    async def nothing() -> None:
        """Wait for orders."""

    asyncio.run(_serve(site, nothing, lambda: None, files, arguments))
    return 0


def _scenarios(_arguments: argparse.Namespace) -> int:
    for path in sorted((Path(__file__).parent / "scenarios").glob("*.toml")):
        print(f"{path.stem:<12} {_describe(load_scenario(path))}")
    return 0


def _directory(arguments: argparse.Namespace) -> Path:
    directory: Path = arguments.directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _describe(scenario: Scenario) -> str:
    sensors = sum(group.count for group in scenario.groups)
    radios = sum(len(concentrator.radios) for concentrator in scenario.concentrators)
    return (
        f"{scenario.region}, {sensors} sensors,"
        f" {len(scenario.concentrators)} concentrators with {radios} radios"
    )


async def _serve(
    site: Site,
    play: Callable[[], Awaitable[None]],
    silence: Callable[[], None],
    files: Callable[[], None],
    arguments: argparse.Namespace,
) -> None:
    """Power the site, play, and keep the boards up until we are told to end."""
    directory = site.directory
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    (directory / "simulator.sock").unlink(missing_ok=True)
    control = ControlServer(site, silence)
    server = await control.start(directory / "simulator.sock")
    site.start()
    if arguments.gateway_files:
        files()
    try:
        async with asyncio.TaskGroup() as group:
            player = group.create_task(_play_when_ready(site, play, control))
            await stop.wait()
            player.cancel()
    finally:
        server.close()
        site.balance.write(directory / "balance.json")
        site.stop()


async def _play_when_ready(
    site: Site, play: Callable[[], Awaitable[None]], control: ControlServer
) -> None:
    """Begin when a gateway has set up every radio, or after a while without one."""
    deadline = asyncio.get_running_loop().time() + _READY_S
    while not site.ready() and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.05)
    await play()
    control.finished = True
