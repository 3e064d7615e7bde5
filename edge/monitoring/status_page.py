"""The status page: what ``lora-edge status`` prints, for a phone at the foot of the pole.

One self-contained HTML page without scripts. It renders whatever the status holds, so a new
figure there needs no change here.
"""

from collections.abc import Mapping
from html import escape

_REFRESH_S = 5
_MAX_DEPTH = 4

_STYLE = """
body { font: 16px/1.4 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem;
       background: #fff; color: #1a1a1a; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.1rem; margin: 1.2rem 0 .3rem; }
.verdict { border-radius: .4rem; color: #fff; padding: .6rem 1rem; }
.good { background: #17663a; } .bad { background: #a31d1d; }
div { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { border-bottom: 1px solid #ccc; padding: .25rem .8rem .25rem 0; text-align: left;
         vertical-align: top; }
@media (prefers-color-scheme: dark) { body { background: #111; color: #eee; } }
"""


def render_status_page(status: Mapping[str, object], faults: list[str]) -> str:
    """Return the page.

    Args:
        status: nested mappings, lists and plain values.
        faults: why the gateway is not alive or not ready; empty = all is well.
    """
    if faults:
        items = "".join(f"<li>{escape(fault)}</li>" for fault in faults)
        verdict = f'<div class="verdict bad" role="status">Not ready<ul>{items}</ul></div>'
    else:
        verdict = '<div class="verdict good" role="status">Ready</div>'
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="refresh" content="{_REFRESH_S}">\n'
        f"<title>lora-edge</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>lora-edge</h1>\n{verdict}\n{_sections(status)}\n</body>\n</html>\n"
    )


def _sections(status: Mapping[str, object]) -> str:
    """Plain values first in one table, then a heading for each nested part."""
    nested = {key: value for key, value in status.items() if isinstance(value, Mapping | list)}
    plain = {key: value for key, value in status.items() if key not in nested}
    parts = [_value(plain, 1)] if plain else []
    parts += [f"<h2>{_words(key)}</h2>\n{_value(part, 1)}" for key, part in nested.items()]
    return "\n".join(parts)


def _value(value: object, depth: int) -> str:
    if not isinstance(value, Mapping | list):
        return _scalar(value)
    if not value:
        return "none"
    if depth > _MAX_DEPTH:
        return "..."
    if isinstance(value, Mapping):
        return _table([_row(key, item, depth) for key, item in value.items()])
    if all(isinstance(item, Mapping) for item in value):
        return _records(value, depth)
    return "<br>".join(_value(item, depth + 1) for item in value)


def _scalar(value: object) -> str:
    match value:
        case None:
            return "unknown"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case _:
            return escape(str(value))


def _records(records: list[Mapping[str, object]], depth: int) -> str:
    """Render rows of like mappings as one table, with the union of their keys as columns."""
    columns = list(dict.fromkeys(key for record in records for key in record))
    head = "".join(f'<th scope="col">{_words(column)}</th>' for column in columns)
    rows = [
        "".join(
            f"<td>{_value(record[column], depth + 1) if column in record else ''}</td>"
            for column in columns
        )
        for record in records
    ]
    return _table([head, *rows])


def _row(key: str, value: object, depth: int) -> str:
    return f'<th scope="row">{_words(key)}</th><td>{_value(value, depth + 1)}</td>'


def _table(rows: list[str]) -> str:
    return "<div><table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table></div>"


def _words(key: str) -> str:
    """Field names have their units in them: ``pending_frames`` reads as "pending frames"."""
    return escape(str(key).replace("_", " "))
