"""Datagrams: golden bytes of PROTOCOL.TXT's layout, and whatever else a network may bring."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.network_server.gwmp import (
    MAX_RECEIVED,
    Datagram,
    GwmpError,
    Kind,
    Reject,
    parse,
    serialize,
)

EUI = bytes.fromhex("0016c001ff10a235")
TOKEN = b"\x12\x34"

GOLDEN = [
    ("021234000016c001ff10a2357b7d", Datagram(Kind.PUSH_DATA, TOKEN, b"{}", EUI)),
    ("02123401", Datagram(Kind.PUSH_ACK, TOKEN)),
    ("021234020016c001ff10a235", Datagram(Kind.PULL_DATA, TOKEN, b"", EUI)),
    ("021234037b7d", Datagram(Kind.PULL_RESP, TOKEN, b"{}")),
    ("02123404", Datagram(Kind.PULL_ACK, TOKEN)),
    ("021234050016c001ff10a235", Datagram(Kind.TX_ACK, TOKEN, b"", EUI)),
    ("010000037b7d", Datagram(Kind.PULL_RESP, bytes(2), b"{}", version=1)),
]  # fmt: skip


@pytest.mark.parametrize(("data", "datagram"), GOLDEN)
def test_both_ways(data: str, datagram: Datagram) -> None:
    assert parse(bytes.fromhex(data)) == datagram
    assert serialize(datagram) == bytes.fromhex(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", Reject.TOO_SHORT),
        ("021234", Reject.TOO_SHORT),
        ("021234000016c001ff10a2", Reject.TOO_SHORT),
        ("00123401", Reject.VERSION),
        ("03123401", Reject.VERSION),
        ("02123406", Reject.UNEXPECTED),
        ("021234ff", Reject.UNEXPECTED),
        ("02123403" + "00" * MAX_RECEIVED, Reject.TOO_LONG),
    ],
)  # fmt: skip
def test_what_is_no_datagram(data: str, reason: Reject) -> None:
    with pytest.raises(GwmpError, match=reason.value) as caught:
        parse(bytes.fromhex(data))
    assert caught.value.reason is reason


def test_trailing_bytes_of_an_acknowledgement_do_no_harm() -> None:
    assert parse(bytes.fromhex("0212340100ff")).token == TOKEN


@pytest.mark.parametrize(
    "datagram",
    [
        Datagram(Kind.PUSH_DATA, TOKEN),
        Datagram(Kind.PUSH_DATA, TOKEN, gateway=EUI[1:]),
        Datagram(Kind.PUSH_ACK, TOKEN, gateway=EUI),
        Datagram(Kind.PUSH_ACK, b"\x12"),
    ],
)
def test_what_cannot_be_written(datagram: Datagram) -> None:
    with pytest.raises(ValueError, match="byte"):
        serialize(datagram)


@given(st.binary(max_size=40))
def test_any_bytes(data: bytes) -> None:
    """A datagram or its documented error; what was read is written the same."""
    try:
        datagram = parse(data)
    except GwmpError:
        return
    assert serialize(datagram) == data
