"""The serial ports of this machine: their lasting names, and who stands in the way.

Nothing here opens a port, because opening one resets many boards. What is asked are names and links
below ``/dev``, the USB tree in ``/sys``, and ``/proc`` for processes, locks and the kernel's
console. The three roots are arguments, so that tests can build a machine of files.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

_KERNEL_NAMES = ("ttyUSB*", "ttyACM*", "ttyAMA*")
_CHANGING = re.compile(r"tty(?:USB|ACM)[0-9]+")
_UART_LINKS = ("serial0",)  # Raspberry Pi OS: whichever UART is on the pins
_BLUETOOTH_LINK = "serial1"  # the same: the UART that the Bluetooth chip hangs on


@dataclass(frozen=True, slots=True)
class Machine:
    """Where devices, processes and the USB tree are to be looked for."""

    dev: Path = Path("/dev")
    proc: Path = Path("/proc")
    sys: Path = Path("/sys")


@dataclass(frozen=True, slots=True)
class FoundPort:
    """One serial port.

    Attributes:
        device: the device itself, e.g. ``/dev/ttyUSB0``.
        by_id: links that name the adapter; they follow it to another socket.
        by_path: links that name the socket; they stay with whatever is plugged in there.
        usb: vendor, product and serial number of the USB adapter; None for other ports.
        twins: other ports whose adapters say the same of themselves, so that ``by_id`` may lead to
            either of them.
        is_bluetooth: the machine's own Bluetooth chip hangs on it.
    """

    device: Path
    by_id: tuple[Path, ...] = ()
    by_path: tuple[Path, ...] = ()
    usb: tuple[str, str, str] | None = None
    twins: tuple[Path, ...] = ()
    is_bluetooth: bool = False

    @property
    def name(self) -> Path:
        """What a configuration should call it: by id, else by path, else as the kernel does."""
        names = self.by_path if self.twins else self.by_id + self.by_path
        return names[0] if names else self.device

    @property
    def may_change(self) -> bool:
        """Whether it may have another name after the next plug, or start."""
        return self.name == self.device and _CHANGING.fullmatch(self.device.name) is not None


def find_ports(machine: Machine, others: Iterable[Path] = ()) -> list[FoundPort]:
    """All serial ports, and ``others`` (e.g. configured ones, or links to ptys) if they exist."""
    devices = {
        path.resolve()
        for pattern in _KERNEL_NAMES
        for path in machine.dev.glob(pattern)
        if not path.is_symlink()
    }
    by_id = _links((machine.dev / "serial/by-id", machine.dev / "lora"))
    by_path = _links((machine.dev / "serial/by-path",))
    for name in _UART_LINKS:
        link = machine.dev / name
        if link.exists():
            devices.add(link.resolve())
            by_path.setdefault(link.resolve(), []).append(link)
    for link in others:
        if link.exists() and (device := link.resolve()) not in devices:
            devices.add(device)
            if link != device:
                by_path.setdefault(device, []).append(link)
    bluetooth = (machine.dev / _BLUETOOTH_LINK).resolve()
    ports = [
        FoundPort(
            device=device,
            by_id=tuple(by_id.get(device, ())),
            by_path=tuple(by_path.get(device, ())),
            usb=usb_identity(machine, device),
            is_bluetooth=device == bluetooth,
        )
        for device in sorted(devices, key=_natural)
    ]
    return _with_twins(machine, ports)


def usb_identity(machine: Machine, device: Path) -> tuple[str, str, str] | None:
    """Vendor, product and serial number of the USB adapter behind a port; "" = it has none."""
    adapter = usb_device(machine, device)
    if adapter is None:
        return None
    vendor, product, serial = (_text(adapter / n) for n in ("idVendor", "idProduct", "serial"))
    return vendor, product, serial


def usb_device(machine: Machine, device: Path) -> Path | None:
    """The adapter's directory in ``/sys``; its name is the bus and the sockets, as ``1-1.2``."""
    start = (machine.sys / "class/tty" / device.name / "device").resolve()
    for directory in (start, *start.parents):
        if (directory / "idVendor").is_file():
            return directory
    return None


def _with_twins(machine: Machine, ports: list[FoundPort]) -> list[FoundPort]:
    """Note ports that only their sockets tell apart. One adapter may have several ports."""
    adapters = {port.device: usb_device(machine, port.device) for port in ports}
    return [
        replace(
            port,
            twins=tuple(
                other.device
                for other in ports
                if port.usb == other.usb is not None
                and adapters[other.device] != adapters[port.device]
            ),
        )
        for port in ports
    ]


def _links(directories: Iterable[Path]) -> dict[Path, list[Path]]:
    """Links of udev by where they lead to; the plainest name of several comes first."""
    found: dict[Path, list[Path]] = {}
    for directory in directories:
        # A port on USB 3 has two names by path; "usbv2" in one of them says less to people.
        for link in sorted(directory.glob("*"), key=lambda link: ("-usbv" in link.name, link.name)):
            if link.exists():
                found.setdefault(link.resolve(), []).append(link)
    return found


def _natural(path: Path) -> tuple[str, int]:
    """ttyUSB10 comes after ttyUSB9."""
    stem = path.name.rstrip("0123456789")
    return f"{path.parent}/{stem}", int(path.name[len(stem) :] or 0)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
