"""Real processes for end-to-end tests: simulator, gateway, broker, subscriber.

Each is a context manager that ends its process and shows its log when a test fails. Waiting is
always for a condition, with a deadline.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.scale import SCALE

DEADLINE_S = 60.0 * SCALE


def wait_until(
    condition: Callable[[], object], what: str, *, deadline_s: float = DEADLINE_S
) -> None:
    """Poll a condition of the outside world; fails with ``what`` was waited for."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s:.0f} s: {what}")
        time.sleep(0.02)


def free_port() -> int:
    """A TCP port on the loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(path: Path, request: dict[str, object]) -> dict[str, Any]:
    """One JSON line there, one back."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(path))
        client.sendall(json.dumps(request).encode() + b"\n")
        with client.makefile("rb") as answers:
            answer: dict[str, Any] = json.loads(answers.readline())
    return answer


@dataclass
class Process:
    """A child whose output goes to a file."""

    command: list[str]
    log: Path
    child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, or start again."""
        with self.log.open("ab") as output:
            self.child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.child is not None and self.child.poll() is None

    def kill(self) -> None:
        """As a power cut would."""
        assert self.child is not None
        self.child.kill()
        self.child.wait()

    def terminate(self, deadline_s: float = 10.0) -> int:
        """Ask it to end; returns its exit code."""
        assert self.child is not None
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(deadline_s)

    def end(self) -> None:
        """Make sure that it is gone."""
        if self.running:
            try:
                self.terminate()
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"did not end on SIGTERM: {self.command}") from None


@contextmanager
def shown_on_failure(*logs: Path) -> Iterator[None]:
    """Print the ends of logs when the test fails."""
    try:
        yield
    except BaseException:
        for log in logs:
            if log.exists():
                lines = log.read_text(errors="replace").splitlines()[-40:]
                print(f"--- {log.name}", *lines, sep="\n")
        raise


@dataclass
class Boards:
    """A simulator process with idle boards that take orders."""

    directory: Path
    process: Process
    injected: list[bytes] = field(default_factory=list)

    def order(self, **request: object) -> dict[str, Any]:
        """Give an order."""
        answer = ask(self.directory / "simulator.sock", request)
        assert "error" not in answer, answer
        return answer

    def inject(self, payload: bytes, concentrator: str = "board-1", radio: int = 0) -> bool:
        """Let a frame arrive at a chip; whether it was listening."""
        answer = self.order(
            order="inject", concentrator=concentrator, radio=radio, payload=payload.hex()
        )
        if answer["received"]:
            self.injected.append(payload)
        return bool(answer["received"])

    def inject_surely(self, payload: bytes, concentrator: str = "board-1", radio: int = 0) -> None:
        """Wait for a chip that listens, and for room: what overflows a board's ring is lost.

        Boards take a moment to be set up again after they were gone.
        """
        if len(self.injected) % 50 == 0:
            wait_until(lambda: self.unacknowledged() < 200, "the boards' rings have room")
        wait_until(lambda: self.inject(payload, concentrator, radio), "a chip listens")

    def balance(self) -> dict[str, Any]:
        """The boards' account."""
        return self.order(order="balance")

    def unacknowledged(self) -> int:
        """Events that the boards keep."""
        return int(self.order(order="counts")["unacknowledged"])

    def drained(self) -> bool:
        """Whether every event was acknowledged."""
        return self.unacknowledged() == 0


@contextmanager
def boards(
    directory: Path,
    *,
    count: int = 1,
    radios: tuple[str, ...] = ("921.4:9",),
    kind: str = "bridge",
) -> Iterator[Boards]:
    """Idle devices of one kind on ptys, and a gateway.toml beside them."""
    command = [sys.executable, "-m", "simulator", "idle", "--directory", str(directory)]
    command += ["--boards", str(count), "--gateway-files", "--baud", "0"]
    command += ["--kind", kind]
    for radio in radios:
        command += ["--radio", radio]
    process = Process(command, directory / "simulator.log")
    process.start()
    with shown_on_failure(process.log):
        try:
            wait_until((directory / "gateway.toml").exists, "the simulator is up")
            yield Boards(directory, process)
        finally:
            process.end()


@dataclass
class Gateway:
    """The gateway process, from the configuration in a directory."""

    directory: Path
    process: Process

    @property
    def socket(self) -> Path:
        """Its control socket."""
        return self.directory / "gateway.sock"

    def start(self) -> None:
        """Start and wait until it takes frames."""
        self.process.start()
        wait_until(self.answers, "the gateway answers")

    def answers(self) -> bool:
        """Whether the control socket works."""
        assert self.process.running, "the gateway has ended"
        try:
            self.status()
        except (OSError, ValueError):
            return False
        return True

    def status(self) -> dict[str, Any]:
        """What ``lora-edge status`` shows."""
        return ask(self.socket, {"command": "status"})

    def up(self) -> bool:
        """Whether all concentrators are configured."""
        return all(concentrator["up"] for concentrator in self.status()["concentrators"])

    def pending(self) -> int:
        """Frames that an upstream has not acknowledged."""
        return sum(int(upstream["pending"]) for upstream in self.status()["upstreams"])


@contextmanager
def gateway(directory: Path, *, own_boot_id: Path | None = None) -> Iterator[Gateway]:
    """A running gateway, on a host that booted with another boot id if one is given."""
    command = [sys.executable, "-m", "edge", "run", "-c", str(directory / "gateway.toml")]
    if own_boot_id is not None:
        bind = f'mount --bind "{own_boot_id}" /proc/sys/kernel/random/boot_id && exec "$@"'
        command = ["unshare", "--mount", "--map-root-user", "sh", "-c", bind, "sh", *command]
    running = Gateway(directory, Process(command, directory / "gateway.log"))
    with shown_on_failure(running.process.log):
        try:
            running.start()
            yield running
        finally:
            running.process.end()


