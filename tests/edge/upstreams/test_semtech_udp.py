"""Upstream ``semtech-udp`` against a server written by hand."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from edge.downlink.gate import DownlinkOutcome, DownlinkRequest
from edge.upstreams import gwmp_link
from edge.upstreams.base import TransientUpstreamError, UpstreamContext
from edge.upstreams.gwmp_downlinks import MAX_UNDER_WAY
from edge.upstreams.gwmp_link import LOST_LIMIT
from edge.upstreams.semtech_udp import SemtechUdpOptions, SemtechUdpUpstream
from protocol.network_server.gwmp import Reject
from protocol.records.sensor_frame import SensorFrame, WallTime
from tests.edge.outbox.open_store import StillClock
from tests.edge.upstreams.conformance import Destination, UpstreamConformance
from tests.edge.upstreams.frames import context
from tests.edge.upstreams.gwmp_server import PUSH_ACK, GwmpServer, Spoiler, gwmp_server
from tests.protocol.network_server.frames import EPOCH, GATEWAY, UNIX_US, data_up, sensor_frame

DATED = WallTime(UNIX_US, 250)


class Server(Destination):
    """The hand-written server: a frame's number is its device and its counter."""

    def __init__(self, server: GwmpServer) -> None:
        self.server = server

    def connection(self) -> SemtechUdpUpstream:
        options = SemtechUdpOptions(
            url=f"udp://127.0.0.1:{self.server.port}", acknowledge_timeout_s=1.0
        )
        return SemtechUdpUpstream(options, context())

    def frames(self, first: int, count: int) -> list[SensorFrame]:
        return [
            sensor_frame(data_up(0x01000000 + seq, seq), seq, received_at=DATED)
            for seq in range(first, first + count)
        ]

    async def arrived(self, at_least: int) -> list[str]:
        await self.server.wait(lambda: len(self.server.rxpk()) >= at_least)
        found = []
        for report, payload in zip(self.server.rxpk(), self.server.payloads(), strict=True):
            seq = int.from_bytes(payload[6:8], "little")
            assert payload == data_up(0x01000000 + seq, seq)
            assert report["freq"] == 921.4
            assert report["time"] == "2026-09-21T14:13:20.000000Z"
            found.append(f"{GATEWAY.hex()}-{EPOCH.hex()}-{seq}")
        assert self.server.gateways == {GATEWAY}
        return found

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        """The server is there and says nothing."""
        self.server.answers = False
        yield
        self.server.answers = True


class TestConformance(UpstreamConformance):
    """As every upstream."""

    @pytest.fixture
    async def destination(self) -> AsyncIterator[Destination]:
        async with gwmp_server() as server:
            yield Server(server)


def upstream(
    server: GwmpServer, given: UpstreamContext | None = None, **options: Any
) -> SemtechUdpUpstream:
    url = f"udp://127.0.0.1:{server.port}"
    return SemtechUdpUpstream(SemtechUdpOptions(url=url, **options), given or context())


def batch_of(*devices: int) -> list[SensorFrame]:
    return [
        sensor_frame(data_up(device, seq), seq, received_at=DATED)
        for seq, device in enumerate(devices, 1)
    ]


