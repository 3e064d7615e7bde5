"""A published KISS library on the one side, our decoders and the simulated modems on the other.

``pyham_kiss`` (MIT) is a host's side over TCP: it frames what it sends, and hands on data frames
that it receives. Its bytes cross a loopback socket, as a modem's would.
"""

import importlib.util
import queue
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol.dialects.kiss_framing import KissDecoder, encode_frame
from protocol.dialects.loraprs import RadioSettings
from protocol.dialects.meshcore import Hardware
from simulator.fronts.kiss_line import KissLine, frame
from simulator.fronts.loraprs_line import LoraprsLine
from tests.scale import SCALE
from tests.simulator.test_loraprs_front import Bench

DEADLINE_S = 10.0
FEND, SET_HARDWARE = 0xC0, 0x06

pytestmark = [
    pytest.mark.kiss_library,
    pytest.mark.skipif(
        importlib.util.find_spec("kiss") is None, reason="needs the package pyham_kiss"
    ),
]

payloads = st.one_of(
    st.binary(min_size=1, max_size=255),
    st.lists(st.sampled_from([0x00, 0xC0, 0xDB, 0xDC, 0xDD]), min_size=1, max_size=255).map(bytes),
)


class Library:
    """The library, connected to a modem that is nothing but a socket."""

    def __init__(self, connection: Any, modem: socket.socket, heard: "queue.Queue[bytes]") -> None:
        self.connection = connection
        self._modem = modem
        self._heard = heard

    def says(self, act: Callable[[Any], None]) -> bytes:
        """The bytes of the one frame that it sends when told so."""
        act(self.connection)
        said = b""
        while len(said) < 2 or said[-1] != FEND:
            said += self._modem.recv(4096)
        return said

    def hears(self, line: bytes) -> bytes:
        """What it makes of the bytes of one data frame."""
        self._modem.sendall(line)
        return self._heard.get(timeout=DEADLINE_S)


@contextmanager
def connected() -> Iterator[Library]:
    import kiss

    heard: queue.Queue[bytes] = queue.Queue()
    connection = kiss.Connection(lambda _port, data: heard.put(bytes(data)))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE_S)
        connection.connect_to_server(*server.getsockname())
        modem, _ = server.accept()
    with modem:
        modem.settimeout(DEADLINE_S)
        try:
            yield Library(connection, modem, heard)
        finally:
            connection.disconnect_from_server()


@pytest.fixture(scope="module")
def library() -> Iterator[Library]:
    with connected() as running:
        yield running


@settings(max_examples=100 * SCALE, deadline=None)
@example(bytes(range(256))[1:])
@example(b"\xdb\xdc\xdb\xdd\xc0\xdb")
@given(payloads)
def test_all_decoders_understand_what_it_sends(library: Library, payload: bytes) -> None:
    """Ours, and those of both simulated modems; a frame as data, and as a modem's own command."""
    data = library.says(lambda connection: connection.send_data(payload))
    command = library.says(lambda connection: connection.set_hardware(payload))
    assert KissDecoder(256).feed(data + command) == [b"\x00" + payload, b"\x06" + payload]
    for line in (KissLine(), LoraprsLine()):
        assert line.feed(data + command) == [(0, payload), (SET_HARDWARE, payload)]


@settings(max_examples=100 * SCALE, deadline=None)
@example(bytes(range(256))[1:])
@example(b"\xdb\xdc\xdb\xdd\xc0\xdb")
@given(payloads)
def test_it_understands_what_all_encoders_make(library: Library, payload: bytes) -> None:
    """Byte for byte what it makes itself."""
    ours = encode_frame(b"\x00" + payload)
    assert ours == frame(0, payload)
    assert ours == library.says(lambda connection: connection.send_data(payload))
    assert library.hears(ours) == payload


def test_by_it_the_simulated_loraprs_is_set_up_and_heard(library: Library) -> None:
    """With the settings of our dialect, in the library's frame; and a packet on the way back."""
    bench = Bench().booted()
    wanted = RadioSettings(921_400_000, 125_000, 9, 5, 0x34).encode()
    line = library.says(lambda connection: connection.set_hardware(wanted))
    assert bench.tell(line.hex()) == ""
    tuned = bench.tuned()
    assert abs(tuned.frequency_hz - 921_400_000) < 62
    assert (tuned.spreading_factor, tuned.sync_word) == (9, 0x34)
    packet = bytes(range(255))
    said = bytes.fromhex(bench.hear(packet))
    data, report = said[: said.index(b"\xc0\xc0") + 1], said[said.index(b"\xc0\xc0") + 1 :]
    assert report[1] == 0x07
    assert library.hears(data) == packet


def test_it_speaks_of_the_commands_by_the_same_numbers(library: Library) -> None:
    """The question of a MeshCore modem's version, and the one that changes how a TNC transmits."""
    asked = library.says(lambda connection: connection.set_hardware(bytes([Hardware.GET_VERSION])))
    assert asked == encode_frame(bytes([SET_HARDWARE, Hardware.GET_VERSION]))
    persistence = library.says(lambda connection: connection.set_persistence(255))
    assert LoraprsLine().feed(persistence) == [(2, b"\xff")]
