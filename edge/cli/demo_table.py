"""The live view of a demonstration: a table on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

Status = dict[str, Any]


def frequency_text(radio: Status) -> str:
    """``921.4 MHz SF9``."""
    return f"{radio['frequency_hz'] / 1e6:.1f} MHz SF{radio['spreading_factor']}"


def summary_line(status: Status, elapsed_s: float) -> str:
    """One plain line: where frames are."""
    heard = sum(r["frames"] for c in status["concentrators"] for r in c["radios"])
    (upstream, *_) = status["upstreams"] or [{"acknowledged": 0, "pending": 0}]
    up = sum(1 for c in status["concentrators"] if c["up"])
    return (
        f"{elapsed_s:5.0f} s  heard {heard}  stored {status['outbox']['stored']}"
        f"  forwarded {upstream['acknowledged']}  buffer {upstream['pending']}"
        f"  concentrators up {up}/{len(status['concentrators'])}"
    )


def render(status: Status, elapsed_s: float) -> Any:
    """A rich table of all radios, with the summary below."""
    from rich.console import Group  # noqa: PLC0415 - only on a terminal
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(title="simulated radios, real serial ports, real gateway")
    for column, justify in (
        ("concentrator", "left"),
        ("radio", "left"),
        ("heard", "right"),
        ("RSSI dBm", "right"),
        ("SNR dB", "right"),
        ("last heard", "right"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for concentrator in status["concentrators"]:
        name = concentrator["name"] if concentrator["up"] else f"{concentrator['name']} (down)"
        for radio in concentrator["radios"]:
            heard = radio["last_heard_age_s"] is not None
            table.add_row(
                name,
                frequency_text(radio),
                str(radio["frames"]),
                "-" if radio["rssi_dbm"] is None else f"{radio['rssi_dbm']:.0f}",
                "-" if radio["snr_db"] is None else f"{radio['snr_db']:.1f}",
                f"{radio['last_heard_age_s']:.0f} s ago" if heard else "never",
            )
            name = ""
    return Group(table, Text(summary_line(status, elapsed_s)))


class LiveView:
    """Shows a status each time it is given one; plain lines come every five seconds."""

    def __init__(self, write: Callable[[str], object] = print) -> None:
        self._write = write
        self._live: Any = None
        self._line_at_s = 0.0

    def __enter__(self) -> "LiveView":
        self._context = self._make_context()
        self._live = self._context.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._context.__exit__(None, None, None)

    def show(self, status: Status, elapsed_s: float) -> None:
        """Show the present state."""
        if self._live is not None:
            self._live.update(render(status, elapsed_s))
        elif elapsed_s >= self._line_at_s:
            self._line_at_s = elapsed_s + 5
            self._write(summary_line(status, elapsed_s))

    @staticmethod
    def _make_context() -> AbstractContextManager[Any]:
        if not sys.stdout.isatty():
            return nullcontext()
        try:
            from rich.live import Live  # noqa: PLC0415 - only on a terminal
        except ImportError:
            return nullcontext()
        return Live(refresh_per_second=4)