@dataclass
class Broker:
    """A mosquitto process that survives being killed."""

    directory: Path
    port: int
    process: Process

    def start(self) -> None:
        """Start and wait until it accepts connections."""
        self.process.start()
        wait_until(self.accepts, "mosquitto accepts connections")

    def accepts(self) -> bool:
        """Whether its port is open."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


def mosquitto() -> str:
    """Path of Debian's broker."""
    path = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    assert path is not None
    return path


@contextmanager
def broker(directory: Path, *, extra: str = "", start: bool = True) -> Iterator[Broker]:
    """A broker whose acknowledgements survive a kill, on a port of its own."""
    data = directory / "mosquitto"
    data.mkdir()
    port = free_port()
    config = data / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n"
        f"persistence true\npersistence_location {data}/\n"
        "autosave_on_changes true\nautosave_interval 1\n"
        f"max_queued_messages 0\nlog_dest stderr\n{extra}"
    )
    process = Process([mosquitto(), "-c", str(config)], directory / "mosquitto.log")
    running = Broker(directory, port, process)
    with shown_on_failure(process.log):
        try:
            if start:
                running.start()
            yield running
        finally:
            process.end()


@dataclass
class Subscriber:
    """mosquitto_sub with a session of its own: an independent witness."""

    output: Path
    process: Process

    def frames(self) -> list[dict[str, Any]]:
        """All frames so far, repeats included."""
        frames = []
        for line in self.output.read_text().splitlines():
            topic, _, payload = line.partition(" ")
            if "/up/" in topic:
                frames.append(json.loads(payload))
        return frames

    def messages(self, suffix: str) -> list[str]:
        """Payloads of all messages whose topic ends so."""
        lines = (line.partition(" ") for line in self.output.read_text().splitlines())
        return [payload for topic, _, payload in lines if topic.endswith(suffix)]


@contextmanager
def subscriber(directory: Path, port: int) -> Iterator[Subscriber]:
    """Subscribes to everything, with QoS 1 and a persistent session; reconnects by itself."""
    output = directory / "subscriber.txt"
    output.touch()
    command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-V", "5", "-q", "1"]
    command += ["-i", "witness", "-c", "-x", "3600", "-t", "#", "-F", "%t %p"]
    witness = Subscriber(output, Process(command, output))
    witness.process.start()
    try:
        yield witness
    finally:
        assert witness.process.child is not None
        witness.process.child.kill()
        witness.process.child.wait()


def use_mqtt(directory: Path, port: int) -> None:
    """Replace the ``file`` upstream in gateway.toml by the broker."""
    use_upstream(directory, f'kind = "mqtt"\nurl = "mqtt://127.0.0.1:{port}"\n')


def use_upstream(directory: Path, keys: str) -> None:
    """Replace the ``file`` upstream in gateway.toml by another one, named "city"."""
    path = directory / "gateway.toml"
    wait_until(lambda: "[monitoring]" in path.read_text(), "the simulator has written it all")
    text = path.read_text()
    start = text.index("[[upstream]]")
    end = text.index("[monitoring]")
    upstream = f'[[upstream]]\nname = "city"\n{keys}\n'
    path.write_text(text[:start] + upstream + text[end:])


def inject_some(site: Boards, first: int, count: int) -> None:
    """Spread frames over the radios of two boards with two radios each."""
    for number in range(first, first + count):
        site.inject_surely(uplink_payload(number), f"board-{number % 2 + 1}", number // 2 % 2)


def wait_delivered(site: Boards, running: Gateway, deadline_s: float = 120) -> None:
    """Wait until the boards are acknowledged and the outbox is empty."""
    wait_until(site.drained, "all events acknowledged")
    wait_until(lambda: running.pending() == 0, "the outbox is empty", deadline_s=deadline_s)


def listen_on(directory: Path, port: int) -> None:
    """Let the gateway serve metrics and status on a port."""
    path = directory / "gateway.toml"
    text = path.read_text()
    assert 'listen = ""' in text
    path.write_text(text.replace('listen = ""', f'listen = "127.0.0.1:{port}"'))


def samples(port: int) -> dict[str, float]:
    """What Prometheus would scrape: value by name with labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def uplink_payload(number: int) -> bytes:
    """A LoRaWAN data uplink that nobody else sends; its keys are unknown to the gateway."""
    address = (0x01000000 + number % 50).to_bytes(4, "little")
    counter = (number & 0xFFFF).to_bytes(2, "little")
    return b"\x40" + address + b"\x00" + counter + b"\x0a" + number.to_bytes(6, "big") + b"MIC!"


def check_delivery(frames: list[dict[str, Any]], receivable: list[bytes]) -> None:
    """All that was receivable arrived, none under two ids, none invented, contents equal."""
    by_id: dict[str, set[str]] = {}
    for frame in frames:
        by_id.setdefault(frame["frame_id"], set()).add(frame["phy_payload"])
    assert all(len(payloads) == 1 for payloads in by_id.values()), "one id, two contents"
    arrived = Counter(payload for payloads in by_id.values() for payload in payloads)
    expected = Counter(payload.hex() for payload in receivable)
    missing = expected - arrived
    surplus = arrived - expected
    assert not missing, f"{missing.total()} lost, e.g. {next(iter(missing))}"
    assert not surplus, f"{surplus.total()} twice or invented, e.g. {next(iter(surplus))}"
