"""Doctor finds real (simulated) devices through real processes, and what it prints runs."""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from simulator.fronts.registry import FRONTS
from tests.e2e.processes import boards, gateway, uplink_payload, wait_until

HEAD = """\
[gateway]
region = "AS923-2"
state_dir = "{directory}/state"
control_socket = "{directory}/gateway.sock"

[[upstream]]
name = "received"
kind = "file"
path = "{directory}/received"

[monitoring]
listen = ""

"""


def doctor(directory: Path, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit status and findings."""
    command = [sys.executable, "-m", "edge", "doctor", "--json", *options]
    command += ["-c", str(directory / "gateway.toml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    findings: list[dict[str, Any]] = json.loads(done.stdout)
    return done.returncode, findings


def ports_of(directory: Path, *names: str) -> list[str]:
    return [word for name in names for word in ("--port", str(directory / name))]


def test_what_doctor_finds_can_be_pasted_and_runs(tmp_path: Path) -> None:
    with boards(tmp_path, count=2, radios=("921.4:9", "921.6:9")) as idle:
        config = tmp_path / "gateway.toml"
        config.write_text(HEAD.format(directory=tmp_path))
        (tmp_path / "state").mkdir()
        names = ("board-1", "board-2")

        _, before = doctor(tmp_path, *ports_of(tmp_path, *names))

        pasted = [finding["paste"] for finding in before if finding["paste"]]
        assert len(pasted) == 2
        assert all("unique_id = " in table for table in pasted)
        assert all(table.count("[[concentrator.radio]]") == 2 for table in pasted)
        config.write_text(HEAD.format(directory=tmp_path) + "\n".join(pasted))

        with gateway(tmp_path) as running:
            wait_until(running.up, "all that was found is in use")
            assert idle.inject(uplink_payload(1))
            wait_until(idle.drained, "the frame is committed")

            # The service has the ports: they are told from its own words, not opened.
            _, after = doctor(tmp_path)
            told = {f["check"]: f for f in after if f["check"].startswith("port of ")}
            assert {check: f["result"] for check, f in told.items()} == {
                "port of bridge-1": "ok",
                "port of bridge-2": "ok",
            }
            assert all("the service is connected" in f["text"] for f in told.values())
            assert running.up()


# Of the kinds that the simulator has; this one tunes 433 and 868 MHz, the region is at 921.
NOT_IN_THIS_REGION = {"rn2483"}


def test_devices_of_all_families_on_one_machine_are_named_and_run(tmp_path: Path) -> None:
    with ExitStack() as stack:
        sites = {}
        for kind in FRONTS:
            (tmp_path / kind).mkdir()
            sites[kind] = stack.enter_context(boards(tmp_path / kind, kind=kind))
        links = {kind: site.directory / "board-1" for kind, site in sites.items()}
        config = tmp_path / "gateway.toml"
        config.write_text(HEAD.format(directory=tmp_path))
        (tmp_path / "state").mkdir()

        words = [word for link in links.values() for word in ("--port", str(link))]
        _, findings = doctor(tmp_path, *words)

        named = {f["check"]: f for f in findings if f["paste"]}
        assert set(named) == {f"port {link}" for link in links.values()}
        for kind, link in links.items():
            assert named[f"port {link}"]["text"].startswith(f"{FRONTS[kind].driver}: ")
            # A modem that answers nothing does not say which one it is.
            assert ("unique_id = " in named[f"port {link}"]["paste"]) == (kind != "loraprs")
        pasted = [
            named[f"port {links[kind]}"]["paste"] for kind in FRONTS.keys() - NOT_IN_THIS_REGION
        ]
        config.write_text(HEAD.format(directory=tmp_path) + "\n".join(pasted))
        with gateway(tmp_path) as running:
            wait_until(running.up, "all that was found is in use")
            assert len(running.status()["concentrators"]) == len(pasted)


def test_a_port_that_the_service_has_is_in_use_for_another_configuration(tmp_path: Path) -> None:
    with boards(tmp_path) as _, gateway(tmp_path) as running:
        wait_until(running.up, "the board is in use")
        other = tmp_path / "other"
        (other / "state").mkdir(parents=True)
        (other / "gateway.toml").write_text(HEAD.format(directory=other))

        _, findings = doctor(other, *ports_of(tmp_path, "board-1"))

        [port] = [f for f in findings if f["check"].endswith("board-1")]
        assert "in use by another process" in port["text"]
        assert port["paste"] == ""
        assert running.up()
