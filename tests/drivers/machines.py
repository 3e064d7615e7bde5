"""A machine of files: devices, links of udev, the USB tree, and processes as the kernel says."""

import os
from pathlib import Path

from drivers.ports import Machine


def machine(directory: Path) -> Machine:
    """An empty one."""
    made = Machine(directory / "dev", directory / "proc", directory / "sys")
    for root in (made.dev, made.proc, made.sys):
        root.mkdir()
    return made


def add_usb_port(
    on: Machine,
    name: str,
    *,
    socket: str,
    serial: str = "",
    vendor: str = "10c4",
    product: str = "ea60",
    by_id: str = "",
) -> Path:
    """A USB serial adapter in a socket; udev makes both links, one by id over another's."""
    device = on.dev / name
    device.touch()
    adapter = on.sys / "devices/usb1" / socket
    interface = adapter / f"{socket}:1.0" / name
    interface.mkdir(parents=True, exist_ok=True)
    (adapter / "idVendor").write_text(f"{vendor}\n")
    (adapter / "idProduct").write_text(f"{product}\n")
    if serial:
        (adapter / "serial").write_text(f"{serial}\n")
    tty = on.sys / "class/tty" / name
    tty.mkdir(parents=True)
    (tty / "device").symlink_to(interface)
    link(on.dev / "serial/by-path" / f"platform-usb-0:{socket[2:]}:1.0-port0", device)
    if by_id:
        link(on.dev / "serial/by-id" / by_id, device)
    return device


def link(path: Path, target: Path) -> None:
    """As udev does: the last one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def add_process(on: Machine, pid: int, name: str, open_files: dict[str, str]) -> None:
    """A process with these descriptors."""
    process = on.proc / str(pid)
    (process / "fd").mkdir(parents=True)
    (process / "fdinfo").mkdir()
    (process / "comm").write_text(f"{name}\n")
    for number, target in open_files.items():
        (process / "fd" / number).symlink_to(target)
        (process / "fdinfo" / number).write_text("pos:\t0\nflags:\t02100002\n")


def add_lock(on: Machine, pid: int, device: Path) -> None:
    """A flock(2), as ``/proc/locks`` shows it."""
    status = device.stat()
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with (on.proc / "locks").open("a") as locks:
        locks.write(f"1: FLOCK  ADVISORY  WRITE {pid} {place} 0 EOF\n")
