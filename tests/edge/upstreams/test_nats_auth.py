"""Who we are, to a real server: passwords, tokens, nkeys, JWTs, certificates, permissions."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.upstreams.base import PermanentUpstreamError, TransientUpstreamError, UpstreamError
from edge.upstreams.nats import NatsUpstream
from edge.upstreams.nats_options import NatsOptions
from tests.edge.upstreams.certificates import DAY, Authority
from tests.edge.upstreams.frames import context, frames
from tests.edge.upstreams.nats_servers import NatsServer, server
from tests.edge.upstreams.test_nats import needs_nats, upstream_at
from tests.edge.upstreams.test_nats_login import PUBLIC, SEED

pytestmark = needs_nats


async def accepts(running: NatsServer, *, scheme: str = "nats", **options: Any) -> bool:
    """Whether a frame is stored; raises what the upstream does."""
    url = f"{scheme}://127.0.0.1:{running.port}"
    async with NatsUpstream(NatsOptions(url=url, **options), context()) as upstream:
        return len((await upstream.send(frames(1, 1))).acknowledged) == 1


def written(directory: Path, text: str) -> str:
    path = directory / f"secret-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    path.write_text(text)
    return str(path)


class TestLogin:
    """Each proof is taken, and a wrong one is a matter for a person."""

    async def test_password(self, tmp_path: Path) -> None:
        right, wrong = written(tmp_path, "right\n"), written(tmp_path, "wrong\n")
        with server(tmp_path, 'authorization { user: "g", password: "right" }\n') as running:
            assert await accepts(running, username="g", password_file=right)
            for options in ({"username": "g", "password_file": wrong}, {}):
                with pytest.raises(PermanentUpstreamError, match="Authorization Violation"):
                    await accepts(running, **options)

    async def test_token(self, tmp_path: Path) -> None:
        with server(tmp_path, 'authorization { token: "t0ken" }\n') as running:
            assert await accepts(running, token_file=written(tmp_path, "t0ken\n"))
            with pytest.raises(PermanentUpstreamError, match="Authorization Violation"):
                await accepts(running, token_file=written(tmp_path, "other"))

    async def test_nkey(self, tmp_path: Path) -> None:
        """The server checks the signature of its nonce."""
        seed = written(tmp_path, SEED)
        (tmp_path / "a").mkdir()
        with server(tmp_path / "a", f"authorization {{ users: [{{ nkey: {PUBLIC} }}] }}\n") as ours:
            assert await accepts(ours, nkey_file=seed)
        (tmp_path / "b").mkdir()
        other = nkey("U", Ed25519PrivateKey.generate())
        with (
            server(tmp_path / "b", f"authorization {{ users: [{{ nkey: {other} }}] }}\n") as others,
            pytest.raises(PermanentUpstreamError, match="Authorization Violation"),
        ):
            await accepts(others, nkey_file=seed)

    async def test_credentials_file(self, tmp_path: Path) -> None:
        """Operator, account and user, as nsc makes them; then the user's JWT has expired."""
        with signed_for(tmp_path) as (running, credentials):
            assert await accepts(running, credentials_file=written(tmp_path, credentials(days=1)))
            expired = written(tmp_path, credentials(days=-1))
            with pytest.raises(PermanentUpstreamError, match="Authorization Violation"):
                await accepts(running, credentials_file=expired)

    async def test_the_password_is_changed_while_connected(self, tmp_path: Path) -> None:
        """A server that reloads its users hangs up on those who are gone."""
        password = written(tmp_path, "p")
        login = {"username": "g", "password_file": password}
        with server(tmp_path, 'authorization { user: "g", password: "p" }\n') as running:
            async with upstream_at(running.port, **login) as upstream:
                await upstream.send(frames(1, 1))
                running.configure('authorization { user: "g", password: "q" }\n')
                assert running.process is not None
                running.process.send_signal(1)  # SIGHUP: reload
                with pytest.raises(UpstreamError):
                    await send_until_it_fails(upstream)
            Path(password).write_text("q")
            async with upstream:
                await upstream.send(frames(2, 1))


async def send_until_it_fails(upstream: NatsUpstream) -> None:
    """Two thousand frames take longer than a server needs to reload."""
    for seq in range(2, 2_000):
        await upstream.send(frames(seq, 1))


NKEY_TYPES = {"O": 14 << 3, "A": 0, "U": 20 << 3}


def nkey(kind: str, key: Ed25519PrivateKey) -> str:
    """A public key's text: type, key, CRC-16/XMODEM in little endian, base32."""
    raw = bytes([NKEY_TYPES[kind]]) + key.public_key().public_bytes_raw()
    return with_crc(raw)


