"""What every upstream has to do: one kit for all kinds.

A kind joins by a subclass of :class:`UpstreamConformance` in its own test module, whose fixture
``destination`` gives the far side. No test here knows which kind it runs.
"""

import asyncio
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager

import pytest
from blockbuster import blockbuster_ctx

from edge.upstreams.base import TransientUpstreamError, Upstream
from tests.edge.upstreams.frames import frames, ids

DEADLINE_S = 20.0


class Destination(ABC):
    """The far side of an upstream, read by means that are not ours."""

    @abstractmethod
    def connection(self) -> Upstream:
        """Make an upstream, not yet entered."""

    @abstractmethod
    async def arrived(self, at_least: int) -> list[str]:
        """Ids of all frames that arrived, repeats included, once there are so many.

        Each is checked to be the frame that it says it is.
        """

    @abstractmethod
    def outage(self) -> AbstractAsyncContextManager[None]:
        """Nothing is taken meanwhile; what was taken before is still there afterwards."""


class UpstreamConformance:
    """The tests; subclassed, so that pytest collects them once for each kind."""

    async def test_what_is_acknowledged_has_arrived(self, destination: Destination) -> None:
        """All of it, readable, in the order of its numbers."""
        batch = frames(1, 20)
        async with destination.connection() as upstream:
            assert upstream.max_batch >= 1
            for begin in range(0, len(batch), upstream.max_batch):
                part = batch[begin : begin + upstream.max_batch]
                result = await upstream.send(part)
                assert result.acknowledged == {frame.frame_id for frame in part}
                assert not result.rejected
            assert await destination.arrived(20) == ids(batch)

    async def test_repeats_are_taken(self, destination: Destination) -> None:
        """The receiver tells them by their id, which does not change."""
        batch = frames(1, 3)
        for _ in range(2):
            async with destination.connection() as upstream:
                result = await upstream.send(batch)
                assert result.acknowledged == {frame.frame_id for frame in batch}
        assert await destination.arrived(6) == ids(batch) * 2

    async def test_an_outage_is_transient_and_costs_nothing(self, destination: Destination) -> None:
        """What is not acknowledged is sent again by the next connection."""
        kept, owed = frames(1, 2), frames(3, 2)
        async with destination.connection() as upstream:
            await upstream.send(kept)
            async with destination.outage():
                with pytest.raises(TransientUpstreamError) as caught:
                    await upstream.send(owed)
        assert not caught.value.acknowledged
        async with destination.connection() as upstream:
            await upstream.send(owed)
        assert set(await destination.arrived(4)) == set(ids(kept + owed))

    @pytest.mark.parametrize("steps", [0, 1, 2, 5, 20])
    async def test_a_cancelled_send_harms_nothing(
        self, destination: Destination, steps: int
    ) -> None:
        """Its frames may have arrived; those that are sent afterwards have, and nothing is torn."""
        first, second = frames(1, 10), frames(11, 10)
        async with destination.connection() as upstream:
            sending = asyncio.ensure_future(upstream.send(first))
            for _ in range(steps):
                await asyncio.sleep(0)
            sending.cancel()
            await asyncio.wait([sending])
            # The forwarder gives up a connection whose send was cancelled.
        async with destination.connection() as upstream:
            await upstream.send(second)
        arrived = await destination.arrived(10)
        assert set(ids(second)) <= set(arrived)
        assert set(arrived) <= set(ids(first + second))

    @pytest.mark.parametrize("steps", [0, 1, 2, 5, 20])
    async def test_cancelled_while_it_connects(self, destination: Destination, steps: int) -> None:
        """Nothing is left open: the next one can have everything."""

        async def connect() -> None:
            async with destination.connection():
                await asyncio.Event().wait()

        connecting = asyncio.ensure_future(connect())
        for _ in range(steps):
            await asyncio.sleep(0)
        connecting.cancel()
        await asyncio.wait([connecting])
        async with destination.connection() as upstream:
            await upstream.send(frames(1, 1))
            await upstream.tick()
        assert await destination.arrived(1) == ids(frames(1, 1))

    async def test_tick_when_idle(self, destination: Destination) -> None:
        """As often as anyone likes; it is no frame."""
        async with destination.connection() as upstream:
            for _ in range(5):
                await upstream.tick()
            await upstream.send(frames(1, 1))
            await upstream.tick()
        assert await destination.arrived(1) == ids(frames(1, 1))

    async def test_it_leaves_the_event_loop_free(self, destination: Destination) -> None:
        """Look-ups, handshakes and disks block, so they are not the loop's business."""
        with blockbuster_ctx() as guard:
            upstream = destination.connection()
            async with asyncio.timeout(DEADLINE_S), upstream:
                await upstream.tick()
                await upstream.send(frames(1, 5))
            assert guard is not None
        assert await destination.arrived(5) == ids(frames(1, 5))
