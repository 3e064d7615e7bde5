"""Which upstreams a person has paused; that survives restarts.

A paused upstream is not connected and loses nothing: its frames stay pending.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from edge.durable_file import write_durably
from edge.monitoring.metrics import Metrics

logger = logging.getLogger(__name__)


class Pauses:
    """Names in a small file, one a line.

    Args:
        path: of that file; read at once, so make this before the loop has much to do.
        upstreams: the configured ones; pauses of others are forgotten.
        changed: called after each change.
    """

    def __init__(
        self, path: Path, upstreams: Iterable[str], metrics: Metrics, changed: Callable[[], None]
    ) -> None:
        self._path = path
        self._metrics = metrics
        self._changed = changed
        self._upstreams = tuple(upstreams)
        self._news = asyncio.Event()
        self._writing = asyncio.Lock()
        self.paused = frozenset(self._read()) & frozenset(self._upstreams)
        self._show()

    async def set_paused(self, upstream: str, paused: bool) -> None:
        """Pause an upstream or let it go on; when this returns it is on the disk.

        Raises:
            KeyError: there is no such upstream.
            OSError: it could not be written, and nothing has changed.
        """
        if upstream not in self._upstreams:
            raise KeyError(upstream)
        async with self._writing:
            after = self.paused | {upstream} if paused else self.paused - {upstream}
            text = "".join(f"{name}\n" for name in sorted(after))
            await asyncio.to_thread(write_durably, self._path, text.encode())
            self.paused = after
        logger.warning("upstream %s was %s", upstream, "paused" if paused else "resumed")
        self._show()
        self._news.set()
        self._news = asyncio.Event()
        self._changed()

    async def wait_resumed(self, upstream: str) -> None:
        """Wait while an upstream is paused."""
        while upstream in self.paused:
            await self._news.wait()

    def _read(self) -> list[str]:
        try:
            return self._path.read_text(encoding="utf-8").split()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            logger.error("nobody is paused, because that cannot be read: %s", error)
            return []

    def _show(self) -> None:
        for name in self._upstreams:
            self._metrics.upstream_paused.labels(name).set(name in self.paused)
