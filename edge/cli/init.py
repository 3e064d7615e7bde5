"""Write a first configuration: asks some questions, or takes the answers as options.

It looks which serial ports the machine has and, if it may, asks what is on them. Every key that
can be set is in the file, explained and commented out; what was chosen is filled in. A file that is
there already is never touched, and nothing is written that check-config would refuse.

Exit status 0 = written, 1 = the file cannot be written, 2 = the answers do not fit.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from drivers.ports import Machine, find_ports
from drivers.probe import Probed, probe_ports
from drivers.registry import DRIVERS
from edge.cli.location import add_config_option
from edge.cli.main import FAILED, OK, USAGE
from edge.cli.questions import Answers, Console, ask_all
from edge.config.document import parse_document
from edge.config.faults import ConfigError
from edge.config.first import ChosenUpstream, first_configuration, required_options
from edge.config.load import load_document
from edge.config.suggestion import SuggestedConcentrator, free_name
from edge.upstreams.registry import UPSTREAMS
from protocol.lora.regions import REGIONS

_MODE = 0o640  # there may be user names in it, and the service reads it as its group


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``init``."""
    parser.add_argument("file", nargs="?", type=Path, help="same as --config FILE")
    add_config_option(parser)
    parser.add_argument(
        "--non-interactive",
        action="store_true",
        help="ask nothing; also when the input is no terminal",
    )
    parser.add_argument(
        "--no-probe", action="store_true", help="open no serial port: ask no board what it is"
    )
    parser.add_argument(
        "--region",
        choices=[region.name for region in REGIONS],
        help="LoRaWAN region of the place (default AS923-2)",
    )
    parser.add_argument("--driver", choices=tuple(DRIVERS), help="family of the device on --port")
    parser.add_argument(
        "--port", type=Path, metavar="DEVICE", help="serial port; its device is asked what it is"
    )
    parser.add_argument(
        "--upstream", choices=tuple(UPSTREAMS), help="kind of system that gets the frames"
    )
    parser.add_argument(
        "--option",
        type=_key_and_value,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="of the upstream, e.g. url=mqtts://broker.example:8883; may be given again",
    )


def _key_and_value(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise argparse.ArgumentTypeError("must be KEY=VALUE")
    return key, value


def run(arguments: argparse.Namespace) -> int:
    """Ask, check, and write the file."""
    path: Path = arguments.file or arguments.config
    if path.exists():
        return _refuse(f"{path} is there already and stays as it is", FAILED)
    given = Answers(
        region=arguments.region,
        driver=arguments.driver,
        port=arguments.port,
        upstream=arguments.upstream,
        options=dict(arguments.option),
    )
    found = _find(given, probe=not arguments.no_probe)
    answers = given
    if sys.stdin.isatty() and not arguments.non_interactive:
        answers = ask_all(given, found, Console())
    missing = _missing(answers)
    if missing:
        return _refuse(missing, USAGE)
    text = _text(answers, found)
    try:
        load_document(parse_document(path, text.encode()), {})
    except ConfigError as error:
        return _refuse(f"nothing is written, because it could not be used:\n{error}", USAGE)
    try:
        _write_new(path, text)
    except FileExistsError:
        return _refuse(f"{path} is there already and stays as it is", FAILED)
    except OSError as error:
        return _refuse(f"{path}: {error.strerror or error}", FAILED)
    _tell(path, answers, found)
    return OK


def _refuse(why: str, status: int) -> int:
    print(f"lora-edge init: {why}", file=sys.stderr)
    return status


def _find(given: Answers, *, probe: bool) -> list[Probed]:
    """The machine's ports, or only the given one; asked what they are if that is allowed."""
    machine = Machine()
    others = [given.port] if given.port else []
    ports = find_ports(machine, others)
    if given.port:
        ports = [port for port in ports if port.device == given.port.resolve()]
    if not probe or (given.port and given.driver):
        return [Probed(port, None, asked=False) for port in ports]
    if ports and sys.stderr.isatty():
        print(f"asking what is on {len(ports)} serial ports, for 8 s at most ...", file=sys.stderr)
    return asyncio.run(probe_ports(machine, ports))


def _missing(answers: Answers) -> str:
    """What cannot be guessed; "" = nothing."""
    if answers.driver and not answers.port:
        return "--driver needs --port"
    if answers.options and not answers.upstream:
        return "--option needs --upstream"
    if not answers.upstream:
        return ""
    try:
        required = required_options(answers.upstream)
    except ImportError as error:
        return f"upstream {answers.upstream} needs a package: {error}"
    lacking = [option for option in required if option.key not in answers.options]
    return "\n".join(
        f"upstream {answers.upstream} needs --option {o.key}={o.example or 'VALUE'}: {o.help}"
        for o in lacking
    )


def _text(answers: Answers, found: Sequence[Probed]) -> str:
    upstream = None
    if answers.upstream:
        upstream = ChosenUpstream(answers.upstream, answers.options)
    return first_configuration(
        answers.region or "AS923-2",
        concentrators=_concentrators(answers, found),
        upstream=upstream,
        ports=[str(probed.port.name) for probed in found],
    )


def _concentrators(answers: Answers, found: Sequence[Probed]) -> list[SuggestedConcentrator]:
    """What was chosen; without a choice everything that has introduced itself."""
    if answers.port and answers.driver:
        name = free_name(answers.driver, ())
        return [SuggestedConcentrator(name, answers.driver, str(answers.port))]
    chosen: list[SuggestedConcentrator] = []
    for probed in found:
        device = probed.introduction
        if device is not None and probed.port.device not in answers.left_out:
            name = free_name(device.driver, [other.name for other in chosen])
            port = str(answers.port or probed.port.name)
            chosen.append(
                SuggestedConcentrator(name, device.driver, port, device.identity, device.radios)
            )
    return chosen


def _tell(path: Path, answers: Answers, found: Sequence[Probed]) -> None:
    print(f"wrote {path} for region {answers.region or 'AS923-2'}")
    for probed in found:
        what = probed.introduction.firmware if probed.introduction else probed.reason
        print(f"found a serial port: {probed.port.name}{f': {what}' if what else ''}")
    if not found:
        print("no serial device is plugged in: set the port of [[concentrator]] later")
    print(f"next: edit it, then lora-edge check-config -c {path}")


def _write_new(path: Path, text: str) -> None:
    """Never over another file, not even one that appears at this moment."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
