"""A collector process, and its table as the standard library reads it."""

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cbor2

from tests.e2e.processes import (
    Process,
    free_port,
    shown_on_failure,
    use_upstream,
    wait_until,
)
from tests.edge.upstreams.http_servers import is_open


@dataclass
class CollectorProcess:
    """``lora-edge collector`` on a port of its own."""

    database: Path
    port: int
    process: Process

    def start(self) -> None:
        """Start and wait until it accepts connections."""
        self.process.start()
        wait_until(lambda: is_open(self.port), "the collector accepts connections")

    def rows(self) -> list[dict[str, Any]]:
        """Its table; none before there is one."""
        if not self.database.exists():
            return []
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            try:
                found = connection.execute("SELECT * FROM frame ORDER BY number").fetchall()
            except sqlite3.OperationalError:
                return []
        return [dict(row) for row in found]

    def count(self) -> int:
        """How many frames it has."""
        return len(self.rows())

    def frames(self) -> list[dict[str, Any]]:
        """As tests compare them, read from the CBOR of each row with cbor2 alone."""
        found = []
        for row in self.rows():
            document = cbor2.loads(row["cbor"])
            frame_id = f"{document[1].hex()}-{document[2].hex()}-{document[3]}"
            assert frame_id == row["frame_id"]
            assert document[10] == row["phy_payload"]
            found.append({"frame_id": frame_id, "phy_payload": document[10].hex()})
        return found


@contextmanager
def collector(directory: Path, *options: str, start: bool = True) -> Iterator[CollectorProcess]:
    """A collector whose database is in a directory."""
    database, port = directory / "frames.db", free_port()
    command = [sys.executable, "-m", "edge", "collector", "--listen", f"127.0.0.1:{port}"]
    command += ["--database", str(database), *options]
    process = Process(command, directory / "collector.log")
    running = CollectorProcess(database, port, process)
    with shown_on_failure(process.log):
        try:
            if start:
                running.start()
            yield running
        finally:
            process.end()


def use_http(directory: Path, port: int, **options: str) -> None:
    """Replace the ``file`` upstream in gateway.toml by the collector."""
    keys = {"kind": "http", "url": f"http://127.0.0.1:{port}/frames", **options}
    use_upstream(directory, "".join(f'{name} = "{value}"\n' for name, value in keys.items()))
