"""Transmissions at a time of the counter (link, section 9): accepted, sent in time, or refused.

A frame starts between the asked time and :data:`WINDOW_US` after it. What makes that impossible,
at the request or in the last moment, is answered TOO_LATE, and nothing is sent. Should something
hold the board up in the very moment of the order, the clock shows it right afterwards, and the
frame is cut off in its preamble, so that nobody takes it for one.
"""

import struct
from time import ticks_us

import status
from airtime import time_on_air_us
from fields import Malformed
from radio import (
    DIO_MAPPING_1,
    FIFO,
    FIFO_ADDR_PTR,
    IRQ_FLAGS,
    IRQ_FLAGS_MASK,
    OP_MODE,
    OWNED,
    STANDBY,
    TRANSMITTING,
)

NOW, AT_COUNT, AFTER_EVENT = 0, 1, 2
TRANSMIT_DONE = 0x44
TX_DONE = 0x08  # in RegIrqFlags
FIFO_TX_BASE, PAYLOAD_LENGTH = 0x0E, 0x22
LOCK_PLL, SEND = 0x82, 0x83

QUEUE = 4
LEAD_US = 10_000
"""So long before its start a frame is taken in hand."""

LEAVE_US = 5_000
"""Reception ends so long before the start: setting up takes some milliseconds."""

WINDOW_US = 500
"""So late a frame may start. The order is given in the first part of it or not at all."""

_ORDER_US = 200

MAX_AHEAD_US = 60_000_000
_REMEMBERED = 16


def read_transmit(fields):
    """The fields of TRANSMIT.

    Raises:
        Malformed: they break the specification.
    """
    transmit_id, mode, at, after = fields.u16(), fields.u8(), fields.u64(), fields.u32()
    if mode > AFTER_EVENT:
        raise Malformed
    pairs = fields.raw(2 * fields.u8())
    if any(pairs[index] > 0x7F for index in range(0, len(pairs), 2)):
        raise Malformed
    return transmit_id, mode, at, after, pairs, fields.short()


class Planned:
    """An accepted frame.

    Attributes:
        timed: it is to start at ``at``, and not merely soon.
        at: count at which its first symbol is to leave; ``end`` is when its last one has left.
        wanted: the host that asked for it is still there to hear of it.
    """

    def __init__(self, transmit_id, radio, timed, at, end, pairs, payload):
        self.transmit_id = transmit_id
        self.radio = radio
        self.timed = timed
        self.at = at
        self.end = end
        self.pairs = pairs
        self.payload = payload
        self.kept = None
        self.started = 0
        self.wanted = True


