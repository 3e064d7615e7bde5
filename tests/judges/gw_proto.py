"""PyPI's chirpstack-api judges our gw.proto, from a process and an environment of its own."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.judges.judge import Judge, judge


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

    judge: Judge

    def ask(self, jobs: Sequence[tuple[str, str, str]]) -> list[Verdict | None]:
        """``from_bytes`` (hexadecimal), ``from_json`` or ``random``; message; data or seed."""
        return [
            answer
            and Verdict(
                bytes.fromhex(answer["hex"]),
                answer["json"],
                bytes.fromhex(answer.get("all", "")),
            )
            for answer in self.judge.ask("answer", jobs)
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
    with judge("gw_proto_judge") as running:
        yield GwProto(running)
