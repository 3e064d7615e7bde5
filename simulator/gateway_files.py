"""Configuration files for a gateway that is to listen to a simulated site.

Text only: the gateway reads these files as it would read anybody's.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from simulator.fronts.registry import FRONTS
from simulator.scenario import RadioPlan, Scenario


def gateway_toml(scenario: Scenario, directory: Path) -> str:
    """``gateway.toml`` for all concentrators and LoRaWAN sensors of a scenario.

    Ports are links in ``directory``; state, control socket, keys file and what the ``file``
    upstream receives live there as well.
    """
    devices = scenario.keys()
    parts = [
        _head(scenario.region, directory, keys=True),
        *(
            concentrator_toml(directory, concentrator.name, concentrator.radios, concentrator.kind)
            for concentrator in scenario.concentrators
        ),
        "\n".join(
            _device(device.name, device.dev_addr, device.device_class.value, device.decoder)
            for device in devices
        ),
        _labels(scenario),
    ]
    return "\n".join(parts)


def bare_gateway_toml(
    region: str,
    directory: Path,
    concentrators: Mapping[str, Iterable[RadioPlan]],
    kind: str = "bridge",
) -> str:
    """``gateway.toml`` for concentrators of one kind whose sensors nobody knows."""
    tables = [
        concentrator_toml(directory, name, radios, kind) for name, radios in concentrators.items()
    ]
    return "\n".join([_head(region, directory), *tables])


def keys_toml(scenario: Scenario) -> str:
    """``keys.toml``: session keys of all LoRaWAN sensors; to be readable by the owner only."""
    devices = scenario.keys()
    return "\n".join(
        f"[{device.name}]\n"
        f'nwk_s_key = "{device.nwk_s_key.hex()}"\napp_s_key = "{device.app_s_key.hex()}"\n'
        for device in devices
    )


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody else may read, from its first byte on."""
    path.touch(mode=0o600, exist_ok=True)
    path.chmod(0o600)
    path.write_text(text)


def concentrator_toml(
    directory: Path, name: str, radios: Iterable[RadioPlan], kind: str = "bridge"
) -> str:
    """A ``[[concentrator]]`` table with its radios."""
    lines = ["[[concentrator]]", f'name = "{name}"', f'port = "{directory / name}"']
    if FRONTS[kind].driver != "bridge":
        lines.append(f'driver = "{FRONTS[kind].driver}"')
    lines.append("")
    for radio in radios:
        payload = "lorawan" if radio.sync_word == 0x34 else "cbor"
        lines += [
            "[[concentrator.radio]]",
            f"frequency_hz = {radio.frequency_hz:_}",
            f"spreading_factor = {radio.spreading_factor}",
            f"bandwidth_hz = {radio.bandwidth_hz:_}",
            f"sync_word = 0x{radio.sync_word:02x}",
            f'payload = "{payload}"',
            "",
        ]
    return "\n".join(lines)


def _head(region: str, directory: Path, *, keys: bool = False) -> str:
    keys_line = f'keys_file = "{directory / "keys.toml"}"\n' if keys else ""
    return f"""\
# Made by the simulator for the site in this directory.
[gateway]
id = "auto"
region = "{region}"
state_dir = "{directory / "state"}"
{keys_line}control_socket = "{directory / "gateway.sock"}"

[[upstream]]
name = "received"
kind = "file"
path = "{directory / "received"}"

[monitoring]
listen = ""
"""


def _device(name: str, dev_addr: bytes, device_class: str, decoder: str) -> str:
    return (
        f'[[device]]\nname = "{name}"\ndev_addr = "{dev_addr.hex()}"\nmode = "open"\n'
        f'decoder = "{decoder}"\nclass = "{device_class}"\n'
    )


def _labels(scenario: Scenario) -> str:
    lines = ["[labels]"]
    for number, label in scenario.labels().items():
        unit = f', unit = "{label.unit}"' if label.unit else ""
        lines.append(f'{number} = {{ name = "{label.name}", exponent = {label.exponent}{unit} }}')
    return "\n".join(lines) + "\n"
