"""Frames in an SQLite database, each once.

``synchronous=FULL``: what has been answered with 2xx survives a power cut. People read the table
``frame`` with whatever they like, while the collector writes.
"""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from edge.collector.verdict import StoreFailed, Verdict
from protocol.records.frame_batch import ReadFrame
from protocol.records.sensor_frame import SensorFrame, SensorFrameError
from protocol.records.sensor_frame_codec import decode
from protocol.records.sensor_frame_json import to_json_object

_SCHEMA = """
CREATE TABLE IF NOT EXISTS frame (
    number INTEGER PRIMARY KEY,   -- in the order of arrival
    frame_id TEXT NOT NULL UNIQUE,
    gateway TEXT NOT NULL,        -- EUI-64 in hexadecimal
    received_at TEXT,             -- RFC 3339; NULL: the gateway did not know the time
    device TEXT,
    dev_addr TEXT,
    measurements TEXT,            -- SenML (RFC 8428) in JSON
    phy_payload BLOB NOT NULL,
    cbor BLOB NOT NULL,           -- all of it: protocol/records/sensor_frame.cddl
    collected_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT
"""
_INSERT = """
INSERT INTO frame (
    frame_id, gateway, received_at, device, dev_addr, measurements, phy_payload, cbor
) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (frame_id) DO NOTHING
"""
_DATE = "UPDATE frame SET received_at = ?, cbor = ? WHERE frame_id = ?"


class FrameTable:
    """One database file; see :class:`edge.collector.verdict.FrameStore`.

    Raises:
        StoreFailed: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            # The collector's one writing thread is not the one that opens.
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute(_SCHEMA)
        except sqlite3.Error as error:
            raise StoreFailed(f"{path}: {error}") from error

    def take(self, frames: Sequence[ReadFrame]) -> list[Verdict]:
        """Store those that are new, in one transaction.

        Raises:
            StoreFailed: the disk is full or failing; nothing was stored.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                verdicts = [self._take(one) for one in frames]
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # some errors have ended it already
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StoreFailed(str(error)) from error
        return verdicts

    def close(self) -> None:
        """Fold the WAL into the database."""
        self._connection.close()

    def _take(self, new: ReadFrame) -> Verdict:
        if self._connection.execute(_INSERT, _row(new)).rowcount:
            return Verdict.NEW
        name = str(new.frame.frame_id)
        query = "SELECT cbor FROM frame WHERE frame_id = ?"
        [stored] = self._connection.execute(query, (name,)).fetchone()
        if stored == new.encoded:
            return Verdict.REPEAT
        try:
            old: SensorFrame = decode(stored)
        except SensorFrameError:
            return Verdict.CONFLICT
        if old.content != new.frame.content:
            return Verdict.CONFLICT
        if old.received_at is None:
            # Repeats may differ in time only: the gateway has learned it since.
            received_at = to_json_object(new.frame)["received_at"]
            self._connection.execute(_DATE, (received_at, new.encoded, name))
        return Verdict.REPEAT


def _row(new: ReadFrame) -> tuple[object, ...]:
    members = to_json_object(new.frame)
    measurements = members.get("measurements")
    return (
        members["frame_id"],
        members["gateway"],
        members["received_at"],
        members.get("device"),
        members.get("dev_addr"),
        None if measurements is None else json.dumps(measurements, ensure_ascii=False),
        new.frame.content.phy_payload,
        new.encoded,
    )
