"""LoRaWAN 1.0.x cryptography: integrity codes, payload encryption, session keys.

Source: LoRaWAN L2 1.0.4 (TS001-1.0.4) sections 4.3.3 (encryption), 4.4 (MIC), 6.2 (join and key
derivation). AES-CMAC: RFC 4493. Keys are 16 bytes; counters are the whole 32 bits. LoRaWAN 1.1
sessions (two integrity keys) are out of scope: such devices stay opaque.
"""

from dataclasses import dataclass, field
from hmac import compare_digest

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from protocol.lorawan.frame import (
    MIC_BYTES,
    DataFrame,
    Direction,
    JoinAccept,
    JoinRequest,
    MessageType,
    serialize,
)

_BLOCK_BYTES = 16


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """What a join leaves behind: two keys of 16 bytes."""

    nwk_s_key: bytes = field(repr=False)
    app_s_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class JoinGrant:
    """The content of a join-accept (6.2).

    Attributes:
        join_nonce: 24 bits.
        net_id: 3 bytes, most significant first; dev_addr likewise 4 bytes.
        dl_settings: RX1DROffset and RX2DataRate as one byte.
        rx_delay_s: seconds, 1 to 15.
        cf_list: 16 bytes as sent, or empty.
    """

    join_nonce: int
    net_id: bytes
    dev_addr: bytes
    dl_settings: int
    rx_delay_s: int
    cf_list: bytes


def data_mic(
    nwk_s_key: bytes, message: bytes, *, dev_addr: bytes, f_cnt: int, direction: Direction
) -> bytes:
    """Integrity code of a data message (4.4): 4 bytes over block B0 and ``message``.

    Args:
        message: the PHY payload without its last 4 bytes.
        f_cnt: the whole 32-bit counter, of which the frame carries the lower half.
    """
    block_b0 = b"\x49" + _counter_block(dev_addr, f_cnt, direction) + bytes([len(message)])
    return _cmac(nwk_s_key, block_b0 + message)


def data_mic_fits(frame: DataFrame, phy_payload: bytes, *, nwk_s_key: bytes, f_cnt: int) -> bool:
    """Whether this key and this 32-bit counter explain the MIC of a data message."""
    expected = data_mic(
        nwk_s_key,
        phy_payload[:-MIC_BYTES],
        dev_addr=frame.dev_addr,
        f_cnt=f_cnt,
        direction=frame.direction,
    )
    return compare_digest(expected, frame.mic)


def crypt_payload(
    key: bytes, payload: bytes, *, dev_addr: bytes, f_cnt: int, direction: Direction
) -> bytes:
    """Encrypt or decrypt an FRMPayload (4.3.3): exclusive or with a key stream, so both are one.

    ``key`` is the NwkSKey where FPort is 0, else the AppSKey.
    """
    prefix = b"\x01" + _counter_block(dev_addr, f_cnt, direction)
    blocks = -(-len(payload) // _BLOCK_BYTES)
    key_stream = _aes(key, b"".join(prefix + bytes([number + 1]) for number in range(blocks)))
    return bytes(a ^ b for a, b in zip(payload, key_stream, strict=False))


def build_data_up(
    *,
    dev_addr: bytes,
    f_cnt: int,
    f_port: int,
    plaintext: bytes,
    nwk_s_key: bytes,
    app_s_key: bytes,
    confirmed: bool = False,
    adr: bool = False,
    f_opts: bytes = b"",
) -> bytes:
    """Make the PHY payload of an uplink as a device of class A sends it.

    Raises:
        ValueError: a field does not fit into the frame, or a key does not have 16 bytes.
        OverflowError: ``f_cnt`` does not fit into 32 bits.
    """
    payload_key = nwk_s_key if f_port == 0 else app_s_key
    frame = DataFrame(
        message_type=(
            MessageType.CONFIRMED_DATA_UP if confirmed else MessageType.UNCONFIRMED_DATA_UP
        ),
        dev_addr=dev_addr,
        adr=adr,
        adr_ack_req=False,
        ack=False,
        class_b_or_pending=False,
        f_cnt=f_cnt & 0xFFFF,
        f_opts=f_opts,
        f_port=f_port,
        frm_payload=crypt_payload(
            payload_key, plaintext, dev_addr=dev_addr, f_cnt=f_cnt, direction=Direction.UP
        ),
        mic=bytes(MIC_BYTES),
    )
    message = serialize(frame)[:-MIC_BYTES]
    mic = data_mic(nwk_s_key, message, dev_addr=dev_addr, f_cnt=f_cnt, direction=Direction.UP)
    return message + mic


def join_request_mic_fits(request: JoinRequest, *, app_key: bytes) -> bool:
    """Whether the device that asks to join holds ``app_key`` (6.2)."""
    return compare_digest(_cmac(app_key, serialize(request)[:-MIC_BYTES]), request.mic)


def open_join_accept(accept: JoinAccept, *, app_key: bytes) -> JoinGrant | None:
    """Decrypt a join-accept and check its MIC; None where ``app_key`` does not explain it.

    The network encrypts with AES *decrypt*, so that a device needs AES encrypt only (6.2).
    """
    clear = _aes(app_key, accept.encrypted)
    message, mic = clear[:-MIC_BYTES], clear[-MIC_BYTES:]
    mhdr = serialize(accept)[:1]
    if not compare_digest(_cmac(app_key, mhdr + message), mic):
        return None
    return JoinGrant(
        join_nonce=int.from_bytes(message[0:3], "little"),
        net_id=message[5:2:-1],
        dev_addr=message[9:5:-1],
        dl_settings=message[10],
        rx_delay_s=max(1, message[11] & 0x0F),  # 0 means one second as well (RXTimingSetupReq)
        cf_list=message[12:],
    )


def derive_session_keys(app_key: bytes, *, grant: JoinGrant, dev_nonce: int) -> SessionKeys:
    """Session keys of a LoRaWAN 1.0.x join (6.2).

    ``dev_nonce`` is the one of the join-request that the grant answers.
    """
    seed = (
        grant.join_nonce.to_bytes(3, "little")
        + grant.net_id[::-1]
        + dev_nonce.to_bytes(2, "little")
        + bytes(7)
    )
    return SessionKeys(_aes(app_key, b"\x01" + seed), _aes(app_key, b"\x02" + seed))


def _counter_block(dev_addr: bytes, f_cnt: int, direction: Direction) -> bytes:
    """Bytes 1 to 14 of the blocks B0 and A, which differ in their first and last byte only."""
    return bytes(4) + bytes([direction]) + dev_addr[::-1] + f_cnt.to_bytes(4, "little") + bytes([0])


def _cmac(key: bytes, message: bytes) -> bytes:
    code = CMAC(algorithms.AES128(key))
    code.update(message)
    return code.finalize()[:MIC_BYTES]


def _aes(key: bytes, blocks: bytes) -> bytes:
    # ECB on purpose: LoRaWAN defines its modes in terms of single AES blocks.
    encryptor = Cipher(algorithms.AES128(key), modes.ECB()).encryptor()  # noqa: S305
    return encryptor.update(blocks) + encryptor.finalize()
