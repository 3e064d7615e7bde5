"""What a person is told of a server's channels and the gateway's radios."""

from typing import Any

from edge.upstreams.station_radios import compare, radios_of
from protocol.network_server.lns_router_config import parse_router_config
from tests.edge.upstreams.lns_server import ROUTER_CONFIG

ONE_CHANNEL = {**ROUTER_CONFIG, "sx1301_conf": None, "upchannels": [[921_400_000, 3, 3]]}
FITTING = (921_400_000, 9, 125_000)


def told(radios: list[tuple[int, int, int]], place: str = "AS923-2", **changes: Any) -> list[str]:
    return list(compare(parse_router_config({**ONE_CHANNEL, **changes}), radios, place))


def test_radios_are_those_of_the_status() -> None:
    radio = {"radio": 0, "frequency_hz": 1, "spreading_factor": 7, "bandwidth_hz": 2, "frames": 3}
    assert radios_of({"concentrators": [{"name": "roof", "radios": [radio]}]}) == [(1, 7, 2)]
    assert radios_of({}) == []


def test_nothing_to_tell() -> None:
    """The range of frequencies says which group of AS923 it is."""
    assert told([FITTING]) == []


def test_channels_that_nobody_hears() -> None:
    [line] = told([FITTING], upchannels=[[921_400_000, 3, 4], [921_600_000, 3, 3]])
    assert line.endswith(": 921.4 MHz SF8, 921.6 MHz SF9")


def test_a_radio_that_is_of_no_use_to_that_network() -> None:
    assert told([FITTING, (921_600_000, 9, 125_000)]) == [
        "no channel of the server's is what a radio listens to: 921.6 MHz SF9"
    ]
    assert told([FITTING, (921_600_000, 9, 62_500)]) == [
        "the server has no data rate for a radio on 921.6 MHz SF9: its frames are not sent"
    ]


def test_a_server_of_another_region() -> None:
    lines = told([FITTING], region="EU863")
    assert lines == ["the server is set for region EU868, this gateway for AS923-2"]
    assert told([FITTING], "EU868", region="eu868") == []
    assert told([FITTING], "EU868", region="EU863") == []
    assert told([FITTING], region="")[0].startswith("the server is set for region unknown")
