"""Talking to systemd: readiness, one line of status, and the watchdog.

The protocol is sd_notify(3): datagrams of ``KEY=value`` lines to the AF_UNIX socket that
``NOTIFY_SOCKET`` names. The watchdog's rules are in sd_watchdog_enabled(3).
"""

import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping

from edge.monitoring.health import Health

logger = logging.getLogger(__name__)

STATUS_EVERY_S = 5.0


class Notifier:
    """Sends notifications, or does nothing where nobody listens. Never raises, never blocks."""

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        """``address`` is a path, or an abstract name after ``@``; None = nobody listens."""
        self._address = address
        self.watchdog_s = watchdog_s if address is not None else None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Notifier":
        """Read ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``."""
        address = environment.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            # systemd may also offer a vsock; that is for virtual machines, not for services.
            return cls(None)
        return cls(address, _watchdog_s(environment))

    def ready(self, status: str) -> None:
        """Say that start-up is done."""
        self._send(f"READY=1\nSTATUS={_one_line(status)}")

    def status(self, status: str) -> None:
        """Set the line that ``systemctl status`` shows."""
        self._send(f"STATUS={_one_line(status)}")

    def watchdog(self) -> None:
        """Keep systemd from killing us for another ``WatchdogSec``."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that a clean stop has begun."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if self._address is None:
            return
        name = self._address
        if name.startswith("@"):
            # unix(7): abstract names begin with a zero byte, which no variable can hold.
            name = "\0" + name[1:]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify_socket:
                # A service manager that does not read must not stop the loop.
                notify_socket.setblocking(False)
                notify_socket.sendto(message.encode(), name)
        except OSError as error:
            logger.warning("cannot notify systemd: %s", error)


def _one_line(text: str) -> str:
    """Keep a status from smuggling in further assignments."""
    return " ".join(text.split())


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Return the watchdog's interval in seconds if it is meant for this process."""
    interval_us = environment.get("WATCHDOG_USEC", "")
    if not (interval_us.isascii() and interval_us.isdigit()) or int(interval_us) == 0:
        return None
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(interval_us) / 1e6


async def run_watchdog(
    notifier: Notifier,
    health: Health,
    *,
    now_us: Callable[[], int],
    sleep: Callable[[float], Awaitable[object]],
) -> None:
    """Feed the watchdog, and renew the status, while everything that a restart can mend is alive.

    Runs until it is cancelled; returns at once where no watchdog is asked for. While something is
    stuck it only says so: systemd then ends the process with SIGABRT and starts it again.
    """
    if notifier.watchdog_s is None:
        return
    shown = ""
    while True:
        stuck = health.alive(now_us())
        if stuck:
            logger.error("not feeding the watchdog: %s", "; ".join(stuck))
        else:
            notifier.watchdog()
        status = "; ".join(stuck or health.ready()) or "ready"
        if status != shown:
            notifier.status(status)
            shown = status
        await sleep(min(notifier.watchdog_s / 2, STATUS_EVERY_S))