class TestUplinks:
    """Datagrams and their acknowledgements."""

    async def test_a_way_that_loses_repeats_and_reorders(self) -> None:
        """Everything arrives, a device's frames in order, whatever is acknowledged did arrive."""
        spoiler = Spoiler(20261125)
        batch = batch_of(*[1 + number % 20 for number in range(60)])
        async with gwmp_server(spoil=spoiler, hear=spoiler.hears) as server:
            given = context()
            async with upstream(server, given) as one:
                left = batch
                while left:
                    result = await one.send(left)
                    left = [each for each in left if each.frame_id not in result.acknowledged]
            arrived = server.payloads()
            assert set(arrived) == {frame.content.phy_payload for frame in batch}
            assert len(arrived) > len(batch)  # there were repeats, or nothing was tried here
            firsts: dict[bytes, list[int]] = {}
            for payload in dict.fromkeys(arrived):
                firsts.setdefault(payload[1:5], []).append(payload[6])
            assert all(counters == sorted(counters) for counters in firsts.values())
            # A repeat is the same datagram, under the same token.
            by_token: dict[bytes, set[str]] = {}
            for token, body in server.push_data:
                by_token.setdefault(token, set()).add(str(body))
            assert all(len(bodies) == 1 for bodies in by_token.values())
            assert rejects(given) == {}

    async def test_datagrams_are_small(self) -> None:
        batch = [
            sensor_frame(data_up(device, 1, bytes(200)), device, received_at=DATED)
            for device in range(1, 41)
        ]
        async with gwmp_server() as server:
            async with upstream(server) as one:
                result = await one.send(batch)
            assert len(result.acknowledged) == 40
            assert max(server.sizes) < 1_400
            assert sum(server.sizes) - result.sent_bytes < 100  # what opened the connection
            assert max(len(body["rxpk"]) for _, body in server.push_data) >= 2

    async def test_at_most_eight_in_one(self) -> None:
        async with gwmp_server() as server:
            async with upstream(server, metadata=False) as one:
                await one.send(batch_of(*range(1, 31)))
            assert 4 <= max(len(body["rxpk"]) for _, body in server.push_data) <= 8
            assert "meta" not in server.rxpk()[0]

    async def test_a_foreign_acknowledgement_acknowledges_nothing(self) -> None:
        def spoil(answer: bytes) -> list[tuple[float, bytes]]:
            wrong = bytes([answer[0], answer[1] ^ 1, *answer[2:]])
            return [(0.0, wrong if answer[3] == PUSH_ACK else answer)]

        given = context()
        async with (
            gwmp_server(spoil=spoil) as server,
            upstream(server, given, acknowledge_timeout_s=1.0) as one,
        ):
            with pytest.raises(TransientUpstreamError, match="no PUSH_ACK within 1 s"):
                await one.send(batch_of(1))
        assert rejects(given)["unknown_token"] >= 1

    async def test_an_acknowledgement_from_elsewhere_is_not_heard(self) -> None:
        """The kernel lets in what comes from the server's address."""
        async with gwmp_server() as server, gwmp_server() as stranger:

            def from_elsewhere(answer: bytes) -> list[tuple[float, bytes]]:
                if answer[3] != PUSH_ACK:
                    return [(0.0, answer)]
                stranger.send(answer, server.pull_address)
                return []

            server.spoil = from_elsewhere
            async with upstream(server, acknowledge_timeout_s=1.0) as one:
                with pytest.raises(TransientUpstreamError):
                    await one.send(batch_of(1))

    async def test_nobody_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gwmp_link, "CONNECT_DEADLINE_S", 0.2)
        async with gwmp_server() as server:
            one = upstream(server)
        with pytest.raises(TransientUpstreamError, match="no PULL_ACK within"):
            async with one:
                pass

    async def test_an_unknown_name(self) -> None:
        """The service asks again later; once there was an address, that serves meanwhile."""
        options = SemtechUdpOptions(url="udp://nowhere.invalid", i_accept_plaintext=True)
        one = SemtechUdpUpstream(options, context())
        with pytest.raises(TransientUpstreamError, match=r"look-up of nowhere\.invalid"):
            async with one:
                pass
        async with gwmp_server() as server:
            one._address = ("127.0.0.1", server.port)
            async with one:
                assert (await one.send(batch_of(1))).acknowledged

    async def test_answers_that_cease(self) -> None:
        """Idle, a server that is gone is noticed by its PULL_ACK."""
        async with gwmp_server() as server, upstream(server, keepalive_s=0.01) as one:
            await server.wait(lambda: len(server.pulls) > 20)
            await one.tick()
            server.answers = False
            seen = len(server.pulls)
            await server.wait(lambda: len(server.pulls) > seen + LOST_LIMIT + 1)
            with pytest.raises(TransientUpstreamError, match="PULL_DATA in a row"):
                await one.tick()


class TestHostile:
    """Whatever arrives is counted or ignored, and the next good datagram counts."""

    async def test_rubbish(self) -> None:
        given = context()
        chance = random.Random(20261125)
        async with gwmp_server() as server, upstream(server, given) as one:
            for number in range(1_000):
                head = bytes([2, 0, 0, number % 8]) if number % 2 else b""
                server.send(head + chance.randbytes(chance.randrange(64)))
                if number % 50 == 0:
                    await asyncio.sleep(0.001)
            result = await one.send(batch_of(1))
            assert len(result.acknowledged) == 1
            await server.wait(lambda: sum(rejects(given).values()) >= 900)
        assert set(rejects(given)) <= {reason.value for reason in Reject}


def rejects(given: UpstreamContext) -> dict[str, float]:
    """Counts by reason, without those of nothing."""
    families = given.metrics.network_server_rejects.collect()
    samples = [sample for family in families for sample in family.samples]
    return {sample.labels["reason"]: sample.value for sample in samples if sample.value}


@dataclass
class Gate:
    """Notes what it is asked, and answers as it is told."""

    outcome: DownlinkOutcome = DownlinkOutcome.SENT
    requests: list[DownlinkRequest] = field(default_factory=list)

    async def submit(self, request: DownlinkRequest) -> DownlinkOutcome:
        self.requests.append(request)
        return self.outcome


TXPK = {"freq": 921.400024, "datr": "SF10BW125", "codr": "4/5", "powe": 14, "ipol": True}
TXPK |= {"modu": "LORA", "data": "aGVsbG8"}


def txpk(**changes: object) -> bytes:
    return json.dumps({"txpk": TXPK | changes}).encode()


