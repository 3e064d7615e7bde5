"""Files that an upstream proves itself with: certificates, keys, passwords, tokens.

All of it blocks: call it in a thread. An adapter reads its files each time it is entered; the
forwarder notices that one has changed and enters it anew, so no adapter watches anything.
"""

import ssl
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from cryptography import x509

from edge.upstreams.base import PermanentUpstreamError
from edge.upstreams.tls import tls_context

MAX_SECRET_BYTES = 64_000

Fingerprint = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Paths as the options have them; empty = none."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    password_file: str = ""
    token_file: str = ""

    @classmethod
    def of(cls, options: Any) -> Self:
        """Those of a kind's options, which may have all of these keys or none."""
        return cls(
            **{field.name: str(getattr(options, field.name, "") or "") for field in fields(cls)}
        )

    def tls(self) -> ssl.SSLContext:
        """How to speak TLS.

        Raises:
            PermanentUpstreamError: a file cannot be read, or is none of its kind.
        """
        try:
            return tls_context(self.ca_file, self.cert_file, self.key_file)
        except OSError as error:
            raise PermanentUpstreamError(f"certificates: {error}") from None

    def password(self) -> str | None:
        """Content of the password file; None = there is none.

        Raises:
            PermanentUpstreamError: it cannot be read.
        """
        return read_secret(self.password_file, "password file")

    def token(self) -> str | None:
        """Content of the token file; None = there is none.

        Raises:
            PermanentUpstreamError: it cannot be read.
        """
        return read_secret(self.token_file, "token file")

    def expires_at(self) -> datetime | None:
        """When the first of our certificate and the CA's is no longer valid; None = none known.

        Of a CA file the last one counts: a successor stands in it before the old one ends. Files
        that cannot be read have no end; whoever connects with them says what is wrong.
        """
        ends = [end for end in (_first_end(self.cert_file), _last_end(self.ca_file)) if end]
        return min(ends, default=None)


def read_secret(path: str, what: str) -> str | None:
    """Text of a small file without white space around it; None if the path is empty.

    Raises:
        PermanentUpstreamError: it cannot be read.
    """
    if not path:
        return None
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 1)
        if len(content) > MAX_SECRET_BYTES:
            raise PermanentUpstreamError(f"{what}: {path} is too long")
        return content.decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PermanentUpstreamError(f"{what}: {error}") from None


def credential_paths(options: Any) -> tuple[str, ...]:
    """Every file that a kind's options name, by keys that end in ``_file``."""
    names = (field.name for field in fields(options) if field.name.endswith("_file"))
    return tuple(str(path) for name in names if (path := getattr(options, name)))


def fingerprint(paths: tuple[str, ...]) -> Fingerprint:
    """Tells whether files have changed: other content has another fingerprint.

    Cheap: nothing is read. A file that is away has one of its own.
    """
    marks = []
    for path in paths:
        try:
            status = Path(path).stat()
        except (OSError, ValueError):
            marks.append((path, 0, 0, 0))
        else:
            marks.append((path, status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(marks)


def certificate_end(der: bytes) -> datetime | None:
    """Until when a certificate of a peer is valid; None if it is none."""
    try:
        return x509.load_der_x509_certificate(der).not_valid_after_utc
    except ValueError:
        return None


def _first_end(path: str) -> datetime | None:
    return min(_ends(path), default=None)


def _last_end(path: str) -> datetime | None:
    return max(_ends(path), default=None)


def _ends(path: str) -> list[datetime]:
    if not path:
        return []
    try:
        certificates = x509.load_pem_x509_certificates(Path(path).read_bytes())
    except (OSError, ValueError):
        return []
    return [each.not_valid_after_utc.astimezone(UTC) for each in certificates]
