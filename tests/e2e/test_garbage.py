"""Five megabytes of noise on the serial line, half random, half nearly right."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.link.codec import serialize
from protocol.link.framing import encode_frame
from protocol.link.messages import Envelope, RxEvent
from tests.e2e.processes import (
    boards,
    free_port,
    gateway,
    listen_on,
    samples,
    uplink_payload,
    wait_until,
)
from tests.scale import SCALE

ROUNDS = 50 * SCALE
NOISE_BYTES = 100_000  # each round


def _event_frame(chance: random.Random) -> bytes:
    """What a board would send, for a number that it never reaches here."""
    event = RxEvent(
        number=chance.randrange(1_000_000, 1 << 32),
        count_us=chance.getrandbits(40),
        valid_header_us=chance.getrandbits(40),
        irq_flags=0x50,
        modem_status=0x24,
        hop_channel=0x40,
        packet_snr=chance.getrandbits(8),
        packet_rssi=chance.getrandbits(8),
        rssi=chance.getrandbits(8),
        modem_config_1=0x72,
        modem_config_2=0x94,
        frequency_error=chance.getrandbits(20),
        frf=chance.getrandbits(24),
        payload=chance.randbytes(chance.randrange(1, 200)),
    )
    return encode_frame(serialize(Envelope(event, 0, 0)))


def _mutate(frame: bytes, chance: random.Random) -> bytes:
    """Flip bits, lose or double a stretch, or cut the end off."""
    data = bytearray(frame)
    for _ in range(chance.randrange(1, 4)):
        place = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[place] ^= 1 << chance.randrange(8)
            case 1:
                del data[place : place + chance.randrange(1, 9)]
            case 2:
                data[place:place] = data[place : place + chance.randrange(1, 9)]
            case _:
                del data[place:]
        if not data:
            data = bytearray(b"\xff")
    return bytes(data)


def _noise(chance: random.Random) -> Iterator[bytes]:
    """One round of noise after the other."""
    for number in range(ROUNDS):
        if number % 2:
            yield chance.randbytes(NOISE_BYTES)
            continue
        nearly = bytearray()
        while len(nearly) < NOISE_BYTES:
            nearly += _mutate(_event_frame(chance), chance)
        yield bytes(nearly)


@pytest.mark.timeout(300 * SCALE)
def test_five_megabytes_of_noise_cost_no_frame(tmp_path: Path) -> None:
    """Good frames between the noise arrive, rejects are counted by reason, nothing is invented."""
    chance = random.Random(5)
    with boards(tmp_path) as site:
        port = free_port()
        listen_on(tmp_path, port)
        with gateway(tmp_path) as running:
            assert running.process.child is not None
            process_id = running.process.child.pid
            wait_until(running.up, "the board is up")
            for number, noise in enumerate(_noise(chance)):
                site.order(order="garbage", concentrator="board-1", data=noise.hex())
                for each in range(4):
                    site.inject_surely(uplink_payload(number * 4 + each))
            wait_until(site.drained, "all events acknowledged", deadline_s=120)
            wait_until(lambda: running.pending() == 0, "everything is forwarded")
            metrics = samples(port)
            assert running.process.child.pid == process_id
        received = [
            json.loads(line)["phy_payload"]
            for path in sorted((tmp_path / "received").glob("*.jsonl"))
            for line in path.read_text().splitlines()
        ]
    assert sorted(received) == sorted(payload.hex() for payload in site.injected)
    assert len(received) == ROUNDS * 4
    rejects = {
        reason: metrics[f'lora_edge_link_rejects_total{{concentrator="board-1",reason="{reason}"}}']
        for reason in ("cobs", "crc", "too_long", "too_short", "malformed", "unexpected")
    }
    # Random bytes end a frame at each zero; nearly right ones fail their CRC.
    assert rejects["crc"] > 1_000
    assert rejects["cobs"] > 1_000
    assert rejects["too_long"] + rejects["too_short"] > 100
