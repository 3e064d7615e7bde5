"""First configurations: whatever is chosen, they can be used and still explain everything."""

import tomllib
from pathlib import Path

import pytest

from drivers.registry import DRIVERS
from edge.config.default import render_default
from edge.config.first import ChosenUpstream, first_configuration, required_options
from edge.config.suggestion import SuggestedConcentrator, concentrator_table, free_name
from edge.upstreams.registry import UPSTREAMS
from protocol.lora.regions import REGIONS, region
from tests.edge.config.texts import load, warnings


def upstream(kind: str) -> ChosenUpstream:
    return ChosenUpstream(kind, {o.key: o.example for o in required_options(kind)})


@pytest.mark.parametrize("kind", list(UPSTREAMS))
@pytest.mark.parametrize("driver", list(DRIVERS))
@pytest.mark.parametrize("place", [region.name for region in REGIONS])
def test_all_families_kinds_and_regions(place: str, driver: str, kind: str) -> None:
    device = SuggestedConcentrator("roof", driver, "/dev/serial/by-id/usb-one", "e661")

    text = first_configuration(place, concentrators=[device], upstream=upstream(kind))

    config = load(text).config
    [concentrator] = config.concentrators
    assert concentrator.driver == driver
    assert concentrator.unique_id in ("e661", "")  # some families tell none
    assert concentrator.radios[0].frequency_hz == region(place).uplink_channels_hz[0]
    assert [each.kind for each in config.upstreams] == [kind]
    assert config.gateway.region == place
    assert [text for text in warnings(text) if "not in a band" in text] == []


def test_what_is_chosen_stands_above_its_explanation_and_nothing_is_left_out() -> None:
    devices = [
        SuggestedConcentrator(name, "bridge", f"/dev/{name}", radios=2) for name in ("a", "b")
    ]

    text = first_configuration("AS923-2", concentrators=devices, upstream=upstream("mqtt"))

    left = [line for line in render_default().splitlines() if line.strip()]
    assert [line for line in left if line not in text.splitlines()] == []
    assert text.index('name = "a"') < text.index('name = "b"') < text.index("#[[concentrator]]")
    assert (
        text.index("#[[concentrator]]") < text.index("\n[[upstream]]") < text.index("#[[upstream]]")
    )
    channels = [radio["frequency_hz"] for radio in tomllib.loads(text)["concentrator"][0]["radio"]]
    assert channels == [921_400_000, 921_600_000]


def test_ports_are_suggested_where_none_is_chosen() -> None:
    text = first_configuration("AS923-2", ports=["/dev/a", "/dev/b"])

    assert '\n#port = "/dev/a"\n# or "/dev/b"\n' in text
    assert load(text).config.concentrators == ()
    assert "Found on this machine" not in first_configuration("US915")


def test_more_radios_than_channels_are_left_to_people() -> None:
    table = concentrator_table(
        SuggestedConcentrator("roof", "bridge", "/dev/a", radios=8), region("AS923-2")
    )

    assert table.count("[[concentrator.radio]]") == 2


def test_what_a_device_says_of_itself_is_only_text() -> None:
    hostile = 'x"\n[gateway]\nid = "'
    table = concentrator_table(SuggestedConcentrator("a", "bridge", hostile), region("EU868"))

    assert tomllib.loads(table)["concentrator"][0]["port"] == hostile


@pytest.mark.parametrize(
    ("taken", "name"), [([], "rnode-1"), (["rnode-1", "x"], "rnode-2"), (["rnode-2"], "rnode-1")]
)
def test_names_that_nobody_has(taken: list[str], name: str) -> None:
    assert free_name("rnode", taken) == name


def test_what_kinds_cannot_do_without() -> None:
    assert [option.key for option in required_options("mqtt")] == ["url"]
    assert [option.key for option in required_options("file")] == ["path"]
    assert Path(required_options("file")[0].example).is_absolute()
