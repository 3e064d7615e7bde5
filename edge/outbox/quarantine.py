"""Setting a damaged store aside, so that the gateway can go on with a fresh one."""

import contextlib
from pathlib import Path

KEPT = 2
_PARTS = ("", "-wal", "-shm", "-journal")


def set_aside(path: Path) -> Path:
    """Rename the database with its journals to ``<name>.corrupt-<n>``; the newest two are kept.

    Returns:
        The database's new path.

    Raises:
        OSError: the directory cannot be written.
    """
    earlier = sorted(_set_aside_numbers(path))
    number = earlier[-1] + 1 if earlier else 1
    aside = _aside(path, number)
    # The database last: if this is cut short, the next start finds it still in its place.
    for part in reversed(_PARTS):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{part}").rename(f"{aside}{part}")
    for old in earlier[: max(0, len(earlier) + 1 - KEPT)]:
        for part in _PARTS:
            Path(f"{_aside(path, old)}{part}").unlink(missing_ok=True)
    return aside


def _set_aside_numbers(path: Path) -> list[int]:
    suffixes = (
        found.name.rpartition("-")[2] for found in path.parent.glob(f"{path.name}.corrupt-*")
    )
    return [int(suffix) for suffix in suffixes if suffix.isdecimal()]


def _aside(path: Path, number: int) -> Path:
    return Path(f"{path}.corrupt-{number}")
