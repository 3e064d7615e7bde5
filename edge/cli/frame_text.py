"""One sensor frame for people: a line of a list, or a row of a table of comma-separated values.

Names and values may come from the air: nothing of them may steer a terminal, and no cell may be
taken for a formula by a spreadsheet.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from edge.cli.output import Style, columns, printable

Frame = Mapping[str, Any]
"""A sensor frame as :func:`protocol.records.sensor_frame_json.to_json_object` makes it."""

CSV_COLUMNS = (
    "frame_id",
    "received_at",
    "received_boottime_us",
    "device",
    "dev_addr",
    "dev_eui",
    "f_cnt",
    "f_port",
    "class",
    "verified",
    "decode_error",
    "measurements",
    "radios",
    "concentrator",
    "radio",
    "frequency_hz",
    "spreading_factor",
    "bandwidth_hz",
    "rssi_dbm",
    "snr_db",
    "crc_status",
    "phy_payload",
)
# Characters by which spreadsheets recognise a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

_WIDTHS = (7, 19, 20, 8, 9, 8, 8)


def line_of(frame: Frame, style: Style) -> str:
    """Number, local time, device, port, strength, radios, and what it measured."""
    radios = len(frame["receptions"])
    best = frame["receptions"][0]
    rssi = "" if best["rssi_dbm"] is None else f"{best['rssi_dbm']:.0f} dBm"
    snr = "" if best["snr_db"] is None else f"{best['snr_db']:.1f} dB"
    port = "" if frame.get("f_port") is None else f"port {frame['f_port']}"
    cells = (
        str(frame["seq"]).rjust(_WIDTHS[0]),
        _time(frame),
        printable(_sender(frame)),
        port,
        rssi.rjust(_WIDTHS[4]),
        snr.rjust(_WIDTHS[5]),
        f"{radios} radio{'s' * (radios != 1)}",
    )
    # Lines come one by one, so that the widths cannot follow the contents.
    padded = (cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True))
    return "  ".join([*padded, _marks(frame, style) + (_values(frame) or _payload(frame))])


def details_of(frame: Frame) -> str:
    """Everything about a frame, one member a line; each reception in one."""
    rows = []
    for name, value in frame.items():
        if name == "receptions":
            rows += [("reception", _pairs(reception)) for reception in value]
        elif name == "measurements":
            rows += [("measurement", _measurement(one)) for one in value]
        else:
            rows.append((name, "unknown" if value is None else str(value)))
    return "\n".join("  ".join(row) for row in columns([(n, printable(v)) for n, v in rows]))


def csv_row(cells: Sequence[object]) -> str:
    """One line of RFC 4180; text that looks like a formula gets an apostrophe before it."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([_cell(cell) for cell in cells])
    return line.getvalue()


def csv_cells(frame: Frame) -> list[object]:
    """The frame's values in the order of :data:`CSV_COLUMNS`; of receptions the best."""
    best = frame["receptions"][0]
    known = {**best, **frame, "radios": len(frame["receptions"]), "measurements": _values(frame)}
    return [known.get(column) for column in CSV_COLUMNS]


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    return printable(f"'{value}" if value.startswith(_FORMULA) else value)


def _time(frame: Frame) -> str:
    """Local time; time since the host's start while the clock was not synchronised."""
    if frame["received_at"] is None:
        return f"uptime+{frame['received_boottime_us'] / 1e6:.1f}s"
    return datetime.fromisoformat(frame["received_at"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _sender(frame: Frame) -> str:
    """What topics call it."""
    if "dev_eui" in frame and "dev_addr" not in frame and "device" not in frame:
        return f"join-{frame['dev_eui']}"
    best = frame["receptions"][0]
    known = frame.get("device") or frame.get("dev_addr")
    return str(known or f"{best['concentrator']}-{best['radio']}")


def _marks(frame: Frame, style: Style) -> str:
    """What a person must not overlook."""
    marks = []
    if frame["class"] == "alarm":
        marks.append(style.paint("ALARM", "red"))
    if frame.get("verified") == "no":
        reason = printable(str(frame.get("verified_reason", "no reason known")))
        marks.append(style.paint(f"not verified: {reason}", "yellow"))
    if "decode_error" in frame:
        reason = printable(str(frame["decode_error"]))
        marks.append(style.paint(f"not decoded: {reason}", "yellow"))
    return "".join(f"{mark}  " for mark in marks)


def _values(frame: Frame) -> str:
    return printable("; ".join(map(_measurement, frame.get("measurements", ()))))


def _measurement(record: Mapping[str, Any]) -> str:
    """``name value unit`` of a SenML record (RFC 8428); its unit "/" means that there is none."""
    value = next(record[key] for key in ("v", "vs", "vb", "vd") if key in record)
    shown = str(value).lower() if isinstance(value, bool) else f"{value}"
    unit = record.get("u")
    return " ".join(filter(None, [record["n"], shown, None if unit == "/" else unit]))


def _payload(frame: Frame) -> str:
    return f"{len(frame['phy_payload']) // 2} bytes"


def _pairs(members: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in members.items() if value is not None)
