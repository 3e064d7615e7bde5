"""List, show, count, export or follow stored frames; verify, back up and restore the store.

  lora-edge frames                     the newest 20, one a line
  lora-edge frames --follow            the newest 20, then each new one as it is stored
  lora-edge frames show 70000          all about one frame, by its number or its frame id
  lora-edge frames count --since 1d
  lora-edge frames export --device flood-cam-le-01 --format csv --output frames.csv
  lora-edge frames verify              check the whole store; --file FILE checks a backup
  lora-edge frames backup FILE         copy the whole store, while the service runs or not
  lora-edge frames restore FILE        put a backup in place, while the service is stopped
  lora-edge frames dead-letters        what upstreams refused, with their reasons
  lora-edge frames requeue 7           send dead letter 7 again; all = every one
  lora-edge frames discard 7           throw dead letter 7 away for good; all needs --yes

Times without a zone are local ones. Frames received before the clock was first synchronised are
shown with their uptime, and are left out where --since or --until is given.

While the service does not run the store is read directly, which only the owner of the state
directory can do: sudo -u lora-edge lora-edge frames
"""

import argparse
import json
import select
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from edge.cli import backup, dead_letters, verify
from edge.cli.control_client import ControlError, NotRunning, ask
from edge.cli.frame_text import CSV_COLUMNS, csv_cells, csv_row, details_of, line_of
from edge.cli.location import add_config_option, locate
from edge.cli.main import OK, USAGE
from edge.cli.output import Style
from edge.cli.stopped_store import ask_store
from edge.config.fields import parse_duration_s
from protocol.records.sensor_frame_codec import encode
from protocol.records.sensor_frame_json import from_json_object

LISTS = ("list", "show", "count", "export")
STORE_ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "verify": verify.run,
    "backup": backup.run_backup,
    "restore": backup.run_restore,
    "dead-letters": dead_letters.run_list,
    "requeue": dead_letters.run_requeue,
    "discard": dead_letters.run_discard,
}
ACTIONS = (*LISTS, *STORE_ACTIONS)
_ARGUMENTS = {
    "show": "the ID of a frame",
    "backup": "a FILE",
    "restore": "a FILE",
    "requeue": "the number of a dead letter, or all",
    "discard": "the number of a dead letter, or all",
}
FORMATS = ("text", "json", "csv", "cbor")
_LETTER_ACTIONS = ("requeue", "discard")
_OPTIONS_OF_SOME = {
    "file": ("verify",),
    "force": ("backup",),
    "replace": ("restore",),
    "upstream": _LETTER_ACTIONS,
    "yes": ("discard",),
}
NEWEST = 20
_NUMBER_DIGITS = 18

