"""Whether rows are of the kind that was written: a damaged file may hold another table's page."""

from collections.abc import Iterable
from typing import Any

from edge.outbox.errors import StoreCorrupt

Row = tuple[Any, ...]
Shape = tuple[type | tuple[type, ...], ...]
OptionalInt = (int, type(None))

PACK_HEAD: Shape = (int, int, int, int)
EPOCH: Shape = (int, bytes, bytes)
MARK: Shape = (str, bytes)
CURSOR: Shape = (str, str, OptionalInt)
BOOT: Shape = (int, bytes, int)
ANCHOR: Shape = (int, int, int, int, int)


def checked(rows: Iterable[Row], shape: Shape) -> list[Row]:
    """The rows, if all of them have this shape.

    Raises:
        StoreCorrupt: one has not.
    """
    found = list(rows)
    if len(fitting(found, shape)) < len(found):
        raise StoreCorrupt("the store holds rows in the wrong place")
    return found


def fitting(rows: Iterable[Row], shape: Shape) -> list[Row]:
    """Only the rows that have this shape."""
    return [
        row
        for row in rows
        if len(row) == len(shape)
        and all(isinstance(value, kind) for value, kind in zip(row, shape, strict=True))
    ]
