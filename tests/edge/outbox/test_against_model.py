"""The outbox against a model in memory: appends, acknowledgements, crashes, restarts, evictions.

The model knows what was promised (certain) and what may have happened (a crash leaves open whether
the last second's acknowledgements were committed). The outbox must lie between the two.
"""

import asyncio
import shutil
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge.outbox.store import Outbox
from protocol.records.sensor_frame import FrameId
from tests.edge.outbox.open_store import admission, number_of, running

UPSTREAM = "city"


class OutboxKeepsItsPromises(RuleBasedStateMachine):
    """Nothing promised is lost, nothing acknowledged comes again, numbers are unique."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = Path(tempfile.mkdtemp(prefix="outbox-model-"))
        self.promised: dict[int, FrameId] = {}
        self.acknowledged: set[int] = set()
        self.acknowledged_for_certain: set[int] = set()
        self.marks: dict[str, bytes] = {}
        self.open()

    def open(self) -> None:
        self.outbox = self.loop.run_until_complete(self._open(crash=False))
        self.is_open = True

    async def _open(self, *, crash: bool) -> Outbox:
        """The context lives in a task of its own, as a task group has to be left where it began."""
        ready: asyncio.Future[Outbox] = self.loop.create_future()
        self.leave = asyncio.Event()
        self.crashing = False

        async def live() -> None:
            stack = AsyncExitStack()
            outbox = await stack.enter_async_context(running(self.directory / "outbox.db"))
            ready.set_result(outbox)
            await self.leave.wait()
            if self.crashing:
                # The writer is told nothing: a cancelled one commits nothing more.
                writer = next(
                    task
                    for task in asyncio.all_tasks()
                    if getattr(task.get_coro(), "__qualname__", "") == "Outbox.run"
                )
                writer.cancel()
                await asyncio.wait([writer])
            await stack.aclose()

        self.life = self.loop.create_task(live())
        return await ready

    def close(self, *, crash: bool) -> None:
        self.crashing = crash
        self.leave.set()
        self.loop.run_until_complete(self.life)

    @rule(count=st.integers(1, 5), mark=st.sampled_from("ab"))
    def append(self, count: int, mark: str) -> None:
        first = len(self.promised)
        value = first.to_bytes(4, "big")
        admissions = [admission(n, **{mark: value}) for n in range(first, first + count)]
        frame_ids = self.loop.run_until_complete(self.outbox.append(*admissions))
        assert not set(frame_ids) & set(self.promised.values())
        self.promised.update(zip(range(first, first + count), frame_ids, strict=True))
        self.marks[mark] = value

    @precondition(lambda self: self.promised)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        numbers = data.draw(st.sets(st.sampled_from(sorted(self.promised)), max_size=6))
        frame_ids = [self.promised[number] for number in numbers]
        self.loop.run_until_complete(self.outbox.acknowledge(UPSTREAM, frame_ids))
        self.acknowledged |= numbers

    @rule()
    def connect(self) -> None:
        self.outbox.connected(UPSTREAM)

    @rule()
    def restart(self) -> None:
        self.close(crash=False)
        self.acknowledged_for_certain |= self.acknowledged
        self.open()

    @rule()
    def crash(self) -> None:
        self.close(crash=True)
        self.open()
        # Acknowledgements of the last second may be gone; then they are pending again.
        pending = set(self.pending())
        assert not pending & self.acknowledged_for_certain
        self.acknowledged = set(self.promised) - pending
        self.acknowledged_for_certain = set(self.acknowledged)

    def pending(self) -> list[int]:
        """All lanes, as an upstream would see them if it only ever asked."""

        async def collect() -> list[int]:
            contents = self.outbox._contents
            seqs = contents.cursors[UPSTREAM].acknowledged
            frames = await self.outbox.frames(limit=10_000)
            return [number_of(f.content) for f in frames if f.frame_id.seq not in seqs]

        return self.loop.run_until_complete(collect())

    @invariant()
    def what_is_next_is_not_acknowledged(self) -> None:
        frames = self.loop.run_until_complete(self.outbox.pending(UPSTREAM, limit=4))
        numbers = [number_of(frame.content) for frame in frames]
        left = sorted(set(self.promised) - self.acknowledged)
        assert set(numbers) <= set(left)
        assert numbers == sorted(numbers)
        assert bool(numbers) == bool(left)
        assert self.outbox.statistics().pending[UPSTREAM] == len(left)

    @invariant()
    def everything_promised_is_there(self) -> None:
        frames = self.loop.run_until_complete(self.outbox.frames(limit=10_000))
        found = {number_of(frame.content): frame.frame_id for frame in frames}
        assert found == self.promised
        assert [frame.frame_id.seq for frame in frames] == list(range(1, len(frames) + 1))
        assert all(self.outbox.mark(key) == value for key, value in self.marks.items())

    def teardown(self) -> None:
        self.close(crash=False)
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.directory)


TestOutboxKeepsItsPromises = OutboxKeepsItsPromises.TestCase
TestOutboxKeepsItsPromises.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None
)
