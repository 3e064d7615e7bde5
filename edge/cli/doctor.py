"""Check this gateway: configuration, serial ports and what answers there, disk, clock, power,
service and upstreams.

Each finding says what to do about it. Run it as the service sees the machine:
sudo -u lora-edge lora-edge doctor

Serial ports that nobody uses are opened and asked what is on them. That may reset a board; with
--no-probe none is opened. A port that is in use, by the service or by others, is never touched.

Exit status 0 = nothing is broken (there may be warnings), 1 = something is, 2 = the configuration
cannot be used.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from edge.cli.doctor_checks import examine
from edge.cli.doctor_finding import Finding
from edge.cli.location import add_config_option
from edge.cli.main import FAILED, OK, USAGE
from edge.cli.output import Style, printable

_COLOURS = {"ok": "green", "warning": "yellow", "fault": "red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``doctor``."""
    add_config_option(parser)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument(
        "--no-probe", action="store_true", help="open no serial port: ask no board what it is"
    )
    parser.add_argument(
        "--port",
        type=Path,
        action="append",
        default=[],
        metavar="DEVICE",
        help="look at this serial port too (ttyUSB, ttyACM and ttyAMA are found without)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Check everything and print."""
    style = Style.of()
    findings = []
    for finding in examine(
        arguments.config, ports=arguments.port, probe=not arguments.no_probe, tell=_tell
    ):
        findings.append(finding)
        if not arguments.json:
            _print(finding, style)
    if arguments.json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        _print_lines(findings, style)
    faults = {finding.check for finding in findings if finding.result == "fault"}
    if "configuration" in faults:
        return USAGE
    return FAILED if faults else OK


def _tell(text: str) -> None:
    """A person waits; a program reads the other output."""
    if sys.stderr.isatty():
        print(f"{text} ...", file=sys.stderr, flush=True)


def _print(finding: Finding, style: Style) -> None:
    result = style.paint(f"{finding.result:<8}", _COLOURS[finding.result])
    print(f"{result} {finding.check}: {printable(finding.text)}", flush=True)
    if finding.fix:
        print(f"         fix: {printable(finding.fix)}", flush=True)


def _print_lines(findings: Sequence[Finding], style: Style) -> None:
    tables = [finding.paste for finding in findings if finding.paste]
    if tables:
        title = "To use what was found, add to the configuration (and mind the channels):"
        print(f"\n{style.paint(title, 'bold')}\n", *tables, sep="\n", end="")
