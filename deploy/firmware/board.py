"""The board: one loop that looks after line, radios, transmissions, heartbeat and watchdog."""

import struct
from time import sleep_ms, ticks_diff

import machine
import status
from fields import Malformed
from radio import RECEIVING
from register_lists import read_operations, read_pairs, run
from session import (
    BOARD_HELLO,
    CANCEL_TRANSMIT,
    MAGIC,
    RECEIVE_PROFILE,
    REGISTERS,
    RESET,
    TRANSMIT,
    WHOLE_BOARD,
    Session,
)
from transmitter import QUEUE, Transmitter, read_transmit

FIRMWARE = b"lora-edge-micropython 1.0"
MAX_REQUESTS = 4
_CAPABILITIES = 0b1111  # transmits at once and at a time, records ValidHeader, scrubs
_HEARTBEAT, _RADIO_FAULT = 0x42, 0x43
_UNKNOWN_TEMPERATURE = 0x8000
_SECOND_US = 1_000_000
WATCHDOG_MS = 2000


class Board:
    """One boot.

    Args:
        chip_kind: 76 to 79.
        wiring: bit 0 TCXO, bit 1 PA_BOOST.
    """

    def __init__(self, radios, line, ring, counter, boot_id, reset_cause, chip_kind, wiring):
        self._radios = radios
        self._line = line
        self._ring = ring
        self._counter = counter
        self._boot_id = boot_id
        self._reset_cause = reset_cause
        self._chip_kind = chip_kind
        self._wiring = wiring
        self._wants_reset = False
        self._out = b""
        self._beat_at = counter.now() + _SECOND_US
        self._session = Session(
            ring, counter, self._describe, self._read_request, self._carry_out, self._end_session
        )
        self._transmitter = Transmitter(counter, ring, self._session.send, self._meanwhile)
        self._watchdog = machine.WDT(timeout=WATCHDOG_MS)

    def run(self):
        """For ever, or until the host asks for a restart."""
        while not self._wants_reset:
            self.turn()
        for _ in range(200):  # the answer goes out first
            self._talk()
            sleep_ms(1)
        machine.reset()

    def turn(self):
        """Everything once; takes a few milliseconds at most."""
        for radio in self._radios:
            radio.look()
        self._meanwhile()
        now = self._counter.now()
        data = self._line.read()
        if data:
            self._session.receive(data)
        self._session.tick(now)
        if now >= self._beat_at:
            self._beat(now)
        self._transmitter.serve()
        if not self._talk() and not data:
            machine.idle()

    def _meanwhile(self):
        """What may not wait for anything: packets that a next one would overwrite."""
        self._watchdog.feed()
        radio = self._first_done()
        while radio is not None:
            radio.take(self._ring)
            radio = self._first_done()

    def _first_done(self):
        """The radio whose packet ended first, since events are numbered in that order; or None."""
        first = None
        for radio in self._radios:
            if not radio.done or radio.state != RECEIVING:
                continue
            if first is None or ticks_diff(radio.done_tick, first.done_tick) < 0:
                first = radio
        return first

    def _talk(self):
        """Put the next bytes on the line; False if there are none."""
        if not self._out:
            frame = self._session.next_frame()
            if frame is None:
                return False
            self._out = bytes(frame)
        sent = self._line.write(self._out)
        self._out = self._out[sent:]
        return sent > 0

    def _end_session(self):
        self._transmitter.forget()

    def _describe(self, nonce):
        unique_id = machine.unique_id()
        body = struct.pack(
            "<BBB4sBBIQBIHBBI", BOARD_HELLO, WHOLE_BOARD, 0, MAGIC, 1, 0, nonce, self._boot_id,
            self._reset_cause, _CAPABILITIES, self._ring.capacity, MAX_REQUESTS, QUEUE,
            self._ring.acknowledged + 1,
        )  # fmt: skip
        body += bytes((len(unique_id),)) + unique_id
        body += bytes((len(FIRMWARE),)) + FIRMWARE
        body += bytes((len(self._radios),))
        for radio in self._radios:
            body += bytes((self._chip_kind, radio.version, self._wiring))
        return body

    def _read_request(self, kind, fields):
        if kind == REGISTERS:
            flags = fields.u8()
            return flags & 1, read_operations(fields)
        if kind == RECEIVE_PROFILE:
            flags = fields.u8()
            pairs = read_pairs(fields)
            return pairs if flags & 1 else None
        if kind == TRANSMIT:
            return read_transmit(fields)
        if kind == CANCEL_TRANSMIT:
            return fields.u16()
        if kind == RESET:
            return None
        raise Malformed

    def _carry_out(self, kind, index, message):
        """Do what is asked: status code, index, data."""
        if kind == RESET and index == WHOLE_BOARD:
            self._wants_reset = True
            return status.OK, 0, b""
        if kind == CANCEL_TRANSMIT:
            return self._transmitter.cancel(message), 0, b""
        if index >= len(self._radios):
            return status.BAD_REQUEST, 0, b""
        radio = self._radios[index]
        if kind == TRANSMIT:
            return self._transmitter.request(radio, message), 0, b""
        if kind == REGISTERS:
            skip, operations = message
            return run(radio, operations, skip, self._meanwhile)
        self._meanwhile()  # a packet that has come in under the old profile is not given up
        self._transmitter.stop(radio)
        code, at = radio.restart() if kind == RESET else radio.set_profile(message)
        return code, at, b""

    def _beat(self, now):
        """Scrub, and the sign of life."""
        self._beat_at = now + _SECOND_US
        for radio in self._radios:
            register = radio.scrub()
            if register is not None:
                self._session.send(bytes((_RADIO_FAULT, radio.index, 0, register)))
        ring = self._ring
        body = struct.pack(
            "<BBBQIHHIIHHB", _HEARTBEAT, WHOLE_BOARD, 0, self._counter.now(), ring.last,
            ring.used(), ring.high_water, ring.overflow, self._session.link_errors(),
            _UNKNOWN_TEMPERATURE, 0, len(self._radios),
        )  # fmt: skip
        for radio in self._radios:
            body += struct.pack(
                "<BIIIHB", radio.state, radio.received, radio.crc_errors, radio.transmitted,
                min(radio.faults, 0xFFFF), radio.noise_rssi(),
            )  # fmt: skip
        self._session.send(body)
