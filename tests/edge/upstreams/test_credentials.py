"""Files that prove who we are: read, watched, and known by the day they end."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from edge.upstreams.base import PermanentUpstreamError
from edge.upstreams.credentials import (
    Credentials,
    certificate_end,
    credential_paths,
    fingerprint,
    read_secret,
)
from tests.edge.upstreams.certificates import DAY, Authority


@dataclass(frozen=True)
class Options:
    """A kind's."""

    url: str = "x://"
    ca_file: str = ""
    token_file: str = ""
    retries: int = 3
    odd_file: Path | None = None


def test_options_may_have_some_of_the_keys() -> None:
    credentials = Credentials.of(Options(ca_file="/ca", odd_file=Path("/odd")))
    assert credentials == Credentials(ca_file="/ca")
    assert credential_paths(Options(ca_file="/ca", odd_file=Path("/odd"))) == ("/ca", "/odd")


class TestSecrets:
    def test_without_the_line_end_that_editors_add(self, tmp_path: Path) -> None:
        path = tmp_path / "password"
        path.write_bytes(b"  m\xc3\xa1t kh\xe1\xba\xa9u\r\n")
        assert Credentials(password_file=str(path)).password() == "m\u00e1t kh\u1ea9u"
        assert Credentials(token_file=str(path)).token() == "m\u00e1t kh\u1ea9u"

    def test_none(self) -> None:
        assert Credentials().password() is None
        assert Credentials().token() is None

    @pytest.mark.parametrize("content", [None, b"\xff\xfe", b"x" * 64_001])
    def test_what_cannot_be_one(self, tmp_path: Path, content: bytes | None) -> None:
        """Missing, not UTF-8, or some other file; its content is not told."""
        path = tmp_path / "password"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(PermanentUpstreamError, match="password file: ") as caught:
            read_secret(str(path), "password file")
        assert "xxx" not in str(caught.value)


class TestChange:
    def test_nothing_changed(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        path.write_text("one")
        assert fingerprint((str(path), "/missing")) == fingerprint((str(path), "/missing"))

    @pytest.mark.parametrize("how", ["written", "replaced", "removed", "same size and time"])
    def test_each_way_of_changing(self, tmp_path: Path, how: str) -> None:
        path = tmp_path / "key"
        path.write_text("one")
        os.utime(path, ns=(10**18, 10**18))
        before = fingerprint((str(path),))
        if how == "written":
            path.write_text("another")
        elif how == "removed":
            path.unlink()
        else:
            new = tmp_path / "new"
            new.write_text("two")
            if how != "replaced":
                os.utime(new, ns=(10**18, 10**18))
            new.replace(path)
        assert fingerprint((str(path),)) != before

    def test_one_that_appears(self, tmp_path: Path) -> None:
        before = fingerprint((str(tmp_path / "key"),))
        (tmp_path / "key").write_text("now")
        assert fingerprint((str(tmp_path / "key"),)) != before


class TestEnd:
    """By certificates of a library that is not ours."""

    def test_the_first_of_ours_and_the_authoritys(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        begin = datetime(2020, 1, 1, tzinfo=UTC)
        cert_file, key_file = authority.issue("old", valid_from=begin)
        old = Credentials(cert_file=str(cert_file), key_file=str(key_file))
        assert old.expires_at() == begin + 30 * DAY
        both = Credentials(cert_file=str(cert_file), ca_file=str(authority.ca_file))
        assert both.expires_at() == begin + 30 * DAY
        ca_end = Credentials(ca_file=str(authority.ca_file)).expires_at()
        assert ca_end is not None
        assert ca_end > datetime.now(UTC) + 28 * DAY

    def test_a_successor_beside_an_old_authority(self, tmp_path: Path) -> None:
        """Whoever has put the next one there in time is not called out of bed."""
        old, _ = Authority(tmp_path / "a").issue("old", valid_from=datetime(2020, 1, 1, tzinfo=UTC))
        bundle = tmp_path / "bundle.pem"
        bundle.write_bytes(old.read_bytes() + Authority(tmp_path / "b").ca_file.read_bytes())
        end = Credentials(ca_file=str(bundle)).expires_at()
        assert end is not None
        assert end > datetime.now(UTC)

    def test_files_that_say_nothing(self, tmp_path: Path) -> None:
        rubbish = tmp_path / "rubbish"
        rubbish.write_bytes(b"\xff" * 100)
        assert Credentials().expires_at() is None
        assert Credentials(ca_file=str(rubbish), cert_file="/missing").expires_at() is None

    def test_a_peers(self, tmp_path: Path) -> None:
        path, _ = Authority(tmp_path).issue("peer", valid_from=datetime(2021, 5, 1, tzinfo=UTC))
        der = x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(
            encoding=serialization.Encoding.DER
        )
        assert certificate_end(der) == datetime(2021, 5, 31, tzinfo=UTC)
        assert certificate_end(der[:-1]) is None
        assert certificate_end(b"") is None


def test_certificates_that_do_not_load_need_a_person(tmp_path: Path) -> None:
    (tmp_path / "rubbish").write_text("x")
    with pytest.raises(PermanentUpstreamError, match="certificates: "):
        Credentials(ca_file=str(tmp_path / "rubbish")).tls()
    with pytest.raises(PermanentUpstreamError, match="certificates: "):
        Credentials(cert_file="/missing").tls()
