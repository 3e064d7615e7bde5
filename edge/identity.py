"""Who this gateway is: an EUI-64 that stays the same for the life of its store.

The identity is decided at the first start and kept in the state directory, because a network
adapter may be replaced and a frame's id must not change with it. If hardware and identity no longer
match, the state may be a copy of another gateway's (a cloned card): the store then begins a new
epoch, so that the two never give the same id to different frames.
"""

import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from edge.durable_file import write_durably

FILE_NAME = "gateway-id"
_PERMANENT = "0"  # addr_assign_type, Linux Documentation/ABI/testing/sysfs-class-net
_ETHERNET = "1"  # ARPHRD_ETHER, linux/if_arp.h; Wi-Fi has it too
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
_EUI64 = re.compile(r"[0-9a-f]{16}")


class IdentityError(Exception):
    """The identity can be neither read nor stored."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Attributes:
    gateway: EUI-64, 8 bytes.
    mismatch: neither the configuration nor the hardware is what it was when this identity was
        last confirmed: the store has to begin a new epoch, then :func:`confirm_identity`.
    warning: what does not match, for people; may be there although ``mismatch`` is not.
    found: what the configuration or the hardware asks for now.
    """

    gateway: bytes
    mismatch: bool
    warning: str
    found: str


def resolve_identity(
    configured: str, state_dir: Path, network: Path = Path("/sys/class/net")
) -> Identity:
    """Find the identity; at the first start, decide and store it.

    Args:
        configured: ``auto`` or 16 hexadecimal digits.
        network: directory of the kernel's network interfaces.

    Raises:
        IdentityError: it cannot be read or stored.
    """
    candidates = [configured] if configured != "auto" else hardware_identities(network)
    path = state_dir / FILE_NAME
    stored, confirmed = _read(path)
    if stored is None:
        damaged = f"{path} held no identity and was written anew" if path.exists() else ""
        gateway = candidates[0] if candidates else secrets.token_hex(8)
        _write(path, gateway, gateway)
        return Identity(bytes.fromhex(gateway), mismatch=False, warning=damaged, found=gateway)
    if not candidates or stored in candidates:
        return Identity(bytes.fromhex(stored), mismatch=False, warning="", found=stored)
    found = candidates[0]
    asks = "this hardware is" if configured == "auto" else "the configuration says"
    warning = (
        f"this gateway stays {stored} although {asks} {found}; to change it, stop the service and"
        f" remove {path}"
    )
    return Identity(bytes.fromhex(stored), confirmed not in candidates, warning, found)


def confirm_identity(identity: Identity, state_dir: Path) -> None:
    """Remember that the store has begun its new epoch for what was found.

    Raises:
        IdentityError: it cannot be stored.
    """
    _write(state_dir / FILE_NAME, identity.gateway.hex(), identity.found)


def stored_identity(state_dir: Path) -> bytes | None:
    """The identity that the state directory holds, None before the first start.

    Raises:
        IdentityError: it cannot be read.
    """
    stored, _ = _read(state_dir / FILE_NAME)
    return None if stored is None else bytes.fromhex(stored)


def hardware_identities(network: Path) -> list[str]:
    """EUI-64s of all permanent MAC addresses, lowest first: ``fffe`` goes into the middle.

    Interfaces that software made (loopback, bridges, tunnels) have no ``device``.
    """
    macs = []
    for interface in network.glob("*") if network.is_dir() else ():
        facts = [_fact(interface / name) for name in ("address", "addr_assign_type", "type")]
        mac, assigned, kind = facts
        if not (interface / "device").exists() or (assigned, kind) != (_PERMANENT, _ETHERNET):
            continue
        if _MAC.fullmatch(mac) and mac != "00:00:00:00:00:00":
            macs.append(mac.replace(":", ""))
    return [f"{mac[:6]}fffe{mac[6:]}" for mac in sorted(macs)]


def _fact(path: Path) -> str:
    try:
        return path.read_text().strip().lower()
    except OSError:
        return ""


def _read(path: Path) -> tuple[str | None, str]:
    """The stored identity, and what it was last confirmed for; None if there is none.

    A file that holds something else counts as none: a gateway without its old identity begins a new
    epoch, one that does not start hears nothing.
    """
    try:
        lines = path.read_text(errors="replace").lower().split()
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        raise IdentityError(f"{path} cannot be read: {error.strerror}") from error
    if not lines or not all(map(_EUI64.fullmatch, lines)):
        return None, ""
    return lines[0], lines[-1]


def _write(path: Path, gateway: str, found: str) -> None:
    try:
        write_durably(path, f"{gateway}\n{found}\n".encode())
    except OSError as error:
        raise IdentityError(f"{path} cannot be written: {error.strerror}") from error
