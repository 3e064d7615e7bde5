"""Conversations with an RN2483 or RN2903: what is said, and what must come back, in order.

Each is a generator that yields an :class:`Ask` and gets the reply, or None if none came in time:
the device takes one command at a time, so a conversation reads as it is held. Pure: the session
beside this keeps time and bytes.

Source: RN2483 and RN2903 command reference (DS40001784, DS40001811).
"""

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

from protocol.dialects.rn2xx3_lines import Banner
from protocol.dialects.rn2xx3_settings import (
    RSSI_SINCE,
    RadioSettings,
    can_tune,
    ranges_in_words,
    same_value,
)

REPLY_US = 2_000_000
SIGNAL_REPLY_US = 300_000  # the radio is deaf meanwhile, and a frame without its SNR is a frame
DRAIN_US = 200_000
RESET_US = 3_000_000
PAUSE_RETRY_US = 1_000_000
_PAUSE_ATTEMPTS = 8
_SET_ATTEMPTS = 3
_VERSION_ATTEMPTS = 3

_WORD = re.compile(r"(?!)")  # a reply word, nothing else
_NUMBER = re.compile(r"-?\d{1,10}")
_EUI = re.compile(r"[0-9A-Fa-f]{16}")
_VALUE = re.compile(r"[0-9A-Za-z/\-]{1,16}")


@dataclass(frozen=True, slots=True)
class Ask:
    """Say a line (None = nothing), and wait for a reply.

    Attributes:
        expected: what a reply looks like that is not one of the reply words.
        drain: throw away everything until the time is over.
        banner: the banner is the reply.
    """

    line: str | None
    expected: re.Pattern[str] = _WORD
    patience_us: int = REPLY_US
    drain: bool = False
    banner: bool = False


Reply = str | Banner | None
_T = TypeVar("_T")
Script = Generator[Ask, Reply, _T]


class Trouble(Exception):
    """The device does not do what it should; the recovery ladder is for that."""


class Silence(Trouble):
    """It does not even answer."""


class Refused(Exception):
    """It never will: a person has to change the device or the configuration."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What the device says of itself; ``hardware_eui`` 16 hex digits in lower case."""

    banner: Banner
    hardware_eui: str

    @property
    def tells_rssi(self) -> bool:
        """Older firmware does not know ``radio get rssi``."""
        return self.banner.firmware >= RSSI_SINCE


def wait(time_us: int) -> Script[None]:
    """Say nothing for a while, and throw away what comes."""
    yield Ask(None, patience_us=time_us, drain=True)


def drain() -> Script[None]:
    """End whatever half a line the device may have in its buffer, and forget what it answers."""
    yield Ask("", patience_us=DRAIN_US, drain=True)


def identify(settings: RadioSettings, unique_id: str) -> Script[Identity]:
    """Find out what it is, and whether it can do what is asked.

    Raises:
        Silence: nothing answers.
        Refused: it is another module, or cannot tune to the frequency.
    """
    yield from drain()
    banner = yield from _version()
    if not can_tune(banner.model, settings.frequency_hz):
        other = "an RN2903 can" if can_tune(2903, settings.frequency_hz) else "an RN2483 can"
        raise Refused(
            f"an RN{banner.model} tunes {ranges_in_words(banner.model)}, not"
            f" {settings.frequency_hz / 1e6:g} MHz; {other}"
        )
    eui = yield from _value("sys get hweui", _EUI)
    if unique_id and eui.lower() != unique_id:
        raise Refused(
            f"module {eui.lower()} is not the configured one ({unique_id}); if it was replaced on"
            " purpose, change unique_id"
        )
    return Identity(banner, eui.lower())


def _version() -> Script[Banner]:
    for _ in range(_VERSION_ATTEMPTS):
        reply = yield Ask("sys get ver", banner=True)
        if isinstance(reply, Banner):
            return reply
        yield from drain()
    raise Silence("no RN2483 or RN2903 answers")


def restart() -> Script[None]:
    """``sys reset``: a banner, ``ok``, both or neither follow, by firmware."""
    yield Ask("sys reset", patience_us=RESET_US, banner=True)
    yield from drain()


