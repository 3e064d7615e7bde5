"""Whether upstreams can be reached, and until when certificates hold.

Up to a TLS handshake, and no further: a login of the doctor's own would push the service out of its
session. Names, connections and handshakes have one deadline each.
"""

import socket
import ssl
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from edge.cli.doctor_finding import Finding
from edge.config.fields import without_password
from edge.config.model import Config, UpstreamConfig
from edge.upstreams.tls import tls_context

_DEADLINE_S = 5.0
_PORTS = {
    "mqtt": 1883,
    "mqtts": 8883,
    "http": 80,
    "https": 443,
    "ws": 80,
    "wss": 443,
    "nats": 4222,
    "tls": 4222,
    "udp": 1700,
}
_SECURE = ("mqtts", "https", "wss", "tls")
_SOON_DAYS = 21


def examine_upstreams(config: Config, now: datetime | None = None) -> Iterator[Finding]:
    """Each upstream that has a URL or files; ``now`` is for tests."""
    now = now or datetime.now(UTC)
    for upstream in config.upstreams:
        yield from _files(upstream, now)
        url = str(getattr(upstream.options, "url", ""))
        if url:
            yield from _reach(upstream, url, now)


def _reach(upstream: UpstreamConfig, url: str, now: datetime) -> Iterator[Finding]:
    check, shown = f"upstream {upstream.name}", without_password(url)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
        if parts.scheme == "udp":
            # Whoever asks there by the protocol draws the downlinks to himself.
            socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
            yield Finding(check, "ok", f"{shown}: the name is known; UDP tells no more")
            return
        with socket.create_connection((host, port), timeout=_DEADLINE_S) as connection:
            if parts.scheme not in _SECURE:
                yield Finding(check, "ok", f"{shown} accepts connections")
                return
            with _tls(upstream).wrap_socket(connection, server_hostname=host) as secure:
                certificate = secure.getpeercert(binary_form=True)
                version = secure.version()
        yield Finding(check, "ok", f"{shown} accepts connections, {version}")
        assert certificate is not None  # a server without one ends the handshake
        expires = x509.load_der_x509_certificate(certificate).not_valid_after_utc
        yield _expiry(f"certificate of {upstream.name}'s server", expires, now)
    except ssl.SSLCertVerificationError as error:
        fix = "compare ca_file, the name in url and the clock with the server's certificate"
        yield Finding(check, "fault", f"{shown}: {error.verify_message}", fix)
    except (OSError, ValueError) as error:
        fix = "check the network, the name and the firewall; frames are kept meanwhile"
        yield Finding(check, "fault", f"{shown} cannot be reached: {error}", fix)


def _tls(upstream: UpstreamConfig) -> ssl.SSLContext:
    """As the adapter has it."""
    names = ("ca_file", "cert_file", "key_file")
    return tls_context(*(getattr(upstream.options, name, "") for name in names))


def _files(upstream: UpstreamConfig, now: datetime) -> Iterator[Finding]:
    """Files that the options name: whether they can be read, and certificates' ends."""
    for option in fields(upstream.options):
        path = str(getattr(upstream.options, option.name))
        if not option.name.endswith("_file") or not path:
            continue
        check = f"{option.name} of {upstream.name}"
        try:
            content = Path(path).read_bytes()
            if option.name in ("cert_file", "ca_file"):
                certificates = x509.load_pem_x509_certificates(content)
                expires = min(each.not_valid_after_utc for each in certificates)
                yield _expiry(check, expires, now)
        except OSError as error:
            fix = "run this as sudo -u lora-edge; else correct the path or its rights"
            yield Finding(check, "fault", f"{path}: {error.strerror or error}", fix)
        except ValueError:
            yield Finding(check, "fault", f"{path} holds no certificate in PEM", "openssl x509 -in")


def _expiry(check: str, expires: datetime, now: datetime) -> Finding:
    days = (expires - now).days
    date = f"{expires:%Y-%m-%d}"
    fix = "get a new one; put it in place and restart the service"
    if expires <= now:
        return Finding(check, "fault", f"expired on {date}", fix)
    if days < _SOON_DAYS:
        return Finding(check, "warning", f"expires on {date}, in {days} days", fix)
    return Finding(check, "ok", f"valid until {date}")
