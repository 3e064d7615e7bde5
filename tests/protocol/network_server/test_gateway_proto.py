"""gw.proto in both encodings: golden bytes, PyPI's chirpstack-api as the judge, hostile input."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.network_server import proto_json, protobuf
from protocol.network_server.gateway_proto import (
    Connection,
    ConnState,
    CrcState,
    Delay,
    DownlinkFrame,
    DownlinkFrameItem,
    DownlinkTxAck,
    DownlinkTxAckItem,
    DownlinkTxInfo,
    ExecRequest,
    ExecResponse,
    GatewayStats,
    LoraModulation,
    Modulation,
    Timing,
    TxAckStatus,
    UplinkFrame,
    UplinkRxInfo,
    parse,
)
from protocol.network_server.message_schema import GatewayProtoError
from tests.judges.gw_proto import GwProto, gw_proto
from tests.judges.judge import needs_judges
from tests.scale import SCALE

MESSAGES: dict[str, type[Any]] = {
    "UplinkFrame": UplinkFrame,
    "DownlinkFrame": DownlinkFrame,
    "DownlinkTxAck": DownlinkTxAck,
    "GatewayStats": GatewayStats,
    "ConnState": ConnState,
    "GatewayCommandExecRequest": ExecRequest,
    "GatewayCommandExecResponse": ExecResponse,
}
VECTORS = Path(__file__).parents[2] / "vectors" / "gw_proto.json"
EACH = 1_500 * SCALE  # of seven messages: 10^4 in all


class TestByHand:
    """Bytes written by the document "Encoding": tag = field number * 8 + wire type."""

    def test_conn_state(self) -> None:
        message = ConnState(gateway_id="0016", state=Connection.ONLINE)
        data = bytes.fromhex("10 01 1a 04 30303136")
        assert protobuf.encode(message) == data
        assert parse(ConnState, data) == message
        assert json.loads(proto_json.encode(message)) == {"state": "ONLINE", "gatewayId": "0016"}

    def test_a_negative_number_has_ten_bytes(self) -> None:
        message = UplinkRxInfo(rssi_dbm=-1)
        assert protobuf.encode(message) == bytes.fromhex("30 ffffffffffffffffff01")
        assert parse(UplinkRxInfo, protobuf.encode(message)) == message

    def test_a_downlink_one_second_after_its_uplink(self) -> None:
        """DownlinkFrame: items 5 > tx_info 3 > timing 6 > delay 2 > delay 1 > seconds 1."""
        data = bytes.fromhex("18 07 2a 0a 1a 08 32 06 12 04 0a 02 08 01")
        info = DownlinkTxInfo(timing=Timing(delay=Delay(delay_ns=1_000_000_000)))
        message = DownlinkFrame(downlink_id=7, items=(DownlinkFrameItem(tx_info=info),))
        assert parse(DownlinkFrame, data) == message
        assert protobuf.encode(message) == data

    def test_an_acknowledgement_of_ignored_items_is_not_empty(self) -> None:
        """Items are there although everything in them is the default."""
        items = (DownlinkTxAckItem(status=TxAckStatus.TOO_LATE), DownlinkTxAckItem())
        message = DownlinkTxAck(downlink_id=1, items=items)
        assert protobuf.encode(message) == bytes.fromhex("10 01 2a 02 08 02 2a 00")
        assert parse(DownlinkTxAck, protobuf.encode(message)) == message

    def test_of_two_ways_to_time_it_the_last_counts(self) -> None:
        """A oneof (immediately = 1, delay = 2); of a plain number the last as well."""
        both = parse(Timing, bytes.fromhex("0a 00 12 00"))
        assert (both.immediately, both.delay) == (None, Delay())
        assert parse(ConnState, bytes.fromhex("10 01 10 00")).state is Connection.OFFLINE

    def test_flags_and_times_before_their_zero(self) -> None:
        """Bool polarization_inversion = 4; duration -1.5 s: seconds -1, nanos -500,000,000."""
        lora = LoraModulation(polarization_inversion=True)
        assert protobuf.encode(lora) == bytes.fromhex("20 01")
        assert parse(LoraModulation, bytes.fromhex("20 01")) == lora
        assert parse(LoraModulation, b'{"polarizationInversion":true}') == lora
        info = UplinkRxInfo(gps_time_ns=-1_500_000_000)
        data = bytes.fromhex("22 16 08 ffffffffffffffffff01 10 80b6ca91feffffffff01")
        assert protobuf.encode(info) == data
        assert parse(UplinkRxInfo, data) == info

    def test_unknown_fields_inside_maps_and_times(self) -> None:
        """Skipped there too: field 3 behind key and value, behind seconds."""
        data = bytes.fromhex("7a 08 0a0161 120162 1807 22 04 0805 1807")
        expected = UplinkRxInfo(metadata={"a": "b"}, gps_time_ns=5_000_000_000)
        assert parse(UplinkRxInfo, data) == expected

    def test_numbers_that_are_none(self) -> None:
        assert proto_json.encode(UplinkRxInfo(snr_db=float("-inf"))) == b'{"snr":"-Infinity"}'

    def test_a_message_in_two_parts_is_merged(self) -> None:
        data = bytes.fromhex("1a 02 08 05 1a 02 10 07")
        lora = LoraModulation(bandwidth_hz=5, spreading_factor=7)
        assert parse(Modulation, data) == Modulation(lora=lora)

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            ("10", "cut off"),
            ("1a 05 30", "cut off"),
            ("00 01", "no field number 0"),
            ("0b 0c", "wire type 3"),
            ("10 ffffffffffffffffff7f", "more than 64 bits"),
            ("10 ffffffffffffffffffff01", "more than 64 bits"),
            ("1a 01 ff", "not UTF-8"),
        ],
    )
    def test_bytes_that_are_no_message(self, data: str, reason: str) -> None:
        with pytest.raises(GatewayProtoError, match=reason):
            parse(ConnState, bytes.fromhex(data))

    def test_what_is_too_long_is_not_read(self) -> None:
        for data in (bytes(protobuf.MAX_BYTES + 1), b"{" + b" " * protobuf.MAX_BYTES):
            with pytest.raises(GatewayProtoError, match="longer than"):
                parse(ConnState, data)

    def test_numbers_that_nobody_knows(self) -> None:
        """A newer ChirpStack's: an unknown state reads as its 0, in both encodings."""
        assert parse(ConnState, bytes.fromhex("10 63")).state is Connection.OFFLINE
        assert parse(ConnState, b'{"state":99}').state is Connection.OFFLINE

    @pytest.mark.parametrize(
        "message",
        [
            UplinkRxInfo(uplink_id=2**32),
            UplinkRxInfo(rssi_dbm=-(2**31) - 1),
            UplinkRxInfo(snr_db=1e39),
        ],
    )
    def test_values_that_do_not_fit(self, message: UplinkRxInfo) -> None:
        with pytest.raises(GatewayProtoError):
            protobuf.encode(message)

    def test_a_year_that_json_cannot_say(self) -> None:
        with pytest.raises(GatewayProtoError, match="years 1 to 9999"):
            proto_json.encode(UplinkRxInfo(gw_time_ns=10**21))


