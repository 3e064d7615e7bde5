"""Reaching upstreams: real TLS servers, real certificates, and nothing said to them of us."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge.cli import doctor_upstreams
from edge.cli.doctor_finding import Finding
from edge.cli.doctor_upstreams import examine_upstreams
from tests.edge.config.texts import MINIMAL, load
from tests.edge.upstreams.certificates import Authority

Findings = dict[str, Finding]


def look(port: int, *lines: str, scheme: str = "mqtts", now: datetime | None = None) -> Findings:
    """Findings by check, of one upstream on this machine."""
    table = ["[[upstream]]", 'name = "city"', 'kind = "mqtt"']
    table += [f'url = "{scheme}://127.0.0.1:{port}"', *lines]
    config = load(MINIMAL + "\n".join(table) + "\n").config
    return {finding.check: finding for finding in examine_upstreams(config, now)}


@contextmanager
def tls_server(authority: Authority, address: str = "127.0.0.1") -> Iterator[int]:
    """Shakes hands with whoever comes; yields its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate, key = authority.issue("server", address=address)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with suppress(OSError), context.wrap_socket(connection, server_side=True) as c:
                        c.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def test_a_server_with_a_good_certificate(authority: Authority) -> None:
    with tls_server(authority) as port:
        found = look(port, f'ca_file = "{authority.ca_file}"')

    assert found["upstream city"].result == "ok"
    assert "TLSv1." in found["upstream city"].text
    # The authority's certificates hold for 29 days from now.
    end = datetime.now(UTC) + timedelta(days=29)
    assert found["certificate of city's server"].text == f"valid until {end:%Y-%m-%d}"
    assert found["ca_file of city"].result == "ok"


@pytest.mark.parametrize(
    ("days", "result", "word"),
    [(0, "ok", "valid until"), (15, "warning", "expires on"), (40, "fault", "expired on")],
)
def test_an_end_that_comes_near(authority: Authority, days: int, result: str, word: str) -> None:
    with tls_server(authority) as port:
        now = datetime.now(UTC) + timedelta(days=days)
        found = look(port, f'ca_file = "{authority.ca_file}"', now=now)

    for check in ("certificate of city's server", "ca_file of city"):
        assert found[check].result == result
        assert word in found[check].text


def test_a_server_of_another_authority(authority: Authority) -> None:
    with tls_server(authority) as port:
        found = look(port)

    assert found["upstream city"].result == "fault"
    assert "certificate" in found["upstream city"].text


def test_a_server_by_another_name(authority: Authority) -> None:
    with tls_server(authority, address="127.0.0.2") as port:
        found = look(port, f'ca_file = "{authority.ca_file}"')

    assert "IP address mismatch" in found["upstream city"].text


def test_a_server_that_takes_the_connection_and_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor_upstreams, "_DEADLINE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = look(server.getsockname()[1])

    assert "cannot be reached" in found["upstream city"].text
    assert "timed out" in found["upstream city"].text


def test_our_own_certificate_is_looked_at(authority: Authority) -> None:
    certificate, key = authority.issue("gateway")
    with tls_server(authority) as port:
        found = look(
            port,
            f'ca_file = "{authority.ca_file}"',
            f'cert_file = "{certificate}"',
            f'key_file = "{key}"',
        )

    assert found["cert_file of city"].result == "ok"
    assert found["upstream city"].result == "ok"


def test_files_that_are_away_or_something_else(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = look(
            server.getsockname()[1],
            f'ca_file = "{tmp_path}/ca.pem"',
            'password_file = "/none"',
            scheme="mqtt",
        )

    assert "no certificate in PEM" in found["ca_file of city"].text
    assert found["password_file of city"].text == "/none: No such file or directory"
    assert found["upstream city"].result == "ok"


@pytest.mark.parametrize(
    ("host", "result", "words"),
    [("127.0.0.1", "ok", "the name is known"), ("nowhere.invalid", "fault", "cannot be reached")],
)
def test_a_server_over_udp_is_only_looked_up(host: str, result: str, words: str) -> None:
    """By asking in its protocol the doctor would draw the gateway's downlinks to itself."""
    table = f'[[upstream]]\nname = "city"\nkind = "semtech-udp"\nurl = "udp://{host}"\n'
    config = load(f"{MINIMAL}{table}i_accept_plaintext = true\n").config
    [finding] = examine_upstreams(config)
    assert finding.result == result
    assert words in finding.text
