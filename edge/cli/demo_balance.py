"""The balance that ends a demonstration: each column comes from another party."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_NOT_THE_AIR = {"delivered", "ring_overflow", "board_down"}


@dataclass(frozen=True, slots=True)
class Balance:
    """Who counted what.

    Attributes:
        sent: transmissions, by the sensors.
        receivable: transmissions that a chip reported with RxDone and a good CRC.
        delivered: of those, wholly written to the pty by a board.
        committed: frames in the gateway's outbox.
        forwarded: distinct frame ids in the upstream's own files.
        lost: receivable, kept by a board, and their PHY payload absent upstream.
        ring_overflow, board_down: receivable, but no board could keep them.
        air: what became of transmissions that no chip received, by cause.
    """

    sent: int
    receivable: int
    delivered: int
    committed: int
    forwarded: int
    lost: int
    ring_overflow: int
    board_down: int
    air: dict[str, int]
    lost_payloads: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether something was received and nothing was lost."""
        return self.lost == 0 and self.receivable > 0 and self.forwarded > 0


def read_balance(boards: Path, upstream: Path, committed: int) -> Balance:
    """Compare the boards' account with what the upstream has on its disk.

    Args:
        boards: ``balance.json`` that the simulator wrote.
        upstream: directory of the ``file`` upstream.
        committed: frames that the gateway says it has committed.

    Raises:
        OSError, ValueError: an account is missing or damaged.
    """
    account = json.loads(boards.read_text())
    ids: set[str] = set()
    payloads: dict[str, int] = {}
    for frame in _upstream_frames(upstream):
        if frame["frame_id"] not in ids:
            ids.add(frame["frame_id"])
            payloads[frame["phy_payload"]] = payloads.get(frame["phy_payload"], 0) + 1
    missing = []
    excused = {"ring_overflow": 0, "board_down": 0}
    for received in account["frames"]:
        # Confirmed uplinks repeat their payload: each transmission needs a frame of its own.
        if payloads.get(received["payload"], 0):
            payloads[received["payload"]] -= 1
        elif received["excuse"]:
            excused[received["excuse"]] += 1
        else:
            missing.append(received["payload"])
    return Balance(
        sent=account["sent"],
        receivable=account["receivable"],
        delivered=account["delivered"],
        committed=committed,
        forwarded=len(ids),
        lost=len(missing),
        ring_overflow=excused["ring_overflow"],
        board_down=excused["board_down"],
        air={cause: n for cause, n in account["causes"].items() if cause not in _NOT_THE_AIR},
        lost_payloads=tuple(missing),
    )


def describe(balance: Balance) -> str:
    """The balance as lines for people."""
    rows = [
        ("sent", balance.sent, "by the sensors"),
        ("receivable", balance.receivable, "a chip raised RxDone with a good CRC"),
        ("delivered", balance.delivered, "wholly written to the serial port by a board"),
        ("committed", balance.committed, "in the gateway's outbox"),
        ("forwarded", balance.forwarded, "distinct frame ids in the upstream's files"),
        ("lost", balance.lost, "receivable, yet absent upstream"),
    ]
    apart = [
        ("ring_overflow", balance.ring_overflow, "no room on the board"),
        ("board_down", balance.board_down, "went down with an unplugged board"),
    ]
    rows += [row for row in apart if row[1]]
    lines = [f"  {name:<14}{count:>8}   {text}" for name, count, text in rows]
    if balance.air:
        causes = ", ".join(f"{cause} {n}" for cause, n in sorted(balance.air.items()))
        lines.append(f"  the air's      {sum(balance.air.values()):>7}   {causes}")
    return "\n".join(lines)


def _upstream_frames(directory: Path) -> Iterator[dict[str, str]]:
    for path in sorted(directory.glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)
