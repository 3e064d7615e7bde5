"""A site in operation: power, orders, progress for people, and the account at the end."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from simulator.balance import Balance
from simulator.control import ControlServer
from simulator.simulated_site import Site

READY_S = 10.0
_PROGRESS_S = 5.0


async def serve(
    site: Site,
    *,
    play: Callable[[], Awaitable[None]] | None,
    silence: Callable[[], None],
    files: Callable[[], None],
) -> None:
    """Power the site, play, and keep the boards up until SIGTERM or SIGINT.

    Args:
        play: lets frames arrive; None = orders are all there is.
        silence: makes ``play`` end soon.
        files: writes what a gateway is to read; called when the ports are there.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    socket = site.directory / "simulator.sock"
    socket.unlink(missing_ok=True)
    control = ControlServer(site, silence)
    server = await control.start(socket)
    site.start()
    for concentrator in site.concentrators.values():
        _say(f"port {concentrator.link} -> {concentrator.port.device}")
    _say(f"orders to {socket}; Ctrl-C ends")
    files()
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_play_when_ready(site, play, control)),
                group.create_task(_show_progress(site.balance)),
            ]
            await stop.wait()
            for task in tasks:
                task.cancel()
    finally:
        server.close()
        site.balance.write(site.directory / "balance.json")
        site.stop()
        with suppress(OSError):  # nobody reads any more
            _show_account(site.balance)


async def _play_when_ready(
    site: Site, play: Callable[[], Awaitable[None]] | None, control: ControlServer
) -> None:
    """Begin when a gateway has set up every radio, or after a while without one."""
    deadline = time.monotonic() + READY_S
    if play is not None:
        _say(f"waiting up to {READY_S:.0f} s for a gateway to set up the radios")
    while not site.ready() and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    if play is not None:
        _say("playing" if site.ready() else "no gateway has set up all radios; playing anyway")
        began = time.monotonic()
        await play()
        _say(f"silent after {time.monotonic() - began:.0f} s; the boards stay up, Ctrl-C ends")
        _show_account(site.balance)
    control.finished = True


async def _show_progress(balance: Balance) -> None:
    """A line every few seconds in which something happened."""
    began = time.monotonic()
    shown = _progress(balance)
    while True:
        await asyncio.sleep(_PROGRESS_S)
        if _progress(balance) != shown:
            shown = _progress(balance)
            _say(f"{time.monotonic() - began:5.0f} s: {shown}")


def _progress(balance: Balance) -> str:
    return f"sent {balance.sent}, received {balance.receivable}, delivered {balance.delivered}"


def _show_account(balance: Balance) -> None:
    _say(f"balance: {_progress(balance)}")
    causes = sorted(balance.causes().items(), key=lambda item: -item[1])
    if any(count for _, count in causes):
        _say("of those sent: " + ", ".join(f"{name} {count}" for name, count in causes if count))


def _say(text: str) -> None:
    print(text, flush=True)
