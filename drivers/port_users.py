"""Who uses a serial port already, and what else keeps us from it, in plain words.

``/proc/locks`` names whoever has locked a port, whatever our rights; open files are seen of our own
processes, or of all of them by root. Nothing is opened: that could reset the board behind the port.
"""

import errno
import getpass
import grp
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from drivers.ports import Machine

_LOCK = re.compile(r"\d+: \w+ +\w+ +\w+ +(\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) ")
_CONSOLE = re.compile(r"\bconsole=(?:/dev/)?(tty\w+|serial[01])")
_LOGIN_PROGRAMS = frozenset({"agetty", "getty", "login"})


@dataclass(frozen=True, slots=True)
class PortUser:
    """A process that has the port; ``name`` is "" where we may not know it."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid})" if self.name else f"process {self.pid}"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What is in the way, and what to do about it."""

    text: str
    fix: str


def port_users(machine: Machine, device: Path) -> list[PortUser]:
    """Processes other than this one that have the device open or locked.

    A process that holds the master of a pty is the device at its other end, not a user of it.
    """
    pids = {*_lock_owners(machine, device), *_openers(machine, device)} - {os.getpid()}
    return [PortUser(pid, _process_name(machine, pid)) for pid in sorted(pids)]


def obstacle(machine: Machine, device: Path) -> Obstacle | None:
    """Why the port should not be opened now; None = nothing is known to be in the way."""
    device = device.resolve()
    if not device.exists():
        return Obstacle(f"{device}: no such device", "is the board plugged in? lsusb; dmesg | tail")
    if not os.access(device, os.R_OK | os.W_OK):
        return _missing_right(device)
    users = port_users(machine, device)
    logins = [user for user in users if user.name in _LOGIN_PROGRAMS]
    if logins:
        return Obstacle(
            f"{device}: a login console waits on it ({logins[0]})",
            f"sudo systemctl disable --now serial-getty@{device.name}.service",
        )
    if users:
        return Obstacle(
            f"{device}: in use by another process: {', '.join(map(str, users))}",
            "stop that program, or give the board another port",
        )
    if device.name in _kernel_consoles(machine):
        return Obstacle(
            f"{device}: the kernel writes its messages to it (console=)",
            "take console= for it out of /boot/firmware/cmdline.txt and start the machine again",
        )
    return None


def explain(machine: Machine, path: str, error: Exception) -> str:
    """One line on why a port could not be opened."""
    code = getattr(error, "errno", None)
    device = Path(path)
    if not device.exists():
        return f"{path}: no such device; is the board plugged in?"
    if code in (errno.EACCES, errno.EPERM):
        right = _missing_right(device.resolve())
        return f"{path}: no permission; {right.fix}"
    if code in (errno.EBUSY, errno.EAGAIN) or "lock" in str(error):
        users = port_users(machine, device.resolve())
        names = f": {', '.join(map(str, users))}" if users else ""
        return f"{path}: in use by another process{names}"
    return f"{path}: {error}"


def _missing_right(device: Path) -> Obstacle:
    group_id = device.stat().st_gid
    try:
        group = grp.getgrgid(group_id).gr_name
    except KeyError:
        group = str(group_id)
    user = _user_name()
    if group_id == 0:  # nobody should join root's group
        fix = "compare lsusb with /etc/udev/rules.d/60-lora-edge.rules, which give it to lora-edge"
    else:
        fix = f"sudo usermod -aG {group} {user}, then log in again or restart the service"
    return Obstacle(f"{device}: no permission for user {user}; it belongs to group {group}", fix)


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        return str(os.geteuid())


def _lock_owners(machine: Machine, device: Path) -> Iterator[int]:
    """flock(2) and fcntl(2) locks; the kernel names file system and inode, in this notation."""
    status = device.stat()
    file = (os.major(status.st_dev), os.minor(status.st_dev), status.st_ino)
    for line in _lines(machine.proc / "locks"):
        if match := _LOCK.match(line):
            pid, major, minor, inode = match.groups()
            if (int(major, 16), int(minor, 16), int(inode)) == file:
                yield int(pid)


def _openers(machine: Machine, device: Path) -> Iterator[int]:
    for directory in machine.proc.glob("[0-9]*/fd"):
        pid = int(directory.parent.name)
        targets = dict(_open_files(directory))
        if str(device) not in targets.values():
            continue
        masters = [number for number, target in targets.items() if target.endswith("/ptmx")]
        if not any(_is_master_of(directory.parent, number, device) for number in masters):
            yield pid


def _open_files(directory: Path) -> Iterator[tuple[str, str]]:
    try:
        numbers = os.listdir(directory)  # noqa: PTH208 - names are what is wanted
    except OSError:  # another user's process, or one that has ended
        return
    for number in numbers:
        try:
            yield number, os.readlink(directory / number)  # noqa: PTH115 - not resolved further
        except OSError:
            continue


def _is_master_of(process: Path, number: str, device: Path) -> bool:
    """The kernel tells the pty of a master since 4.14 (fdinfo, tty-index)."""
    lines = _lines(process / "fdinfo" / number)
    return any(line.split() == ["tty-index:", device.name] for line in lines)


def _process_name(machine: Machine, pid: int) -> str:
    lines = _lines(machine.proc / str(pid) / "comm")
    return lines[0] if lines else ""


def _kernel_consoles(machine: Machine) -> set[str]:
    found = set()
    for line in _lines(machine.proc / "cmdline"):
        for name in _CONSOLE.findall(line):
            link = machine.dev / name
            found.add(link.resolve().name if link.exists() else name)
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
