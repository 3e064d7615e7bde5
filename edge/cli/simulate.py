"""Run the simulator: simulated boards on pseudo-terminals, sensors, air and faults.

All arguments go to the simulator; lora-edge simulate --help shows them.
"""

import argparse
import os
import sys


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """None: the simulator reads its arguments itself."""


def run(arguments: argparse.Namespace) -> int:
    """Become the simulator; it is a process of its own, and nothing here imports it."""
    sys.stdout.flush()
    os.execv(  # noqa: S606 - our own interpreter, no shell
        sys.executable, [sys.executable, "-m", "simulator", *arguments.words]
    )
