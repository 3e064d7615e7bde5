"""Notices that an upstream's credential files have changed, and tells when certificates end."""

import asyncio
from typing import Any

from edge.monitoring.metrics import Metrics
from edge.upstreams.base import ShowsPeerCertificate, Upstream
from edge.upstreams.credentials import (
    Credentials,
    Fingerprint,
    certificate_end,
    credential_paths,
    fingerprint,
)


class CredentialWatch:
    """One upstream's; files are looked at in a thread, because cards are slow.

    Args:
        options: the kind's; None = it has no files.
    """

    def __init__(self, name: str, options: Any, metrics: Metrics) -> None:
        self._credentials = Credentials.of(options)
        self._paths = () if options is None else credential_paths(options)
        self._gauge = metrics.upstream_certificate_expiry_timestamp.labels(name)
        self._used: Fingerprint = ()
        self._seen: Fingerprint = ()

    async def connecting(self) -> None:
        """The files are about to be read."""
        if self._paths:
            self._used = self._seen = await asyncio.to_thread(fingerprint, self._paths)

    async def connected(self, upstream: Upstream) -> None:
        """Tell when the first certificate ends: ours, the CA's, or the receiver's."""
        ends = []
        if self._paths:
            ends.append(await asyncio.to_thread(self._credentials.expires_at))
        if isinstance(upstream, ShowsPeerCertificate) and upstream.peer_certificate:
            ends.append(certificate_end(upstream.peer_certificate))
        known = [end.timestamp() for end in ends if end is not None]
        self._gauge.set(min(known, default=0))

    async def have_changed(self) -> bool:
        """Whether other files are there than were read, and have not changed since the last look:
        certificate and key are rarely replaced in one instant.
        """
        if not self._paths:
            return False
        now = await asyncio.to_thread(fingerprint, self._paths)
        settled, self._seen = now == self._seen, now
        return settled and now != self._used