class Transmitter:
    """The queue of all radios of the board."""

    def __init__(self, counter, ring, send, meanwhile):
        self._counter = counter
        self._ring = ring
        self._send = send
        self._meanwhile = meanwhile
        self._queue = []
        self._on_air = []
        self._answers = []

    def request(self, radio, message):
        """Accept or refuse a frame: status code. The same id is answered as before."""
        for transmit_id, code in self._answers:
            if transmit_id == message[0]:
                return code
        code = self._plan(radio, *message)
        if code != status.BUSY:  # a full queue is no answer for good
            self._answers.append((message[0], code))
            if len(self._answers) > _REMEMBERED:
                self._answers.pop(0)
        return code

    def _plan(self, radio, transmit_id, mode, at, after, pairs, payload):
        if not payload:
            return status.BAD_REQUEST
        if radio.shadow is None or any(pairs[i] in OWNED for i in range(0, len(pairs), 2)):
            return status.REFUSED
        if len(self._queue) + len(self._on_air) >= QUEUE:
            return status.BUSY
        now = self._counter.now()
        if mode == NOW:
            at = now + LEAD_US
        elif mode == AFTER_EVENT:
            event = self._ring.body(after)
            if event is None:
                return status.BAD_REQUEST
            at += struct.unpack_from("<Q", event, 7)[0]
        length_us = time_on_air_us(lambda address: _value(radio, pairs, address), len(payload))
        planned = Planned(transmit_id, radio, mode != NOW, at, at + length_us, pairs, payload)
        code = self._see_time(planned)
        if code == status.OK:
            self._queue.append(planned)
        return code

    def _see_time(self, planned):
        """Whether there is time for a frame: status code."""
        now, at = self._counter.now(), planned.at
        if at < now + LEAD_US // 2:
            return status.TOO_LATE
        if at > now + MAX_AHEAD_US:
            return status.TOO_EARLY
        if any(_overlap(planned, other) for other in self._queue + self._on_air):
            return status.COLLISION
        if any(_hinder(planned, other) for other in self._queue):
            return status.COLLISION
        return status.OK

    def cancel(self, transmit_id):
        """Take a frame back that has not begun: status code."""
        for planned in self._queue:
            if planned.transmit_id == transmit_id:
                self._queue.remove(planned)
                self._tell(planned, status.REFUSED, 0)
                return status.OK
        busy = any(planned.transmit_id == transmit_id for planned in self._on_air)
        return status.BUSY if busy else status.BAD_REQUEST

    def forget(self):
        """Cancel what has not begun, and its host's ids: the next host counts from 1 as well."""
        self._queue.clear()
        self._answers.clear()
        for planned in self._on_air:
            planned.wanted = False

    def stop(self, radio):
        """Cancel all of one radio, which is about to be set up anew."""
        for queue in (self._queue, self._on_air):
            for planned in queue[:]:
                if planned.radio is radio:
                    queue.remove(planned)
                    self._tell(planned, status.REFUSED, 0)

    def serve(self):
        """Begin what is due, end what has been sent or should have been."""
        for planned in self._on_air[:]:
            passed_us = self._counter.now() - planned.started
            length_us = planned.end - planned.at
            if (planned.radio.done or passed_us >= length_us) and self._has_ended(planned):
                self._end(planned)
            elif passed_us > 2 * length_us:
                self._give_up(planned)
        for planned in self._queue[:]:
            if self._counter.now() >= planned.at - LEAD_US:
                self._queue.remove(planned)
                self._begin(planned)

    def _begin(self, planned):
        radio, now = planned.radio, self._counter.now
        if planned.timed and now() > planned.at:
            self._tell(planned, status.TOO_LATE, 0)
            return
        changed = [planned.pairs[index] for index in range(0, len(planned.pairs), 2)]
        changed += [FIFO_TX_BASE, PAYLOAD_LENGTH]
        planned.kept = [(address, radio.chip.read(address)) for address in changed]
        self._wait_until(planned, LEAVE_US)
        self._meanwhile()  # a packet that is there already is not given up
        self._load(planned)
        self._wait_until(planned, 1000)
        while planned.timed and now() < planned.at:
            pass
        if self._order(planned):
            self._on_air.append(planned)
        else:
            self._restore(planned)
            self._tell(planned, status.TOO_LATE, 0)

    def _wait_until(self, planned, before_us):
        while planned.timed and planned.at - self._counter.now() > before_us:
            self._meanwhile()

    def _order(self, planned):
        """Give the order to send; False if that was not in the window."""
        now = self._counter.now
        planned.started = now()
        if planned.timed and planned.started - planned.at > _ORDER_US:
            return False
        planned.radio.chip.write(OP_MODE, SEND)
        if planned.timed and now() - planned.at > WINDOW_US:
            planned.radio.chip.write(OP_MODE, STANDBY)
            return False
        return True

    def _load(self, planned):
        """Everything but the order to send. Nothing is read, so that it takes no time."""
        radio, pairs = planned.radio, planned.pairs
        chip = radio.chip
        chip.write(OP_MODE, STANDBY)
        radio.state = TRANSMITTING
        radio.done = False
        for index in range(0, len(pairs), 2):
            chip.write(pairs[index], pairs[index + 1])
        chip.write(FIFO_TX_BASE, 0)
        chip.write(FIFO_ADDR_PTR, 0)
        chip.write_from(FIFO, planned.payload)
        chip.write(PAYLOAD_LENGTH, len(planned.payload))
        chip.write(DIO_MAPPING_1, 0x40)  # DIO0 TxDone
        chip.write(IRQ_FLAGS_MASK, 0)
        chip.write(IRQ_FLAGS, 0xFF)
        chip.write(OP_MODE, LOCK_PLL)

    def _restore(self, planned):
        """Receive again, with all registers as they were."""
        radio = planned.radio
        radio.enter_standby()
        for address, value in reversed(planned.kept):
            radio.chip.write(address, value)
        radio.arm()

    def _has_ended(self, planned):
        """Ask the chip: an edge may be a late one of a reception, or may have been missed."""
        radio = planned.radio
        if not radio.chip.read(IRQ_FLAGS) & TX_DONE:
            radio.done = False
            return False
        if not radio.done:
            radio.done_tick = ticks_us()
        return True

    def _end(self, planned):
        ended = self._counter.at(planned.radio.done_tick)
        planned.radio.transmitted += 1
        self._on_air.remove(planned)
        self._restore(planned)
        self._tell(planned, status.OK, ended)

    def _give_up(self, planned):
        radio = planned.radio
        self._on_air.remove(planned)
        radio.faults += 1
        radio.restart()
        self._tell(planned, status.RADIO_FAULT, 0)

    def _tell(self, planned, code, ended):
        if not planned.wanted:
            return
        self._send(
            struct.pack(
                "<BBBHBQQ", TRANSMIT_DONE, planned.radio.index, 0,
                planned.transmit_id, code, planned.started if ended else 0, ended,
            )
        )  # fmt: skip


def _value(radio, pairs, address):
    """What a register will hold while the frame is sent."""
    for known in (pairs, radio.shadow):
        for index in range(len(known) - 2, -1, -2):
            if known[index] == address:
                return known[index + 1]
    return radio.chip.read(address)


def _overlap(one, other):
    """Whether one radio would have to send both at a time."""
    return (
        one.radio is other.radio and one.at - LEAD_US < other.end and other.at - LEAD_US < one.end
    )


def _hinder(one, other):
    """Whether two starts, of any radios, are so close that the board could meet only one."""
    return (one.timed or other.timed) and abs(one.at - other.at) < LEAD_US
