"""How we prove to a NATS server who we are: password, token, nkey, or a ``.creds`` file.

nkeys are Ed25519 keys in base32 with a CRC (NATS documentation, "NKeys"). ``cryptography`` signs,
so that no further package is needed.
"""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.upstreams.base import PermanentUpstreamError
from edge.upstreams.credentials import Credentials, read_secret
from edge.upstreams.nats_options import NatsOptions

_SEED_LENGTH = 32
_USER = 20 << 3
_SEED = 18 << 3
_BLOCK = re.compile(r"-+BEGIN ([A-Z ]+?)-+\s+(\S+)\s+-+END \1-+")
_JWT, _NKEY = "NATS USER JWT", "USER NKEY SEED"


@dataclass(frozen=True, slots=True)
class Login:
    """At most one kind of proof is set.

    Attributes:
        public_key: of ``sign``, as the server knows it; empty if ``jwt`` names it.
        sign: gives the signature of the server's nonce.
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    jwt: str | None = field(default=None, repr=False)
    public_key: str | None = None
    sign: Callable[[str], bytes] | None = field(default=None, repr=False)


def from_seed(seed: str) -> Login:
    """Of an nkey, which is a user's seed: ``SU...``.

    Raises:
        ValueError: it is none.
    """
    key = _private_key(seed)
    public = bytes([_USER]) + key.public_key().public_bytes_raw()
    return Login(public_key=_with_crc(public), sign=_signer(key))


def from_credentials(text: str) -> Login:
    """Of a ``.creds`` file, as nsc writes it: the user's JWT and the seed of its key.

    Raises:
        ValueError: a part is missing, or the seed is none.
    """
    blocks = dict(_BLOCK.findall(text))
    if _JWT not in blocks or _NKEY not in blocks:
        raise ValueError("holds no user JWT and nkey seed; nsc generate creds makes such a file")
    return Login(jwt=blocks[_JWT], sign=_signer(_private_key(blocks[_NKEY])))


def read_login(options: NatsOptions, credentials: Credentials) -> Login:
    """Read the files that the options name; blocks.

    Raises:
        PermanentUpstreamError: one cannot be read, or does not hold what it should.
    """
    if options.username:
        return Login(username=options.username, password=credentials.password())
    if options.token_file:
        return Login(token=credentials.token())
    for path, what, make in (
        (options.nkey_file, "nkey_file", from_seed),
        (options.credentials_file, "credentials_file", from_credentials),
    ):
        text = read_secret(path, what)
        if text is not None:
            try:
                return make(text)
            except ValueError as error:
                raise PermanentUpstreamError(f"{what}: {path} {error}") from None
    return Login()


def _signer(key: Ed25519PrivateKey) -> Callable[[str], bytes]:
    return lambda nonce: base64.b64encode(key.sign(nonce.encode()))


def _private_key(seed: str) -> Ed25519PrivateKey:
    """Two bytes that say "seed" and "user", 32 bytes of the key, and the CRC."""
    try:
        raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    except ValueError:  # binascii.Error, or text that is not even ASCII
        raw = b""
    first, second = _SEED | (_USER >> 5), (_USER & 31) << 3
    if len(raw) != _SEED_LENGTH + 4 or raw[:2] != bytes((first, second)):
        raise ValueError("holds no seed of a user's nkey, which begins with SU")
    if _crc(raw[:-2]) != int.from_bytes(raw[-2:], "little"):
        raise ValueError("holds a seed with a wrong checksum")
    return Ed25519PrivateKey.from_private_bytes(raw[2:-2])


def _with_crc(raw: bytes) -> str:
    return base64.b32encode(raw + _crc(raw).to_bytes(2, "little")).decode().rstrip("=")


def _crc(raw: bytes) -> int:
    """CRC-16/XMODEM."""
    return binascii.crc_hqx(raw, 0)
