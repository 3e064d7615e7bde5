"""The simulator's command line.

``run`` plays a scenario, ``replay`` captured traffic, ``idle`` only keeps boards that take orders;
all put concentrators on ptys behind stable links. ``scenarios`` lists what is built in.
"""

import argparse
import asyncio
import math
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from simulator.capture import CaptureError, read_capture
from simulator.fronts.registry import FRONTS
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
from simulator.serve import READY_S, serve
from simulator.simulated_site import Site

_MAX_BOARDS = 64


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0 = fine, 1 = failed, 2 = usage or scenario."""
    parser = _parser()
    parsed = parser.parse_args(arguments)
    radios = len(getattr(parsed, "radio", None) or ())
    at_most = FRONTS[getattr(parsed, "kind", "bridge")].radios
    if radios > at_most:
        parser.error(f"{radios} radios; a board has at most {at_most}")
    try:
        return int(parsed.run(parsed))
    except ScenarioError as error:
        print(*(f"simulate: {fault}" for fault in error.faults), sep="\n", file=sys.stderr)
        return 2
    except (CaptureError, OSError) as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lora-edge simulate",
        description="Simulated SX127x concentrators on serial ports. A gateway opens the ports in"
        " the directory as it would open real ones; orders (faults, frames, the balance) go as"
        " JSON lines to simulator.sock there. Ctrl-C ends and leaves balance.json.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="play a scenario in real time",
        description="Play a scenario in real time: its sensors send, its faults happen. Begins"
        f" when a gateway has set up every radio, or after {READY_S:.0f} s without one.",
    )
    run.add_argument(
        "scenario",
        nargs="?",
        default="da-nang",
        help="built-in name or TOML file (default: %(default)s)",
    )
    run.add_argument(
        "--duration",
        type=_positive,
        metavar="SECONDS",
        help="then sensors fall silent; the boards stay up (default: no end)",
    )
    run.set_defaults(run=_run)
    again = commands.add_parser(
        "replay",
        help="play captured traffic (JSON lines) at high speed",
        description="Let captured frames enter the chips with their captured strength.",
    )
    again.add_argument("capture", type=Path, help="rxpk or reception lines, also gzipped")
    again.add_argument(
        "--rate",
        type=_not_negative,
        default=0.0,
        metavar="FRAMES",
        help="per second at most (default: no limit)",
    )
    idle = commands.add_parser(
        "idle",
        help="boards without an air, for orders and tests",
        description="Boards that receive nothing but what orders inject.",
    )
    idle.add_argument("--boards", type=_boards, default=1, help="how many (default: %(default)s)")
    idle.add_argument(
        "--kind",
        choices=tuple(FRONTS),
        default="bridge",
        help="family of devices (default: %(default)s)",
    )
    for command, default in ((again, "868.1:12 868.3:12 868.5:12"), (idle, "921.4:9")):
        command.add_argument(
            "--radio",
            type=_radio,
            action="append",
            metavar="MHZ:SF",
            help=f"a radio's channel; give one for each radio (default: {default})",
        )
        command.set_defaults(run=_replay if command is again else _idle)
    names = commands.add_parser(
        "scenarios",
        help="list the built-in scenarios",
        description="List the built-in scenarios.",
    )
    names.set_defaults(run=_scenarios)
    for command in (run, again, idle):
        command.add_argument(
            "--seed", type=int, help="of everything left to chance (default: the scenario's, or 0)"
        )
        command.add_argument(
            "--directory",
            type=Path,
            default=Path("simulated-site"),
            help="where ports, control socket and accounts are made (default: %(default)s)",
        )
        command.add_argument(
            "--baud",
            type=_baud,
            default=115_200,
            help="line rate; 0 = no limit (default: %(default)s)",
        )
        command.add_argument(
            "--gateway-files",
            action="store_true",
            help="also write gateway.toml and keys.toml for a gateway at this site",
        )
    return parser


def _radio(text: str) -> RadioPlan:
    try:
        megahertz, spreading_factor = text.split(":")
        plan = RadioPlan(round(float(megahertz) * 1e6), int(spreading_factor), 125_000, 0x34)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is not MHZ:SF, such as 921.4:9") from None
    if not 137_000_000 <= plan.frequency_hz <= 1_020_000_000:
        raise argparse.ArgumentTypeError(f"{text!r}: an SX1276 tunes from 137 to 1020 MHz")
    if not 7 <= plan.spreading_factor <= 12:
        raise argparse.ArgumentTypeError(f"{text!r}: the spreading factor goes from 7 to 12")
    return plan


def _not_negative(text: str) -> float:
    return _number(text, 0, math.inf, "a number from 0 on")


def _positive(text: str) -> float:
    return _number(text, 1e-3, math.inf, "a number above 0")


def _baud(text: str) -> int:
    return int(_not_negative(text))


def _boards(text: str) -> int:
    return int(_number(text, 1, _MAX_BOARDS + 0.5, f"a number from 1 to {_MAX_BOARDS}"))


def _number(text: str, low: float, below: float, wanted: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value < below:
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return value


def _run(arguments: argparse.Namespace) -> int:
    scenario = load_scenario(scenario_path(arguments.scenario))
    seed = scenario.seed if arguments.seed is None else arguments.seed
    radios = {plan.name: len(plan.radios) for plan in scenario.concentrators}
    kinds = {plan.name: plan.kind for plan in scenario.concentrators}
    site = _site(arguments, radios, seed, kinds)
    ledger = Ledger()
    live = LiveAir(site, scenario, seed, ledger)
    site.balance.causes = lambda: {cause.value: n for cause, n in ledger.counts().items()}

    def files() -> None:
        write_private(site.directory / "keys.toml", keys_toml(scenario))
        write_private(site.directory / "gateway.toml", gateway_toml(scenario, site.directory))

    print(f"seed {seed}, {_describe(scenario)}", flush=True)
    _serve(site, arguments, files, lambda: live.play(arguments.duration), live.be_silent)
    ledger.write(site.directory / "ledger.jsonl")
    return 0


def _replay(arguments: argparse.Namespace) -> int:
    plans = arguments.radio or [_radio(f"{mhz}:12") for mhz in ("868.1", "868.3", "868.5")]
    frames = list(read_capture(arguments.capture))
    site = _site(arguments, {"replay": len(plans)}, arguments.seed or 0)
    silent = asyncio.Event()

    async def play() -> None:
        await replay(site, frames, rate=arguments.rate, silent=silent.is_set)

    print(f"{len(frames)} captured frames", flush=True)
    _serve(site, arguments, _bare_files(site, "EU868", plans, "bridge"), play, silent.set)
    return 0


def _idle(arguments: argparse.Namespace) -> int:
    plans = arguments.radio or [_radio("921.4:9")]
    sync_word = FRONTS[arguments.kind].sync_word
    if sync_word is not None:
        plans = [replace(plan, sync_word=sync_word) for plan in plans]
    names = [f"board-{number + 1}" for number in range(arguments.boards)]
    radios = {name: len(plans) for name in names}
    site = _site(arguments, radios, arguments.seed or 0, dict.fromkeys(names, arguments.kind))
    files = _bare_files(site, "AS923-2", plans, arguments.kind)
    _serve(site, arguments, files, None, lambda: None)
    return 0


def _scenarios(_arguments: argparse.Namespace) -> int:
    for path in sorted((Path(__file__).parent / "scenarios").glob("*.toml")):
        print(f"{path.stem:<12} {_describe(load_scenario(path))}")
    return 0


def _site(
    arguments: argparse.Namespace,
    radios: dict[str, int],
    seed: int,
    kinds: Mapping[str, str] = MappingProxyType({}),
) -> Site:
    directory: Path = arguments.directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    return Site(directory, radios, seed, arguments.baud, kinds=kinds)


def _bare_files(site: Site, region: str, plans: list[RadioPlan], kind: str) -> Callable[[], None]:
    def files() -> None:
        text = bare_gateway_toml(region, site.directory, dict.fromkeys(site.radios, plans), kind)
        write_private(site.directory / "gateway.toml", text)

    return files


def _serve(
    site: Site,
    arguments: argparse.Namespace,
    files: Callable[[], None],
    play: Callable[[], Awaitable[None]] | None,
    silence: Callable[[], None],
) -> None:
    wanted = files if arguments.gateway_files else lambda: None
    asyncio.run(serve(site, play=play, silence=silence, files=wanted))


def _describe(scenario: Scenario) -> str:
    sensors = sum(group.count for group in scenario.groups)
    radios = sum(len(concentrator.radios) for concentrator in scenario.concentrators)
    return (
        f"{scenario.region}, {sensors} sensors,"
        f" {len(scenario.concentrators)} concentrators with {radios} radios"
    )
