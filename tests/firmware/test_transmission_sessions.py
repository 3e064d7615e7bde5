"""Whose transmission is it: hosts come and go, and each counts its ids from 1."""

import asyncio
from functools import partial

from protocol.link.host_session import HostSession, NoticeReceived
from protocol.link.messages import StatusCode, Transmit, TransmitDone, TransmitMode
from tests.firmware.devices import FirmwareDevice
from tests.firmware.micropython_board import needs_micropython
from tests.simulator.line_host import LineHost, now_us, until

pytestmark = needs_micropython

LEASE_MS, NONCE = 400, 77

LONG = Transmit(1, TransmitMode.NOW, 0, 0, ((0x1E, 0x94),), bytes(255))
"""At SF9 it takes 1.3 s."""


def at_once(transmit_id: int, payload: bytes) -> Transmit:
    """A frame to send at once."""
    return Transmit(transmit_id, TransmitMode.NOW, 0, 0, (), payload)


def done(host: LineHost) -> list[tuple[int, StatusCode]]:
    """What the board has said of transmissions."""
    notices = [event.notice for event in host.heard if isinstance(event, NoticeReceived)]
    return [(told.transmit_id, told.code) for told in notices if isinstance(told, TransmitDone)]


async def test_an_id_of_an_earlier_host_is_free_again(device: FirmwareDevice) -> None:
    """A host that was started anew gets its own frame sent, not the answer to another one's."""
    sent = device.board().bus.sent
    for payload in (b"of the first host", b"of the second host"):
        host = LineHost(device.port)
        try:
            await host.set_up(radios=1)
            assert (await host.ask(at_once(1, payload), 0)).code is StatusCode.OK
            await until(partial(done, host), "TRANSMIT_DONE")
            assert done(host) == [(1, StatusCode.OK)]
        finally:
            host.close()
        assert sent[-1][1].payload == payload
    assert len(sent) == 2


async def test_a_host_hears_nothing_of_frames_that_it_did_not_ask_for(
    device: FirmwareDevice,
) -> None:
    """A frame that is on the air while hosts change is sent to its end, without a word."""
    first = LineHost(device.port)
    try:
        await first.set_up(radios=1)
        assert (await first.ask(LONG, 0)).code is StatusCode.OK
    finally:
        first.close()
    second = LineHost(device.port)
    try:
        sent = device.board().bus.sent
        await until(lambda: second.session.open, "a session")
        assert sent == []
        await until(lambda: sent, "the end of the frame")
        known = len(second.heartbeats())
        await until(lambda: len(second.heartbeats()) > known + 1, "heartbeats behind it")
        assert done(second) == []
    finally:
        second.close()


async def test_a_lease_that_ends_cancels_what_is_planned(device: FirmwareDevice) -> None:
    """A silent host's frames are not sent; the board hears on into its ring, and greets again."""
    host = LineHost(device.port)
    host.session = HostSession(
        window=64, new_nonce=lambda: NONCE, now_us=now_us(), lease_ms=LEASE_MS
    )
    try:
        await host.set_up(radios=1)
        await device.hear_on(0, b"the last that it hears")
        await until(host.events, "an event")
        number = host.events()[-1].number
        planned = Transmit(1, TransmitMode.AFTER_EVENT, 2 * LEASE_MS * 1000, number, (), b"planned")
        assert (await host.ask(planned, 0)).code is StatusCode.OK
    finally:
        host.close()
    await asyncio.sleep(3 * LEASE_MS / 1000)
    assert device.board().bus.sent == []
    await device.hear_on(0, b"nobody listens")
    other = LineHost(device.port)
    try:
        await until(lambda: other.session.open, "a session")
        other.session.grant(now_us())
        await until(lambda: b"nobody listens" in other.payloads())
        assert done(other) == []
    finally:
        other.close()
    assert device.board().bus.sent == []
