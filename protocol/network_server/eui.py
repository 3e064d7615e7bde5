"""EUI-64 as the LNS protocol writes them: ID6, and bytes with dashes.

ID6 is four groups of 16 bits in hexadecimal with leading zeros left out, and one run of zero groups
as ``::``, much like an IPv6 address. Source: LoRa Basics Station documentation, "Glossary", ID6.
"""

import re

_GROUPS = 4
_EIGHT_BYTES = re.compile(r"[0-9a-f]{2}(?:([:-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){6}|[0-9a-f]{14})")
_GROUP = re.compile(r"[0-9a-f]{1,4}")


def id6(eui: bytes) -> str:
    """Write an EUI-64 as ID6, e.g. ``b827:ebff:fe01:203``; zeros are left out where two meet."""
    groups = [eui[index : index + 2].hex().lstrip("0") or "0" for index in range(0, 8, 2)]
    for length in range(_GROUPS, 1, -1):
        for first in range(_GROUPS - length + 1):
            if groups[first : first + length] == ["0"] * length:
                return ":".join(groups[:first]) + "::" + ":".join(groups[first + length :])
    return ":".join(groups)


def dashed(eui: bytes) -> str:
    """Write an EUI-64 as ``70-B3-D5-7E-D0-00-00-01``, as Basics Station does in uplinks."""
    return eui.hex("-").upper()


def parse_eui(text: str) -> bytes:
    """Read an EUI-64 in any form that servers use: ID6, bytes with dashes or colons, 16 digits.

    Raises:
        ValueError: it is none of these.
    """
    folded = text.strip().lower()
    if _EIGHT_BYTES.fullmatch(folded):
        return bytes.fromhex(folded.replace("-", "").replace(":", ""))
    head, separator, tail = folded.partition("::")
    before, after = _groups(head), _groups(tail)
    missing = _GROUPS - len(before) - len(after)
    if missing < 0 or (missing > 0) != bool(separator):
        raise ValueError("not an EUI-64")
    return b"".join([*before, bytes(2 * missing), *after])


def _groups(text: str) -> list[bytes]:
    if not text:
        return []
    groups = text.split(":")
    if not all(_GROUP.fullmatch(group) for group in groups):
        raise ValueError("not an EUI-64")
    return [int(group, 16).to_bytes(2, "big") for group in groups]
