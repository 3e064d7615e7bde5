"""The Elsys template of the vectors, as the configuration would load it."""

import tomllib
from pathlib import Path

from protocol.records.template import FieldType, Template, TemplateField

VECTOR = Path(__file__).parents[2] / "vectors/elsys.toml"


def elsys() -> Template:
    """The one template of the file."""
    (table,) = tomllib.loads(VECTOR.read_text())["template"]
    fields = (
        TemplateField(**{**field, "type": FieldType(field["type"])}) for field in table["fields"]
    )
    return Template(table["name"], tuple(fields))
