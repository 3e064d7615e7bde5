"""``lora-edge``: finds the command and hands it its arguments.

Exit status: 0 = fine, 1 = failed, 2 = usage or configuration. Each command is a module with
``add_arguments(parser)`` and ``run(arguments) -> int``; only the one that is used is imported.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

from edge.cli.control_client import ControlError
from edge.config.faults import ConfigError, nearest
from edge.version import VERSION

OK, FAILED, USAGE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command is, and what it is for.

    ``words_as_they_are``: another program reads them, ``--help`` included.
    """

    module: str
    help: str
    words_as_they_are: bool = False


COMMANDS = {
    "run": Command("edge.cli.run", "run the gateway"),
    "demo": Command("edge.cli.demo", "run a gateway with simulated boards and sensors"),
    "init": Command("edge.cli.init", "write a first configuration"),
    "check-config": Command("edge.cli.check_config", "list all faults of a configuration"),
    "print-config": Command("edge.cli.print_config", "print the commented default configuration"),
    "doctor": Command("edge.cli.doctor", "check this gateway, with a fix for each finding"),
    "frames": Command("edge.cli.frames", "list, show, count, export or follow stored frames"),
    "status": Command("edge.cli.status", "show how the running gateway does"),
    "upstreams": Command("edge.cli.upstreams", "list, pause or resume upstreams"),
    "collector": Command("edge.cli.collector", "receive frames of http upstreams into a database"),
    "simulate": Command(
        "edge.cli.simulate", "run the simulator, without a gateway", words_as_they_are=True
    ),
}


class _CommandModule(Protocol):
    __doc__: str | None
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status. Wrong options raise SystemExit(2)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        try:
            return _main(words)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # "| head" has seen enough. What is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return FAILED


def _main(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return OK if words else USAGE
    if words[0] in ("-V", "--version"):
        print(f"lora-edge {VERSION}")
        return OK
    command = COMMANDS.get(words[0])
    if command is None:
        hint = nearest(words[0], COMMANDS)
        print(f"lora-edge: there is no command {words[0]} {hint}".rstrip(), file=sys.stderr)
        print("lora-edge --help lists the commands", file=sys.stderr)
        return USAGE
    return _run(words[0], command, words[1:])


def _run(name: str, command: Command, words: list[str]) -> int:
    module = cast(_CommandModule, import_module(command.module))
    try:
        if command.words_as_they_are:
            return module.run(argparse.Namespace(words=words))
        return module.run(_parse(name, module, words))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return USAGE
    except ControlError as error:
        print(f"lora-edge {name}: {error}", file=sys.stderr)
        return FAILED


def _parse(name: str, module: _CommandModule, words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"lora-edge {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    # Intermixed, so that options may stand before an action that may be left out.
    return parser.parse_intermixed_args(words)


def _overview() -> str:
    width = max(map(len, COMMANDS)) + 2
    return "\n".join(
        [
            "usage: lora-edge COMMAND [OPTIONS]",
            "",
            "LoRa gateway that never loses a reading.",
            "",
            "commands:",
            *(f"  {name:<{width}}{command.help}" for name, command in COMMANDS.items()),
            "",
            "lora-edge COMMAND --help explains a command, lora-edge --version tells the version.",
        ]
    )
