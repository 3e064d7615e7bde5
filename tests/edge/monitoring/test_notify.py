"""Notifications reach a real datagram socket as sd_notify(3) writes them."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.monitoring.health import Health
from edge.monitoring.notify import Notifier, run_watchdog
from tests.edge.monitoring.fake_time import FakeTime, OutOfTime


class ServiceManager:
    """systemd's end of the socket."""

    def __init__(self, bind_to: str, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(bind_to)
        self._socket.setblocking(False)

    def received(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServiceManager]:
    path = str(tmp_path / "notify")
    if request.param == "path":
        manager = ServiceManager(path, path)
    else:
        manager = ServiceManager("\0" + path, "@" + path)
    yield manager
    manager.close()


def test_each_notification_is_one_datagram(manager: ServiceManager) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": manager.address})

    notifier.ready("2 radios")
    notifier.status("forwarding")
    notifier.watchdog()
    notifier.stopping()

    assert manager.received() == [
        "READY=1\nSTATUS=2 radios",
        "STATUS=forwarding",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


def test_a_status_cannot_carry_another_assignment(manager: ServiceManager) -> None:
    Notifier(manager.address).status("port lost\nMAINPID=1")

    assert manager.received() == ["STATUS=port lost MAINPID=1"]


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_without_a_socket_it_does_nothing(
    environment: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    notifier = Notifier.from_environment(environment | {"WATCHDOG_USEC": "30000000"})
    notifier.ready("")

    assert notifier.watchdog_s is None
    assert caplog.messages == []


def test_a_manager_that_went_away_is_a_log_line_and_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Notifier(str(tmp_path / "gone")).watchdog()

    assert "cannot notify systemd" in caplog.text


def test_a_manager_that_does_not_read_never_blocks_us(manager: ServiceManager) -> None:
    notifier = Notifier(manager.address)

    # More than net.unix.max_dgram_qlen (10 as shipped, at most some hundreds).
    for _ in range(2000):
        notifier.watchdog()

    assert 0 < len(manager.received()) < 2000


@pytest.mark.parametrize(
    ("interval", "watchdog_s"),
    [("30000000", 30.0), ("0", None), ("", None), ("-5", None), ("³", None), ("soon", None)],
)
def test_the_interval_of_the_watchdog(interval: str, watchdog_s: float | None) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": interval})

    assert notifier.watchdog_s == watchdog_s


def test_a_watchdog_that_is_meant_for_another_process_is_not_ours() -> None:
    environment = {"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "30000000"}

    mine = Notifier.from_environment(environment | {"WATCHDOG_PID": str(os.getpid())})
    other = Notifier.from_environment(environment | {"WATCHDOG_PID": "1"})

    assert (mine.watchdog_s, other.watchdog_s) == (30.0, None)


async def test_the_watchdog_is_fed_until_something_is_stuck(
    manager: ServiceManager,
) -> None:
    health = Health()
    health.store_works()
    health.concentrator_up("roof")
    health.beat("writer", 0)
    time = FakeTime([10.0, 10.0, 10.0])

    with pytest.raises(OutOfTime):
        await run_watchdog(
            Notifier(manager.address, 30.0), health, now_us=time.boottime_us, sleep=time.sleep
        )

    # The writer's bound is 20 s: alive at 0 s and 15 s, stuck at 30 s and 45 s.
    assert time.slept_s == [5.0, 5.0, 5.0]
    assert manager.received() == [
        "WATCHDOG=1",
        "STATUS=ready",
        "WATCHDOG=1",
        "STATUS=writer has not beaten for 30.0 s",
        "STATUS=writer has not beaten for 45.0 s",
    ]


async def test_an_unplugged_board_is_told_but_the_watchdog_is_fed(manager: ServiceManager) -> None:
    health = Health()
    health.store_works()
    health.concentrator_down("roof", "port lost")
    time = FakeTime([0.0])

    with pytest.raises(OutOfTime):
        await run_watchdog(
            Notifier(manager.address, 2.0), health, now_us=time.boottime_us, sleep=time.sleep
        )

    assert manager.received() == [
        "WATCHDOG=1",
        "STATUS=no radio is up: roof: port lost",
        "WATCHDOG=1",
    ]


async def test_without_a_watchdog_the_task_ends_at_once() -> None:
    time = FakeTime([])

    await run_watchdog(Notifier(None), Health(), now_us=time.boottime_us, sleep=time.sleep)

    assert time.slept_s == []
