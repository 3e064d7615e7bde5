"""Reads frames out of the store; its coroutines run in the writer's task."""

from collections.abc import Sequence

from edge.outbox.contents import Contents
from edge.outbox.cursor import Cursor
from edge.outbox.database import Database
from edge.outbox.errors import StoreCorrupt, StoreError
from edge.outbox.packs import ReadPack, heads, sizes, sound_packs
from edge.outbox.ranges import runs
from edge.outbox.writer import Writer
from protocol.records.sensor_frame import FrameClass

Bodies = list[tuple[int, bytes]]
"""Frames as they are stored, by number."""

_READ_PACKS = 256
_PAGE_PACKS = 256
_READ_BYTES = 1_000_000
_CLASS_PACKS = 16


class Reader:
    """Keeps, for each upstream, the pack of which it has only had a part."""

    def __init__(self, database: Database, contents: Contents, writer: Writer) -> None:
        self._database = database
        self._contents = contents
        self._writer = writer
        self._begun: dict[str, ReadPack] = {}

    def forget(self) -> None:
        """Another database has taken the place of the one that was read."""
        self._begun.clear()

    async def pending(self, upstream: str, limit: int) -> Bodies:
        """What the upstream gets next, of one lane, oldest first.

        Raises:
            StoreError: the store cannot be read, and nothing is in memory either.
        """
        cursor = self._contents.cursors[upstream]
        found: Bodies = []
        for first, last in list(cursor.next_gaps(self._writer.last_seq)):
            try:
                found += await self._gap(upstream, cursor, first, last, limit - len(found))
            except StoreCorrupt:
                raise
            except StoreError:
                if self._writer.fault is None:
                    raise
                # What is in memory does not have to wait for a disk that fails.
            in_memory = max(first, self._contents.last_seq + 1)
            found += self._writer.ring.bodies(in_memory, last)[: limit - len(found)]
            if len(found) >= limit:
                break
        cursor.hand_out(runs([seq for seq, _ in found]))
        return found

    async def pending_of(self, upstream: str, frame_class: FrameClass, limit: int) -> Bodies:
        """What the upstream has not been sent of one class, oldest first, live or not.

        Raises:
            StoreError: the store cannot be read.
        """
        cursor = self._contents.cursors[upstream]
        found: Bodies = []
        for first, last in list(cursor.has.gaps(1, self._writer.last_seq)):
            begin = first
            while begin <= min(last, self._contents.last_seq) and len(found) < limit:
                packs = await sound_packs(self._database, begin, last, _CLASS_PACKS, frame_class)
                found += (item for pack in packs for item in _part(pack, begin, last))
                begin = packs[-1].head.last_seq + 1 if len(packs) == _CLASS_PACKS else last + 1
            in_memory = max(first, self._contents.last_seq + 1)
            found += self._writer.ring.bodies(in_memory, last, frame_class)
        found = found[:limit]
        cursor.hand_out(runs([seq for seq, _ in found]))
        return found

    async def page(self, first: int, last: int, frames: int, *, newest_first: bool) -> Bodies:
        """About so many frames from one end of a range, oldest first; none if it is empty.

        Raises:
            StoreError: the store cannot be read.
        """
        if newest_first:
            first = await self._begin_of_page(first, last, frames)
        packs = await sound_packs(self._database, first, last, _PAGE_PACKS)
        return [item for pack in packs for item in _part(pack, first, last)]

    async def _begin_of_page(self, first: int, last: int, frames: int) -> int:
        """Where the newest so many frames of a range begin; numbers may be without frames."""
        span = frames
        while last - span >= first:
            if await heads(self._database, last - span + 1, last, 1):
                return last - span + 1
            span *= 8
        return first

    async def _gap(
        self, upstream: str, cursor: Cursor, first: int, last: int, limit: int
    ) -> Bodies:
        """Frames of a gap in what was acknowledged; numbers without frames are passed over."""
        found: Bodies = []
        last = min(last, self._contents.last_seq)
        while first <= last and len(found) < limit:
            packs = await self._packs(upstream, first, last, limit - len(found))
            for pack in packs:
                if pack.head.seq > first:
                    cursor.pass_over(first, pack.head.seq - 1)
                found += _part(pack, first, last)
                first = pack.head.last_seq + 1
            if not packs:
                cursor.pass_over(first, last)
                break
            self._begun[upstream] = packs[-1]
        return found[:limit]

    async def _packs(self, upstream: str, first: int, last: int, frames: int) -> Sequence[ReadPack]:
        begun = self._begun.get(upstream)
        if begun is not None and begun.head.seq <= first <= begun.head.last_seq:
            # A frame that was evicted meanwhile must not be handed out any more.
            removed_through = self._contents.totals[begun.frame_class].removed_through
            if begun.head.last_seq > removed_through:
                return [begun]
        through, chosen, size_bytes = first, 0, 0
        for head, pack_bytes in await sizes(self._database, first, last, min(frames, _READ_PACKS)):
            if chosen and size_bytes + pack_bytes > _READ_BYTES:
                break
            through, chosen, size_bytes = head.last_seq, chosen + 1, size_bytes + pack_bytes
            frames -= head.frames
            if frames <= 0:
                break
        if not chosen:
            return []
        return await sound_packs(self._database, first, through, chosen)


def _part(pack: ReadPack, first: int, last: int) -> Bodies:
    """The frames of a pack that lie in a range."""
    begin = max(first, pack.head.seq)
    end = min(last, pack.head.last_seq)
    offset = pack.head.seq
    return list(
        zip(range(begin, end + 1), pack.bodies[begin - offset : end + 1 - offset], strict=True)
    )