class TestVectors:
    """Messages that chirpstack-api 4.20.0 wrote; ``all`` holds fields that we skip."""

    @pytest.mark.parametrize("vector", json.loads(VECTORS.read_text()), ids=lambda v: v["message"])
    def test_read_and_written(self, vector: dict[str, Any]) -> None:
        message_type = MESSAGES[vector["message"]]
        message = parse(message_type, bytes.fromhex(vector["all"]))
        assert parse(message_type, bytes.fromhex(vector["hex"])) == message
        assert parse(message_type, json.dumps(vector["json"]).encode()) == message
        assert parse(message_type, proto_json.encode(message)) == message
        # Fields come in order of their numbers there as well; members of maps may not.
        assert sorted(protobuf.encode(message)) == sorted(bytes.fromhex(vector["hex"]))


class TestJsonByHand:
    """What the document "ProtoJSON Format" has readers take, and no more."""

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('{"uplink_id":1}', UplinkRxInfo(uplink_id=1)),
            ('{"uplinkId":"4294967295"}', UplinkRxInfo(uplink_id=2**32 - 1)),
            ('{"uplinkId":1.0}', UplinkRxInfo(uplink_id=1)),
            ('{"uplinkId":"1e3"}', UplinkRxInfo(uplink_id=1000)),
            ('{"uplinkId":null,"new":[]}', UplinkRxInfo()),
            ('{"context":"-_8"}', UplinkRxInfo(context=b"\xfb\xff")),
            ('{"context":"+/8="}', UplinkRxInfo(context=b"\xfb\xff")),
            ('{"snr":"-7.5"}', UplinkRxInfo(snr_db=-7.5)),
            ('{"snr":"-Infinity"}', UplinkRxInfo(snr_db=float("-inf"))),
            ('{"crcStatus":2}', UplinkRxInfo(crc_status=CrcState.CRC_OK)),
            ('{"timeSinceGpsEpoch":"-1.5s"}', UplinkRxInfo(gps_time_ns=-1_500_000_000)),
            ('{"gwTime":"1970-01-01T00:00:01.5Z"}', UplinkRxInfo(gw_time_ns=1_500_000_000)),
            ('{"gwTime":"1970-01-01T07:00:00+07:00"}', UplinkRxInfo(gw_time_ns=0)),
            ('{"metadata":{"a":"b"}}', UplinkRxInfo(metadata={"a": "b"})),
        ],
    )
    def test_taken(self, text: str, message: UplinkRxInfo) -> None:
        assert parse(UplinkRxInfo, text.encode()) == message

    @pytest.mark.parametrize(
        "text",
        [
            "{",
            "{" * 40_000,
            '{"uplinkId":true}',
            '{"uplinkId":-1}',
            '{"uplinkId":1.5}',
            '{"uplinkId":4294967296}',
            '{"uplinkId":"0x10"}',
            '{"uplinkId":NaN}',
            '{"uplinkId":[1]}',
            '{"snr":1e39}',
            '{"snr":true}',
            '{"snr":"high"}',
            '{"gatewayId":7}',
            '{"gatewayId":"\\ud800"}',
            '{"context":"*"}',
            '{"context":"ä"}',
            '{"crcStatus":"FINE"}',
            '{"crcStatus":true}',
            '{"location":[]}',
            '{"metadata":[]}',
            '{"timeSinceGpsEpoch":"1"}',
            '{"timeSinceGpsEpoch":"315576000001s"}',
            '{"gwTime":"yesterday"}',
            '{"gwTime":"2026-13-01T00:00:00Z"}',
            '{"gwTime":"0001-01-01T00:00:00+23:59"}',
        ],
    )
    def test_refused(self, text: str) -> None:
        with pytest.raises(GatewayProtoError):
            parse(UplinkRxInfo, text.encode())

    def test_two_of_one_group_and_items_that_are_no_list(self) -> None:
        for message, text in (
            (Timing, b'{"immediately":{},"delay":{}}'),
            (DownlinkFrame, b'{"items":{}}'),
            (DownlinkFrame, b"{}[]"),
        ):
            with pytest.raises(GatewayProtoError):
                parse(message, text)
        with pytest.raises(GatewayProtoError, match="no object"):
            proto_json.decode(ConnState, b"[]")


