"""List the upstreams of the running gateway, pause one, or let it go on.

A paused upstream loses nothing: its frames are kept, within the bounds of the outbox.
"""

import argparse
import json

from edge.cli.control_client import ask
from edge.cli.location import add_config_option, locate
from edge.cli.main import OK, USAGE
from edge.cli.output import columns, printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``upstreams``."""
    add_config_option(parser)
    parser.add_argument("action", nargs="?", choices=("list", "pause", "resume"), default="list")
    parser.add_argument("name", nargs="?", help="of the upstream to pause or to resume")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """Ask the service."""
    if (arguments.action == "list") != (arguments.name is None):
        print(f"lora-edge upstreams {arguments.action}: which upstream?")
        return USAGE
    request = {"command": "upstreams", "action": arguments.action, "upstream": arguments.name}
    upstreams = list(ask(locate(arguments.config).control_socket, request))
    if arguments.json:
        print(json.dumps(upstreams))
        return OK
    rows = [("UPSTREAM", "KIND", "STATE", "PENDING")]
    for upstream in upstreams:
        state = "connected" if upstream["connected"] else "not connected"
        state = "parked" if upstream["parked"] else state
        state = "paused" if upstream["paused"] else state
        cells = (str(upstream["name"]), str(upstream["kind"]), state, str(upstream["pending"]))
        rows.append((printable(cells[0]), cells[1], cells[2], cells[3]))
    print("\n".join("  ".join(cells) for cells in columns(rows, right=(3,))))
    return OK
