"""What a board hears, through ingest, while the store fails."""

from dataclasses import replace
from pathlib import Path

from tests.edge.outbox.degraded_site import FAULTS, RETRY_S
from tests.edge.outbox.failing_store import Failing, Fault
from tests.edge.outbox.still_loop import advance, settle, still
from tests.edge.test_ingest import DataPath, data_path, event, heartbeat


class TestBoards:
    """What the board hears, through ingest."""

    @staticmethod
    async def feed(path: DataPath, *numbers: int) -> None:
        """Take events in; what becomes of them is another matter."""
        for number in numbers:
            await path.ingest.events.put(event(number))
        await settle(path.outbox)

    @FAULTS
    @still
    async def test_acknowledged_when_all_upstreams_have_it(
        self, tmp_path: Path, fault: Fault
    ) -> None:
        """Late, but before the store works again."""
        async with data_path(tmp_path) as path:
            failing = Failing(path.outbox._database)
            await self.feed(path, 1)
            assert path.driver.acknowledged == [1]
            failing.fault = fault
            await self.feed(path, 2, 3)
            await advance(path.outbox, 1.0)
            assert path.driver.acknowledged == [1]
            frames = await path.outbox.pending("city", limit=10)
            assert [f.content.phy_payload for f in frames] == [b"frame 1", b"frame 2", b"frame 3"]
            await path.outbox.acknowledge("city", [frame.frame_id for frame in frames[:2]])
            await settle(path.outbox)
            assert path.driver.acknowledged[-1] == 2
            await path.outbox.acknowledge("city", [frames[2].frame_id])
            await settle(path.outbox)
            assert path.driver.acknowledged[-1] == 3
            failing.fault = None
            await advance(path.outbox, RETRY_S)
            assert await path.stored() == [b"frame 1", b"frame 2", b"frame 3"]

    @FAULTS
    @still
    async def test_acknowledged_early_when_its_ring_fills(
        self, tmp_path: Path, fault: Fault
    ) -> None:
        """At three quarters, and counted: what is only in memory may be lost now."""
        async with data_path(tmp_path) as path:
            path.ingest.relieve = path.outbox.release_uncommitted
            failing = Failing(path.outbox._database)
            failing.fault = fault
            await self.feed(path, 1, 2, 3)
            await advance(path.outbox, 1.0)
            for used, acknowledged in ((5, []), (6, [3])):
                sign = replace(heartbeat(3), ring_used=used, ring_capacity=8)
                path.ingest.take(sign, path.clock.now_us)
                await settle(path.outbox)
                assert path.driver.acknowledged[-1:] == acknowledged
            assert path.count("outbox_acknowledged_uncommitted_frames_total") == 3
            failing.fault = None
            await advance(path.outbox, RETRY_S)
            assert await path.stored() == [b"frame 1", b"frame 2", b"frame 3"]
            await self.feed(path, 4)
            assert path.driver.acknowledged[-1] == 4
