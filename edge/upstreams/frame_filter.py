"""Which frames one upstream is to get: the filter keys that every ``[[upstream]]`` may have.

A frame has to pass each key that is set. A key speaks of the frames that have such a field:
``dev_addr`` and ``f_ports`` of data frames, ``join_eui`` of join-requests; so a filter on addresses
does not keep devices from joining. Frames that are not LoRaWAN uplinks have none of these fields,
and are kept out as soon as one of them is asked for.

Pure: content of a frame in, yes or no out.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields

from protocol.lorawan.frame import MessageType
from protocol.records.sensor_frame import FrameClass, FrameContent

Range = tuple[int, int]

_DATA_UP = (MessageType.UNCONFIRMED_DATA_UP, MessageType.CONFIRMED_DATA_UP)
_OTHER_UPLINKS = (MessageType.JOIN_REQUEST, MessageType.REJOIN_REQUEST)

# DevAddr prefix of a NetID by its type, the three most significant bits: how many bits say the
# type, and how many of the NetID follow them (LoRaWAN Link Layer 1.0.4, 6.1.1).
_NET_ID_BITS = ((1, 6), (2, 6), (3, 9), (4, 11), (5, 12), (6, 13), (7, 15), (8, 17))
_PREFIX = re.compile(r"([0-9A-Fa-f]+)(?:/([0-9]{1,2}))?")
_NET_ID = re.compile(r"net-?id:([0-9A-Fa-f]{6})", re.IGNORECASE)
_JOIN_EUI_AT = slice(1, 9)  # behind the MHDR, least significant byte first (section 6.2.5)
MAC_PORT = 0
"""FPort of MAC commands; stands also for data frames without a port, which carry nothing else."""


def dev_addr_range(text: str) -> Range:
    """Addresses of ``26011000/20``, ``26011000`` or ``netid:000013``.

    Raises:
        ValueError: it is none of these.
    """
    net_id = _NET_ID.fullmatch(text)
    if net_id is not None:
        return _range_of_net_id(int(net_id[1], 16))
    return _prefix(text, 32, 'such as "26011000/20" or "netid:000013"')


def join_eui_range(text: str) -> Range:
    """EUIs of ``70b3d57ed0000000-70b3d57ed000ffff``, of a prefix with ``/bits``, or one alone.

    Raises:
        ValueError: it is none of these.
    """
    wanted = 'such as "70b3d57ed0000000/40" or "70b3d57ed0000000-70b3d57ed000ffff"'
    first, dash, last = text.partition("-")
    if not dash:
        return _prefix(text, 64, wanted)
    low, high = _prefix(first, 64, wanted), _prefix(last, 64, wanted)
    if "/" in text or low[0] > high[0]:
        raise ValueError(f"must be a range of EUIs that ascends, {wanted}")
    return low[0], high[0]


def _prefix(text: str, bits: int, wanted: str) -> Range:
    match = _PREFIX.fullmatch(text)
    length = int(match[2]) if match and match[2] else bits
    if match is None or len(match[1]) * 4 != bits or length > bits:
        raise ValueError(f"must be {bits // 4} hexadecimal digits and a number of bits, {wanted}")
    rest = (1 << (bits - length)) - 1
    value = int(match[1], 16)
    if value & rest:
        raise ValueError(f"has bits set behind the first {length}")
    return value, value | rest


def _range_of_net_id(net_id: int) -> Range:
    type_bits, id_bits = _NET_ID_BITS[net_id >> 21]
    type_prefix = (1 << type_bits) - 2  # as many ones as the type, then a zero
    prefix = type_prefix << id_bits | net_id & ((1 << id_bits) - 1)
    rest = 32 - type_bits - id_bits
    return prefix << rest, (prefix + 1 << rest) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterKeys:
    """As they are configured; an empty key lets everything through.

    Attributes:
        dev_addr / join_eui: as :func:`dev_addr_range` and :func:`join_eui_range` read them.
        devices: configured names.
        radios: names of concentrators, or ``<concentrator>-<radio>``.
    """

    dev_addr: tuple[str, ...] = ()
    join_eui: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    radios: tuple[str, ...] = ()
    f_ports: tuple[int, ...] = ()
    classes: tuple[FrameClass, ...] = ()

    def faults(self) -> Iterator[tuple[str, int, str]]:
        """What cannot be read: key, number in its list, why."""
        readers: dict[str, Callable[[str], object]]
        readers = {"dev_addr": dev_addr_range, "join_eui": join_eui_range}
        for key, read in readers.items():
            for index, text in enumerate(getattr(self, key)):
                try:
                    read(text)
                except ValueError as error:
                    yield key, index, str(error)
        for index, port in enumerate(self.f_ports):
            if not 0 <= port <= 255:
                yield "f_ports", index, "must be from 0 to 255"


class FrameFilter:
    """The keys, ready for use.

    Raises:
        ValueError: a key cannot be read.
    """

    def __init__(self, keys: FilterKeys) -> None:
        self._dev_addr = [dev_addr_range(text) for text in keys.dev_addr]
        self._join_eui = [join_eui_range(text) for text in keys.join_eui]
        self._devices = frozenset(keys.devices)
        self._radios = frozenset(keys.radios)
        self._f_ports = frozenset(keys.f_ports)
        self._classes = frozenset(keys.classes)
        self._only_lorawan = bool(keys.dev_addr or keys.join_eui or keys.f_ports)
        self.is_open = not any(getattr(keys, field.name) for field in fields(keys))
        """Whether everything passes."""

    def passes(self, content: FrameContent) -> bool:
        """Whether the upstream is to get a frame."""
        if self._classes and content.frame_class not in self._classes:
            return False
        if self._devices and content.device not in self._devices:
            return False
        if self._radios and not self._was_heard_there(content):
            return False
        return not self._only_lorawan or self._passes_lorawan(content)

    def _was_heard_there(self, content: FrameContent) -> bool:
        return any(
            heard.concentrator in self._radios
            or f"{heard.concentrator}-{heard.radio}" in self._radios
            for heard in content.receptions
        )

    def _passes_lorawan(self, content: FrameContent) -> bool:
        if content.dev_addr is not None and content.message_type in _DATA_UP:
            port = MAC_PORT if content.f_port is None else content.f_port
            return (not self._f_ports or port in self._f_ports) and _within(
                int.from_bytes(content.dev_addr, "big"), self._dev_addr
            )
        if content.message_type == MessageType.JOIN_REQUEST:
            return _within(
                int.from_bytes(content.phy_payload[_JOIN_EUI_AT], "little"), self._join_eui
            )
        return content.message_type in _OTHER_UPLINKS


def _within(value: int, ranges: Iterable[Range]) -> bool:
    ranges = list(ranges)
    return not ranges or any(low <= value <= high for low, high in ranges)
