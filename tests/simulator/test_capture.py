"""Captured traffic: both forms, compressed or not, and lines that are neither."""

import gzip
import json
import os
from base64 import b64encode
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.capture import CapturedFrame, CaptureError, read_capture

# The rxpk example of Semtech's PROTOCOL.TXT (packet_forwarder 4.0.1), section 4.
SEMTECH_EXAMPLE = {
    "time": "2013-03-31T16:21:17.528002Z", "tmst": 3512348611, "chan": 2, "rfch": 0,
    "freq": 866.349812, "stat": 1, "modu": "LORA", "datr": "SF7BW125", "codr": "4/6",
    "rssi": -35, "lsnr": 5.1, "size": 32,
    "data": "-DS4CGaDCdG+48eJNM3Vai-zDpsR71Pn9CPA9uCON84".replace("-", "+"),
}  # fmt: skip

RECEPTIONS = {
    "received_at_ms": 1_700_000_000_123,
    "phy_payload": "40f17dbe4900020001954378762b11ff0d",
    "receptions": [
        {"rssi_dbm": -120, "snr_db": -7.5, "frequency_hz": 868_100_000, "datarate": "SF12BW125"},
        {"rssi_dbm": -110, "snr_db": -2.0, "frequency_hz": 868_100_000, "datarate": "SF12BW125"},
        {"rssi_dbm": -115, "snr_db": -2.0, "frequency_hz": 868_100_000, "datarate": "SF12BW125"},
    ],
}


def written(path: Path, *lines: object) -> Path:
    """A file of JSON lines."""
    text = "\n".join(json.dumps(line) for line in lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["capture.jsonl", "capture.jsonl.gz"])
def test_semtechs_own_example(tmp_path: Path, name: str) -> None:
    (frame,) = read_capture(written(tmp_path / name, {"rxpk": [SEMTECH_EXAMPLE]}))
    assert frame.at_us == 1_364_746_877_528_002
    assert frame.frequency_hz == 866_349_800  # to 100 Hz: some forwarders print 32-bit floats
    assert (frame.spreading_factor, frame.bandwidth_hz) == (7, 125_000)
    assert (frame.rssi_dbm, frame.snr_db) == (-35.0, 5.1)
    assert len(frame.payload) == 32
    assert (frame.crc_on_payload, frame.crc_ok) == (True, True)


@pytest.mark.parametrize("name", ["capture.jsonl", "capture.jsonl.gz"])
def test_the_best_reception_counts(tmp_path: Path, name: str) -> None:
    """By SNR, then by RSSI."""
    (frame,) = read_capture(written(tmp_path / name, RECEPTIONS))
    assert frame == CapturedFrame(
        1_700_000_000_123_000,
        bytes.fromhex("40f17dbe4900020001954378762b11ff0d"),
        868_100_000,
        12,
        125_000,
        -110.0,
        -2.0,
    )


def test_several_packets_a_line_and_a_bare_one(tmp_path: Path) -> None:
    path = written(tmp_path / "c", {"rxpk": [SEMTECH_EXAMPLE] * 2}, SEMTECH_EXAMPLE, RECEPTIONS)
    assert len(list(read_capture(path))) == 4


def test_empty_lines_are_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c"
    path.write_text("\n\n" + json.dumps(RECEPTIONS) + "\n   \n")
    assert len(list(read_capture(path))) == 1


@pytest.mark.parametrize(
    ("stat", "expected"), [(1, (True, True)), (-1, (True, False)), (0, (False, False))]
)
def test_stat_is_the_crc(tmp_path: Path, stat: int, expected: tuple[bool, bool]) -> None:
    (frame,) = read_capture(written(tmp_path / "c", SEMTECH_EXAMPLE | {"stat": stat}))
    assert (frame.crc_on_payload, frame.crc_ok) == expected


def test_times_by_preference(tmp_path: Path) -> None:
    """GPS milliseconds, then the clock, then the concentrator's counter."""
    bare = {key: value for key, value in SEMTECH_EXAMPLE.items() if key != "time"}
    path = written(tmp_path / "c", SEMTECH_EXAMPLE | {"tmms": 5}, SEMTECH_EXAMPLE, bare)
    assert [f.at_us for f in read_capture(path)] == [5_000, 1_364_746_877_528_002, 3_512_348_611]


