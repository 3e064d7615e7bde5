"""Print the commented default configuration, or the one in force.

The default can be written to /etc/lora-edge/gateway.toml as it is. With --effective: what the file,
the environment and the defaults give together, without keys and passwords.
"""

import argparse
import os

from edge.cli.location import add_config_option
from edge.cli.main import OK
from edge.config.default import render_default
from edge.config.effective import render_effective
from edge.config.load import load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``print-config``."""
    add_config_option(parser)
    parser.add_argument("--effective", action="store_true", help="the configuration in force")


def run(arguments: argparse.Namespace) -> int:
    """Print."""
    if arguments.effective:
        print(render_effective(load_config(arguments.config, os.environ).config), end="")
    else:
        print(render_default(), end="")
    return OK
