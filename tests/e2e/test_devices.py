"""Every family of devices with the real gateway: from a chip to the upstream, in two processes."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from simulator.fronts.registry import FRONTS
from simulator.scenario_file import load_scenario, scenario_path
from tests.e2e.processes import Process, boards, gateway, shown_on_failure, wait_until

# The first byte is what some firmware takes for its own header; the rest is a reading in CBOR.
ON_AIR = b"\x70" + bytes.fromhex("a1 01 19 0126")


def received(directory: Path) -> list[dict[str, Any]]:
    """What the ``file`` upstream has."""
    return [
        json.loads(line)
        for path in sorted((directory / "received").glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]


@pytest.mark.parametrize("kind", FRONTS)
def test_a_frame_goes_from_the_device_to_the_upstream(tmp_path: Path, kind: str) -> None:
    """By the configuration that the simulator writes, checked as any other."""
    with boards(tmp_path, kind=kind) as site, gateway(tmp_path) as running:
        wait_until(running.up, "the device is up")
        site.inject_surely(ON_AIR)
        wait_until(lambda: received(tmp_path), "the frame is upstream")
        (concentrator,) = running.status()["concentrators"]
        assert concentrator["driver"] == FRONTS[kind].driver
    (frame,) = received(tmp_path)
    payload = bytes.fromhex(frame["phy_payload"])
    assert payload in (ON_AIR, ON_AIR[1:])
    (reception,) = frame["receptions"]
    assert reception["frequency_hz"] == 921_400_000


def test_a_scenario_with_every_family_gives_what_their_sensors_sent(tmp_path: Path) -> None:
    """Mixed families on one roof, each with its own sensors."""
    process = scenario_process(tmp_path)
    with shown_on_failure(process.log):
        process.start()
        try:
            wait_until((tmp_path / "gateway.toml").exists, "the simulator is up")
            with gateway(tmp_path) as running:
                wait_until(running.up, "all devices are up")
                wait_until(
                    lambda: heard(tmp_path) == families(), "a frame from each family's device"
                )
        finally:
            process.end()


def scenario_process(directory: Path) -> Process:
    """The simulator, playing the built-in scenario."""
    command = [sys.executable, "-m", "simulator", "run", "devices", "--directory", str(directory)]
    return Process([*command, "--gateway-files", "--baud", "0"], directory / "simulator.log")


def families() -> set[str]:
    """Names of the scenario's devices."""
    return {plan.name for plan in load_scenario(scenario_path("devices")).concentrators}


def heard(directory: Path) -> set[str]:
    """Devices that a received frame came by."""
    return {
        reception["concentrator"]
        for frame in received(directory)
        for reception in frame["receptions"]
    }