def test_unpadded_base64_is_taken(tmp_path: Path) -> None:
    """As some forwarders print it."""
    path = written(tmp_path / "c", *[SEMTECH_EXAMPLE | {"data": d} for d in ("YQ", "YQ==")])
    assert [frame.payload for frame in read_capture(path)] == [b"a", b"a"]


BAD_LINES = [
    ("{", "Expecting"),
    ("[]", "not an object"),
    ("5", "not an object"),
    ('{"rxpk": 5}', "not iterable"),
    ('{"rxpk": [5]}', "not subscriptable"),
    ("{}", "'datr' is missing"),
    (json.dumps(SEMTECH_EXAMPLE | {"datr": "SF7"}), "is no LoRa data rate"),
    (json.dumps(SEMTECH_EXAMPLE | {"datr": 50_000}), "expected string"),
    (json.dumps(SEMTECH_EXAMPLE | {"data": "?"}), "base64"),
    (json.dumps(SEMTECH_EXAMPLE | {"data": b64encode(bytes(256)).decode()}), "256 bytes"),
    (json.dumps(SEMTECH_EXAMPLE | {"rssi": float("nan")}), "finite"),
    (json.dumps(SEMTECH_EXAMPLE | {"freq": float("inf")}), "infinity"),
    (json.dumps(SEMTECH_EXAMPLE | {"time": "yesterday"}), "yesterday"),
    (json.dumps(RECEPTIONS | {"receptions": []}), "empty"),
    (json.dumps(RECEPTIONS | {"phy_payload": "4"}), "hexadecimal"),
    ('{"rxpk":' * 100_000, "recursion"),
    ("\udcff", "utf-8"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES, ids=[reason for _, reason in BAD_LINES])
@pytest.mark.parametrize("name", ["capture.jsonl", "capture.jsonl.gz"])
def test_a_bad_line_is_named_by_file_and_number(
    tmp_path: Path, line: str, reason: str, name: str
) -> None:
    path = tmp_path / name
    text = (json.dumps(RECEPTIONS) + "\n\n" + line + "\n").encode(errors="surrogateescape")
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    frames = read_capture(path)
    next(frames)
    with pytest.raises(CaptureError, match=f"{path}:3: .*{reason}"):
        next(frames)


@given(st.lists(st.binary(max_size=80), max_size=5))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(b"\n".join(lines))
    with suppress(CaptureError):
        list(read_capture(path))


@pytest.mark.parametrize("cut", ["short", "damaged", "no gzip"])
def test_a_damaged_archive_is_refused(tmp_path: Path, cut: str) -> None:
    path = written(tmp_path / "c.gz", *[RECEPTIONS | {"received_at_ms": n} for n in range(500)])
    data = bytearray(path.read_bytes())
    match cut:
        case "short":
            data = data[: len(data) // 2]
        case "damaged":
            data[len(data) // 2 :] = os.urandom(len(data) // 2)
        case "no gzip":
            data = bytearray(b"{}")
    path.write_bytes(data)
    with pytest.raises(CaptureError, match=str(path)):
        list(read_capture(path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(read_capture(tmp_path / "nothing"))


def captured() -> Path | None:
    """Real traffic, where it is at hand."""
    named = os.environ.get("CAPTURE")
    if named:
        return Path(named)
    data = Path(__file__).parents[3] / "shared" / "data"
    return next(iter(sorted(data.glob("*/*.ndjson.gz"))), None)


@pytest.fixture
def real_capture() -> Path:
    """The captured traffic, or a skipped test."""
    path = captured()
    if path is None:
        pytest.skip("no captured traffic (CAPTURE=FILE)")
    return path


@pytest.mark.capture
def test_real_traffic_is_read_to_its_end(real_capture: Path) -> None:
    """As many frames as an independent count of its lines, none of them odd."""
    with gzip.open(real_capture, "rb") as lines:
        expected = [json.loads(line) for line in lines if line.strip()]
    frames = list(read_capture(real_capture))
    assert len(frames) == len(expected) > 1000
    assert [frame.payload.hex() for frame in frames] == [
        entry["phy_payload"].lower() for entry in expected
    ]
    assert all(7 <= frame.spreading_factor <= 12 for frame in frames)
    assert all(-150 < frame.rssi_dbm < 0 for frame in frames)