def pause_lorawan() -> Script[int]:
    """Keep the module's own LoRaWAN stack from the radio; returns for how many milliseconds.

    Raises:
        Trouble: the stack does not let go.
    """
    for _ in range(_PAUSE_ATTEMPTS):
        reply = yield Ask("mac pause", _NUMBER)
        if isinstance(reply, str) and reply.isdigit() and int(reply) > 0:
            return int(reply)
        if reply is None:
            raise Silence("no answer to mac pause")
        if reply != "0":
            raise Trouble(f"mac pause: {reply}")
        yield from wait(PAUSE_RETRY_US)  # it is in the middle of something
    raise Trouble("mac pause: the module's LoRaWAN stack keeps the radio")


def configure(settings: RadioSettings, model: int, watchdog_ms: int) -> Script[None]:
    """Set everything and read it back.

    Raises:
        Trouble: a reply is missing.
        Refused: a setting is not taken.
    """
    values = settings.values(model, watchdog_ms)
    for name, value in values.items():
        for _ in range(_SET_ATTEMPTS):
            reply = yield Ask(f"radio set {name} {value}")
            if reply != "invalid_param":
                break
            yield from drain()  # line noise does that as well, and replies to earlier commands
        else:
            raise Refused(f"the module does not take: radio set {name} {value}")
        if reply != "ok":
            raise Trouble(f"radio set {name}: {reply or 'no answer'}")
    for name, value in values.items():
        reported = yield from _value(f"radio get {name}", _VALUE)
        if not same_value(value, reported):
            raise Trouble(f"radio get {name}: {reported} instead of {value}")


def confirm(settings: RadioSettings, model: int, watchdog_ms: int) -> Script[bool]:
    """Whether two settings are still as they were made; no restart leaves both of them so.

    Raises:
        Trouble: there is no answer.
    """
    values = settings.values(model, watchdog_ms)
    for name in ("freq", "wdt"):
        if not same_value(values[name], (yield from _value(f"radio get {name}", _VALUE))):
            return False
    return True


def open_receiver(*, may_be_open: bool) -> Script[bool]:
    """``radio rx 0``: listen until a packet comes; True if the receiver was closed before.

    Raises:
        Trouble: ``busy``, although the receiver should be closed; or anything but ``ok``.
    """
    reply = yield Ask("radio rx 0")
    if reply == "ok" or (reply == "busy" and may_be_open):
        return reply == "ok"
    if reply is None:
        raise Silence("no answer to radio rx 0")
    raise Trouble(f"radio rx 0: {reply}")


def stop_receiver() -> Script[bool]:
    """``radio rxstop``; False if this firmware does not know it.

    Raises:
        Trouble: it is not obeyed.
    """
    reply = yield Ask("radio rxstop")
    if reply in ("ok", "invalid_param"):
        return reply == "ok"
    raise Trouble(f"radio rxstop: {reply or 'no answer'}")


def read_signal(*, rssi: bool) -> Script[tuple[int | None, int | None]]:
    """SNR in dB and RSSI in dBm of the last packet, None for what the device does not say."""
    numbers: list[int | None] = []
    for name in ("snr", "rssi") if rssi else ("snr",):
        reply = yield Ask(f"radio get {name}", _NUMBER, SIGNAL_REPLY_US)
        number = int(reply) if isinstance(reply, str) and _NUMBER.fullmatch(reply) else None
        numbers.append(number)
    return numbers[0], numbers[1] if rssi else None


def read_supply() -> Script[int | None]:
    """Supply voltage in mV; None if the device answers, but not that.

    Raises:
        Silence: it does not answer.
    """
    reply = yield Ask("sys get vdd", _NUMBER)
    if reply is None:
        raise Silence("no answer to sys get vdd")
    return int(reply) if isinstance(reply, str) and reply.isdigit() else None


def _value(line: str, expected: re.Pattern[str]) -> Script[str]:
    """A question that may be asked again: noise may have spoilt it."""
    for _ in range(2):
        reply = yield Ask(line, expected)
        if isinstance(reply, str) and expected.fullmatch(reply) and reply != "busy":
            return reply
        yield from drain()
    raise Trouble(f"{line}: no answer of use")
