"""A second reading of the standards, byte by byte, sharing nothing with the code under test.

AES-CMAC is written out from RFC 4493 section 2, LoRaWAN from L2 1.0.4 sections 4.3.3 and 4.4.
"""

import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def aes(key: bytes, block: bytes) -> bytes:
    """One AES-128 block."""
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)


def aes_inverse(key: bytes, block: bytes) -> bytes:
    """Undo :func:`aes`: how a network seals a join-accept."""
    return Cipher(algorithms.AES(key), modes.ECB()).decryptor().update(block)


def _double(block: bytes) -> bytes:
    shifted = int.from_bytes(block) << 1
    if shifted >> 128:
        shifted ^= 1 << 128 | 0x87
    return shifted.to_bytes(16)


def cmac(key: bytes, message: bytes) -> bytes:
    """AES-CMAC, all 16 bytes."""
    subkey = _double(aes(key, bytes(16)))
    full = len(message) > 0 and len(message) % 16 == 0
    if not full:
        subkey = _double(subkey)
        message += b"\x80" + bytes(-(len(message) + 1) % 16)
    state = 0
    for start in range(0, len(message) - 16, 16):
        block = int.from_bytes(message[start : start + 16]) ^ state
        state = int.from_bytes(aes(key, block.to_bytes(16)))
    last = int.from_bytes(message[-16:]) ^ int.from_bytes(subkey) ^ state
    return aes(key, last.to_bytes(16))


def data_up(
    *,
    mhdr: int,
    dev_addr: bytes,
    f_ctrl: int,
    f_cnt: int,
    f_opts: bytes,
    f_port: int,
    plaintext: bytes,
    nwk_s_key: bytes,
    app_s_key: bytes,
) -> bytes:
    """A complete uplink."""
    address = int.from_bytes(dev_addr)
    sealed = bytearray(plaintext)
    for index in range(len(sealed)):
        block_a = struct.pack("<BIBIIBB", 1, 0, 0, address, f_cnt, 0, index // 16 + 1)
        sealed[index] ^= aes(nwk_s_key if f_port == 0 else app_s_key, block_a)[index % 16]
    message = struct.pack("<BIBH", mhdr, address, f_ctrl, f_cnt % 65536)
    message += f_opts + bytes([f_port]) + sealed
    block_b0 = struct.pack("<BIBIIBB", 0x49, 0, 0, address, f_cnt, 0, len(message))
    return message + cmac(nwk_s_key, block_b0 + message)[:4]
