"""What is alive and what is ready, as its parts report it.

*Alive* decides whether systemd restarts the process, so only what a restart can mend counts: the
event loop, the writer of the store, and the driver supervisors (not the boards). *Ready* says
whether the gateway can do its work now: the store takes frames and a radio hears. An upstream
counts for neither, because losing the backhaul is normal here.
"""

DEFAULT_BOUND_US = 20_000_000
"""A part that is silent for longer is stuck: two thirds of ``WatchdogSec`` in the unit."""


class Health:
    """Beats and states of the parts. Times are CLOCK_BOOTTIME in microseconds.

    Parts are named ``loop``, ``writer`` and ``driver:<concentrator>``.
    """

    def __init__(self) -> None:
        self._bounds_us: dict[str, int] = {}
        self._beats_us: dict[str, int] = {}
        self._store_fault: str | None = "the store is not open yet"
        self._concentrator_faults: dict[str, str | None] = {}

    def watch(self, part: str, now_us: int, *, bound_us: int = DEFAULT_BOUND_US) -> None:
        """Expect beats of a part from now on, so that one that never beats is found as well."""
        self._bounds_us[part] = bound_us
        self._beats_us[part] = now_us

    def beat(self, part: str, now_us: int) -> None:
        """Note that a part works; the first beat of an unknown part begins its watch."""
        self._bounds_us.setdefault(part, DEFAULT_BOUND_US)
        self._beats_us[part] = now_us

    def store_works(self) -> None:
        """Note that the store is open and commits."""
        self._store_fault = None

    def store_failed(self, reason: str) -> None:
        """Note that the store cannot commit (full, read-only, failing)."""
        self._store_fault = f"the store is not writable: {reason}"

    def concentrator_up(self, name: str) -> None:
        """Note that a concentrator is configured and its radios receive."""
        self._concentrator_faults[name] = None

    def concentrator_down(self, name: str, reason: str) -> None:
        """Note that a concentrator is away; also its state before it first came up."""
        self._concentrator_faults[name] = reason

    def alive(self, now_us: int) -> list[str]:
        """Return why the process should be restarted; empty means alive."""
        return [
            f"{part} has not beaten for {(now_us - beat_us) / 1e6:.1f} s"
            for part, beat_us in self._beats_us.items()
            if now_us - beat_us > self._bounds_us[part]
        ]

    def ready(self) -> list[str]:
        """Return why the gateway cannot do its work; empty means ready."""
        reasons = [self._store_fault] if self._store_fault is not None else []
        faults = self._concentrator_faults
        if not faults:
            reasons.append("no radio is up: no concentrator is configured")
        elif all(fault is not None for fault in faults.values()):
            each = "; ".join(f"{name}: {fault}" for name, fault in faults.items())
            reasons.append(f"no radio is up: {each}")
        return reasons
