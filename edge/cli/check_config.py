"""List all faults and warnings of a configuration, each with its line and how to mend it.

Exit status 0 = it can be used (there may be warnings), 2 = it cannot.
"""

import argparse
import dataclasses
import json
import os
from collections.abc import Sequence

from edge.cli.location import add_config_option
from edge.cli.main import OK, USAGE
from edge.cli.output import Style
from edge.config.faults import ConfigError, Fault
from edge.config.load import load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``check-config``."""
    add_config_option(parser)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Check and print."""
    faults: Sequence[Fault] = ()
    try:
        warnings: Sequence[Fault] = load_config(arguments.config, os.environ).warnings
    except ConfigError as error:
        faults, warnings = error.faults, error.warnings
    if arguments.json:
        print(json.dumps(_as_json(faults, warnings), indent=2))
    else:
        _print(str(arguments.config), faults, warnings)
    return USAGE if faults else OK


def _as_json(faults: Sequence[Fault], warnings: Sequence[Fault]) -> dict[str, object]:
    return {
        "ok": not faults,
        "faults": [dataclasses.asdict(fault) for fault in faults],
        "warnings": [dataclasses.asdict(warning) for warning in warnings],
    }


def _print(file: str, faults: Sequence[Fault], warnings: Sequence[Fault]) -> None:
    style = Style.of()
    for fault in faults:
        print(f"{style.paint('fault', 'red')}    {fault}")
    for warning in warnings:
        print(f"{style.paint('warning', 'yellow')}  {warning}")
    if faults:
        print(f"{file} cannot be used: {_counted(faults, 'fault')}")
    else:
        also = f", with {_counted(warnings, 'warning')}" if warnings else ""
        print(f"{file} {style.paint('is fine', 'green')}{also}")


def _counted(findings: Sequence[Fault], word: str) -> str:
    return f"{len(findings)} {word}{'s' * (len(findings) != 1)}"
