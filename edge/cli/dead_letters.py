"""``frames dead-letters``, ``requeue`` and ``discard``: what upstreams refused, and its end."""

import argparse
import json
from datetime import UTC, datetime
from typing import Any

from edge.cli.control_client import ControlError
from edge.cli.main import OK
from edge.cli.output import duration, printable
from edge.cli.store_answers import tell


def run_list(arguments: argparse.Namespace) -> int:
    """List them, newest last."""
    count = 0

    def take(answer: dict[str, Any]) -> None:
        nonlocal count
        count += 1
        letter = answer["dead_letter"]
        print(json.dumps(letter) if arguments.format == "json" else line_of(letter))

    tell(arguments.config, {"command": "dead_letters"}, take)
    if not count and arguments.format != "json":
        print("no dead letters: no upstream has refused a frame")
    return OK


def run_requeue(arguments: argparse.Namespace) -> int:
    """Have one or all of them sent again."""
    answer = _treated(arguments)
    if arguments.format == "json":
        print(json.dumps(answer))
        return OK
    print(f"{answer['requeued']} frames are sent again")
    if answer["kept"]:
        print(f"{answer['kept']} stay: their upstream is no longer configured")
    return OK


def run_discard(arguments: argparse.Namespace) -> int:
    """Throw one or all of them away."""
    answer = _treated(arguments)
    if arguments.format == "json":
        print(json.dumps(answer))
    else:
        print(f"{answer['discarded']} frames are thrown away, counted as dropped: dead_letter")
    return OK


def _treated(arguments: argparse.Namespace) -> dict[str, Any]:
    number = None if arguments.argument == "all" else int(arguments.argument)
    request = {
        "command": arguments.action,
        "number": number,
        "upstream": arguments.upstream,
    }
    answers: list[dict[str, Any]] = []
    tell(arguments.config, request, answers.append)
    if len(answers) != 1:
        raise ControlError("what answers is no lora-edge")
    return answers[0]


def line_of(letter: dict[str, Any]) -> str:
    """Number, when, upstream, frame, device and reason."""
    if letter["set_aside_us"] is None:
        when = f"uptime {duration(letter['set_aside_boottime_us'] / 1e6)}"
    else:
        local = datetime.fromtimestamp(letter["set_aside_us"] / 1e6, UTC).astimezone()
        when = f"{local:%Y-%m-%d %H:%M:%S}"
    frame = letter["frame"] or {}
    device = frame.get("device") or frame.get("dev_addr") or frame.get("dev_eui") or "-"
    cells = (
        str(letter["number"]).rjust(6),
        when.ljust(19),
        printable(letter["upstream"]).ljust(12),
        f"frame {letter['seq']}".ljust(13),
        printable(str(device)).ljust(16),
        printable(letter["reason"]),
    )
    return "  ".join(cells)
