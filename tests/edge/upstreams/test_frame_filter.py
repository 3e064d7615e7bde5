"""Filters against frames, and the notations of their keys against other people's tables."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.upstreams.frame_filter import (
    FilterKeys,
    FrameFilter,
    dev_addr_range,
    join_eui_range,
)
from protocol.lorawan.frame import MessageType
from protocol.records.sensor_frame import FrameClass, FrameContent
from tests.edge.config.texts import FULL, lines
from tests.edge.outbox.open_store import content


def data(dev_addr: str, *, f_port: int | None = 2, device: str | None = None) -> FrameContent:
    return replace(
        content(1),
        message_type=MessageType.UNCONFIRMED_DATA_UP.value,
        dev_addr=bytes.fromhex(dev_addr),
        f_port=f_port,
        device=device,
    )


def join(join_eui: str) -> FrameContent:
    """LoRaWAN 1.0.4, section 6.2.5: JoinEUI, DevEUI, DevNonce, least significant byte first."""
    eui = bytes.fromhex(join_eui)[::-1]
    payload = b"\x00" + eui + bytes(8) + b"\x01\x00" + b"MIC!"
    return replace(content(1), phy_payload=payload, message_type="join_request", dev_eui=bytes(8))


def passes(frame: FrameContent, **keys: object) -> bool:
    return FrameFilter(FilterKeys(**keys)).passes(frame)  # type: ignore[arg-type]


PRIVATE = content(1)


def test_nothing_configured_lets_everything_through() -> None:
    frame_filter = FrameFilter(FilterKeys())
    assert frame_filter.is_open
    assert all(map(frame_filter.passes, (PRIVATE, data("01020304"), join("00" * 8))))
    assert not FrameFilter(FilterKeys(f_ports=(1,))).is_open


class TestAddresses:
    @pytest.mark.parametrize(
        ("dev_addr", "inside"),
        [("26011000", True), ("26011fff", True), ("26012000", False), ("26010fff", False)],
    )
    def test_a_prefix(self, dev_addr: str, inside: bool) -> None:
        assert passes(data(dev_addr), dev_addr=("26011000/20",)) is inside

    def test_one_of_several(self) -> None:
        assert passes(data("01020304"), dev_addr=("26011000/20", "01020304"))
        assert not passes(data("01020305"), dev_addr=("26011000/20", "01020304"))
        assert passes(data("ffffffff"), dev_addr=("00000000/0",))

    @pytest.mark.parametrize(
        ("net_id", "first", "last"),
        [
            # The Things Network: 26000000/7. The others are the last addresses that the Helium
            # packet router's own tests give for each type of NetID.
            ("000013", 0x26000000, 0x27FFFFFF),
            ("00002D", None, 0x5BFFFFFF),
            ("20002D", None, 0xADFFFFFF),
            ("40016D", None, 0xD6DFFFFF),
            ("6005B7", None, 0xEB6FFFFF),
            ("800B6D", None, 0xF5B6FFFF),
            ("A016DB", None, 0xFADB7FFF),
            ("C05B6D", None, 0xFD6DB7FF),
            ("E16DB6", None, 0xFEB6DB7F),
        ],
    )
    def test_a_network(self, net_id: str, first: int | None, last: int) -> None:
        low, high = dev_addr_range(f"netid:{net_id}")
        assert high == last
        assert first in (None, low)
        assert low <= last

    @pytest.mark.parametrize(
        "text",
        ["", "26011", "26011000/33", "26011000/", "26011001/20", "2601100g", "260110000", "/20",
         "26011000/20/1", "26011000-26011fff", "netid:13", "netid:0000130", "-1", "\u0662" * 8],
    )  # fmt: skip
    def test_what_is_no_prefix(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"must be|bits set"):
            dev_addr_range(text)

    @given(st.integers(0, 2**32 - 1), st.integers(0, 32), st.integers(0, 2**32 - 1))
    def test_a_prefix_is_a_comparison_of_leading_bits(
        self, base: int, length: int, address: int
    ) -> None:
        base = base >> (32 - length) << (32 - length)
        bits, wanted = f"{address:032b}"[:length], f"{base:032b}"[:length]
        found = passes(data(f"{address:08x}"), dev_addr=(f"{base:08x}/{length}",))
        assert found is (bits == wanted)


class TestJoins:
    @pytest.mark.parametrize("text", ["70b3d57ed0000000/40", "70b3d57ed0000000-70b3d57ed0ffffff"])
    def test_ranges(self, text: str) -> None:
        for eui, inside in (
            ("70b3d57ed0000000", True), ("70b3d57ed0ffffff", True),
            ("70b3d57ed1000000", False), ("70b3d57ecfffffff", False), ("0000d07ed5b37000", False),
        ):  # fmt: skip
            assert passes(join(eui), join_eui=(text,)) is inside

    @pytest.mark.parametrize(
        "text",
        ["", "-", "70b3d57ed0000000-", "02-01", "70b3d57ed0000001-70b3d57ed0000000",
         "70b3d57ed0000000/40-70b3d57ed1000000/40", "70b3d57ed0000000/65"],
    )  # fmt: skip
    def test_what_is_no_range(self, text: str) -> None:
        with pytest.raises(ValueError, match="must be"):
            join_eui_range(text)

    def test_addresses_do_not_keep_devices_from_joining(self) -> None:
        assert passes(join("00" * 8), dev_addr=("26011000/20",), f_ports=(2,))
        assert passes(data("01020304"), join_eui=("70b3d57ed0000000",))
        rejoin = replace(content(1), message_type="rejoin_request")
        assert passes(rejoin, join_eui=("70b3d57ed0000000",), dev_addr=("26011000/20",))

    def test_what_is_no_lorawan_uplink_has_no_such_fields(self) -> None:
        for frame in (PRIVATE, replace(PRIVATE, message_type="proprietary")):
            assert not passes(frame, dev_addr=("00000000/0",))
            assert not passes(frame, join_eui=("0000000000000000/0",))
            assert not passes(frame, f_ports=(2,))

    def test_a_short_join_is_no_fault(self) -> None:
        short = replace(content(1), phy_payload=b"\x00\x01", message_type="join_request")
        assert not passes(short, join_eui=("70b3d57ed0000000",))


class TestTheOthers:
    def test_ports(self) -> None:
        assert passes(data("01020304", f_port=10), f_ports=(2, 10))
        assert not passes(data("01020304", f_port=3), f_ports=(2, 10))
        assert not passes(data("01020304", f_port=None), f_ports=(2, 10))
        assert passes(data("01020304", f_port=None), f_ports=(0,))
        assert passes(data("01020304", f_port=0), f_ports=(0,))

    def test_devices(self) -> None:
        assert passes(data("01020304", device="flood-1"), devices=("flood-1", "flood-2"))
        assert not passes(data("01020304", device="flood-3"), devices=("flood-1", "flood-2"))
        assert not passes(data("01020304"), devices=("flood-1",))

    def test_radios(self) -> None:
        first = PRIVATE.receptions[0]
        both = replace(PRIVATE, receptions=(first, replace(first, concentrator="hill", radio=1)))
        assert passes(PRIVATE, radios=("roof",))
        assert passes(PRIVATE, radios=("roof-0",))
        assert not passes(PRIVATE, radios=("roof-1", "hill"))
        assert passes(both, radios=("hill-1",))
        assert not passes(both, radios=("hill-0",))

    def test_classes(self) -> None:
        alarm = replace(PRIVATE, frame_class=FrameClass.ALARM)
        assert passes(alarm, classes=(FrameClass.ALARM,))
        assert not passes(PRIVATE, classes=(FrameClass.ALARM,))

    def test_every_key_has_to_be_passed(self) -> None:
        alarm = replace(data("26011000"), frame_class=FrameClass.ALARM)
        keys = {"dev_addr": ("26011000/20",), "f_ports": (2,), "radios": ("roof",)}
        assert passes(alarm, classes=(FrameClass.ALARM,), **keys)
        assert not passes(data("26011000"), classes=(FrameClass.ALARM,), **keys)


class TestConfiguration:
    """Faults have the line of their key."""

    @pytest.mark.parametrize(
        ("key", "fault"),
        [
            ('dev_addr = ["26011000/20", "x"]', "upstream.city.dev_addr[1]: must be 8 hexadecimal"),
            ('join_eui = ["x"]', "upstream.city.join_eui[0]: must be 16 hexadecimal"),
            ("f_ports = [256]", "upstream.city.f_ports[0]: must be from 0 to 255"),
            ('devices = ["flood-cam-le-02"]', "did you mean flood-cam-le-01?"),
            ('radios = ["roof-2"]', "roof-2 is not configured"),
            ('classes = ["urgent"]', "must be alarm, telemetry or bulk"),
            ('dev_addr = "26011000/20"', "must be a list"),
            ("max_bytes_per_day = 100", "must be at least 10000"),
            ('hold_after_ack = "2h"', "must be at most 1h"),
        ],
    )  # fmt: skip
    def test_faults(self, key: str, fault: str) -> None:
        text = FULL.replace('kind = "mqtt"', f'kind = "mqtt"\n{key}')
        line = text[: text.index(key)].count("\n") + 1
        [found] = lines(text)
        assert found.startswith(f"gateway.toml:{line}: upstream.city.")
        assert fault in found

    def test_what_is_configured_is_taken(self) -> None:
        keys = (
            'dev_addr = ["netid:000013"]\nradios = ["roof", "roof-1"]\nclasses = ["alarm"]\n'
            'devices = ["flood-cam-le-01"]\nmax_bytes_per_day = "20MB"\nhold_after_ack = "10m"'
        )
        assert lines(FULL.replace('kind = "mqtt"', f'kind = "mqtt"\n{keys}')) == []
