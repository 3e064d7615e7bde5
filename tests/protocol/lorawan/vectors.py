"""The outside judge: vectors that two independent LoRaWAN libraries agree on."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FILE = json.loads((Path(__file__).parents[2] / "vectors" / "lorawan.json").read_text())
_VECTORS: dict[str, dict[str, Any]] = {vector["name"]: vector for vector in _FILE["lorawan"]}


@dataclass(frozen=True)
class DataVector:
    """A data frame with its keys and what is in it."""

    name: str
    phy_payload: bytes
    nwk_s_key: bytes
    app_s_key: bytes
    f_cnt: int
    message_type: str
    dev_addr: bytes
    f_ctrl: int
    f_opts: bytes
    f_port: int
    plaintext: bytes
    mic: bytes


def _data_vector(name: str) -> DataVector:
    vector = _VECTORS[name]
    return DataVector(
        name=name,
        phy_payload=bytes.fromhex(vector["phy"]),
        nwk_s_key=bytes.fromhex(vector["nwk_s_key"]),
        app_s_key=bytes.fromhex(vector["app_s_key"]),
        f_cnt=vector["fcnt32"],
        message_type=vector["mtype"].lower().replace(" ", "_"),
        dev_addr=bytes.fromhex(vector["dev_addr"]),
        f_ctrl=int(vector["fctrl"], 16),
        f_opts=bytes.fromhex(vector["fopts"]),
        f_port=vector["fport"],
        plaintext=bytes.fromhex(vector["frmpayload_plain"]),
        mic=bytes.fromhex(vector["mic"]),
    )


UNCONFIRMED_UP = _data_vector("abp-unconfirmed-up")
CONFIRMED_UP = _data_vector("abp-confirmed-up-fopts-rollover")
DOWN = _data_vector("unconfirmed-down-ack")
UPLINKS = (UNCONFIRMED_UP, CONFIRMED_UP)
DATA = (*UPLINKS, DOWN)
JOIN_REQUEST = _VECTORS["join-request"]
JOIN_ACCEPT = _VECTORS["join-accept"]
NEGATIVE: dict[str, dict[str, Any]] = {vector["name"]: vector for vector in _FILE["negative"]}


def bit_flips(data: bytes) -> list[bytes]:
    """``data`` with each of its bits flipped in turn."""
    whole = int.from_bytes(data)
    return [(whole ^ 1 << bit).to_bytes(len(data)) for bit in range(8 * len(data))]
