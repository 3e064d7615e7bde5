"""Show how the running gateway does: boards and radios, the outbox, upstreams, and notices.

Exit status 0 = the service has answered, 1 = it does not run or does not answer.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

from edge.cli.control_client import ControlError, ask
from edge.cli.location import add_config_option, locate
from edge.cli.main import OK
from edge.cli.output import Style, columns, duration, printable, size

Part = Mapping[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``status``."""
    add_config_option(parser)
    parser.add_argument("--json", action="store_true", help="print all that is known as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Ask and print."""
    answers = list(ask(locate(arguments.config).control_socket, {"command": "status"}))
    if len(answers) != 1:
        raise ControlError("what answers is no lora-edge")
    [status] = answers
    print(json.dumps(status, indent=2) if arguments.json else render(status, Style.of()))
    return OK


def render(status: Part, style: Style) -> str:
    """The status for people."""
    clock = "clock synchronised"
    if not status["clock_synchronised"]:
        clock = style.paint("clock not synchronised", "yellow")
    head = (
        f"{style.paint('lora-edge', 'bold')} {status['version']}",
        f"gateway {status['gateway']}",
        status["region"],
        f"up {duration(status['uptime_s'])}",
        clock,
    )
    lines = [", ".join(head)]
    lines += [style.paint(f"notice: {printable(text)}", "yellow") for text in status["notices"]]
    lines += ["", *_concentrators(status["concentrators"], style)]
    lines += ["", *_outbox(status["outbox"], style)]
    lines += ["", *_upstreams(status["upstreams"], style)]
    return "\n".join(lines)


def _concentrators(concentrators: Sequence[Part], style: Style) -> list[str]:
    if not concentrators:
        return [style.paint("no concentrator is configured: nothing is heard", "yellow")]
    rows = [("CONCENTRATOR", "RADIO", "CHANNEL", "FRAMES", "RSSI", "SNR", "LAST HEARD")]
    faults = []
    for concentrator in concentrators:
        name = concentrator["name"]
        rows += [(name, *_radio(radio)) for radio in concentrator["radios"]]
        faults += _health(concentrator, style)
        if not concentrator["up"]:
            detail = printable(concentrator["detail"])
            faults.append(
                f"{style.paint('down', 'red')}  {name} at {concentrator['port']}: {detail}"
            )
    return [*_table(rows, style, right=(1, 3, 4, 5)), *faults]


def _health(concentrator: Part, style: Style) -> list[str]:
    """What is wrong with radios, and what was done about it."""
    lines = []
    for radio in concentrator["radios"]:
        health = radio.get("health")
        if health in ("silent", "deaf"):
            word = style.paint(health, "red" if health == "deaf" else "yellow")
            reason = printable(radio["health_reason"])
            lines.append(f"{word}  {concentrator['name']} radio {radio['radio']}: {reason}")
    recovery = concentrator.get("recovery")
    if recovery:
        steps = ", ".join(f"{count} x {step}" for step, count in recovery["steps"].items())
        ago = duration(recovery["last_age_s"])
        text = f"recovery of {concentrator['name']}: {steps}; the last one {ago} ago"
        lines.append(style.paint(text, "yellow"))
    return lines


def _radio(radio: Part) -> tuple[str, ...]:
    channel = f"{radio['frequency_hz'] / 1e6:g} MHz SF{radio['spreading_factor']}"
    age_s, snr_db = radio["last_heard_age_s"], radio["snr_db"]
    return (
        str(radio["radio"]),
        f"{channel} {radio['bandwidth_hz'] / 1e3:g} kHz",
        str(radio["frames"]),
        "-" if radio["rssi_dbm"] is None else f"{radio['rssi_dbm']:.0f} dBm",
        "-" if snr_db is None else f"{snr_db:.1f} dB",
        "never" if age_s is None else f"{duration(age_s)} ago",
    )


def _outbox(outbox: Part, style: Style) -> list[str]:
    text = (
        f"outbox  {outbox['frames']} frames in {size(outbox['bytes'])} of"
        f" {size(outbox['limit_bytes'])}; {outbox['stored']} stored since the start,"
        f" {outbox['uncommitted']} not yet committed"
    )
    lines = [text, *_classes(outbox.get("classes", {}))]
    if outbox.get("fault"):
        fault = printable(outbox["fault"])
        lines.append(style.paint(f"the outbox cannot commit, frames wait: {fault}", "red"))
    if outbox.get("salvaging"):
        lines.append(style.paint("frames are being salvaged from a damaged store", "yellow"))
    if outbox.get("dead_letters"):
        text = f"{outbox['dead_letters']} dead letters: lora-edge frames dead-letters"
        lines.append(style.paint(text, "yellow"))
    if outbox["dropped"]:
        lines.append(style.paint(f"{outbox['dropped']} frames dropped", "red"))
    return lines


def _classes(classes: Mapping[str, Part]) -> list[str]:
    """By class, if there is more than one."""
    parts = [
        f"{name} {kept['frames']} in {size(kept['bytes'])}"
        for name, kept in classes.items()
        if kept["frames"]
    ]
    return [f"        {', '.join(parts)}"] if len(parts) > 1 else []


def _upstreams(upstreams: Sequence[Part], style: Style) -> list[str]:
    if not upstreams:
        return [style.paint("no upstream is configured: frames stay in the outbox", "yellow")]
    rows = [("UPSTREAM", "KIND", "STATE", "ACKNOWLEDGED", "PENDING", "OLDEST")]
    faults = []
    for upstream in upstreams:
        state = "parked" if upstream["parked"] else "connected"
        if not upstream["parked"] and not upstream["connected"]:
            state = "not connected"
        if upstream.get("paused"):
            state = "paused"
        pending, age_s = upstream["pending"], upstream["oldest_pending_age_s"]
        oldest = duration(age_s) if pending else "-"
        counts = (str(upstream["acknowledged"]), str(pending), oldest)
        rows.append((upstream["name"], upstream["kind"], state, *counts))
        if upstream["last_error"] is not None:
            error = printable(upstream["last_error"])
            ago = duration(upstream["last_error_age_s"])
            faults.append(f"last error of {upstream['name']}, {ago} ago: {error}")
    return [*_table(rows, style, right=(3, 4, 5)), *faults]


def _table(rows: Sequence[Sequence[str]], style: Style, right: Sequence[int]) -> list[str]:
    head, *lines = ("  ".join(cells) for cells in columns(rows, right=right))
    return [style.paint(head, "bold"), *lines]
