"""Other people's queues, in a virtual environment of their own, so that ours stays clean.

Of ThingsBoard's gateway only the storage class is used: the source is unpacked, not installed.
"""

import subprocess
import sys
import tarfile
import venv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.outbox_cases.processes import CaseFailed, run_command
from benchmarks.outbox_cases.rate import Figures

PEERS = ("persist-queue", "litequeue", "thingsboard")
"""The first is durable when it says so; the others are not, which is their advantage here."""

_VENV = Path(".venv-peers")
_PYTHON = _VENV / "bin" / "python"
_SOURCES = _VENV / "sources"
_CHILD = Path(__file__).with_name("peer_child.py")
_PIP = (str(_PYTHON), "-m", "pip", "--quiet", "--disable-pip-version-check")


@dataclass(slots=True)
class Peers:
    """Which of them are there.

    Attributes:
        versions: of those that could be installed.
        missing: why the others could not.
    """

    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def install() -> Peers:
    """Make the environment if there is none yet, and see what is in it."""
    peers = Peers()
    if not _PYTHON.exists():
        venv.create(_VENV, with_pip=True)
    for name in PEERS:
        try:
            peers.versions[name] = _version(name)
        except CaseFailed:
            try:
                _install_thingsboard() if name == "thingsboard" else _pip("install", name)
                peers.versions[name] = _version(name)
            except (CaseFailed, OSError, subprocess.CalledProcessError, tarfile.TarError) as error:
                peers.missing[name] = " ".join(str(error).split())
    return peers


def run_peer(
    name: str,
    directory: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    **options: float | str,
) -> Figures:
    """Run a case of ``peer_child.py``; arguments as of :func:`run_case`.

    Raises:
        CaseFailed: it gave no figures.
    """
    command = [str(_PYTHON), str(_CHILD), name]
    return run_command(
        name, command, directory, environment=environment, sources=str(_SOURCES), **options
    )


def _version(name: str) -> str:
    command = [str(_PYTHON), str(_CHILD), f"{name}-version"]
    return str(run_command(name, command, _VENV, sources=str(_SOURCES))["version"])


def _install_thingsboard() -> None:
    _pip(
        *("download", "--no-deps", "--no-binary", ":all:", "--dest", str(_SOURCES)),
        "thingsboard-gateway>=3.8.5",
    )
    for archive in _SOURCES.glob("*.tar.gz"):
        with tarfile.open(archive) as tar:
            tar.extractall(_SOURCES, filter="data")


def _pip(*arguments: str) -> None:
    subprocess.run([*_PIP, *arguments], check=True, stdout=sys.stderr)
