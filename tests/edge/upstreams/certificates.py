"""A certificate authority made for one test."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """Signs certificates for 127.0.0.1 and for clients, and writes them as PEM files."""

    def __init__(self, directory: Path, name: str = "Test CA") -> None:
        self._directory = directory
        directory.mkdir(exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        builder = self._builder(self._name, self._key, datetime.now(UTC) - DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        self.ca_file = self._write("ca.crt", builder)

    def issue(
        self, name: str, *, address: str | None = None, valid_from: datetime | None = None
    ) -> tuple[Path, Path]:
        """Files of a new certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        begin = valid_from or datetime.now(UTC) - DAY
        builder = self._builder(_name(name), key, begin)
        if address is not None:
            alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
            builder = builder.add_extension(alternative, False)
        key_file = self._directory / f"{name}.key"
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return self._write(f"{name}.crt", builder), key_file

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, begin: datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + 30 * DAY)
        )

    def _write(self, name: str, builder: x509.CertificateBuilder) -> Path:
        path = self._directory / name
        certificate = builder.sign(self._key, hashes.SHA256())
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path
