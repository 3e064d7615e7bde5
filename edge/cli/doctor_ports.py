"""Serial ports as ``lora-edge doctor`` sees them: what answers, and what is in the way.

A port that the running service has, or that anybody else has, is never opened.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from drivers.port_users import obstacle
from drivers.ports import FoundPort, Machine, find_ports
from drivers.probe import Probed, probe_ports
from edge.cli.doctor_finding import Finding
from edge.config.model import ConcentratorConfig, Config
from edge.config.suggestion import SuggestedConcentrator, concentrator_table, free_name
from protocol.dialects.probing import Introduction
from protocol.lora.regions import Region, region

_LASTING_NAME = "ls -l /dev/serial/by-id /dev/serial/by-path shows names that stay"


def examine_ports(
    config: Config | None,
    status: Mapping[str, Any] | None,
    *,
    others: Sequence[Path] = (),
    machine: Machine | None = None,
    ask: bool = True,
    tell: Callable[[str], object] = lambda _text: None,
) -> Iterator[Finding]:
    """One finding or more for each configured port, and one for each other port.

    Args:
        status: the running service's; None while it does not run.
        others: ports to look at beside those that the machine has.
        ask: whether free ports may be opened.
        tell: is told what takes long.
    """
    machine = machine or Machine()
    concentrators = () if config is None else config.concentrators
    configured = [Path(concentrator.port) for concentrator in concentrators]
    ports = find_ports(machine, [*configured, *others])
    up = _connected(status)
    used = {Path(c.port).resolve() for c in concentrators if c.name in up}
    wanted = [port for port in ports if port.device not in used]
    if ask and wanted:
        tell(f"asking what is on {len(wanted)} serial ports, for 8 s at most")
    answers = asyncio.run(probe_ports(machine, wanted)) if ask else []
    probed = {answer.port.device: answer for answer in answers}
    found = {port.device: port for port in ports}
    for concentrator in concentrators:
        port = found.get(Path(concentrator.port).resolve())
        answer = None if port is None else probed.get(port.device)
        yield from _configured(
            machine,
            concentrator,
            port,
            connected=up.get(concentrator.name),
            answer=answer,
            found=found,
        )
    yield from _not_configured(machine, config, ports, configured, probed)


def _connected(status: Mapping[str, Any] | None) -> dict[str, str]:
    """Concentrators that the running service has, with what it says of them."""
    concentrators = status["concentrators"] if status else ()
    return {c["name"]: str(c["detail"]) for c in concentrators if c["up"]}


def _configured(
    machine: Machine,
    concentrator: ConcentratorConfig,
    port: FoundPort | None,
    *,
    connected: str | None,
    answer: Probed | None,
    found: Mapping[Path, FoundPort],
) -> Iterator[Finding]:
    check, path = f"port of {concentrator.name}", Path(concentrator.port)
    if port is None:
        names = ", ".join(str(other.name) for other in found.values())
        here = names or "none: lsusb shows whether one is plugged in"
        yield Finding(check, "fault", f"{path} is not there", f"serial ports here: {here}")
        return
    yield from _names(check, path, port)
    if not port.device.is_char_device():
        yield Finding(check, "fault", f"{path} is no serial port", "ls -l /dev/serial/by-id")
        return
    if connected is not None:
        yield Finding(check, "ok", f"the service is connected: {connected}")
    elif answer is None:
        yield _unasked(machine, check, path, port)
    elif answer.introduction is None:
        fix = answer.fix or "lora-edge doctor once more; systemctl status lora-edge"
        yield Finding(check, "fault", f"{path}: {answer.reason}", fix)
    else:
        yield _expected(check, concentrator, answer.introduction)


def _names(check: str, path: Path, port: FoundPort) -> Iterator[Finding]:
    """Whether the configured name leads to this device after the next plug as well."""
    if port.twins and path in port.by_id:
        others = ", ".join(map(str, port.twins))
        text = f"{path} may lead to {others} as well: both adapters have one serial number"
        fix = f'port = "{port.name}", and unique_id if the board has one'
        yield Finding(check, "warning", text, fix)
    elif path == port.device and port.name != path:
        fix = f'port = "{port.name}"'
        yield Finding(check, "warning", f"{path} may have another name after the next plug", fix)
    elif port.may_change and path == port.device:
        text = f"{path} may have another name after the next plug, and udev gives it no other"
        yield Finding(check, "warning", text, _LASTING_NAME)


def _unasked(machine: Machine, check: str, path: Path, port: FoundPort) -> Finding:
    hindrance = obstacle(machine, port.device)
    if hindrance is None:
        return Finding(check, "ok", f"{path} can be used")
    return Finding(check, "fault", hindrance.text, hindrance.fix)


def _expected(check: str, concentrator: ConcentratorConfig, found: Introduction) -> Finding:
    name = concentrator.name
    if found.driver != concentrator.driver:
        text = f"{found.firmware} answers; driver {concentrator.driver} is configured"
        return Finding(check, "fault", text, f'driver = "{found.driver}" for concentrator {name}')
    # The answer about its identity may have been lost; the driver asks again, and refuses another.
    if concentrator.unique_id and found.identity not in ("", concentrator.unique_id):
        text = f"another board answers: {found.identity}, not {concentrator.unique_id}"
        fix = f'if it was replaced on purpose: unique_id = "{found.identity}"'
        return Finding(check, "fault", text, fix)
    if found.driver == "bridge" and found.radios < len(concentrator.radios):
        text = f"the board has {found.radios} radios, {len(concentrator.radios)} are configured"
        return Finding(check, "fault", text, f"remove radios of concentrator {name}")
    return Finding(check, "ok", _describe(found))


def _not_configured(
    machine: Machine,
    config: Config | None,
    ports: Sequence[FoundPort],
    configured: Sequence[Path],
    probed: Mapping[Path, Probed],
) -> Iterator[Finding]:
    """What else is plugged in, with the lines that would put it to use."""
    devices = {path.resolve() for path in configured}
    names = [] if config is None else [c.name for c in config.concentrators]
    place = _place(config)
    for port in ports:
        if port.device in devices:
            continue
        check = f"port {port.name}"
        answer = probed.get(port.device)
        if answer is None:
            hindrance = obstacle(machine, port.device)
            text = "not asked" if hindrance is None else hindrance.text
            yield Finding(check, "ok", f"{text}; not in the configuration")
        elif answer.introduction is None:
            yield Finding(check, "ok", f"{answer.reason}; not in the configuration")
        else:
            found = answer.introduction
            name = free_name(found.driver, names)
            names.append(name)
            paste = concentrator_table(
                SuggestedConcentrator(
                    name, found.driver, str(port.name), found.identity, found.radios
                ),
                place,
            )
            text = f"{_describe(found)}; not in the configuration"
            yield Finding(check, "ok", text, paste=paste)


def _place(config: Config | None) -> Region:
    """Without a readable configuration the first city's."""
    return region(config.gateway.region) if config is not None else region("AS923-2")


def _describe(found: Introduction) -> str:
    identity = f", board {found.identity}" if found.identity else ""
    radios = f"{found.radios} radio{'s' * (found.radios != 1)}"
    return f"{found.driver}: {found.firmware}{identity}, {radios}"
