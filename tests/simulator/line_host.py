"""A host at a simulated board's tty: opens the real device and speaks the link."""

import asyncio
import os
import random
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic_ns

from protocol.link.host_session import (
    EventReceived,
    HostEvent,
    HostSession,
    NoticeReceived,
    ReplyReceived,
    SessionOpened,
)
from protocol.link.messages import BOARD, Heartbeat, Message, ReceiveProfile, RxEvent, Status

DEADLINE_S = 10.0

PROFILE = (
    (0x06, 0xE6), (0x07, 0x59), (0x08, 0x9A),  # 921.4 MHz
    (0x1D, 0x72), (0x1E, 0x74), (0x26, 0x04),  # 125 kHz, 4/5, SF7, CRC, AGC
    (0x39, 0x34),
)  # fmt: skip
"""A receive profile from the data sheet: 921.4 MHz, SF7, public sync word."""


def now_us() -> int:
    return monotonic_ns() // 1000


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Poll a condition; fails after a deadline."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"not within {DEADLINE_S:.0f} s: {what or condition}") from None


class LineHost:
    """Reads and writes a tty while it is open; keeps everything that the board said."""

    def __init__(self, path: Path, *, window: int = 64, acknowledges: bool = True) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self._fd)
        chance = random.Random(str(path))
        self.session = HostSession(
            window=window, new_nonce=lambda: chance.randrange(1, 1 << 32), now_us=now_us()
        )
        self.acknowledges = acknowledges
        self.heard: list[HostEvent] = []
        self.raw = bytearray()
        self.gone = False
        asyncio.get_running_loop().add_reader(self._fd, self._read)
        self._ticker = asyncio.create_task(self._tick())

    def close(self) -> None:
        """Let go of the device."""
        self._ticker.cancel()
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def write(self, data: bytes) -> None:
        """Put any bytes on the line; what does not fit is lost."""
        with suppress(BlockingIOError, OSError):
            os.write(self._fd, data)

    def stop_reading(self) -> None:
        """As a host that hangs."""
        asyncio.get_running_loop().remove_reader(self._fd)

    def start_reading(self) -> None:
        """And that comes back."""
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    async def ask(self, message: Message, radio: int = BOARD) -> Status:
        """Make a request and wait for its answer."""
        await until(lambda: self.session.open, "a session")
        request = self.session.request(message, radio, now_us())
        self._flush()
        answers: list[Status] = []

        def answered() -> bool:
            answers.extend(
                event.status
                for event in self.heard
                if isinstance(event, ReplyReceived) and event.request == request
            )
            return bool(answers)

        await until(answered, f"an answer to {message}")
        self.heard = [e for e in self.heard if not isinstance(e, ReplyReceived)]
        return answers[0]

    async def set_up(self, radios: int = 1) -> None:
        """Give every radio a profile and let events come."""
        for radio in range(radios):
            status = await self.ask(ReceiveProfile(PROFILE), radio)
            assert status == Status(status.code.OK)
        self.session.grant(now_us())
        self._flush()

    def opened(self) -> list[SessionOpened]:
        """The board's greetings."""
        return [event for event in self.heard if isinstance(event, SessionOpened)]

    def events(self) -> list[RxEvent]:
        """All receptions."""
        return [event.event for event in self.heard if isinstance(event, EventReceived)]

    def payloads(self) -> list[bytes]:
        """What was received."""
        return [event.payload for event in self.events()]

    def heartbeats(self) -> list[Heartbeat]:
        """The board's signs of life."""
        notices = [event.notice for event in self.heard if isinstance(event, NoticeReceived)]
        return [notice for notice in notices if isinstance(notice, Heartbeat)]

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 65_536)
        except BlockingIOError:
            return
        except OSError:  # EIO: the device is gone
            data = b""
        if not data:
            self.gone = True
            self.stop_reading()
            return
        self.raw += data
        self.session.receive(data, now_us())
        while (event := self.session.next_event()) is not None:
            self.heard.append(event)
            if isinstance(event, EventReceived) and self.acknowledges:
                self.session.acknowledge(event.event.number, now_us())
        self._flush()

    def _flush(self) -> None:
        if data := self.session.bytes_to_send():
            self.write(data)

    async def _tick(self) -> None:
        while True:
            self.session.handle_timer(now_us())
            self._flush()
            await asyncio.sleep(0.01)
