"""PyPI's chirpstack-api judges our gw.proto, from a process and an environment of its own."""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[2]
_CHILD = Path(__file__).with_name("gw_proto_child.py")


def interpreter() -> Path:
    """Python of the environment that the judges live in."""
    return Path(os.environ.get("LORA_EDGE_JUDGES", _ROOT / ".venv-judges")) / "bin" / "python"


def _installed() -> bool:
    return any(interpreter().parents[1].glob("lib/python*/site-packages/chirpstack_api"))


needs_chirpstack_api = pytest.mark.skipif(
    not _installed(), reason="NOT RUN: needs the judges' environment (make judges)"
)


@dataclass
class Verdict:
    """A message as the library has it.

    Attributes:
        data: in bytes; without the fields that our side does not know if it is a random one.
        document: as JSON.
        whole: of a random one, with those fields.
    """

    data: bytes
    document: dict[str, Any]
    whole: bytes = b""


@dataclass
class GwProto:
    """The library, asked over a pipe."""

    process: "subprocess.Popen[str]"

    def ask(self, jobs: Sequence[tuple[str, str, str]]) -> list[Verdict | None]:
        """``from_bytes`` (hexadecimal), ``from_json`` or ``random``; message; data or seed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(jobs) + "\n")
        self.process.stdin.flush()
        answers = json.loads(self.process.stdout.readline())
        return [
            answer
            and Verdict(
                bytes.fromhex(answer["hex"]),
                answer["json"],
                bytes.fromhex(answer.get("all", "")),
            )
            for answer in answers
        ]

    def from_bytes(self, name: str, data: bytes) -> Verdict | None:
        """Read one message."""
        return self.ask([("from_bytes", name, data.hex())])[0]

    def from_json(self, name: str, document: object) -> Verdict | None:
        """Read one message's JSON."""
        return self.ask([("from_json", name, json.dumps(document))])[0]


@contextmanager
def gw_proto() -> Iterator[GwProto]:
    """Running while the body does."""
    process = subprocess.Popen(
        [interpreter(), str(_CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield GwProto(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(20)