Answers = Iterator[dict[str, Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``frames``."""
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="list", help="default: list")
    parser.add_argument(
        "argument",
        nargs="?",
        metavar="ID|FILE|N",
        help="show: a frame's number or id; backup, restore: a file; requeue, discard: a number,"
        " or all",
    )
    add_config_option(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on with new frames")
    parser.add_argument(
        "--since", type=_instant_us, metavar="TIME", help="2h (ago), 7d, 2026-11-24T08:00:00Z"
    )
    parser.add_argument("--until", type=_instant_us, metavar="TIME", help="the end, not included")
    parser.add_argument(
        "--device", type=str.lower, metavar="NAME", help="configured name, dev_addr or dev_eui"
    )
    parser.add_argument(
        "-n", "--limit", type=_count, metavar="N", help=f"only the newest N (list: {NEWEST})"
    )
    parser.add_argument("--format", choices=FORMATS, help="default: text; of export: json lines")
    parser.add_argument(
        "--json", action="store_const", const="json", dest="format", help="same as --format json"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: the terminal")
    store = parser.add_argument_group("of the actions on the whole store")
    store.add_argument("--file", type=Path, metavar="FILE", help="verify: this store, a backup")
    store.add_argument("--force", action="store_true", help="backup: write over FILE")
    store.add_argument(
        "--replace", action="store_true", help="restore: put the present store aside"
    )
    store.add_argument(
        "--upstream", metavar="NAME", help="requeue, discard: only what this one refused"
    )
    store.add_argument("--yes", action="store_true", help="discard all: it is meant")


def run(arguments: argparse.Namespace) -> int:
    """Ask, and print what comes."""
    if fault := _usage_fault(arguments):
        print(f"lora-edge frames: {fault} (see --help)", file=sys.stderr)
        return USAGE
    if arguments.action in STORE_ACTIONS:
        return STORE_ACTIONS[arguments.action](arguments)
    answers = _answers(arguments.config, _request(arguments))
    try:
        if arguments.action == "count":
            [answer] = answers
            print(json.dumps(answer) if arguments.format == "json" else answer["count"])
        else:
            with _output(arguments.output) as (write, reader_is_gone):
                _write_frames(arguments, answers, write, reader_is_gone)
    except KeyboardInterrupt:
        if not arguments.follow:
            raise
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise ControlError(f"{arguments.output or 'output'}: {error.strerror or error}") from error
    return OK


def _usage_fault(arguments: argparse.Namespace) -> str:
    if fault := _argument_fault(arguments):
        return fault
    for option, actions in _OPTIONS_OF_SOME.items():
        if getattr(arguments, option) and arguments.action not in actions:
            return f"--{option} is an option of {' and '.join(actions)}"
    if arguments.action in STORE_ACTIONS:
        return _store_usage_fault(arguments)
    if arguments.follow and arguments.action not in ("list", "export"):
        return f"{arguments.action} cannot follow"
    if arguments.follow and arguments.until is not None:
        return "--follow has no --until"
    if _format(arguments) == "cbor" and arguments.output is None and sys.stdout.isatty():
        return "cbor is not for terminals: give --output FILE, or a pipe"
    return ""


def _argument_fault(arguments: argparse.Namespace) -> str:
    wanted = _ARGUMENTS.get(arguments.action)
    if (wanted is None) == (arguments.argument is None):
        return ""
    if wanted is None:
        return f"{arguments.action} takes no {arguments.argument}"
    return f"{arguments.action} needs {wanted}"


def _store_usage_fault(arguments: argparse.Namespace) -> str:
    number = str(arguments.argument)
    is_number = number.isascii() and number.isdecimal() and len(number) < _NUMBER_DIGITS
    if arguments.action in _LETTER_ACTIONS and number != "all" and not is_number:
        return f"{number} is no number of a dead letter"
    if arguments.action == "discard" and number == "all" and not arguments.yes:
        return "discard all throws frames away for good: add --yes if that is meant"
    if arguments.format not in (None, "text", "json"):
        return f"{arguments.action} has no --format {arguments.format}"
    asks_for_frames = (arguments.since, arguments.until, arguments.device, arguments.limit)
    if arguments.follow or arguments.output or any(one is not None for one in asks_for_frames):
        return f"{arguments.action} is about the whole store: it has no such option"
    return ""


def _format(arguments: argparse.Namespace) -> str:
    default = "json" if arguments.action == "export" else "text"
    return str(arguments.format or default)


def _request(arguments: argparse.Namespace) -> dict[str, object]:
    if arguments.action == "show":
        return {"command": "frame", "frame_id": arguments.argument}
    limit = arguments.limit
    if limit is None and arguments.action == "list" and arguments.since is None:
        limit = NEWEST
    return {
        "command": "frames",
        "device": arguments.device,
        "since_us": arguments.since,
        "until_us": arguments.until,
        "limit": limit,
        "follow": arguments.follow,
        "count": arguments.action == "count",
    }


def _answers(config: Path, request: dict[str, object]) -> Answers:
    """From the service; from the store if there is no service."""
    location = locate(config)
    try:
        yield from ask(location.control_socket, request)
    except NotRunning as error:
        if request.get("follow"):
            raise
        service = str(error)
    else:
        return
    try:
        yield from ask_store(location.state_dir, request)
    except ControlError as error:
        raise ControlError(f"{service}; {error}") from error


def _write_frames(
    arguments: argparse.Namespace,
    answers: Answers,
    write: Callable[[bytes], None],
    reader_is_gone: Callable[[], bool],
) -> None:
    encoded = _encoder(_format(arguments), one=arguments.action == "show")
    if _format(arguments) == "csv":
        write(csv_row(CSV_COLUMNS).encode() + b"\r\n")
    for frame in _frames(answers, reader_is_gone):
        write(encoded(frame))


def _frames(answers: Answers, reader_is_gone: Callable[[], bool]) -> Iterable[dict[str, Any]]:
    for answer in answers:
        if "frame" in answer:
            yield answer["frame"]
        elif reader_is_gone():  # a follower's sign of life: nothing new for a while
            return


def _encoder(form: str, *, one: bool) -> Callable[[dict[str, Any]], bytes]:
    style = Style.of()
    match form:
        case "json":  # with everything but ASCII escaped, so that it cannot steer a terminal
            return lambda frame: json.dumps(frame, indent=2 if one else None).encode() + b"\n"
        case "csv":
            return lambda frame: csv_row(csv_cells(frame)).encode() + b"\r\n"
        case "cbor":
            return lambda frame: encode(from_json_object(frame))
        case _ if one:
            return lambda frame: details_of(frame).encode() + b"\n"
        case _:
            return lambda frame: line_of(frame, style).encode() + b"\n"


@contextmanager
def _output(path: Path | None) -> Iterator[tuple[Callable[[bytes], None], Callable[[], bool]]]:
    """Where to write, and whether nobody reads it any more. Each frame is written at once."""
    if path is None:
        stream = sys.stdout.buffer
        yield _writer(stream), lambda: _is_gone(stream)
        return
    with path.open("wb") as file:
        yield _writer(file), lambda: False


def _writer(stream: BinaryIO) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        stream.write(data)
        stream.flush()

    return write


def _is_gone(stream: BinaryIO) -> bool:
    """Whether the other end of a pipe is closed: ``| head`` would otherwise be noticed too late."""
    try:
        poll = select.poll()
        poll.register(stream, 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (OSError, ValueError):
        return False


def _instant_us(text: str) -> int:
    """Unix time in microseconds of ``2h`` (ago) or of an ISO 8601 time."""
    try:
        unix_s = time.time() - parse_duration_s(text)
    except ValueError:
        try:
            unix_s = datetime.fromisoformat(text).astimezone().timestamp()
        except (ValueError, OverflowError, OSError):
            raise argparse.ArgumentTypeError(
                f"{text!r} is neither a duration such as 2h nor a time such as 2026-11-24T08:00"
            ) from None
    return max(0, round(unix_s * 1e6))


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of frames")
    return int(text)
