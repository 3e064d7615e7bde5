"""``router_config``, as servers send it and as they should not."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.network_server.lns_json import LnsFault, LnsReject
from protocol.network_server.lns_router_config import (
    MAX_CHANNELS,
    Channel,
    LnsDataRate,
    RouterConfig,
    parse_router_config,
)

# The example of the documentation of Basics Station ("LNS Protocol", EU863), shortened.
EU863: dict[str, Any] = {
    "msgtype": "router_config",
    "NetID": [0, 1],
    "JoinEui": [[0xDEADBEEF00000000, 0xDEADBEEF00000100], [1, 2]],
    "region": "EU863",
    "hwspec": "sx1301/1",
    "freq_range": [863_000_000, 870_000_000],
    "max_eirp": 16.0,
    "DRs": [[12, 125, 0], [11, 125, 0], [10, 125, 0], [9, 125, 0], [8, 125, 0], [7, 125, 0],
            [7, 250, 0], [0, 0, 0], *[[-1, 0, 0]] * 8],
    "sx1301_conf": [
        {
            "radio_0": {"enable": True, "freq": 867_500_000},
            "radio_1": {"enable": True, "freq": 868_500_000},
            "chan_FSK": {"enable": True, "radio": 1, "if": 300_000},
            "chan_Lora_std": {"enable": True, "radio": 1, "if": -200_000, "bandwidth": 250_000,
                              "spread_factor": 7},
            "chan_multiSF_0": {"enable": True, "radio": 1, "if": -400_000},
            "chan_multiSF_1": {"enable": True, "radio": 1, "if": -200_000},
            "chan_multiSF_2": {"enable": False, "radio": 1, "if": 0},
            "chan_multiSF_3": {"enable": True, "radio": 0, "if": -400_000},
        }
    ],
}  # fmt: skip
ALL = tuple(range(7, 13))


def made(**changes: Any) -> RouterConfig:
    return parse_router_config({**EU863, **changes})


def test_channels_are_radio_plus_offset() -> None:
    assert made().channels == (
        Channel(868_300_000, 250_000, (7,)),
        Channel(868_100_000, 125_000, ALL),
        Channel(868_300_000, 125_000, ALL),
        Channel(867_100_000, 125_000, ALL),
    )


def test_other_names_and_forms_of_the_concentrators_settings() -> None:
    block = EU863["sx1301_conf"]
    for key in ("SX1301_conf", "sx1302_conf", "SX1302_conf", "radio_conf"):
        assert made(sx1301_conf=None, **{key: block}).channels == made().channels
    assert made(sx1301_conf=block[0]).channels == made().channels


def test_up_channels_go_by_data_rates() -> None:
    channels = made(sx1301_conf=None, upchannels=[[868_100_000, 0, 6], [868_300_000, 5, 5]])
    assert channels.channels == (
        Channel(868_100_000, 125_000, ALL),
        Channel(868_100_000, 250_000, (7,)),
        Channel(868_300_000, 125_000, (7,)),
    )


@pytest.mark.parametrize(
    "row", [None, [], [868_100_000, 0], ["x", 0, 5], [None, 0, 5], [868_100_000, 0, 99]]
)
def test_a_faulty_up_channel_is_left_out(row: object) -> None:
    good = [868_300_000, 5, 5]
    assert len(made(sx1301_conf=None, upchannels=[row, good]).channels) == 1


@pytest.mark.parametrize(
    "channel",
    [
        {"enable": True, "radio": 7, "if": 0},
        {"enable": True, "radio": "x", "if": 0},
        {"enable": True, "radio": 0, "if": True},
        {"enable": True, "radio": 2, "if": 0},
        {"radio": 0, "if": 0},
        7,
    ],
)
def test_a_faulty_channel_is_left_out(channel: object) -> None:
    block = {"radio_0": {"freq": 868_500_000}, "radio_2": 5, "chan_multiSF_0": channel}
    good = {"radio_0": {"freq": 868_500_000}, "chan_multiSF_0": {"enable": True, "radio": 0}}
    assert made(sx1301_conf=[block, None, good]).channels == (Channel(868_500_000, 125_000, ALL),)


@pytest.mark.parametrize("left_out", ["spread_factor", "bandwidth"])
def test_a_single_channel_needs_its_modulation(left_out: str) -> None:
    block = json.loads(json.dumps(EU863["sx1301_conf"][0]))
    del block["chan_Lora_std"][left_out]
    assert len(made(sx1301_conf=[block]).channels) == 3


def test_data_rates_by_number() -> None:
    config = made()
    assert config.data_rate(12, 125_000) == 0
    assert config.data_rate(7, 125_000) == 5
    assert config.data_rate(7, 250_000) == 6
    assert config.data_rate(6, 125_000) is None
    assert config.data_rates[7] is None  # FSK


def test_a_data_rate_for_downlinks_only_is_none_for_uplinks() -> None:
    config = made(DRs=[[8, 500, 1], [8, 500, 0]])
    assert config.data_rates[0] == LnsDataRate(8, 500_000, downlink_only=True)
    assert config.data_rate(8, 500_000) == 1


def test_filters() -> None:
    """NetID by its low 7 bits, which are the first 7 of an address; both ends of a range count."""
    config = made()
    assert config.wants_address(bytes.fromhex("01ffffff"))
    assert config.wants_address(bytes.fromhex("03000000"))
    assert not config.wants_address(bytes.fromhex("04000000"))
    for wanted in ("deadbeef00000000", "deadbeef00000100", "0000000000000001"):
        assert config.wants_join(bytes.fromhex(wanted))
    assert not config.wants_join(bytes.fromhex("deadbeef00000101"))


def test_filters_that_let_everything_pass_or_nothing() -> None:
    everything = made(NetID=None, JoinEui=[])
    assert everything.wants_address(bytes.fromhex("ffffffff"))
    assert everything.wants_join(bytes(8))
    assert not made(NetID=[]).wants_address(bytes(4))
    assert made(JoinEui=None).join_euis == ()


def test_the_upper_case_spelling_is_kept_for_what_we_send() -> None:
    """A server that writes JoinEUI wants to read JoinEUI and DevEUI."""
    assert made().eui_keys == ("JoinEui", "DevEui")
    config = parse_router_config({**EU863, "JoinEUI": [[5, 6]]})
    assert (config.eui_keys, config.join_euis) == (("JoinEUI", "DevEUI"), ((5, 6),))


def test_a_range_may_come_as_signed_numbers() -> None:
    """As from servers whose numbers have 64 bits and a sign."""
    config = made(JoinEui=[[-2401053092612145152, -2401053092612144896]])
    assert config.join_euis == ((0xDEADBEEF00000000, 0xDEADBEEF00000100),)


AS923 = {"AS923-1": 923_200_000, "AS923-2": 921_400_000, "AS923-3": 916_600_000,
         "AS923-4": 917_300_000}  # fmt: skip


@pytest.mark.parametrize(
    "spelling", ["AS923", "AS923-1", "AS923JP", "as923_2", "AS 923", "AS923-4"]
)
@pytest.mark.parametrize(("group", "first_hz"), AS923.items())
def test_the_group_of_as923_is_told_by_its_channels(
    spelling: str, group: str, first_hz: int
) -> None:
    """RP002, "AS923": two channels that every device knows, at offsets of their own."""
    channels = [[first_hz, 0, 5], [first_hz + 200_000, 0, 5]]
    config = made(region=spelling, sx1301_conf=None, upchannels=channels)
    assert config.region == group


def test_or_by_the_frequencies_that_are_allowed() -> None:
    one = made(region="AS923", sx1301_conf=None, freq_range=[920_000_000, 923_000_000])
    assert one.region == "AS923-2"
    for unclear in ([915_000_000, 928_000_000], [1, 2], [1], "x", None, [True, 2]):
        assert made(region="AS923", sx1301_conf=None, freq_range=unclear).region == "AS923"


def test_other_regions_have_the_names_of_rp002_where_we_know_them() -> None:
    assert made().region == "EU868"
    assert made(region="US902").region == "US915"
    assert made(region="AS923JP", sx1301_conf=None, freq_range=None).region == "AS923-1"
    assert made(region=None).region == ""
    assert made(region="MARS-1").region == "MARS-1"


def test_a_radio_near_a_channel_means_that_channel() -> None:
    """An SX127x is tuned in steps of 61 Hz; a server looks for the exact frequency."""
    config = made()
    assert config.nominal_hz(868_099_976) == 868_100_000
    assert config.nominal_hz(868_100_600) == 868_100_600


def test_what_no_radio_hears() -> None:
    config = made(sx1301_conf=None, upchannels=[[868_100_000, 4, 5], [868_300_000, 5, 5]])
    assert config.unheard([(868_100_000, 8, 125_000), (868_300_000, 7, 250_000)]) == (
        Channel(868_100_000, 125_000, (7,)),
        Channel(868_300_000, 125_000, (7,)),
    )
    assert config.unheard([(868_100_000, 7, 125_000), (868_300_000, 7, 125_000)]) == (
        Channel(868_100_000, 125_000, (8,)),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"DRs": None}, {"DRs": []}, {"DRs": [[-1, 0, 0]]}, {"DRs": [7, [12], [[], 125, 0]]},
        {"NetID": 7}, {"NetID": ["0"]}, {"NetID": [-1]}, {"NetID": [True]},
        {"JoinEui": 7}, {"JoinEui": [7]}, {"JoinEui": [[1]]}, {"JoinEui": [[1, "2"]]},
        {"JoinEui": [[1, 2**64]]}, {"JoinEui": [[0, 1]] * 65}, {"max_eirp": "loud"},
    ],
)  # fmt: skip
def test_a_fault_that_would_change_what_is_sent_refuses_it(changes: dict[str, Any]) -> None:
    with pytest.raises(LnsFault) as caught:
        made(**changes)
    assert caught.value.reason is LnsReject.MALFORMED


def test_bounds() -> None:
    many = [[868_100_000, 5, 5]] * 1000
    assert len(made(upchannels=many).channels) == MAX_CHANNELS
    assert len(made(DRs=[[7, 125, 0]] * 99).data_rates) == 16


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from([*EU863, *EU863["sx1301_conf"][0], "enable", "radio", "if", "freq"]),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from([*EU863, "JoinEUI", "upchannels", "radio_conf"]), JSON))
def test_no_configuration_harms(changes: dict[str, Any]) -> None:
    """It is understood, or it is malformed."""
    with suppress(LnsFault):
        config = made(**changes)
        assert any(config.data_rates)
        config.unheard([(868_100_000, 9, 125_000)])