@pytest.fixture(scope="module")
def judge() -> Iterator[GwProto]:
    """One process for all."""
    with gw_proto() as running:
        yield running


@needs_judges
class TestJudged:
    """The library and we read each other, and mean the same."""

    @pytest.mark.parametrize("name", MESSAGES)
    def test_random_messages(self, judge: GwProto, name: str) -> None:
        """We read the library's bytes and JSON alike; it reads ours, and finds the same message."""
        message_type = MESSAGES[name]
        made = judge.ask([("random", name, f"{name} {seed}") for seed in range(EACH)])
        ours = []
        for theirs in made:
            assert theirs is not None
            message = protobuf.decode(message_type, theirs.whole)
            assert proto_json.decode(message_type, json.dumps(theirs.document).encode()) == message
            ours.append(("from_bytes", name, protobuf.encode(message).hex()))
            ours.append(("from_json", name, proto_json.encode(message).decode()))
        read = iter(judge.ask(ours))
        for theirs, from_bytes, from_json in zip(made, read, read, strict=True):
            assert theirs is not None
            assert from_bytes is not None
            assert from_json is not None
            assert from_bytes.data == from_json.data == theirs.data

    @pytest.mark.parametrize("name", MESSAGES)
    def test_damaged_messages(self, judge: GwProto, name: str) -> None:
        """What the library takes of hostile bytes we take, and as the same message.

        It takes groups too, which no writer of proto 3 makes, and refuses faults in fields that
        we do not look into.
        """
        chance = random.Random(name)
        made = judge.ask([("random", name, f"{name} {seed}") for seed in range(EACH // 5)])
        damaged = [damage(theirs.whole, chance) for theirs in made if theirs is not None]
        verdicts = judge.ask([("from_bytes", name, data.hex()) for data in damaged])
        taken = 0
        for data, verdict in zip(damaged, verdicts, strict=True):
            ours, refusal = reading(MESSAGES[name], data)
            if verdict is not None and "wire type" not in refusal:
                assert ours == protobuf.decode(MESSAGES[name], verdict.data), data.hex()
                taken += 1
        assert taken


def reading(message: type[Any], data: bytes) -> tuple[object, str]:
    """The message, and why there is none."""
    try:
        return protobuf.decode(message, data), ""
    except GatewayProtoError as error:
        return None, str(error)


def damage(data: bytes, chance: random.Random) -> bytes:
    """Cut, flip or insert."""
    damaged = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        position = chance.randrange(len(damaged) + 1)
        match chance.randrange(3):
            case 0:
                del damaged[position : position + chance.randrange(4)]
            case 1 if position < len(damaged):
                damaged[position] ^= 1 << chance.randrange(8)
            case _:
                damaged[position:position] = chance.randbytes(chance.randrange(4))
    return bytes(damaged)


class TestHostile:
    """Nothing but the one error, whatever comes."""

    @given(st.binary(max_size=200), st.sampled_from(sorted(MESSAGES)))
    def test_any_bytes(self, data: bytes, name: str) -> None:
        try:
            message = parse(MESSAGES[name], data)
        except GatewayProtoError:
            return
        assert parse(MESSAGES[name], protobuf.encode(message)) == message

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["items", "txInfo", "timing", "delay", "phyPayload", "context", "power"]
                    )
                    | st.text(max_size=4),
                    inner,
                    max_size=4,
                )
            ),
        )
    )
    def test_any_json(self, document: object) -> None:
        try:
            message = proto_json.decode(DownlinkFrame, json.dumps(document).encode())
        except GatewayProtoError:
            return
        assert parse(DownlinkFrame, proto_json.encode(message)) == message

    def test_ten_thousand_random_inputs(self) -> None:
        chance = random.Random(20261125)
        refused = 0
        for _ in range(10_000 * SCALE):
            data = chance.randbytes(chance.randrange(1, 60))
            try:
                parse(DownlinkFrame, data)
            except GatewayProtoError:
                refused += 1
        assert refused > 5_000
