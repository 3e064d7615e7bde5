"""The commented default configuration, made from the descriptions of the fields.

Prose begins with ``# ``; a line that begins with ``#`` alone is a key or a table to be uncommented.
As printed the file is valid, and with everything uncommented too.
"""

import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from typing import Any, get_args, get_type_hints

from edge.config.fields import key_of, notation_of
from edge.config.model import Config, UpstreamConfig
from edge.config.toml_text import format_value
from edge.upstreams.registry import UPSTREAMS, upstream_factory
from protocol.records.template import Template, TemplateField

_WIDTH = 100
_HEAD = """\
# Configuration of lora-edge. Every key is here. A line that begins with "#" and no space can be
# uncommented; unless the comment above it says otherwise it shows the default.
# Check a change with `lora-edge check-config`; `systemctl restart lora-edge` puts it in force.
# Every value can also come from the environment: LORA_EDGE_OUTBOX__MAX_AGE=7d, tables of a list by
# name: LORA_EDGE_UPSTREAM__CITY__URL=mqtts://...
"""
_LABELS = """
# What whole numbers mean as keys of CBOR payloads: the value is the number in the payload times ten
# to the exponent. Units are SenML's (RFC 8428).
#[labels]
#1 = { name = "water_level", exponent = -2, unit = "m" }
"""
# These classes are not the configuration's own: their descriptions are here.
_DESCRIPTIONS: dict[type, dict[str, tuple[str, Any]]] = {
    Template: {"name": ("what decoders call it: template:<name>", "elsys")},
    TemplateField: {
        "name": ("of the measurement; without a name the field is only skipped", "temperature"),
        "type": ("how it lies in bytes", "i16be"),
        "tag": ("number of the byte that announces the value. All fields have one, or none", 1),
        "offset": ("place of the value in the payload or, with a tag, after the tag", 0),
        "exponent": ("the value is the number times ten to this", -1),
        "unit": ("SenML unit (RFC 8428)", "Cel"),
        "count": ("how many such values follow each other", 1),
        "length": ("bytes after the tag, if the fields do not say it all", 2),
        "length_from": ("instead of length: place of a byte that holds it", None),
        "f_port": ("the field counts on this FPort only", 5),
    },
}


def render_default() -> str:
    """The whole file."""
    types = get_type_hints(Config)
    lines = [_HEAD.rstrip()]
    for field in fields(Config):
        wanted = types[field.name]
        key = key_of(field)
        if field.name == "labels":
            lines.append(_LABELS.rstrip())
        elif field.name == "upstreams":
            for kind in UPSTREAMS:
                lines += ["", *_upstream(kind)]
        elif is_dataclass(wanted):
            lines += ["", *_prose(_purpose(wanted)), f"[{key}]", *_keys(wanted, f"{key}.")]
        else:
            table = get_args(wanted)[0]
            lines += ["", *_prose(_purpose(table)), *_list_table(table, str(key))]
    return "\n".join(lines) + "\n"


def _purpose(cls: Any) -> str:
    """First line of a class's docstring, after the name of its table."""
    line = str(cls.__doc__).partition("\n")[0]
    return line.rpartition("``: ")[2].strip("`.")


def _list_table(cls: Any, path: str) -> Iterator[str]:
    yield f"#[[{path}]]"
    yield from _keys(cls, f"{path}.")


def _upstream(kind: str) -> Iterator[str]:
    yield from _prose(f"{_purpose(UpstreamConfig)}, here of kind {kind}")
    yield "#[[upstream]]"
    yield f'#name = "{kind}"'
    yield f'#kind = "{kind}"'
    for field in fields(UpstreamConfig):
        key = key_of(field)
        if key is not None and key not in ("name", "kind"):
            yield from _key(UpstreamConfig, field, key)
    try:
        options = upstream_factory(kind).Options
    except ImportError as error:
        yield from _prose(f"its keys cannot be shown here: {error}")
        return
    yield from _keys(options, "upstream.")


def _keys(cls: Any, prefix: str) -> Iterator[str]:
    """All keys of a table, then the tables in it."""
    types = get_type_hints(cls)
    inner = []
    for field in fields(cls):
        key = key_of(field)
        if key is None:
            continue
        item = (get_args(types[field.name]) or (None,))[0]
        if is_dataclass(item):
            inner.append((item, f"{prefix}{key}"))
        else:
            yield from _key(cls, field, key)
    for item, path in inner:
        yield ""
        yield from _list_table(item, path)


def _key(cls: Any, field: Field[Any], key: str) -> Iterator[str]:
    foreign = _DESCRIPTIONS.get(cls, {}).get(field.name)
    help_text = foreign[0] if foreign else str(field.metadata["help"])
    default = None if field.default is MISSING else field.default
    shown = _example(field, foreign) if foreign else _example(field, None)
    notes = [help_text, *_limits(field, get_type_hints(cls)[field.name])]
    if shown is None:
        yield from _prose(f"{key}: {'; '.join(notes)}")
        return
    if default != shown:
        notes.append(_default_note(field, default))
    yield from _prose("; ".join(notes))
    # The gateway's region is the one thing that nobody can know beforehand.
    mark = "" if key == "region" else "#"
    yield f"{mark}{key} = {format_value(shown, field if shown == default else None)}"


def _example(field: Field[Any], foreign: tuple[str, Any] | None) -> Any:
    """What the file shows: an example, else the default."""
    if foreign is not None:
        return foreign[1]
    if "example" in field.metadata:
        return field.metadata["example"]
    return None if field.default is MISSING else field.default


def _default_note(field: Field[Any], default: Any) -> str:
    if field.default is MISSING:
        return "required"
    if default is None or default == "":
        return "not set by default"
    return f"default {format_value(default, field)}"


def _limits(field: Field[Any], wanted: Any) -> Iterator[str]:
    metadata = field.metadata
    if "unit" in metadata:
        yield f"in {metadata['unit']}"
    choices = metadata.get("choices", ())
    wanted = (get_args(wanted) or (wanted,))[0]
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        choices = [member.value for member in wanted]
    if choices:
        yield "one of " + ", ".join(map(str, choices))
    bounds = {bound: _bound(field, bound) for bound in ("minimum", "maximum") if bound in metadata}
    if len(bounds) == 2:
        yield f"{bounds['minimum']} to {bounds['maximum']}"
    elif bounds:
        [(bound, value)] = bounds.items()
        yield f"at {'least' if bound == 'minimum' else 'most'} {value}"


def _bound(field: Field[Any], bound: str) -> str:
    notation = notation_of(field)
    value = field.metadata[bound]
    return str(value if notation is None else notation.write(value))


def _prose(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_on_hyphens=False,
        break_long_words=False,
    )
