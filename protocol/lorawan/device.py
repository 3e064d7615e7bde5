"""The devices that the gateway knows: who sent an uplink, whether it is genuine, what it says.

A frame is never refused here. A MIC that fits no device, a counter used twice and a counter that
starts again *mark* the frame, and the session's window stays where it is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from itertools import islice

from protocol.lorawan.counter import ReplayWindow, Verdict, candidates
from protocol.lorawan.crypto import crypt_payload, data_mic_fits
from protocol.lorawan.frame import DataFrame
from protocol.records.sensor_frame import Verified

# Each trial costs an AES-CMAC and gives a forger one chance in 2^32. Sixteen reach 13 upper halves
# ahead: 850,000 frames unheard, more than a year at one a minute.
MAX_MIC_TRIALS = 16
# However many devices share one address, each gets what daily traffic needs: the same upper half,
# the next one, the one before, and a restart.
MIN_TRIALS_PER_DEVICE = 4
# A used counter below this looks like a device that lost its counter; above, like a replay.
COUNTER_RESET_BELOW = 1024
_KEY_BYTES = 16
_DEV_ADDR_BYTES = 4


class DeviceMode(StrEnum):
    """What the gateway may do with frames of a device."""

    OPAQUE = "opaque"  # nothing: no key is here
    VERIFY = "verify"  # check the MIC; the payload stays sealed
    OPEN = "open"  # check the MIC and decrypt


class Doubt(StrEnum):
    """Why an uplink is not verified; a closed list, used as a metric label."""

    MIC = "mic"  # fits no configured device of this address
    REPEAT = "repeat"  # the session's last frame, sent again: confirmed and NbTrans uplinks do so
    REPLAY = "replay"  # another frame has used its counter, or a window's worth of later ones
    COUNTER_RESET = "counter_reset"  # the device seems to count from the start again


@dataclass(frozen=True, slots=True)
class DeviceKeys:
    """One configured device.

    Attributes:
        dev_addr: 4 bytes, most significant first; devices may share it.
        nwk_s_key: 16 bytes; needed to verify and to open.
        app_s_key: 16 bytes; needed to open.
        allow_counter_reset: let the device count from the start again under the same keys. Whoever
            recorded it can then replay it too.

    Raises:
        ValueError: a key that the mode needs is missing, or a length is wrong.
    """

    name: str
    dev_addr: bytes
    mode: DeviceMode = DeviceMode.OPAQUE
    nwk_s_key: bytes | None = field(default=None, repr=False)
    app_s_key: bytes | None = field(default=None, repr=False)
    allow_counter_reset: bool = False

    def __post_init__(self) -> None:
        """Refuse at start what would fail at the first frame."""
        if len(self.dev_addr) != _DEV_ADDR_BYTES:
            raise ValueError(f"{self.name}: dev_addr has {_DEV_ADDR_BYTES} bytes")
        if self.mode is not DeviceMode.OPAQUE and self.nwk_s_key is None:
            raise ValueError(f"{self.name}: mode {self.mode} needs nwk_s_key")
        if self.mode is DeviceMode.OPEN and self.app_s_key is None:
            raise ValueError(f"{self.name}: mode {self.mode} needs app_s_key")
        if any(
            len(key) != _KEY_BYTES for key in (self.nwk_s_key, self.app_s_key) if key is not None
        ):
            raise ValueError(f"{self.name}: a key has {_KEY_BYTES} bytes")


@dataclass(frozen=True, slots=True)
class Opened:
    """What is known of an uplink.

    Attributes:
        device: configured name, if one device alone can have sent it.
        f_cnt: the 32-bit counter where a MIC proves it, else the 16 bits of the frame.
        verified: UNKNOWN where no key could tell.
        reason: why ``verified`` is NO.
        plaintext: application payload of a verified frame of an open device; never MAC commands.
        new_window: to be committed with the frame, as the mark ``fcnt/<device>``; None: no change.
    """

    device: str | None
    f_cnt: int
    verified: Verified
    reason: Doubt | None = None
    plaintext: bytes | None = None
    new_window: ReplayWindow | None = None


@dataclass(frozen=True, slots=True)
class _Session:
    """A device whose MIC can be checked."""

    device: DeviceKeys
    nwk_s_key: bytes
    identity: bytes


@dataclass(frozen=True, slots=True)
class _Neighbours:
    """All devices of one address: those with keys, and the names of the others."""

    sessions: tuple[_Session, ...]
    opaque: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Match:
    """A session whose MIC fits, and the counter with which it does."""

    session: _Session
    f_cnt: int
    window: ReplayWindow | None


class DeviceTable:
    """Finds the device behind an uplink. Holds no state but the configuration.

    Raises:
        ValueError: two devices have one name, and so would share a window.
    """

    def __init__(self, devices: tuple[DeviceKeys, ...]) -> None:
        if len({device.name for device in devices}) != len(devices):
            raise ValueError("two devices have the same name")
        by_address: dict[bytes, list[DeviceKeys]] = {}
        for device in devices:
            by_address.setdefault(device.dev_addr, []).append(device)
        self._by_address = {
            dev_addr: _neighbours(sharing) for dev_addr, sharing in by_address.items()
        }

    def open_uplink(
        self,
        frame: DataFrame,
        phy_payload: bytes,
        windows: Callable[[str], ReplayWindow | None],
    ) -> Opened:
        """Find, verify and decrypt; an unknown address costs one look-up and no cryptography.

        Args:
            phy_payload: the bytes that ``frame`` was parsed from.
            windows: the newest window of a device by name, committed or about to be.

        Raises:
            ValueError: the frame is a downlink, which counts on its own.
        """
        if not frame.uplink:
            raise ValueError("only uplinks move uplink counters")
        neighbours = self._by_address.get(frame.dev_addr)
        if neighbours is None:
            return Opened(None, frame.f_cnt, Verified.UNKNOWN)
        match = _find(neighbours.sessions, frame, phy_payload, windows)
        return _unproven(neighbours, frame) if match is None else _judge(match, frame)


def _neighbours(devices: list[DeviceKeys]) -> _Neighbours:
    sessions, opaque = [], []
    for device in devices:
        if device.mode is DeviceMode.OPAQUE or device.nwk_s_key is None:
            opaque.append(device.name)
        else:
            # Goes into the store: four bytes of a hash, which tell nothing about a 128-bit key.
            identity = blake2b(device.nwk_s_key + device.dev_addr, digest_size=4).digest()
            sessions.append(_Session(device, device.nwk_s_key, identity))
    return _Neighbours(tuple(sessions), tuple(opaque))


def _find(
    sessions: tuple[_Session, ...],
    frame: DataFrame,
    phy_payload: bytes,
    windows: Callable[[str], ReplayWindow | None],
) -> _Match | None:
    for session, window, f_cnt in _trials(sessions, frame.f_cnt, windows):
        if data_mic_fits(frame, phy_payload, nwk_s_key=session.nwk_s_key, f_cnt=f_cnt):
            return _Match(session, f_cnt, window)
    return None


def _trials(
    sessions: tuple[_Session, ...],
    low_half: int,
    windows: Callable[[str], ReplayWindow | None],
) -> Iterator[tuple[_Session, ReplayWindow | None, int]]:
    """Session by session, then counter by counter; bounded whatever the frame says."""
    depth = max(MIN_TRIALS_PER_DEVICE, MAX_MIC_TRIALS // max(1, len(sessions)))
    for session in sessions:
        window = windows(session.device.name)
        if window is not None and window.session != session.identity:
            window = None  # new keys or a new address: a new session counts afresh
        for f_cnt in islice(candidates(low_half, window), depth):
            yield session, window, f_cnt


def _unproven(neighbours: _Neighbours, frame: DataFrame) -> Opened:
    """No key explains the MIC; that is proof only where all keys of the address are here."""
    if not neighbours.opaque:
        return Opened(None, frame.f_cnt, Verified.NO, Doubt.MIC)
    alone = len(neighbours.opaque) == 1 and not neighbours.sessions
    return Opened(neighbours.opaque[0] if alone else None, frame.f_cnt, Verified.UNKNOWN)


def _judge(match: _Match, frame: DataFrame) -> Opened:
    """The MIC fits: only now may the counter be believed."""
    device = match.session.device
    moved = _moved_window(match, frame.mic)
    if isinstance(moved, Doubt):
        return Opened(device.name, match.f_cnt, Verified.NO, moved)
    return Opened(
        device.name,
        match.f_cnt,
        Verified.YES,
        plaintext=_plaintext(device, frame, match.f_cnt),
        new_window=moved,
    )


def _moved_window(match: _Match, mic: bytes) -> ReplayWindow | Doubt:
    window, f_cnt = match.window, match.f_cnt
    fresh = ReplayWindow.start(f_cnt, session=match.session.identity, mic=mic)
    if window is None:
        return fresh
    verdict = window.check(f_cnt)
    if verdict is Verdict.NEW:
        return window.mark(f_cnt, mic=mic)
    if window.is_last(f_cnt, mic):
        return Doubt.REPEAT
    if match.session.device.allow_counter_reset and f_cnt <= 0xFFFF:
        # Not only near zero: the first frames after a reset may have gone unheard.
        return fresh
    if verdict is Verdict.TOO_OLD and f_cnt < COUNTER_RESET_BELOW:
        return Doubt.COUNTER_RESET
    return Doubt.REPLAY


def _plaintext(device: DeviceKeys, frame: DataFrame, f_cnt: int) -> bytes | None:
    """Application data only: without a port or on port 0 there is none."""
    if device.mode is not DeviceMode.OPEN or device.app_s_key is None or not frame.f_port:
        return None
    return crypt_payload(
        device.app_s_key,
        frame.frm_payload,
        dev_addr=frame.dev_addr,
        f_cnt=f_cnt,
        direction=frame.direction,
    )