def with_crc(raw: bytes) -> str:
    crc = 0
    for byte in raw:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return base64.b32encode(raw + crc.to_bytes(2, "little")).decode().rstrip("=")


def user_seed(key: Ed25519PrivateKey) -> str:
    """``S``, then the type of the key: 5 bits each."""
    head = 18 << 3 << 8 | NKEY_TYPES["U"] << 3
    return with_crc(head.to_bytes(2, "big") + key.private_bytes_raw())


def jwt(issuer: str, signer: Ed25519PrivateKey, subject: str, claims: dict[str, Any]) -> str:
    """NATS' JWT, version 2 (NATS documentation, "JWT Guide")."""

    def part(document: dict[str, Any]) -> str:
        return text(json.dumps(document, separators=(",", ":")).encode())

    def text(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    expires = claims.pop("exp", None)
    body: dict[str, Any] = {"iat": 1_700_000_000, "iss": issuer, "sub": subject, "name": "x"}
    body |= {"jti": with_crc(subject.encode()), "nats": {"version": 2, **claims}}
    if expires is not None:
        body["exp"] = expires
    signed = f"{part({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{part(body)}"
    return f"{signed}.{text(signer.sign(signed.encode()))}"


@contextmanager
def signed_for(directory: Path) -> Iterator[tuple[NatsServer, Any]]:
    """A server that trusts an operator, and what gives a user's ``.creds`` of its account."""
    operator, account, system = (Ed25519PrivateKey.generate() for _ in range(3))
    o, a, s = nkey("O", operator), nkey("A", account), nkey("A", system)
    unlimited = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1}
    unlimited |= {"wildcards": True, "leaf": -1, "mem_storage": -1, "disk_storage": -1}
    unlimited |= {"streams": -1, "consumer": -1}
    account_claims = {"type": "account", "limits": unlimited}
    own = jwt(o, operator, a, dict(account_claims))
    without_jetstream = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), 0)
    system_claims = {"type": "account", "limits": {**unlimited, **without_jetstream}}
    of_system = jwt(o, operator, s, system_claims)
    of_operator = jwt(o, operator, o, {"type": "operator"})

    def credentials(days: int) -> str:
        user = Ed25519PrivateKey.generate()
        expires = int((datetime.now(UTC) + timedelta(days=days)).timestamp())
        claims = {"type": "user", "exp": expires, "subs": -1, "data": -1, "payload": -1}
        token = jwt(a, account, nkey("U", user), claims)
        return (
            f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user_seed(user)}\n------END USER NKEY SEED------\n"
        )

    preload = f"resolver_preload: {{ {a}: {own}, {s}: {of_system} }}"
    extra = f"operator: {of_operator}\nsystem_account: {s}\nresolver: MEMORY\n{preload}\n"
    with server(directory, extra) as running:
        yield running, credentials


