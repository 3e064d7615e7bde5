"""Orders through a real Unix socket: each is answered by one line, also those that are none."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.board import Board
from simulator.control import ControlServer
from simulator.scenario import FaultKind
from simulator.simulated_site import Site
from tests.simulator.line_host import PROFILE, LineHost, until


class Desk:
    """A site, its control server, and whoever gives orders."""

    def __init__(self, directory: Path) -> None:
        self.site = Site(directory, {"roof": 2, "pier": 1}, 1, baud=0)
        self.path = directory / "simulator.sock"
        self.silenced = 0
        self.control = ControlServer(self.site, self._silence)

    def _silence(self) -> None:
        self.silenced += 1

    async def say(self, *lines: bytes) -> list[Any]:
        """Bytes on one connection, then end of file; all answers."""
        reader, writer = await asyncio.open_unix_connection(self.path, limit=1 << 24)
        writer.writelines(lines)
        writer.write_eof()
        answers = [json.loads(line) async for line in reader]
        writer.close()
        await writer.wait_closed()
        return answers

    async def order(self, **request: object) -> dict[str, Any]:
        """One order, one answer."""
        (answer,) = await self.say(json.dumps(request).encode() + b"\n")
        assert isinstance(answer, dict)
        return answer

    async def set_up(self) -> None:
        """Make all radios listen."""
        for _, _, radio in self.site.chips():
            radio.set_profile(PROFILE)
        await until(self.site.ready)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A running site that takes orders."""
    desk = Desk(tmp_path)
    server = await desk.control.start(desk.path)
    desk.site.start()
    yield desk
    server.close()
    desk.site.stop()


async def test_an_injected_frame_is_received_and_accounted(desk: Desk) -> None:
    await desk.set_up()
    inject = {"order": "inject", "concentrator": "roof", "radio": 1, "payload": "c0db00"}
    assert await desk.order(**inject) == {"received": True}
    assert await desk.order(**inject, crc_ok=False) == {"received": True}
    balance = await desk.order(order="balance")
    assert (balance["sent"], balance["receivable"]) == (2, 1)
    assert balance["frames"][0]["payload"] == "c0db00"
    counts = await desk.order(order="counts")
    assert counts == {"sent": 2, "finished": False, "unacknowledged": 2}


async def test_strength_can_be_chosen(desk: Desk) -> None:
    await desk.set_up()
    await desk.order(
        order="inject", concentrator="pier", radio=0, payload="00", rssi_dbm=-97, snr_db=-3
    )
    board = desk.site.concentrators["pier"].board
    assert isinstance(board, Board)
    (event,) = board.session.unacknowledged
    assert (event.packet_rssi, event.packet_snr) == (63, 0xF4)


async def test_a_chip_that_does_not_listen_receives_nothing(desk: Desk) -> None:
    """Not set up, busy, or without power."""
    inject = {"order": "inject", "concentrator": "pier", "radio": 0, "payload": "00"}
    assert await desk.order(**inject) == {"received": False}
    await desk.set_up()
    await desk.order(order="fault", concentrator="pier", fault="unplug", duration_s=0)
    assert await desk.order(**inject) == {"received": False}
    assert (await desk.order(order="counts"))["sent"] == 0


@pytest.mark.parametrize("kind", list(FaultKind))
async def test_every_kind_of_fault_can_be_ordered(desk: Desk, kind: FaultKind) -> None:
    """The answer comes when it is over and names the device."""
    answer = await desk.order(order="fault", concentrator="roof", fault=kind, duration_s=0.01)
    assert answer == {"device": desk.site.concentrators["roof"].port.device}
    assert str(answer["device"]).startswith("/dev/pts/")


async def test_an_unplug_of_no_duration_lasts_until_a_replug(desk: Desk) -> None:
    fault = {"order": "fault", "concentrator": "roof"}
    assert await desk.order(**fault, fault="unplug", duration_s=0) == {"device": None}
    assert desk.site.concentrators["roof"].board is None
    assert (await desk.order(**fault, fault="replug"))["device"]
    assert desk.site.concentrators["roof"].board is not None


async def test_a_fault_that_lasts_does_not_keep_others_waiting(desk: Desk) -> None:
    """Each connection is served for itself."""
    stall = asyncio.create_task(
        desk.order(order="fault", concentrator="roof", fault="stall", duration_s=0.3)
    )
    await until(lambda: desk.site.concentrators["roof"].port.stalled)
    await desk.order(order="fault", concentrator="roof", fault="reboot", duration_s=0)
    assert (await desk.order(order="counts"))["sent"] == 0
    assert not stall.done()
    await stall


async def test_garbage_comes_out_of_the_line(desk: Desk) -> None:
    host = LineHost(desk.site.directory / "roof")
    assert await desk.order(order="garbage", concentrator="roof", data="deadbeef00") == {}
    await until(lambda: b"\xde\xad\xbe\xef\x00" in host.raw)
    host.close()


