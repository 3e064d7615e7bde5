"""What ``lora-edge status``, the status page and the live table show, as one JSON-able object."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from edge.clock import Clock
from edge.config.model import Config
from edge.ingest import Ingest
from edge.outbox.store import Outbox
from edge.radio_watch import RadioWatch
from protocol.lora.events import LinkState


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """Collects the status from the parts that know it."""

    version: str
    gateway: bytes
    config: Config
    clock: Clock
    started_us: int
    ingest: Ingest
    outbox: Outbox
    notices: Sequence[str]
    radios: RadioWatch = field(default_factory=RadioWatch)
    last_faults: dict[str, tuple[int, str]] = field(default_factory=dict)

    def note_fault(self, upstream: str, fault: str) -> None:
        """Remember an upstream's latest fault, and when it was."""
        self.last_faults[upstream] = self.clock.boottime_us(), fault

    def __call__(self) -> dict[str, object]:
        """The status now; ages in seconds, counts since the start of the process."""
        wall = self.clock.wall()
        return {
            "version": self.version,
            "gateway": self.gateway.hex(),
            "region": self.config.gateway.region,
            "epoch": self.outbox.epoch.hex(),
            "uptime_s": (self.clock.boottime_us() - self.started_us) // 1_000_000,
            "clock_synchronised": wall is not None,
            "notices": list(self.notices),
            "concentrators": [self._concentrator(c.name) for c in self.config.concentrators],
            "outbox": self._outbox(),
            "upstreams": [self._upstream(upstream.name) for upstream in self.config.upstreams],
        }

    def _concentrator(self, name: str) -> dict[str, object]:
        config = next(c for c in self.config.concentrators if c.name == name)
        state = self.ingest.status.get(name)
        heartbeat = self.ingest.heartbeats.get(name)
        return {
            "name": name,
            "driver": config.driver,
            "port": config.port,
            "up": state is not None and state.state is LinkState.UP,
            "detail": "not connected yet" if state is None else state.detail,
            "ring_used": heartbeat.ring_used if heartbeat else None,
            "temperature_celsius": heartbeat.temperature_celsius if heartbeat else None,
            "recovery": self._recovery(name),
            "radios": [self._radio(name, index) for index in range(len(config.radios))],
        }

    def _recovery(self, name: str) -> dict[str, object] | None:
        """Steps taken since the start, and the latest one."""
        watch = self.radios.concentrators.get(name)
        if watch is None or watch.last_step is None:
            return None
        at_us, step = watch.last_step
        return {
            "steps": {step.value: count for step, count in watch.steps.items()},
            "last": step.value,
            "last_age_s": (self.clock.boottime_us() - at_us) / 1e6,
        }

    def _judge(self, name: str, index: int) -> dict[str, object]:
        watch = self.radios.concentrators.get(name)
        if watch is None:
            return {"health": None, "health_reason": ""}
        judgement = watch.judge(self.clock.boottime_us())[index]
        return {"health": judgement.verdict.value, "health_reason": judgement.reason}

    def _radio(self, name: str, index: int) -> dict[str, object]:
        radio = next(c for c in self.config.concentrators if c.name == name).radios[index]
        last = self.ingest.last_heard.get((name, index))
        return {
            "radio": index,
            "frequency_hz": radio.frequency_hz,
            "spreading_factor": radio.spreading_factor,
            "bandwidth_hz": radio.bandwidth_hz,
            "sync_word": radio.sync_word,
            "frames": self.ingest.heard.get((name, index), 0),
            "last_heard_age_s": None
            if last is None
            else (self.clock.boottime_us() - last.received_at_us) / 1e6,
            "rssi_dbm": None if last is None else last.rssi_dbm,
            "snr_db": None if last is None else last.snr_db,
            **self._judge(name, index),
        }

    def _outbox(self) -> dict[str, object]:
        statistics = self.outbox.statistics()
        return {
            "stored": self._sample("lora_edge_frames_stored_total"),
            "frames": statistics.frames,
            "bytes": statistics.bytes,
            "limit_bytes": self.config.outbox.max_bytes,
            "uncommitted": statistics.uncommitted,
            "classes": {
                frame_class.value: {"frames": frames, "bytes": size_bytes}
                for frame_class, (frames, size_bytes) in statistics.by_class.items()
            },
            "dead_letters": statistics.dead_letters,
            "fault": None if self.outbox.fault is None else str(self.outbox.fault),
            "salvaging": self.outbox.is_salvaging,
            "dropped": self._sample("lora_edge_frames_dropped_total"),
        }

    def _upstream(self, name: str) -> dict[str, object]:
        value = self.ingest.metrics.registry.get_sample_value
        labels = {"upstream": name}
        statistics = self.outbox.statistics()
        failed_us, fault = self.last_faults.get(name, (0, None))
        return {
            "name": name,
            "kind": next(u.kind for u in self.config.upstreams if u.name == name),
            "connected": value("lora_edge_upstream_connected", labels) == 1,
            "paused": value("lora_edge_upstream_paused", labels) == 1,
            "parked": value("lora_edge_upstream_parked", labels) == 1,
            "acknowledged": int(value("lora_edge_upstream_frames_acknowledged_total", labels) or 0),
            "pending": statistics.pending.get(name, 0),
            "oldest_pending_age_s": statistics.oldest_pending_age_s.get(name, 0.0),
            "last_error": fault,
            "last_error_age_s": None
            if fault is None
            else (self.clock.boottime_us() - failed_us) / 1e6,
        }

    def _sample(self, name: str) -> int:
        """Sum of a counter over its labels."""
        return int(
            sum(
                sample.value
                for family in self.ingest.metrics.registry.collect()
                for sample in family.samples
                if sample.name == name
            )
        )
