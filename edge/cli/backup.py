"""``frames backup`` and ``frames restore``: the whole store as one file, and back."""

import argparse
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

from edge.cli.control_client import ControlError, NotRunning, ask
from edge.cli.location import locate
from edge.cli.main import OK
from edge.cli.output import printable, size
from edge.cli.progress import Progress
from edge.cli.stopped_store import user_name
from edge.cli.store_answers import tell
from edge.cli.verify import Report
from edge.outbox.backup_file import BackupFile
from edge.outbox.errors import StoreError
from edge.outbox.restore import Restored, RestoreRefused, restore


def run_backup(arguments: argparse.Namespace) -> int:
    """Write a backup."""
    path = Path(arguments.argument)
    if path.exists() and not arguments.force:
        raise ControlError(f"{path} is there: --force writes over it")
    progress = Progress("copied")
    try:
        with BackupFile(path) as file:

            def take(answer: dict[str, Any]) -> None:
                file.take(answer)
                progress.tell(file.frames)

            tell(arguments.config, {"command": "backup"}, take)
            progress.end()
            pending = file.finish()
        size_bytes = path.stat().st_size
    except OSError as error:
        raise ControlError(f"{path}: {error.strerror or error}") from error
    except (sqlite3.Error, ValueError, KeyError, TypeError, StopIteration) as error:
        raise ControlError(f"{path} cannot be written: {error}") from error
    if arguments.format == "json":
        written = {"file": str(path), "frames": file.frames, "bytes": size_bytes}
        print(json.dumps({**written, "pending": pending}))
    else:
        print(f"{path}: {file.frames} frames, {size(size_bytes)}")
        for name, count in pending.items():
            print(f"not yet acknowledged by {printable(name)}: {count} frames")
    return OK


def run_restore(arguments: argparse.Namespace) -> int:
    """Put a backup in place."""
    location = locate(arguments.config)
    _check_stopped(location.control_socket)
    _check_directory(location.state_dir)
    backup, report = (
        Path(arguments.argument),
        Report(as_json=arguments.format == "json", is_file=True),
    )
    try:
        restored = restore(
            backup,
            location.state_dir / "outbox.db",
            replace=arguments.replace,
            take=report.take,
        )
    except RestoreRefused as error:
        if report.summary:
            report.print()
        raise ControlError(str(error)) from error
    except StoreError as error:
        raise ControlError(str(error)) from error
    except OSError as error:
        raise ControlError(f"{error.filename or backup}: {error.strerror or error}") from error
    if arguments.format == "json":
        replaced = str(restored.replaced) if restored.replaced else None
        print(json.dumps({**restored.summary, "replaced": replaced}))
    else:
        print(_told(backup, restored))
    return OK


def _told(backup: Path, restored: Restored) -> str:
    summary = restored.summary
    lines = [
        f"restored {backup}: {summary['frames']} frames, up to number {summary['last_seq']}",
        "a new epoch begins when the service starts: sudo systemctl start lora-edge",
    ]
    for name, count in summary["pending"].items():
        lines.append(
            f"{printable(name)} is sent {count} frames; those that it had acknowledged after the"
            " backup was made come again, under the same frame_id"
        )
    if restored.replaced:
        lines.append(f"the store that was there is {restored.replaced}; delete it when all is well")
    return "\n".join(lines)


def _check_stopped(control_socket: Path) -> None:
    try:
        for _ in ask(control_socket, {"command": "status"}):
            break
    except NotRunning:
        return
    raise ControlError("the service is running: stop it first (sudo systemctl stop lora-edge)")


def _check_directory(state_dir: Path) -> None:
    try:
        owner = state_dir.stat().st_uid
    except OSError as error:
        raise ControlError(f"{state_dir}: {error.strerror}") from error
    if owner != os.geteuid():
        raise ControlError(
            f"only the owner of {state_dir} may put a store there:"
            f" sudo -u {user_name(owner)} lora-edge ..."
        )