async def test_timings_tell_of_each_event(desk: Desk) -> None:
    host = LineHost(desk.site.directory / "pier")
    await host.set_up()
    await until(lambda: all(r.managed for n, _, r in desk.site.chips() if n == "pier"))
    await asyncio.sleep(0.01)
    await desk.order(order="inject", concentrator="pier", radio=0, payload="ab")
    await until(lambda: host.payloads() == [b"\xab"])
    await until(lambda: desk.site.balance.timings()[0]["acknowledged"])
    (timing,) = (await desk.order(order="timings"))["events"]
    assert timing["payload"] == "ab"
    assert timing["written"] <= timing["acknowledged"]
    host.close()


async def test_silence_is_passed_on(desk: Desk) -> None:
    assert await desk.order(order="silence") == {}
    assert desk.silenced == 1


BAD_ORDERS: list[tuple[object, str]] = [
    (5, "an order is a JSON object"),
    ([], "an order is a JSON object"),
    ({}, "order must be one of fault, inject, garbage, balance, counts, timings, silence"),
    ({"order": "explode"}, 'not "explode"'),
    ({"order": ["fault"]}, "order must be one of"),
    ({"order": "fault"}, "concentrator must be one of roof, pier, not null"),
    ({"order": "fault", "concentrator": "moon", "fault": "stall"}, 'not "moon"'),
    ({"order": "fault", "concentrator": "roof"}, "fault must be one of link_drop, unplug"),
    ({"order": "fault", "concentrator": "roof", "fault": "fire"}, 'not "fire"'),
    *(
        (
            {"order": "fault", "concentrator": "roof", "fault": "stall", "duration_s": value},
            "duration_s must be a number from 0 to 86400",
        )
        for value in (-1, float("nan"), float("inf"), "long", None, True, [1])
    ),
    ({"order": "garbage", "concentrator": "moon", "data": "00"}, 'not "moon"'),
    ({"order": "garbage", "concentrator": "roof"}, "data must be up to"),
    ({"order": "garbage", "concentrator": "roof", "data": "0"}, "data must be up to"),
    *(
        (
            {"order": "inject", "concentrator": "roof", "radio": radio, "payload": "00"},
            "radio must be a number from 0 to 1",
        )
        for radio in (-1, 2, "0", None, 0.5)
    ),
    *(
        (
            {"order": "inject", "concentrator": "roof", "radio": 0, "payload": payload},
            "payload must be up to 255 bytes in hexadecimal digits",
        )
        for payload in ("00" * 256, "xy", 5, None)
    ),
    (
        {
            "order": "inject",
            "concentrator": "roof",
            "radio": 0,
            "payload": "00",
            "snr_db": float("nan"),
        },
        "snr_db must be a number",
    ),
]


@pytest.mark.parametrize(("request_", "reason"), BAD_ORDERS)
async def test_a_bad_order_is_answered_with_the_reason(
    desk: Desk, request_: object, reason: str
) -> None:
    """And changes nothing."""
    await desk.set_up()
    good = b'{"order": "counts"}\n'
    bad, counts = await desk.say(json.dumps(request_).encode() + b"\n", good)
    assert list(bad) == ["error"]
    assert reason in bad["error"]
    assert counts == {"sent": 0, "finished": False, "unacknowledged": 0}
    assert desk.site.ready()


@pytest.mark.parametrize("line", [b"\n", b"{\n", b"\xff\xfe\n", b"[" * 100_000 + b"\n", b"{"])
async def test_what_is_no_json_is_answered_as_such(desk: Desk, line: bytes) -> None:
    (answer,) = await desk.say(line)
    assert answer["error"].startswith("not JSON: ")


async def test_an_overlong_order_ends_its_connection_and_no_other(desk: Desk) -> None:
    reader, writer = await asyncio.open_unix_connection(desk.path)
    writer.write(b" " * 9_000_000 + b"\n")
    assert b"too long" in await reader.readline()
    writer.close()
    assert (await desk.order(order="counts"))["sent"] == 0


async def test_whoever_hangs_up_early_harms_nobody(desk: Desk) -> None:
    for _ in range(20):
        _, writer = await asyncio.open_unix_connection(desk.path)
        writer.write(b'{"order": "balance"}\n{"order": "cou')
        writer.transport.abort()
    assert (await desk.order(order="counts"))["sent"] == 0


@given(st.binary(max_size=200).filter(lambda data: data.strip(b"\n")))
def test_every_line_has_one_answer(tmp_path_factory: pytest.TempPathFactory, line: bytes) -> None:
    """Bytes of all kinds, without a site that they could mean."""
    control = ControlServer(Site(tmp_path_factory.getbasetemp(), {}, 1), lambda: None)
    answer = asyncio.run(control._answer(line))
    assert json.loads(json.dumps(answer)) == answer
