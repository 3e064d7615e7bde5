"""Our LNS protocol against ``pamoja-gateway``'s, on random frames each way."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from protocol.network_server.eui import id6, parse_eui
from protocol.network_server.lns import Configured, DownlinkAsked, LnsSession
from protocol.network_server.lns_clock import Xtime
from protocol.network_server.lns_downlink import Times
from protocol.network_server.lns_uplink import Heard
from tests.judges.judge import Judge, judge, needs_judges
from tests.protocol.network_server.frames import BOOT, GPS_US, UNIX_US
from tests.scale import SCALE

pytestmark = [needs_judges, pytest.mark.timeout(120 * SCALE)]

FRAMES = 10_000 * SCALE
RATES = [[factor, 125_000] for factor in range(12, 6, -1)] + [[7, 250_000]]
NOW_US = 1_000_000_000


@pytest.fixture
def library() -> Iterator[Judge]:
    with judge("lns_judge") as running:
        yield running


def configured(library: Judge) -> LnsSession:
    """By a configuration that the library wrote."""
    session = LnsSession(BOOT, software="lora-edge", model="sx127x")
    [text] = library.ask("encode_configuration", [RATES])
    [event] = session.receive(text, Times(NOW_US, None))
    assert isinstance(event, Configured)
    return session


def random_frame(chance: random.Random) -> bytes:
    """A data uplink or a join request of any content (LoRaWAN 1.0.4, section 4)."""
    if chance.random() < 0.2:
        return b"\x00" + chance.randbytes(22)
    options = chance.randbytes(chance.randint(0, 15))
    control = chance.randrange(16) << 4 | len(options)
    head = chance.choice((b"\x40", b"\x80")) + chance.randbytes(4) + bytes([control])
    body = b"" if chance.random() < 0.2 else chance.randbytes(chance.randint(1, 200))
    return head + chance.randbytes(2) + options + body + chance.randbytes(4)


def random_uplink(chance: random.Random) -> tuple[bytes, Heard]:
    factor, bandwidth_hz = chance.choice(RATES)
    heard = Heard(
        frequency_hz=chance.randrange(920_000_000, 923_000_000),
        spreading_factor=factor,
        bandwidth_hz=bandwidth_hz,
        rssi_dbm=chance.randint(-140, 0),
        snr_db=chance.randint(-80, 80) / 4,
        rctx=chance.randrange(127),
        xtime=Xtime(chance.randrange(128), chance.randint(1, 255), chance.randrange(2**47)),
        gps_time_us=GPS_US + chance.randrange(10**12),
        unix_us=UNIX_US,
    )
    return random_frame(chance), heard


def without_ours(message: dict[str, Any]) -> dict[str, Any]:
    """Only what the library sends as well; EUIs in one spelling."""
    kept = {key: value for key, value in message.items() if key != "RefTime"}
    kept["upinfo"] = {k: v for k, v in message["upinfo"].items() if k not in ("fts", "rxtime")}
    for key in ("JoinEui", "DevEui"):
        if key in kept:
            kept[key] = parse_eui(kept[key]).hex()
    return kept


def test_uplinks(library: Judge) -> None:
    """Made of the same bytes, both messages say the same; and it reads ours."""
    chance = random.Random(20261125)
    session = configured(library)
    pairs = [random_uplink(chance) for _ in range(FRAMES)]
    ours = [session.uplink(phy, heard, NOW_US) for phy, heard in pairs]
    theirs = library.ask(
        "heard",
        [
            {
                "phy": phy.hex(),
                "data_rate": RATES.index([heard.spreading_factor, heard.bandwidth_hz]),
                "frequency_hz": heard.frequency_hz,
                "rctx": heard.rctx,
                "xtime": heard.xtime.pack(),
                "gpstime": heard.gps_time_us,
                "rssi": heard.rssi_dbm,
                "snr": heard.snr_db,
            }
            for phy, heard in pairs
        ],
    )
    assert list(map(without_ours, map(json.loads, ours))) == list(map(without_ours, theirs))
    for (phy, heard), read in zip(pairs, library.ask("parse_uplink", ours), strict=True):
        assert read["mic"] == int.from_bytes(phy[-4:], "little", signed=True)
        assert (read["xtime"], read["gpstime"]) == (heard.xtime.pack(), heard.gps_time_us)
        assert (read["rssi"], read["snr"], read["rctx"]) == (
            heard.rssi_dbm,
            heard.snr_db,
            heard.rctx,
        )


def test_downlinks(library: Judge) -> None:
    """What it writes as a server, we read; what we answer, it reads."""
    chance = random.Random(20261125)
    session = configured(library)
    wanted: list[dict[str, Any]] = []
    for _ in range(FRAMES):
        uplink = session.xtime(0, True, NOW_US - chance.randrange(10_000_000), NOW_US)
        wanted.append(
            {
                "dev_eui": chance.randbytes(8).hex(),
                "class": 0,
                "diid": chance.randrange(2**31),
                "payload": chance.randbytes(chance.randint(1, 255)).hex(),
                "rx_delay": chance.randint(1, 15),
                "rx1": [chance.randrange(7), chance.randrange(920_000_000, 923_000_000)],
                "rx2": [chance.randrange(7), chance.randrange(920_000_000, 923_000_000)],
                "xtime": uplink.pack(),
                "rctx": chance.randrange(127),
                "at_us": uplink.boottime_us,
            }
        )
    texts = library.ask("encode_downlink", wanted)
    answers = []
    for asked, text in zip(wanted, texts, strict=True):
        [event] = session.receive(text, Times(NOW_US, None))
        assert isinstance(event, DownlinkAsked)
        downlink = event.downlink
        assert downlink.payload.hex() == asked["payload"]
        assert (downlink.diid, downlink.rctx) == (asked["diid"], asked["rctx"])
        first, second = downlink.windows
        assert [first.data_rate, first.frequency_hz] == asked["rx1"]
        assert [second.data_rate, second.frequency_hz] == asked["rx2"]
        assert first.at_boottime_us == asked["at_us"] + asked["rx_delay"] * 1_000_000
        assert second.at_boottime_us == asked["at_us"] + (asked["rx_delay"] + 1) * 1_000_000
        answers.append(session.transmitted(downlink, first, Times(NOW_US, GPS_US - NOW_US)))
    for asked, read in zip(wanted, library.ask("parse_transmitted", answers), strict=True):
        assert (read["msgtype"], read["diid"]) == ("dntxed", asked["diid"])
        assert read["dev_eui"] == asked["dev_eui"]
        assert read["xtime"] & (2**48 - 1) == asked["at_us"] + asked["rx_delay"] * 1_000_000


def test_names_and_clocks(library: Judge) -> None:
    chance = random.Random(20261125)
    euis = [
        b"".join(chance.choice((b"\0\0", chance.randbytes(2), b"\0\x07")) for _ in range(4))
        for _ in range(FRAMES)
    ]
    assert list(map(id6, euis)) == library.ask("id6", [eui.hex() for eui in euis])
    times = [
        Xtime(chance.randrange(128), chance.randint(1, 255), chance.randrange(2**47))
        for _ in range(FRAMES)
    ]
    parts = library.ask("xtime_parts", [time.pack() for time in times])
    assert parts == [[time.unit, time.session, time.boottime_us] for time in times]
