"""Parts of the firmware by themselves, under MicroPython: framing, memory, interrupts."""

import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

from protocol.link.framing import MAX_BODY, FrameDecoder, encode_frame
from tests.firmware.chip_bus import FIRMWARE
from tests.firmware.micropython_board import HEAP, interpreter, needs_micropython
from tests.scale import SCALE

pytestmark = needs_micropython

FUZZ = 10_000 * SCALE

FRAMES_OUT = """
import sys, framing
from binascii import hexlify, unhexlify
assert framing.crc16(b"123456789") == 0x29B1
for line in sys.stdin:
    print(hexlify(framing.encode(unhexlify(line.strip()))).decode())
"""

FRAMES_IN = """
import sys, framing
from binascii import hexlify, unhexlify
decoder = framing.Decoder()
for line in sys.stdin:
    decoder.feed(unhexlify(line.strip()), lambda body: print(hexlify(body).decode()))
print(decoder.errors)
"""

HOSTILE = """
import random, sys
sys.path.insert(0, "{shim}")
from counter import Counter
from fields import Malformed
from ring import Ring
import framing, register_lists, transmitter
from session import Session
random.seed({seed})

def read_request(kind, fields):
    if kind == 4:
        return fields.u8(), register_lists.read_operations(fields)
    if kind == 5:
        return fields.u8(), register_lists.read_pairs(fields)
    if kind == 6:
        return transmitter.read_transmit(fields)
    raise Malformed

hello = framing.encode(b"\\x01\\xff\\x00LoRa\\x01\\x00\\x78\\x56\\x34\\x12\\x10\\x27")
session = Session(
    Ring(4), Counter(), lambda nonce: b"\\x81\\xff\\x00" + nonce.to_bytes(4, "little"),
    read_request, lambda kind, radio, message: (0, 0, b""), lambda: None,
)
answered = 0
for number in range({count}):
    data = bytes(random.getrandbits(8) for _ in range(random.randrange(40)))
    if number % 3 == 0:
        data = bytes((random.randrange(9), random.randrange(4), number & 255)) + data
        data = bytes(framing.encode(data))
    elif number % 3 == 1:
        data = b"\\0" + data
    session.receive(data)
    while session.next_frame():
        pass
    if number % 50 == 0:
        session.receive(bytes(hello))
        answered += session.next_frame() == framing.encode(b"\\x81\\xff\\x00\\x78\\x56\\x34\\x12")
print(answered, session.link_errors() > 0)
"""

SESSION = """
import framing
from ring import Ring
from session import Session

class Counter:
    count = 0
    def now(self): return self.count

def host(*fields):
    session.receive(bytes(framing.encode(b"".join(fields))))

def said():
    bodies = []
    frame = session.next_frame()
    while frame is not None:
        framing.Decoder().feed(bytes(frame), bodies.append)
        frame = session.next_frame()
    return [body[0] if body[0] != 0x41 else 1000 + body[3] for body in bodies]

def at(ms):
    counter.count = ms * 1000
    session.tick(counter.count)
    return said()

def acknowledge(number, window, flags=0):
    fields = bytes((number, 0, 0, 0, window, 0, flags))
    host(b"\\x02\\xff\\0", fields)

ended = []
counter, ring = Counter(), Ring(8)
describe = lambda nonce: b"\\x81\\xff\\0"
session = Session(ring, counter, describe, None, None, lambda: ended.append(1))
hello = b"\\x01\\xff\\0LoRa\\x01\\0\\x78\\x56\\x34\\x12\\x10\\x27"  # a lease of 10 s
for number in range(1, 6):
    ring.next_slot()[:4] = bytes((0x41, 0, 0, number))
    ring.keep(38)
print("greets", at(0), at(500), at(1000))
session.send(b"\\x42\\xff\\0")
host(hello)
print("hello", said(), len(ended))
acknowledge(0, 3)
print("window", said(), at(1900))
print("a second without acknowledgement", at(2000))
acknowledge(1, 4)
print("moved", said())
acknowledge(1, 4, 1)
print("go back", said())
acknowledge(9, 4)
acknowledge(0, 4)
print("ignored", said(), session.link_errors())
acknowledge(5, 8)
print("all", said(), at(9000), ring.used())
print("lease", at(11999), len(ended), at(12000), at(12001), len(ended))
acknowledge(5, 8)
print("nobody", said(), session.link_errors())
"""

SAID = """
greets [129] [] [129]
hello [129] 1
window [1001, 1002, 1003] []
a second without acknowledgement [1001, 1002, 1003]
moved [1004, 1005]
go back [1002, 1003, 1004, 1005]
ignored [] 2
all [] [] 0
lease [] 1 [] [129] 2
nobody [] 3
"""

INTERRUPTS = """
import micropython
import machine_without_chips
from counter import Counter
from radio import Radio
pin = machine_without_chips.Pin()
radio = Radio(0, machine_without_chips.Chip(), pin, pin, Counter(), True)
on_dio0, on_dio3 = radio._on_dio0, radio._on_dio3
thousand = range(1000)
micropython.heap_lock()
for _ in thousand:
    on_dio0(pin)
    on_dio3(pin)
micropython.heap_unlock()
print(radio.done)
"""

