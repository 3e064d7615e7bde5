"""The LoRaWAN stack of a simulated RN2483 or RN2903, as far as it shows on the line.

From the command reference of the modules (DS40001784, DS40001811), "MAC commands". No network is
simulated: :attr:`Mac.answer` is what one would make of the next transmission, so that every reply
of the reference can be had. What comes later on a real module comes at once here.
"""

import re
from dataclasses import dataclass, field

from simulator.fronts.rn2xx3_text import INVALID, is_hex

IDLE_PAUSE_MS = 4_294_967_245
_LONGEST_PAYLOAD = 222
_KEY_BYTES = {"devaddr": 4, "deveui": 8, "appeui": 8, "appkey": 16, "appskey": 16, "nwkskey": 16}
_NEEDED = {"abp": {"devaddr", "appskey", "nwkskey"}, "otaa": {"appeui", "appkey"}}
_REFUSED_AT_ONCE = frozenset({"no_free_ch", "silent", "frame_counter_err_rejoin_needed", "busy"})


@dataclass(slots=True)
class Mac:
    """What the stack remembers.

    Attributes:
        hweui: 16 hex digits; its DevEUI as long as no other is set.
        cannot_pause: so many times ``mac pause`` says 0.
        admits: whether a network accepts a join by OTAA.
        answer: to the next transmission: ``mac_tx_ok``, ``mac_err``, ``mac_rx <port> <hex>``, or
            what is refused at once.
    """

    hweui: str
    cannot_pause: int = 0
    admits: bool = False
    answer: str = "mac_tx_ok"
    _paused_until_us: int = 0
    _joined: bool = False
    _keys: dict[str, str] = field(default_factory=dict)

    def paused(self, now_us: int) -> bool:
        """Whether the radio may be used without it."""
        return now_us < self._paused_until_us

    def obey(self, words: list[str], now_us: int) -> tuple[str, ...]:
        """The replies to the words after ``mac``."""
        match words:
            case ["pause"]:
                return (self._pause(now_us),)
            case ["resume"]:
                self._paused_until_us = 0
                return ("ok",)
            case ["get", "deveui"]:
                return (self._keys.get("deveui", self.hweui),)
            case ["set", name, value] if name in _KEY_BYTES:
                return (self._set_key(name, value),)
            case ["reset" | "save", *_]:
                return ("ok",)
            case ["join", "otaa" | "abp" as mode]:
                return self._join(mode, now_us)
            case ["tx", "cnf" | "uncnf", port, payload]:
                return self._transmit(port, payload, now_us)
        return (INVALID,)

    def _pause(self, now_us: int) -> str:
        if self.cannot_pause:
            self.cannot_pause -= 1
            return "0"
        self._paused_until_us = now_us + IDLE_PAUSE_MS * 1000
        return str(IDLE_PAUSE_MS)

    def _set_key(self, name: str, value: str) -> str:
        if not re.fullmatch(f"[0-9A-Fa-f]{{{2 * _KEY_BYTES[name]}}}", value):
            return INVALID
        self._keys[name] = value.upper()
        return "ok"

    def _join(self, mode: str, now_us: int) -> tuple[str, ...]:
        if not _NEEDED[mode] <= self._keys.keys():
            return ("keys_not_init",)
        if self.paused(now_us):
            return ("mac_paused",)
        self._joined = mode == "abp" or self.admits
        return ("ok", "accepted" if self._joined else "denied")

    def _transmit(self, port: str, payload: str, now_us: int) -> tuple[str, ...]:
        possible = port.isdigit() and 1 <= int(port) <= 223
        if not possible or not is_hex(payload) or len(payload) % 2:
            return (INVALID,)
        if not self._joined:
            return ("not_joined",)
        if self.paused(now_us):
            return ("mac_paused",)
        if len(payload) > 2 * _LONGEST_PAYLOAD:
            return ("invalid_data_len",)
        return (self.answer,) if self.answer in _REFUSED_AT_ONCE else ("ok", self.answer)
