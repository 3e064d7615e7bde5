"""What a kind of upstream gives to be measured, and the kinds that do.

Adding one is a module here with a :class:`Case` called ``CASE``, and one line in :data:`CASES`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from protocol.records.sensor_frame import SensorFrame

CASES = {
    "http": "benchmarks.upstreams.http_case",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One kind.

    Attributes:
        far_end: starts a real receiver in a process of its own, working in a directory; gives the
            ``[[upstream]]`` options that lead to it.
        bare: what anybody would write with the same client library: sends these frames, made into
            messages beforehand, as fast as it can with the same receiver's acknowledgement for
            each; returns when all are acknowledged. It is given the options and ``ready``, which
            it calls when its messages are made and it is connected.
    """

    far_end: Callable[[Path], AbstractContextManager[Mapping[str, Any]]]
    bare: Callable[[Mapping[str, Any], Sequence[SensorFrame], Callable[[], None]], Awaitable[None]]


def case_of(kind: str) -> Case:
    """Of a kind in :data:`CASES`."""
    return cast(Case, import_module(CASES[kind]).CASE)