HELD_UP = """
from time import sleep_ms
import machine_without_chips
import register_lists

class Chip:
    looks = 0
    def read(self, address):
        self.looks += 1
        if self.looks == 1:
            sleep_ms(30)
            return 0
        return {ready}

class Radio:
    chip = Chip()
    shadow = None

wait = (register_lists.WAIT, 0x3B, 0x20, 0x20, 20)
print(register_lists.run(Radio(), [wait], False, lambda: None)[0], Radio.chip.looks)
"""

MACHINE_WITHOUT_CHIPS = """
import sys
class Pin:
    IRQ_RISING = 1
    def irq(self, handler, trigger, hard): pass
class Chip:
    def restart(self): pass
    def read(self, address): return 0x12
class machine: pass
machine.Pin = Pin
sys.modules["machine"] = machine
"""

MEMORY = """
import gc
gc.collect()
before = gc.mem_alloc()
import board, main
gc.collect()
code = gc.mem_alloc() - before
ring = main.Ring(main.pins.RING_CAPACITY)
gc.collect()
print(code, gc.mem_alloc() - before - code, gc.mem_free())
"""


def run(script: str, lines: Sequence[str] = (), path: Path | None = None) -> list[str]:
    """Run a script under MicroPython with the firmware's files and a Pico's memory."""
    program = interpreter()
    assert program is not None, "micropython is not installed: make test installs it"
    shim = Path(__file__).parent / "shim"
    result = subprocess.run(
        [program, "-X", f"heapsize={HEAP}", "-c", script],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        check=False,
        timeout=100 * SCALE,
        env={"MICROPYPATH": f"{path or shim}:{FIRMWARE}:.frozen", "PATH": "/usr/bin:/bin"},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.splitlines()


def bodies(count: int) -> list[bytes]:
    """Of all lengths, with many zeros and with none."""
    chance = random.Random(5)
    lengths = [3, 252, 253, 254, 255, 506, 507, 508, MAX_BODY]
    lengths += [chance.randrange(3, MAX_BODY) for _ in range(count)]
    alphabets = (bytes(range(256)), b"\0\x01", bytes(range(1, 256)))
    return [bytes(chance.choices(chance.choice(alphabets), k=length)) for length in lengths]


def test_frames_are_those_of_the_host() -> None:
    """Two writings of one specification make the same bytes."""
    sent = bodies(100)
    frames = run(FRAMES_OUT, [body.hex() for body in sent])
    assert frames == [encode_frame(body).hex() for body in sent]


def test_a_bad_frame_costs_only_itself() -> None:
    """Damaged, cut and endless ones between good ones, in any split."""
    chance = random.Random(6)
    stream, wanted, reference = bytearray(), [], FrameDecoder()
    for body in bodies(100):
        bad = bytearray(encode_frame(body))
        bad[chance.randrange(1, len(bad) - 1)] ^= 1 << chance.randrange(8)
        stream += bad
        if chance.random() < 0.1:
            stream += b"\x01" * 3000
        stream += encode_frame(body)
    while stream:
        part = bytes(stream[: chance.randrange(1, 400)])
        del stream[: len(part)]
        wanted.append(part)
    received = [body.hex() for part in wanted for body in reference.feed(part)]
    assert len(received) >= 109
    *decoded, errors = run(FRAMES_IN, [part.hex() for part in wanted])
    assert decoded == received
    assert int(errors) == sum(reference.rejects.values())


def test_hostile_bytes_cost_nothing(tmp_path: Path) -> None:
    """Noise and well-framed nonsense: never an exception, and each greeting is answered."""
    script = HOSTILE.format(shim=_without_chips(tmp_path), seed=11, count=FUZZ)
    # Its machine module stands for a chip that is not asked.
    script = "import machine_without_chips\n" + script
    assert run(script, path=tmp_path) == [f"{FUZZ // 50} True"]


def test_a_wait_looks_once_more_when_it_is_over(tmp_path: Path) -> None:
    """A board that was held up does not call a chip too slow that was ready long ago."""
    _without_chips(tmp_path)
    assert run(HELD_UP.format(ready=0x20), path=tmp_path) == ["0 2"]  # OK
    assert run(HELD_UP.format(ready=0x00), path=tmp_path) == ["3 2"]  # WAIT_TIMEOUT


def test_a_session_keeps_its_rules() -> None:
    """Greetings, window, both ways of going back, lease: step by step, on a clock of its own."""
    assert run(SESSION) == SAID.split("\n")[1:-1]


def test_interrupts_take_no_memory(tmp_path: Path) -> None:
    """On a Pico they run at any moment, also while memory is being tidied up."""
    _without_chips(tmp_path)
    assert run(INTERRUPTS, path=tmp_path) == ["True"]


def test_memory_of_a_pico_is_enough(tmp_path: Path) -> None:
    """With the ring in place a good part is left, counted in objects of twice the size."""
    (tmp_path / "machine.py").write_text("class Pin: pass\nclass UART: pass\n")
    (result,) = run(MEMORY, path=tmp_path)
    code, ring, free = map(int, result.split())
    print(f"code {code} bytes, ring of 256 events {ring} bytes, {free} bytes free of {HEAP}")
    assert free > 40_000


def _without_chips(directory: Path) -> Path:
    (directory / "machine_without_chips.py").write_text(MACHINE_WITHOUT_CHIPS)
    return directory
