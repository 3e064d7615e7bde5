"""Frames that tell from their number alone what they have to look like, to the last byte."""

import random
from dataclasses import replace

from edge.outbox.admission import Admission
from protocol.records.sensor_frame import FrameClass, FrameContent, Measurement
from tests.edge.outbox.open_store import content

MARKS = ("last", "board/0", "board/1", "board/2")
"""The first moves with every frame, and one of the others as well."""


def frame_content(number: int, filler_bytes: int) -> FrameContent:
    """Content of a frame: number and length in its payload, and so many bytes as a measurement."""
    chance = random.Random(number)
    return replace(
        content(number, received_us=number, frame_class=chance.choice(list(FrameClass))),
        phy_payload=number.to_bytes(8, "big") + filler_bytes.to_bytes(4, "big"),
        measurements=(Measurement("filler", chance.randbytes(filler_bytes)),),
    )


def is_intact(found: FrameContent) -> bool:
    """Whether a frame is, in every field, what was once appended."""
    filler_bytes = int.from_bytes(found.phy_payload[8:], "big")
    return filler_bytes < 1 << 20 and found == frame_content(number_of(found), filler_bytes)


def number_of(found: FrameContent) -> int:
    """The number that the frame says it has."""
    return int.from_bytes(found.phy_payload[:8], "big")


def marks_of(number: int) -> dict[str, bytes]:
    """Marks that are committed with the frame; each holds the number."""
    value = number.to_bytes(8, "big")
    return {MARKS[0]: value, MARKS[1 + number % 3]: value}


def admission(number: int, filler_bytes: int) -> Admission:
    """The frame with its marks, to be appended."""
    return Admission.of(frame_content(number, filler_bytes), marks_of(number))
