"""``frames verify``: check the whole store, and say what is wrong and what to do about it."""

import argparse
import asyncio
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from edge.cli.control_client import ControlError, NotRunning, ask
from edge.cli.location import locate
from edge.cli.main import FAILED, OK
from edge.cli.output import Style, columns, printable, size
from edge.cli.progress import Progress
from edge.cli.stopped_store import check_owner
from edge.cli.store_answers import Take
from edge.outbox.database import Database
from edge.outbox.errors import StoreBusy, StoreError
from edge.outbox.store_file import StoreFile, own
from edge.outbox.verification import verify

_BEYOND_ANY = 1 << 50

ADVICE = {
    "damaged": "the running service salvages what can be read, at once if it has just been asked,"
    " else at its daily check; look after the card: sudo dmesg",
    "hole": "these frames are lost; the service counts them at its daily check as"
    " frames_dropped{reason=corrupt}; look after the card: sudo dmesg",
    "overlap": "no frame is lost; please report it with the output of this command",
    "content": "such a frame is passed over and counted; please report it",
    "state": "frames themselves are not affected; if it stays after a restart, please report it",
}
_ADVICE_ON_A_FILE = "do not restore this file; take another backup"


class Report:
    """Takes what a verification tells, and prints it."""

    def __init__(self, *, as_json: bool, is_file: bool = False) -> None:
        self.summary: dict[str, Any] = {}
        self._as_json = as_json
        self._is_file = is_file
        self._findings: list[dict[str, Any]] = []
        self._progress = Progress("verified")

    def take(self, answer: dict[str, Any]) -> None:
        """One piece."""
        if "progress" in answer:
            self._progress.tell(answer["progress"]["frames"], answer["progress"]["of"])
        elif "finding" in answer:
            self._findings.append(answer["finding"])
        elif "summary" in answer:
            self.summary = answer["summary"]
            self._progress.end()

    def print(self) -> int:
        """Print all of it; returns the exit status."""
        if not self.summary:
            raise ControlError("what answers is no lora-edge")
        if self._as_json:
            print(json.dumps({**self.summary, "list": self._findings}, indent=2))
        else:
            print(render(self.summary, self._findings, Style.of(), is_file=self._is_file))
        return FAILED if self.summary["findings"] else OK


def run(arguments: argparse.Namespace) -> int:
    """Verify a file, or the gateway's store."""
    report = Report(as_json=arguments.format == "json", is_file=arguments.file is not None)
    if arguments.file is not None:
        _verify_file(arguments.file, report.take)
        return report.print()
    location = locate(arguments.config)
    try:
        for answer in ask(location.control_socket, {"command": "verify"}):
            report.take(answer)
    except NotRunning as error:
        try:
            path = location.state_dir / "outbox.db"
            check_owner(path)
            _verify(Database(path, _BEYOND_ANY), report.take)
        except ControlError as refusal:
            raise ControlError(f"{error}; {refusal}") from refusal
    return report.print()


def render(
    summary: dict[str, Any], findings: list[dict[str, Any]], style: Style, *, is_file: bool
) -> str:
    """For people."""
    classes = summary["classes"]
    of_classes = ", ".join(f"{name} {counted['frames']}" for name, counted in classes.items())
    rows = [
        ("frames", f"{summary['frames']}: {of_classes}"),
        ("size", f"{size(sum(c['bytes'] for c in classes.values()))} in {summary['packs']} packs"),
        ("numbers", f"{summary['first_seq']} to {summary['last_seq']}"),
        *(
            ("epoch", f"{epoch['gateway']}-{epoch['epoch']} from {epoch['first_seq']} on")
            for epoch in summary["epochs"]
        ),
        *(("pending", f"{count} for {name}") for name, count in summary["pending"].items()),
        ("dead letters", str(summary["dead_letters"])),
    ]
    lines = ["  ".join(cells) for cells in columns([(a, printable(b)) for a, b in rows])]
    kinds = Counter[str]()
    for finding in findings:
        lines.append(f"{style.paint(finding['fault'], 'red')}  {printable(finding['text'])}")
        kinds[finding["fault"]] += 1
    hidden = summary["findings"] - len(findings)
    lines += [f"and {hidden} more"] if hidden else []
    lines += [f"{kind}: {_ADVICE_ON_A_FILE if is_file else ADVICE.get(kind, '')}" for kind in kinds]
    if not summary["findings"]:
        lines.append(style.paint("all is as it was written", "green"))
    return "\n".join(lines)


def _verify_file(path: Path, take: Take) -> None:
    journal = path.with_name(f"{path.name}-wal")
    try:
        # To read a journal SQLite makes files beside it, which must not become another user's.
        if journal.exists() and path.stat().st_uid != os.geteuid():
            raise ControlError(f"{path} has a journal: only its owner may open it")
    except OSError as error:
        raise ControlError(f"{path}: {error.strerror}") from error
    _verify(StoreFile(path), take)


def _verify(database: Database, take: Take) -> None:
    async def work() -> None:
        try:
            await database.open(create=False)
            store = await own(database)
            async for answer in verify(store, fault=store.fault):
                take(answer)
        finally:
            await database.close()

    try:
        asyncio.run(work())
    except StoreBusy:
        raise ControlError(f"{database.path} is in use: the service is starting") from None
    except StoreError as error:
        raise ControlError(str(error)) from error
