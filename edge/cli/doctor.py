"""Check this gateway: configuration, ports, state, clock, disk, service and upstreams.

Each finding says what to do about it. Run it as the service sees the machine:
sudo -u lora-edge lora-edge doctor

Exit status 0 = nothing is broken (there may be warnings), 1 = something is.
"""

import argparse
import dataclasses
import json

from edge.cli.doctor_checks import examine
from edge.cli.location import add_config_option
from edge.cli.main import FAILED, OK
from edge.cli.output import Style, printable

_COLOURS = {"ok": "green", "warning": "yellow", "fault": "red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``doctor``."""
    add_config_option(parser)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Check everything and print."""
    style = Style.of()
    findings = []
    for finding in examine(arguments.config):
        findings.append(finding)
        if not arguments.json:
            result = style.paint(f"{finding.result:<8}", _COLOURS[finding.result])
            print(f"{result} {finding.check}: {printable(finding.text)}", flush=True)
            if finding.fix:
                print(f"         fix: {finding.fix}", flush=True)
    if arguments.json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    return FAILED if any(finding.result == "fault" for finding in findings) else OK
