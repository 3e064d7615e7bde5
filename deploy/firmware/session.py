"""The board's end of a session: greetings, lease, window, going back (link, sections 4 and 5)."""

import struct

import framing
from fields import Fields, Malformed

HOST_HELLO, ACKNOWLEDGE, TIME_REQUEST, REGISTERS, RECEIVE_PROFILE = 0x01, 0x02, 0x03, 0x04, 0x05
TRANSMIT, CANCEL_TRANSMIT, RESET = 0x06, 0x07, 0x08
BOARD_HELLO, TIME, STATUS, REJECTED = 0x81, 0x83, 0x84, 0x45
MAGIC = b"LoRa"
WHOLE_BOARD = 0xFF

_SECOND_US = 1_000_000
_MAX_WAITING = 16
"""Replies and notices that wait for the line; beyond that the oldest is dropped."""


class Session:
    """What the host may have, and when.

    Args:
        describe: makes the fields of BOARD_HELLO around its nonce.
        read_request: parses what follows the header of a request; raises Malformed.
        carry_out: does it: status code, index, data.
        on_end: called when the host fell silent or another one began.
    """

    def __init__(self, ring, counter, describe, read_request, carry_out, on_end):
        self._ring = ring
        self._counter = counter
        self._describe = describe
        self._read_request = read_request
        self._carry_out = carry_out
        self._on_end = on_end
        self._decoder = framing.Decoder()
        self._waiting = []
        self._unexpected = 0
        self._window = 0
        self._next = 1
        self._lease_us = 0  # 0 = no session
        now = counter.now()
        self._heard = self._hello_at = now
        self._resend_at = None

    def link_errors(self):
        """Frames and messages that were of no use."""
        return self._decoder.errors + self._unexpected

    def receive(self, data):
        """Take bytes from the line."""
        self._decoder.feed(data, self._take)

    def send(self, body):
        """Put a reply or a notice in line for sending."""
        if len(self._waiting) >= _MAX_WAITING:
            self._waiting.pop(0)
        self._waiting.append(body)

    def next_frame(self):
        """The next frame for the line, replies first; None if there is nothing to say."""
        if self._waiting:
            return framing.encode(self._waiting.pop(0))
        ring = self._ring
        if not self._lease_us or self._next > min(ring.last, ring.acknowledged + self._window):
            return None
        body = ring.body(self._next)
        self._next += 1
        if self._resend_at is None:
            self._resend_at = self._counter.now() + _SECOND_US
        return framing.encode(body)

    def tick(self, now):
        """Do what is due."""
        if self._lease_us:
            if now - self._heard >= self._lease_us:
                self._lease_us = 0
                self._on_end()
            elif self._resend_at is not None and now >= self._resend_at:
                self._go_back()
        elif now >= self._hello_at:
            self._hello_at = now + _SECOND_US
            self.send(self._describe(0))

    def _take(self, body):
        kind, radio, request = body[0], body[1], body[2]
        fields = Fields(body)
        fields.raw(3)
        try:
            message = self._read(kind, fields)
        except Malformed:
            self._unexpected += 1
            self.send(bytes((REJECTED, WHOLE_BOARD, 0, kind)))
            return
        self._heard = self._counter.now()
        if kind == HOST_HELLO:
            self._open(*message)
        elif not self._lease_us:
            self._unexpected += 1
        elif kind == ACKNOWLEDGE:
            self._acknowledge(*message)
        elif kind == TIME_REQUEST:
            self.send(struct.pack("<BBBIQ", TIME, WHOLE_BOARD, 0, message, self._counter.now()))
        else:
            code, index, data = self._carry_out(kind, radio, message)
            self.send(bytes((STATUS, radio, request, code, index)) + data)

    def _read(self, kind, fields):
        if kind == HOST_HELLO:
            if fields.raw(4) != MAGIC:
                raise Malformed
            fields.raw(2)  # the version: the host ends the attempt if it does not like ours
            return fields.u32(), fields.u16()
        if kind == ACKNOWLEDGE:
            return fields.u32(), fields.u16(), fields.u8()
        if kind == TIME_REQUEST:
            return fields.u32()
        return self._read_request(kind, fields)

    def _open(self, nonce, lease_ms):
        self._on_end()
        self._waiting.clear()  # meant for an earlier host
        self._lease_us = lease_ms * 1000
        self._window = 0
        self._go_back()
        self.send(self._describe(nonce))

    def _acknowledge(self, number, window, flags):
        if not self._ring.acknowledge(number):
            self._unexpected += 1
            return
        self._window = window
        if flags & 1 or self._next <= number:
            self._go_back()
        outstanding = self._next > number + 1
        self._resend_at = self._counter.now() + _SECOND_US if outstanding else None

    def _go_back(self):
        self._next = self._ring.acknowledged + 1
        self._resend_at = None
