"""``chirpstack-api`` on messages of gw.proto; runs in the judges' environment.

A job is ``[what, message, data]``: ``from_bytes`` and ``from_json`` give the message as
``{"hex": its bytes, "json": its JSON}`` or null, if the library refuses it. ``random`` makes one
from a seed; ``all`` are its bytes with the fields that our side does not know as well.
"""

import random
import struct
from typing import Any

from chirpstack_api import gw
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict, Parse, ParseError
from google.protobuf.message import DecodeError


def answer(job: tuple[str, str, str]) -> dict[str, object] | None:
    """What the library makes of one job."""
    what, name, data = job
    message = getattr(gw, name)()
    try:
        if what == "random":
            chance = random.Random(data)
            fill(message, chance)
            whole = message.SerializeToString(deterministic=True)
            forget(message)
            return described(message) | {"all": whole.hex()}
        if what == "from_bytes":
            message.ParseFromString(bytes.fromhex(data))
        else:
            Parse(data, message, ignore_unknown_fields=True)
        return described(message)
    except (DecodeError, ParseError, ValueError, OverflowError, RecursionError):
        return None


def described(message: Any) -> dict[str, object]:
    serialized = message.SerializeToString(deterministic=True)
    return {"hex": serialized.hex(), "json": MessageToDict(message)}


# What our side leaves out on purpose, besides everything that ChirpStack calls legacy.
UNKNOWN = {
    "gw.UplinkRxInfo.ns_time",
    "gw.UplinkRxInfo.fine_time_since_gps_epoch",
    "gw.GatewayStats.duty_cycle_stats",
    "gw.GatewayCommandExecRequest.command",
    "gw.GatewayCommandExecRequest.stdin",
    "gw.GatewayCommandExecRequest.environment",
    "gw.GatewayCommandExecResponse.stdout",
    "gw.GatewayCommandExecResponse.stderr",
}
UNKNOWN_PARTS = ("gw.FskModulationInfo.", "gw.LrFhssModulationInfo.")

INT32 = [0, 1, -1, 127, 128, -(2**31), 2**31 - 1]
UINT32 = [0, 1, 127, 128, 255, 16_383, 16_384, 921_400_000, 2**31, 2**32 - 1]
TEXTS = ["", "a", "0016c001ff10a235", "Đà Nẵng", "\x00", "x" * 200]


def forget(message: Any) -> None:
    """Clear what our side does not know."""
    for field, value in message.ListFields():
        name = field.full_name
        if name in UNKNOWN or name.startswith(UNKNOWN_PARTS) or name.endswith("_legacy"):
            message.ClearField(field.name)
        elif field.message_type is not None and not is_map(field):
            for each in value if field.is_repeated else [value]:
                forget(each)


def is_map(field: Any) -> bool:
    return bool(field.message_type and field.message_type.GetOptions().map_entry)


def fill(message: Any, chance: random.Random) -> None:
    """Any fields, any values."""
    for field in message.DESCRIPTOR.fields:
        if chance.random() < 0.3:
            continue
        if message.DESCRIPTOR.full_name in (
            "google.protobuf.Timestamp",
            "google.protobuf.Duration",
        ):
            fill_time(message, chance)
        elif is_map(field):
            kinds = field.message_type.fields_by_name
            for _ in range(chance.randrange(4)):
                key = scalar(kinds["key"], chance)
                getattr(message, field.name)[key] = scalar(kinds["value"], chance)
        elif field.is_repeated:
            for _ in range(chance.randrange(4)):
                fill(getattr(message, field.name).add(), chance)
        elif field.message_type is not None:
            part = getattr(message, field.name)
            part.SetInParent()
            fill(part, chance)
        else:
            setattr(message, field.name, scalar(field, chance))


def fill_time(message: Any, chance: random.Random) -> None:
    is_duration = message.DESCRIPTOR.name == "Duration"
    sign = chance.choice([-1, 1]) if is_duration else 1
    least, most = (0, 315_576_000_000) if is_duration else (-62_135_596_800, 253_402_300_799)
    message.seconds = sign * chance.choice([0, 1, chance.randint(least, most)])
    message.nanos = sign * chance.choice([0, 1, 500_000_000, 1000 * chance.randrange(10**6)])


def scalar(field: Any, chance: random.Random) -> Any:
    match field.type:
        case FieldDescriptor.TYPE_UINT32:
            return chance.choice([*UINT32, chance.randrange(2**32)])
        case FieldDescriptor.TYPE_INT32:
            return chance.choice([*INT32, chance.randint(-150, 30)])
        case FieldDescriptor.TYPE_BOOL:
            return chance.random() < 0.5
        case FieldDescriptor.TYPE_ENUM:
            return chance.choice(field.enum_type.values).number
        case FieldDescriptor.TYPE_STRING:
            return chance.choice(TEXTS)
        case FieldDescriptor.TYPE_BYTES:
            return chance.randbytes(chance.choice([0, 1, 13, 255]))
        case FieldDescriptor.TYPE_DOUBLE:
            return chance.choice([0.0, -0.5, 16.0678, chance.uniform(-180, 180)])
        case FieldDescriptor.TYPE_FLOAT:
            [number] = struct.unpack("<f", struct.pack("<f", chance.uniform(-30, 30)))
            return chance.choice([0.0, 9.5, number])
    raise AssertionError(field.full_name)
