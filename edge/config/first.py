"""The first configuration of a gateway: the commented default with what was chosen put in.

Everything that can be set stays in the file as a comment; what was chosen stands above the example
of its table.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields

from edge.config.default import render_default
from edge.config.fields import key_of
from edge.config.suggestion import SuggestedConcentrator, concentrator_table
from edge.config.toml_text import quoted
from edge.upstreams.registry import upstream_factory
from protocol.lora.regions import region


@dataclass(frozen=True, slots=True)
class ChosenUpstream:
    """Where frames are to go; ``options`` are the keys of its kind, as text."""

    kind: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequiredOption:
    """A key that an upstream cannot do without."""

    key: str
    help: str
    example: str


def required_options(kind: str) -> list[RequiredOption]:
    """What has to be known of an upstream of this kind.

    Raises:
        ImportError: the kind needs a package that is not installed.
    """
    return [
        RequiredOption(
            str(key_of(option)),
            str(option.metadata["help"]),
            str(option.metadata.get("example", "")),
        )
        for option in fields(upstream_factory(kind).Options)
        if option.default is MISSING and option.default_factory is MISSING
    ]


def first_configuration(
    place: str,
    *,
    concentrators: Sequence[SuggestedConcentrator] = (),
    upstream: ChosenUpstream | None = None,
    ports: Sequence[str] = (),
) -> str:
    """The text of the file.

    Args:
        place: name of the region.
        ports: serial ports of the machine, shown where none is chosen.
    """
    lines = []
    for line in render_default().splitlines():
        if line.startswith("region = "):
            lines.append(f"region = {quoted(place)}")
        elif line.startswith("#port = ") and ports and not concentrators:
            lines.append("# Found on this machine:")
            lines += [f"#port = {quoted(ports[0])}"]
            lines += [f"# or {quoted(port)}" for port in ports[1:]]
        else:
            lines.append(line)
    for concentrator in concentrators:
        table = concentrator_table(concentrator, region(place))
        lines = _above(lines, "#[[concentrator]]", table.splitlines())
    if upstream is not None:
        lines = _above(lines, "#[[upstream]]", _upstream(upstream))
    return "\n".join(lines) + "\n"


def _upstream(chosen: ChosenUpstream) -> list[str]:
    table = ["[[upstream]]", f"name = {quoted(chosen.kind)}", f"kind = {quoted(chosen.kind)}"]
    return table + [f"{key} = {_value(text)}" for key, text in chosen.options.items()]


def _value(text: str) -> str:
    """A number or a truth value as it is, anything else as text."""
    return text if re.fullmatch(r"true|false|[0-9]+", text) else quoted(text)


def _above(lines: list[str], heading: str, table: list[str]) -> list[str]:
    """Put a table above the comment that explains the first table of its kind."""
    at = lines.index(heading)
    while lines[at - 1].startswith("# "):
        at -= 1
    return [*lines[:at], *table, "", *lines[at:]]
