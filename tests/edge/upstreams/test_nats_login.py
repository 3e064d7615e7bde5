"""nkeys by the example of the documentation; a real server judges signatures elsewhere."""

import base64
import string
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from edge.upstreams.base import PermanentUpstreamError
from edge.upstreams.credentials import Credentials
from edge.upstreams.nats_login import Login, from_credentials, from_seed, read_login
from edge.upstreams.nats_options import NatsOptions

# https://docs.nats.io, "NKeys": what `nk -gen user -pubout` printed
SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
PUBLIC = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"

CREDS = f"""-----BEGIN NATS USER JWT-----
eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.e30.c2ln
------END NATS USER JWT------

************************* IMPORTANT *************************
NKEY Seed printed below can be used to sign and prove identity.

-----BEGIN USER NKEY SEED-----
{SEED}
------END USER NKEY SEED------

*************************************************************
"""


def test_the_documented_key() -> None:
    """The seed's public key, and a signature that it verifies."""
    login = from_seed(SEED)
    assert login.public_key == PUBLIC
    assert login.sign is not None
    public = base64.b32decode(PUBLIC)[1:33]
    signature = base64.b64decode(login.sign("nonce-1"))
    Ed25519PublicKey.from_public_bytes(public).verify(signature, b"nonce-1")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_credentials_as_nsc_writes_them(newline: str) -> None:
    login = from_credentials(CREDS.replace("\n", newline))
    assert login.jwt == "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.e30.c2ln"
    assert login.public_key is None
    assert login.sign is not None
    assert from_seed(SEED).sign is not None
    assert login.sign("n") == from_seed(SEED).sign("n")  # type: ignore[misc]


@given(st.integers(0, len(SEED) - 2), st.sampled_from(string.ascii_uppercase + "234567"))
def test_a_mistyped_seed_is_noticed(place: int, character: str) -> None:
    """The checksum finds every single wrong one; of the last, two bits mean nothing."""
    mistyped = SEED[:place] + character + SEED[place + 1 :]
    if mistyped != SEED:
        with pytest.raises(ValueError, match="seed"):
            from_seed(mistyped)


@given(st.text() | st.binary().map(lambda raw: base64.b32encode(raw).decode()))
def test_anything_else_is_a_value_error(text: str) -> None:
    for read in (from_seed, from_credentials):
        with pytest.raises(ValueError, match="holds"):
            read(text)


def login_with(tmp_path: Path, **files: str) -> Login:
    """Read from files with these texts; ``username`` is no file."""
    keys = {}
    for name, text in files.items():
        keys[name] = text if name == "username" else str(tmp_path / name)
        (tmp_path / name).write_text(text)
    options = NatsOptions(url="nats://h", **keys)  # type: ignore[arg-type]
    return read_login(options, Credentials.of(options))


def test_each_kind_of_proof(tmp_path: Path) -> None:
    assert login_with(tmp_path) == Login()
    assert login_with(tmp_path, username="g", password_file="p\n") == Login("g", "p")
    assert login_with(tmp_path, token_file="t\n").token == "t"
    assert login_with(tmp_path, nkey_file=f"{SEED}\n").public_key == PUBLIC
    assert login_with(tmp_path, credentials_file=CREDS).jwt is not None


def test_no_secret_is_shown(tmp_path: Path) -> None:
    """Not even by accident, in a log of what went wrong."""
    logins = [
        login_with(tmp_path, username="g", password_file="hush"),
        login_with(tmp_path, token_file="hush"),
        login_with(tmp_path, credentials_file=CREDS),
    ]
    for login in logins:
        assert "hush" not in repr(login)
        assert "eyJ" not in repr(login)


@pytest.mark.parametrize("name", ["nkey_file", "credentials_file"])
def test_a_wrong_file_is_permanent(tmp_path: Path, name: str) -> None:
    """Said with the key and the file, so that a person can mend it."""
    with pytest.raises(PermanentUpstreamError, match=f"{name}: {tmp_path}/{name} holds no"):
        login_with(tmp_path, **{name: "nothing of the kind"})
    options = NatsOptions(url="nats://h", **{name: str(tmp_path / "missing")})  # type: ignore[arg-type]
    with pytest.raises(PermanentUpstreamError, match="No such file"):
        read_login(options, Credentials.of(options))
