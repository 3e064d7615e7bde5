"""The machine under the gateway: clock, power, file systems, and who starts the service."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from edge.cli.doctor_finding import Finding
from edge.clock import SystemClock

_PROC, _SYS = Path("/proc"), Path("/sys")

# Bits of "vcgencmd get_throttled" (Raspberry Pi documentation, "vcgencmd"): what is, what was.
_POWER = {0: "the supply is below 4.63 V now", 16: "the supply was below 4.63 V since the start"}
_HEAT = {
    1: "the processor is slowed down now",
    2: "the processor is slowed down now",
    3: "the processor is near its temperature limit now",
    18: "the processor was slowed down since the start",
    19: "the processor was near its temperature limit since the start",
}
_POWER_FIX = "a supply of 5.1 V and 3 A on a short cable; boards on a powered hub"
_HEAT_FIX = "shade and air for the box"
_LOW_VOLTAGE_ALARM = "class/hwmon/hwmon*/in0_lcrit_alarm"  # driver raspberrypi-hwmon
_USB_CURRENT_LIMIT_MA = 500  # what a USB 2 port has to give (USB 2.0, 7.2.1.4)


def examine_machine(*, proc: Path = _PROC, sys: Path = _SYS) -> Iterator[Finding]:
    """All checks that need no configuration."""
    yield _clock()
    yield from _power(sys)
    yield from _usb_power(sys)
    yield _root(proc)
    yield _unit()


def _clock() -> Finding:
    wall = SystemClock().wall()
    if wall is None:
        fix = "timedatectl; frames are stored, and dated as soon as there is a time source"
        return Finding("clock", "warning", "the clock is not synchronised", fix)
    return Finding("clock", "ok", f"synchronised within {wall.uncertainty_us / 1e6:.3f} s")


def _power(sys: Path) -> Iterator[Finding]:
    """The firmware's flags, or the kernel's alarm; silent on machines that have neither."""
    flags = _throttled()
    if flags is not None:
        power = [text for bit, text in _POWER.items() if flags >> bit & 1]
        heat = list(dict.fromkeys(text for bit, text in _HEAT.items() if flags >> bit & 1))
        if power:
            yield Finding("power", "warning", "; ".join(power), _POWER_FIX)
        if heat:
            yield Finding("heat", "warning", "; ".join(heat), _HEAT_FIX)
        if not power and not heat:
            yield Finding("power", "ok", "no undervoltage and no heat since the start")
        return
    for alarm in sorted(sys.glob(_LOW_VOLTAGE_ALARM)):
        if _read(alarm) == "1":
            yield Finding("power", "warning", "the supply is too low", _POWER_FIX)
        else:
            yield Finding("power", "ok", "the kernel reports no undervoltage")


def _throttled() -> int | None:
    program = shutil.which("vcgencmd")
    if program is None:
        return None
    try:
        asked = subprocess.run(  # noqa: S603 - constant words
            [program, "get_throttled"], capture_output=True, text=True, check=False, timeout=5
        )
        return int(asked.stdout.strip().removeprefix("throttled="), 16)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None  # without the right to ask, or another machine's program of that name


def _usb_power(sys: Path) -> Iterator[Finding]:
    """Devices that ask a root port for more than it has to give; boards then reset at random."""
    for device in sorted((sys / "bus/usb/devices").glob("*")):
        demand = _read(device / "bMaxPower").removesuffix("mA")
        if demand.isdecimal() and int(demand) > _USB_CURRENT_LIMIT_MA:
            name = _read(device / "product") or "a device"
            text = f"{name} in socket {device.name} asks for {demand} mA"
            yield Finding("usb power", "warning", text, "put it on a powered hub")


def _root(proc: Path) -> Finding:
    """A card that fails is remounted read-only by the kernel; some people do so on purpose."""
    for line in _read(proc / "mounts").splitlines():
        words = line.split()
        if len(words) > 3 and words[1] == "/" and words[2] != "rootfs":
            if "ro" in words[3].split(","):
                fix = "dmesg | grep -iE 'mmc|ext4': unless it is meant to be so, replace the card"
                return Finding("root file system", "warning", "mounted read-only", fix)
            break
    return Finding("root file system", "ok", "can be written")


def _unit() -> Finding:
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        fix = "see to it that something starts lora-edge run when the machine starts"
        return Finding("unit", "warning", "there is no systemd here", fix)
    asked = subprocess.run(  # noqa: S603 - constant words
        [systemctl, "is-enabled", "lora-edge.service"], capture_output=True, text=True, check=False
    )
    state = asked.stdout.strip() or asked.stderr.strip() or "not known to systemd"
    if asked.returncode == 0:
        return Finding("unit", "ok", f"lora-edge.service is {state}")
    fix = "sudo systemctl enable lora-edge"
    text = f"lora-edge.service does not start with the machine: {state}"
    return Finding("unit", "fault", text, fix)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