class TestTls:
    """With certificates of both sides."""

    @pytest.fixture
    def ours(self, tmp_path: Path) -> Authority:
        return Authority(tmp_path / "ours")

    @contextmanager
    def secure(
        self, tmp_path: Path, ours: Authority, *, valid_from: datetime | None = None
    ) -> Iterator[NatsServer]:
        """A server that wants a certificate of its clients."""
        cert, key = ours.issue("server", address="127.0.0.1", valid_from=valid_from)
        files = f'cert_file: "{cert}", key_file: "{key}", ca_file: "{ours.ca_file}"'
        with server(tmp_path, f"tls {{ {files}, verify: true }}\n") as running:
            yield running

    def client(self, authority: Authority, **more: Any) -> dict[str, str]:
        cert, key = authority.issue("gateway", **more)
        return {"cert_file": str(cert), "key_file": str(key)}

    async def test_both_sides(self, tmp_path: Path, ours: Authority) -> None:
        with self.secure(tmp_path, ours) as running:
            options: dict[str, Any] = {"ca_file": str(ours.ca_file), **self.client(ours)}
            assert await accepts(running, scheme="tls", **options)
            url = f"tls://127.0.0.1:{running.port}"
            async with NatsUpstream(NatsOptions(url=url, **options), context()) as upstream:
                assert upstream.peer_certificate is not None
            assert upstream.peer_certificate is None

    async def test_our_certificate_is_refused(self, tmp_path: Path, ours: Authority) -> None:
        """Missing, of strangers, expired: permanent, although TLS 1.3 tells it late."""
        strangers = Authority(tmp_path / "strangers", "Strangers")
        expired = self.client(ours, valid_from=datetime.now(UTC) - 60 * DAY)
        with self.secure(tmp_path, ours) as running:
            for options in ({}, self.client(strangers), expired):
                with pytest.raises(PermanentUpstreamError, match="refuses our certificate"):
                    await accepts(running, scheme="tls", ca_file=str(ours.ca_file), **options)

    async def test_the_server_is_not_the_one(self, tmp_path: Path, ours: Authority) -> None:
        strangers = Authority(tmp_path / "strangers", "Strangers")
        with self.secure(tmp_path, ours) as running:
            options = {"ca_file": str(strangers.ca_file), **self.client(ours)}
            with pytest.raises(PermanentUpstreamError, match="issuer certificate"):
                await accepts(running, scheme="tls", **options)

    async def test_our_clock_may_be_behind(self, tmp_path: Path, ours: Authority) -> None:
        """A certificate of the future is waited for."""
        with self.secure(tmp_path, ours, valid_from=datetime.now(UTC) + DAY) as running:
            options = {"ca_file": str(ours.ca_file), **self.client(ours)}
            with pytest.raises(TransientUpstreamError, match="clock has not been set"):
                await accepts(running, scheme="tls", **options)

    async def test_the_server_wants_tls(self, tmp_path: Path, ours: Authority) -> None:
        with (
            self.secure(tmp_path, ours) as running,
            pytest.raises(PermanentUpstreamError, match="write tls:// in url"),
        ):
            await accepts(running)

    async def test_no_password_in_the_clear(self, tmp_path: Path, ours: Authority) -> None:
        """A server without TLS, perhaps somebody between us and it, is told nothing."""
        login = {"username": "g", "password_file": written(tmp_path, "p")}
        with server(tmp_path, "debug: true\ntrace: true\nlogtime: false\n") as running:
            with pytest.raises(PermanentUpstreamError, match="no TLS, so we tell it nothing"):
                await accepts(running, scheme="tls", ca_file=str(ours.ca_file), **login)
            assert "Client connection created" in running.log.read_text()
            assert "CONNECT" not in running.log.read_text()


class TestPermissions:
    """What the account does not let us do."""

    @contextmanager
    def account(self, tmp_path: Path, publish: str, subscribe: str) -> Iterator[NatsServer]:
        """One user "g" with these permissions, and one without limits."""
        limits = f"permissions: {{ publish: [{publish}], subscribe: [{subscribe}] }}"
        users = f'{{ user: "g", password: "p", {limits} }}, {{ user: "o", password: "p" }}'
        with server(tmp_path, f"authorization {{ users: [{users}] }}\n") as running:
            yield running

    async def accepts(self, running: NatsServer, tmp_path: Path, user: str = "g", **o: Any) -> bool:
        return await accepts(running, username=user, password_file=written(tmp_path, "p"), **o)

    async def test_publish_is_forbidden(self, tmp_path: Path) -> None:
        with (
            self.account(tmp_path, '"$JS.API.>"', '"_INBOX.>"') as running,
            pytest.raises(PermanentUpstreamError, match=r"may not publish to lora-edge\."),
        ):
            await self.accepts(running, tmp_path)

    async def test_answers_are_forbidden(self, tmp_path: Path) -> None:
        """Unless one says where they may come to."""
        with self.account(tmp_path, '">"', '"_INBOX_g.>"') as running:
            with pytest.raises(
                PermanentUpstreamError, match=r"subscribe to _INBOX\.>.*inbox_prefix"
            ):
                await self.accepts(running, tmp_path)
            assert await self.accepts(running, tmp_path, inbox_prefix="_INBOX_g")

    async def test_least_privilege(self, tmp_path: Path) -> None:
        """To publish frames and hear the answers is enough, once somebody has made the stream."""
        with self.account(tmp_path, '"lora-edge.>"', '"_INBOX.>"') as running:
            with pytest.raises(TransientUpstreamError, match="no stream takes this subject"):
                await self.accepts(running, tmp_path)
            assert await self.accepts(running, tmp_path, user="o")
            assert await self.accepts(running, tmp_path)

    async def test_the_stream_may_be_seen_but_not_made(self, tmp_path: Path) -> None:
        allowed = '"lora-edge.>", "$JS.API.STREAM.INFO.LORA_EDGE"'
        with (
            self.account(tmp_path, allowed, '"_INBOX.>"') as running,
            pytest.raises(PermanentUpstreamError, match="may not make one; nats stream add"),
        ):
            await self.accepts(running, tmp_path)
