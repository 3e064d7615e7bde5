"""What every upstream has to do: one kit for all kinds.

A kind joins by a subclass of :class:`UpstreamConformance` in its own test module, whose fixture
``destination`` gives the far side. No test here knows which kind it runs.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import pytest
from blockbuster import blockbuster_ctx

from edge.upstreams.base import TransientUpstreamError, Upstream
from protocol.records.sensor_frame import SensorFrame
from tests.edge.upstreams.frames import frames, ids

DEADLINE_S = 20.0


class Destination(ABC):
    """The far side of an upstream, read by means that are not ours."""

    @abstractmethod
    def connection(self) -> Upstream:
        """Make an upstream, not yet entered."""

    def frames(self, first: int, count: int) -> list[SensorFrame]:
        """Frames of this kind's sort with consecutive numbers, each of another device."""
        return frames(first, count)

    @abstractmethod
    async def arrived(self, at_least: int) -> list[str]:
        """Ids of all frames that arrived, repeats included, once there are so many.

        Each is checked to be the frame that it says it is.
        """

    @abstractmethod
    def outage(self) -> AbstractAsyncContextManager[None]:
        """Nothing is taken meanwhile; what was taken before is still there afterwards."""


async def deliver(upstream: Upstream, batch: Sequence[SensorFrame]) -> None:
    """Send everything, as much at a time as the upstream wants; all of it is acknowledged."""
    left = list(batch)
    while left:
        assert upstream.max_batch >= 1
        part, left = left[: upstream.max_batch], left[upstream.max_batch :]
        result = await upstream.send(part)
        assert result.acknowledged == {frame.frame_id for frame in part}
        assert not result.rejected


class UpstreamConformance:
    """The tests; subclassed, so that pytest collects them once for each kind."""

    async def test_what_is_acknowledged_has_arrived(self, destination: Destination) -> None:
        """All of it, readable, in the order of its numbers."""
        batch = destination.frames(1, 20)
        async with destination.connection() as upstream:
            await deliver(upstream, batch)
            assert await destination.arrived(20) == ids(batch)

    async def test_repeats_are_taken(self, destination: Destination) -> None:
        """The receiver tells them by their id, which does not change."""
        batch = destination.frames(1, 3)
        for _ in range(2):
            async with destination.connection() as upstream:
                await deliver(upstream, batch)
        assert await destination.arrived(6) == ids(batch) * 2

    async def test_it_may_be_entered_again(self, destination: Destination) -> None:
        """One adapter serves for the life of the service."""
        upstream = destination.connection()
        for number in (1, 2):
            async with upstream:
                await deliver(upstream, destination.frames(number, 1))
        assert await destination.arrived(2) == ids(destination.frames(1, 2))

    async def test_an_outage_is_transient_and_costs_nothing(self, destination: Destination) -> None:
        """What is not acknowledged is sent again by the next connection."""
        kept, owed = destination.frames(1, 2), destination.frames(3, 2)
        async with destination.connection() as upstream:
            await deliver(upstream, kept)
            async with destination.outage():
                with pytest.raises(TransientUpstreamError) as caught:
                    await upstream.send(owed)
        assert not caught.value.acknowledged
        async with destination.connection() as upstream:
            await deliver(upstream, owed)
        # The receiver may have been given some twice in the outage.
        async with asyncio.timeout(DEADLINE_S):
            while set(await destination.arrived(4)) != set(ids(kept + owed)):
                await asyncio.sleep(0.01)

    @pytest.mark.parametrize("steps", [0, 1, 2, 5, 20])
    async def test_a_cancelled_send_harms_nothing(
        self, destination: Destination, steps: int
    ) -> None:
        """Its frames may have arrived; those that are sent afterwards have, and nothing is torn."""
        first, second = destination.frames(1, 10), destination.frames(11, 10)
        async with destination.connection() as upstream:
            sending = asyncio.ensure_future(upstream.send(first))
            for _ in range(steps):
                await asyncio.sleep(0)
            sending.cancel()
            await asyncio.wait([sending])
            # The forwarder gives up a connection whose send was cancelled.
        async with destination.connection() as upstream:
            await deliver(upstream, second)
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
            await upstream.send(destination.frames(1, 1))
            await upstream.tick()
        assert await destination.arrived(1) == ids(destination.frames(1, 1))

    async def test_tick_when_idle(self, destination: Destination) -> None:
        """As often as anyone likes; it is no frame."""
        async with destination.connection() as upstream:
            for _ in range(5):
                await upstream.tick()
            await upstream.send(destination.frames(1, 1))
            await upstream.tick()
        assert await destination.arrived(1) == ids(destination.frames(1, 1))

    async def test_it_leaves_the_event_loop_free(self, destination: Destination) -> None:
        """Look-ups, handshakes and disks block, so they are not the loop's business."""
        with blockbuster_ctx() as guard:
            upstream = destination.connection()
            async with asyncio.timeout(DEADLINE_S), upstream:
                await upstream.tick()
                await deliver(upstream, destination.frames(1, 5))
            assert guard is not None
        assert await destination.arrived(5) == ids(destination.frames(1, 5))