class TestDownlinks:
    """Through the one gate, with a truthful answer."""

    async def ask(self, body: bytes, gate: Gate, *, version: int = 2) -> list[tuple[bytes, Any]]:
        """Have a server ask; what it is answered."""
        given = replace(context(), downlinks=gate)
        async with gwmp_server() as server, upstream(server, given) as one:
            server.ask(b"\x00\x00", body, version=version)
            server.ask(b"\x00\x00", body, version=version)  # a repeat of the network
            server.ask(b"\xab\xcd", b"not JSON")
            server.ask(b"\xff\xff", txpk(modu="FSK", datr=50_000))
            await server.wait(lambda: any(token == b"\xff\xff" for token, _ in server.tx_acks))
            await one.tick()
            answers = dict(server.tx_acks)
            assert b"\xab\xcd" not in answers
            return [(token, json.loads(told)) for token, told in server.tx_acks]

    @pytest.mark.parametrize(
        ("outcome", "error"),
        [
            (DownlinkOutcome.SENT, "NONE"),
            (DownlinkOutcome.TOO_LATE, "TOO_LATE"),
            (DownlinkOutcome.TOO_EARLY, "TOO_EARLY"),
            (DownlinkOutcome.COLLISION, "COLLISION_PACKET"),
            (DownlinkOutcome.FREQUENCY, "TX_FREQ"),
            (DownlinkOutcome.POWER, "TX_POWER"),
            (DownlinkOutcome.QUEUE_FULL, "COLLISION_PACKET"),
            (DownlinkOutcome.NOT_ALLOWED, "TX_FREQ"),
        ],
    )
    async def test_each_outcome(self, outcome: DownlinkOutcome, error: str) -> None:
        gate = Gate(outcome)
        answers = await self.ask(txpk(tmst=1_001_000_000), gate)
        assert (b"\x00\x00", {"txpk_ack": {"error": error}}) in answers
        [request] = gate.requests
        assert request == DownlinkRequest(
            upstream="city",
            payload=b"hello",
            frequency_hz=921_400_000,
            spreading_factor=10,
            bandwidth_hz=125_000,
            coding_rate="4/5",
            power_dbm=14.0,
            invert_iq=True,
            at_boottime_us=1_001_000_000,
        )

    async def test_a_stale_one_is_too_late_and_not_even_asked_for(self) -> None:
        gate = Gate()
        answers = await self.ask(txpk(tmst=999_999_999), gate)
        assert (b"\x00\x00", {"txpk_ack": {"error": "TOO_LATE"}}) in answers
        assert gate.requests == []

    async def test_gps_time_needs_a_clock(self) -> None:
        answers = await self.ask(txpk(tmms=1), Gate())
        assert (b"\x00\x00", {"txpk_ack": {"error": "GPS_UNLOCKED"}}) in answers

    async def test_version_1_has_no_tx_ack(self) -> None:
        gate = Gate()
        answers = await self.ask(txpk(imme=True), gate, version=1)
        assert [token for token, _ in answers] == [b"\xff\xff"]
        assert [each.at_boottime_us for each in gate.requests] == [None]


class BusyGate:
    """Never knows what becomes of anything."""

    async def submit(self, request: DownlinkRequest) -> DownlinkOutcome:
        await asyncio.Event().wait()
        raise AssertionError


async def test_more_downlinks_than_are_kept() -> None:
    """What is beyond the bound is refused at once; the rest ends with the connection."""
    given = replace(context(), downlinks=BusyGate())
    async with gwmp_server() as server:
        async with asyncio.timeout(10), upstream(server, given) as one:
            for number in range(MAX_UNDER_WAY + 8):
                server.ask(bytes([1, number]), txpk(imme=True))
            await server.wait(lambda: len(server.tx_acks) == 8)
            assert (await one.send(batch_of(1))).acknowledged
        assert {token[1] for token, _ in server.tx_acks} == set(range(32, 40))
    assert rejects(given) == {"crowded": 8}


class TestStatistics:
    async def test_only_with_a_clock(self) -> None:
        clock = StillClock()
        async with gwmp_server() as server:
            async with upstream(server, context(clock=clock)) as one:
                await one.tick()
                clock.wall_time = WallTime(UNIX_US, 250)
                await one.send(batch_of(1, 2))
                await one.tick()
                await one.tick()
                await server.wait(server.stats)
            [told] = server.stats()
        assert told["time"] == "2026-09-21 14:13:20 GMT"
        assert (told["lati"], told["alti"], told["rxfw"], told["ackr"]) == (16.0678, 12, 2, 100.0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.9.9.9"])
def test_this_host_needs_no_consent(host: str) -> None:
    SemtechUdpOptions(url=f"udp://{host}:1700")


@pytest.mark.parametrize("host", ["10.0.0.1", "example.org", "0.0.0.0", "[2001:db8::1]"])
def test_another_host_does(host: str) -> None:
    with pytest.raises(ValueError, match="i_accept_plaintext"):
        SemtechUdpOptions(url=f"udp://{host}:1700")
    SemtechUdpOptions(url=f"udp://{host}:1700", i_accept_plaintext=True)
