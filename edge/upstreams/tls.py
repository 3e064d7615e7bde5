"""How we speak TLS, wherever we do."""

import ssl

from edge.upstreams.base import PermanentUpstreamError, TransientUpstreamError, UpstreamError

_CERTIFICATE_NOT_YET_VALID = 9  # X509_V_ERR_CERT_NOT_YET_VALID of OpenSSL


def tls_context(ca_file: str = "", cert_file: str = "", key_file: str = "") -> ssl.SSLContext:
    """Our own CA or the system's, and our certificate if we have one; TLS 1.2 at least.

    Raises:
        OSError: a file cannot be read, or is none of its kind.
    """
    context = ssl.create_default_context(cafile=ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert_file:
        context.load_cert_chain(cert_file, key_file or None)
    return context


def server_tls_context(cert_file: str, key_file: str, client_ca_file: str = "") -> ssl.SSLContext:
    """For a server with this certificate; with ``client_ca_file``, for clients that it signed.

    Raises:
        OSError: a file cannot be read, or is none of its kind.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert_file, key_file or None)
    if client_ca_file:
        context.load_verify_locations(client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def certificate_error(where: str, error: ssl.SSLCertVerificationError) -> UpstreamError:
    """What a certificate that is not to be trusted means; one from the future may yet be."""
    text = f"{where}: {error.verify_message}"
    if error.verify_code == _CERTIFICATE_NOT_YET_VALID:
        return TransientUpstreamError(f"{text}; perhaps our clock has not been set yet")
    return PermanentUpstreamError(text)
