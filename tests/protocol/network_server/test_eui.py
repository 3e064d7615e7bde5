"""EUI-64 in the spellings of the LNS protocol."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.network_server.eui import dashed, id6, parse_eui


# From the documentation of Basics Station ("::1", the fffe form), the others made by the
# independent library pamoja-gateway 0.2.0.
@pytest.mark.parametrize(
    ("eui", "text"),
    [
        ("0000000000000001", "::1"),
        ("b827ebfffe010203", "b827:ebff:fe01:203"),
        ("0000000000000000", "::"),
        ("b827ebff00000000", "b827:ebff::"),
        ("000000010000ffff", "0:1:0:ffff"),
        ("00010000000000ff", "1::ff"),
        ("1000000020000000", "1000:0:2000:0"),
        ("0000000100000000", "0:1::"),
        ("0000000000010000", "::1:0"),
    ],
)
def test_id6(eui: str, text: str) -> None:
    assert id6(bytes.fromhex(eui)) == text
    assert parse_eui(text) == bytes.fromhex(eui)


def test_as_basics_station_writes_it_in_uplinks() -> None:
    assert dashed(bytes.fromhex("70b3d57ed0000001")) == "70-B3-D5-7E-D0-00-00-01"


@pytest.mark.parametrize(
    "text",
    ["70-B3-D5-7E-D0-00-00-01", "70:b3:d5:7e:d0:00:00:01", "70B3D57ED0000001", " 70b3:d57e:d000:1"],
)
def test_every_spelling_is_read(text: str) -> None:
    assert parse_eui(text) == bytes.fromhex("70b3d57ed0000001")


@given(st.binary(min_size=8, max_size=8))
def test_there_and_back(eui: bytes) -> None:
    assert parse_eui(id6(eui)) == parse_eui(dashed(eui)) == parse_eui(eui.hex()) == eui


@pytest.mark.parametrize(
    "text",
    ["", ":", ":::", "1:2:3", "1:2:3:4:5", "1:2::3:4", "12345::", "1:2:3:4::", "g::1", "70-B3",
     "70-B3-D5-7E-D0-00-00:01", "1::2::3"],
)  # fmt: skip
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an EUI-64"):
        parse_eui(text)


@given(st.text(alphabet="0123456789abcdef:- ", max_size=30))
def test_no_text_harms(text: str) -> None:
    with suppress(ValueError):
        assert len(parse_eui(text)) == 8
