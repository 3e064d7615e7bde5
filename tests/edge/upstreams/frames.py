"""Frames to send, and what a reader that knows nothing of our code has to find of them."""

from collections.abc import Sequence

from edge.downlink.gate import ClosedGate
from edge.monitoring.metrics import Metrics
from edge.upstreams.base import Site, UpstreamContext
from protocol.records.sensor_frame import FrameId, SensorFrame, WallTime
from tests.edge.outbox.open_store import GATEWAY, StillClock, content

EPOCH = bytes.fromhex("00c0ffee00c0ffee")
UNIX_US = 1_790_000_000_000_000  # 2026-09-21T14:13:20Z, as date(1) has it
RFC3339 = "2026-09-21T14:13:20.000000Z"


def frame(seq: int, *, epoch: bytes = EPOCH, device: str | None = "flood-1") -> SensorFrame:
    """A dated frame whose payload is its number."""
    return SensorFrame(
        FrameId(GATEWAY, epoch, seq), content(seq, device=device), WallTime(UNIX_US, 250)
    )


def frames(first: int, count: int) -> list[SensorFrame]:
    """Frames with consecutive numbers."""
    return [frame(seq) for seq in range(first, first + count)]


def ids(batch: Sequence[SensorFrame]) -> list[str]:
    """Frame ids as text."""
    return [f"{GATEWAY.hex()}-{EPOCH.hex()}-{one.frame_id.seq}" for one in batch]


def context(name: str = "city", *, clock: StillClock | None = None) -> UpstreamContext:
    """What the service gives to an upstream."""
    clock = clock or StillClock()
    return UpstreamContext(
        gateway=GATEWAY,
        name=name,
        metrics=Metrics("test"),
        clock=clock,
        statistics=lambda: {"frames": 7},
        site=Site("AS923-2", (16.0678, 108.2208, 12.0)),
        downlinks=ClosedGate(clock.boottime_us),
    )


def check_json(document: object, seq: int) -> str:
    """A JSON document is this frame; returns its id."""
    assert isinstance(document, dict)
    assert document["gateway"] == GATEWAY.hex()
    assert document["epoch"] == EPOCH.hex()
    assert document["seq"] == seq
    assert document["phy_payload"] == f"{seq:016x}"
    assert document["received_at"] == RFC3339
    assert document["device"] == "flood-1"
    assert document["receptions"][0]["frequency_hz"] == 921_400_000
    frame_id = document["frame_id"]
    assert isinstance(frame_id, str)
    return frame_id


def check_cbor(document: object, seq: int) -> str:
    """A CBOR map is this frame, by the numbers of ``sensor_frame.cddl``; returns its id."""
    assert isinstance(document, dict)
    assert document[1] == GATEWAY
    assert document[2] == EPOCH
    assert document[3] == seq
    assert document[7] == UNIX_US
    assert document[10] == seq.to_bytes(8, "big")
    assert document[12] == "flood-1"
    return f"{document[1].hex()}-{document[2].hex()}-{document[3]}"
