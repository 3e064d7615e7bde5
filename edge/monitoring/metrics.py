"""Every metric of the service, in one object with a registry of its own.

Conventions: prefix ``lora_edge_``, base units, ``_total`` counters, closed label sets that are
exported as 0 from the start, never a label per device.
"""

import platform

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)

from edge.outbox.errors import ERROR_KINDS
from edge.recovery_ladder import Step
from protocol.lora.events import CrcStatus, DropReason
from protocol.records.sensor_frame import FrameClass

# A second series per counter would only tell when the process started.
disable_created_metrics()  # type: ignore[no-untyped-call]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_RSSI_DBM = (-140, -130, -125, -120, -115, -110, -105, -100, -90, -80, -70, -60, -40)
_SNR_DB = (-22.5, -20, -17.5, -15, -12.5, -10, -7.5, -5, -2.5, 0, 2.5, 5, 7.5, 10)

LINK_REJECT_REASONS = ("cobs", "crc", "too_long", "too_short", "malformed", "unexpected")


class Metrics:
    """Counters and gauges by purpose; tests read them with ``registry.get_sample_value``."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        self._radio_metrics()
        self._concentrator_metrics()
        self._ingest_metrics()
        self._outbox_metrics()
        self._upstream_metrics()
        self._process_metrics(version)
        # Memory, processor time and descriptors under the names that every dashboard knows.
        ProcessCollector(registry=self.registry)

    def _radio_metrics(self) -> None:
        radio = ("concentrator", "radio")
        self.radio_frames_received = self._counter(
            "radio_frames_received", "Frames that a radio received, by CRC status.", (*radio, "crc")
        )
        self.radio_rssi_dbm = self._histogram(
            "radio_rssi_dbm", "Packet strength of received frames.", radio, _RSSI_DBM
        )
        self.radio_snr_db = self._histogram(
            "radio_snr_db", "Signal-to-noise ratio of received frames.", radio, _SNR_DB
        )
        self.radio_noise_rssi_dbm = self._gauge(
            "radio_noise_rssi_dbm", "Strength on the channel with no frame on it.", radio
        )
        self.radio_receiving = self._gauge(
            "radio_receiving", "1 while the radio is configured and receiving.", radio
        )

        self.radio_deaf = self._gauge(
            "radio_deaf", "1 while the radio shows that it cannot hear; see the runbook.", radio
        )
        self.radio_missed_frames = self._gauge(
            "radio_missed_frames",
            "Frames that the radio usually hears in a time like that since its last one.",
            radio,
        )

    def _concentrator_metrics(self) -> None:
        concentrator = ("concentrator",)
        self.concentrator_up = self._gauge(
            "concentrator_up",
            "1 while the concentrator is connected and configured.",
            concentrator,
        )
        self.concentrator_reconnects = self._counter(
            "concentrator_reconnects",
            "Times the concentrator had to be connected again.",
            concentrator,
        )
        self.concentrator_last_event_timestamp = self._gauge(
            "concentrator_last_event_timestamp_seconds",
            "Unix time of the last sign of life from the concentrator.",
            concentrator,
        )
        self.concentrator_ring_used = self._gauge(
            "concentrator_ring_used_frames",
            "Frames in the board's ring that await our commit.",
            concentrator,
        )
        self.concentrator_recovery_steps = self._counter(
            "concentrator_recovery_steps",
            "Steps taken to make a deaf radio hear or a silent board answer, by step.",
            ("concentrator", "step"),
        )
        self.link_rejects = self._counter(
            "link_rejects",
            "Serial frames that were rejected, by reason.",
            ("concentrator", "reason"),
        )

    def _ingest_metrics(self) -> None:
        self.frames_dropped = self._counter(
            "frames_dropped",
            "Frames that were dropped, by the closed list of reasons.",
            ("reason",),
        )
        for reason in DropReason:
            self.frames_dropped.labels(reason.value)
        self.frames_merged = self._counter(
            "frames_merged", "Receptions merged into a frame that another radio heard too."
        )
        self.events_replayed = self._counter(
            "events_replayed", "Events that a board sent again and that were recognised."
        )
        self.frames_stored = self._counter(
            "frames_stored", "Frames committed to the outbox.", ("class",)
        )
        for frame_class in FrameClass:
            self.frames_stored.labels(frame_class.value)
        self.frame_decode_errors = self._counter(
            "frame_decode_errors", "Frames stored without measurements, by reason.", ("error",)
        )
        self.frame_verify_failures = self._counter(
            "frame_verify_failures", "Frames stored with verified = no, by reason.", ("reason",)
        )

    def _outbox_metrics(self) -> None:
        self.outbox_pending_frames = self._gauge(
            "outbox_pending_frames",
            "Frames that this upstream has not acknowledged.",
            ("upstream",),
        )
        self.outbox_oldest_pending_age = self._gauge(
            "outbox_oldest_pending_age_seconds",
            "Age on the uptime clock of the oldest frame this upstream has not acknowledged.",
            ("upstream",),
        )
        self.outbox_stored_frames = self._gauge("outbox_stored_frames", "Frames in the outbox.")
        self.outbox_bytes = self._gauge("outbox_bytes", "Size of the outbox on disk.")
        self.outbox_limit_bytes = self._gauge("outbox_limit_bytes", "Configured size limit.")
        self.outbox_uncommitted_frames = self._gauge(
            "outbox_uncommitted_frames", "Frames that would be lost if the power went now."
        )
        self.outbox_commit_seconds = self._histogram(
            "outbox_commit_seconds", "Duration of one group commit.", (), _SECONDS
        )
        self.outbox_commit_frames = self._histogram(
            "outbox_commit_frames",
            "Frames in one group commit.",
            (),
            (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024),
        )
        self.outbox_class_frames = self._gauge(
            "outbox_class_frames", "Frames in the outbox, by class.", ("class",)
        )
        self.outbox_class_bytes = self._gauge(
            "outbox_class_bytes", "What the frames of a class take on disk.", ("class",)
        )
        for frame_class in FrameClass:
            self.outbox_class_frames.labels(frame_class.value)
            self.outbox_class_bytes.labels(frame_class.value)
        self.outbox_dead_letters = self._gauge(
            "outbox_dead_letters", "Frames that upstreams refused, kept for a person to look at."
        )
        self.outbox_device_bytes = self._counter(
            "outbox_device_bytes",
            "Bytes written to the card for the outbox: WAL, checkpoints, the journal of ext4.",
        )
        self.outbox_checked_packs = self._counter(
            "outbox_checked_packs", "Rows of frames whose checksums the daily check has verified."
        )
        self.outbox_last_check_timestamp = self._gauge(
            "outbox_last_check_timestamp_seconds",
            "When the last check of the whole outbox ended, 0 if none has since the start.",
        )
        self.outbox_errors = self._counter(
            "outbox_errors", "Failed attempts to use the store, by kind.", ("kind",)
        )
        for kind in ERROR_KINDS:
            self.outbox_errors.labels(kind)
        self.outbox_recoveries = self._counter(
            "outbox_recoveries", "Times a damaged store was set aside and a fresh one begun."
        )
        self.outbox_salvaged_frames = self._counter(
            "outbox_salvaged_frames", "Frames brought over from damaged stores."
        )
        self.outbox_released_frames = self._counter(
            "outbox_released_frames",
            "Frames no longer kept for an upstream that is gone or too far behind.",
            ("upstream",),
        )
        self.outbox_acknowledged_uncommitted = self._counter(
            "outbox_acknowledged_uncommitted_frames",
            "Frames taken from boards that ran out of room while the store could not commit them.",
        )
        self.outbox_degraded = self._gauge(
            "outbox_degraded", "1 while the store cannot commit (full, read-only, failing)."
        )

    def _upstream_metrics(self) -> None:
        upstream = ("upstream",)
        self.upstream_connected = self._gauge(
            "upstream_connected", "1 while the upstream is connected.", upstream
        )
        self.upstream_frames_acknowledged = self._counter(
            "upstream_frames_acknowledged", "Frames that the upstream acknowledged.", upstream
        )
        self.upstream_frames_rejected = self._counter(
            "upstream_frames_rejected", "Frames that the upstream refused.", upstream
        )
        self.upstream_errors = self._counter(
            "upstream_errors", "Failed sends and connections.", ("upstream", "kind")
        )
        self.upstream_acknowledge_seconds = self._histogram(
            "upstream_acknowledge_seconds",
            "From send to acknowledgement of a batch.",
            upstream,
            _SECONDS,
        )
        self.upstream_last_acknowledged_timestamp = self._gauge(
            "upstream_last_acknowledged_timestamp_seconds",
            "Unix time of the last acknowledgement.",
            upstream,
        )
        self.upstream_parked = self._gauge(
            "upstream_parked", "1 while a permanent fault keeps the upstream parked.", upstream
        )
        self.network_server_frames_passed_over = self._counter(
            "network_server_frames_passed_over",
            "Frames that are not for this network server, by reason.",
            ("upstream", "reason"),
        )
        self.network_server_downlinks = self._counter(
            "network_server_downlinks",
            "Downlinks that this network server asked for, by what became of them.",
            ("upstream", "outcome"),
        )
        self._upstream_policy_metrics()

    def _upstream_policy_metrics(self) -> None:
        upstream = ("upstream",)
        self.upstream_frames_filtered = self._counter(
            "upstream_frames_filtered", "Frames that its filters keep from this upstream.", upstream
        )
        self.upstream_frames_passed_over = self._counter(
            "upstream_frames_passed_over",
            "Frames that this kind of upstream does not carry, such as private ones.",
            upstream,
        )
        self.upstream_frames_poison = self._counter(
            "upstream_frames_poison",
            "Frames set aside because the connection broke at them again and again.",
            upstream,
        )
        self.upstream_suspect_frames = self._gauge(
            "upstream_suspect_frames",
            "Frames at which the connection broke while others got through; they are tried apart.",
            upstream,
        )
        self.upstream_sent_bytes = self._counter(
            "upstream_sent_bytes", "Bytes sent, without TCP, IP and TLS.", upstream
        )
        self.upstream_budget_bytes = self._gauge(
            "upstream_budget_bytes",
            "What may be sent now of max_bytes_per_day; below 0 the upstream waits, 0 = no budget.",
            upstream,
        )
        self.upstream_budget_waiting = self._gauge(
            "upstream_budget_waiting", "1 while frames wait for the byte budget.", upstream
        )
        self.upstream_held_frames = self._gauge(
            "upstream_held_frames", "Acknowledged frames that hold_after_ack keeps.", upstream
        )
        self.upstream_paused = self._gauge(
            "upstream_paused", "1 while a person has paused the upstream.", upstream
        )
        self.upstream_certificate_expiry_timestamp = self._gauge(
            "upstream_certificate_expiry_timestamp_seconds",
            "When the first of our, the CA's and the receiver's certificate ends; 0 = none known.",
            upstream,
        )

    def _process_metrics(self, version: str) -> None:
        self.clock_synchronised = self._gauge(
            "clock_synchronised", "1 while the wall clock is synchronised."
        )
        self.clock_steps = self._counter(
            "clock_steps", "Times the wall clock was set by more than drift explains."
        )
        self.event_loop_lag_seconds = self._histogram(
            "event_loop_lag_seconds", "How late the event loop ran a timer.", (), _SECONDS
        )
        self.config_fallback = self._gauge(
            "config_fallback",
            "1 while the last good configuration runs because the present one is faulty.",
        )
        self.log_dropped = self._counter(
            "log_lines_dropped", "Log lines dropped because nobody read them."
        )
        Info("lora_edge_build", "Version of the service.", registry=self.registry).info(
            {"version": version, "python": platform.python_version()}
        )

    def register_upstream(self, upstream: str) -> None:
        """Export every series of one upstream as 0 from the start."""
        self.outbox_pending_frames.labels(upstream)
        self.outbox_oldest_pending_age.labels(upstream)
        self.outbox_released_frames.labels(upstream)
        self.upstream_connected.labels(upstream)
        self.upstream_frames_acknowledged.labels(upstream)
        self.upstream_frames_rejected.labels(upstream)
        self.upstream_acknowledge_seconds.labels(upstream)
        self.upstream_parked.labels(upstream)
        self.upstream_frames_filtered.labels(upstream)
        self.upstream_frames_passed_over.labels(upstream)
        self.upstream_frames_poison.labels(upstream)
        self.upstream_suspect_frames.labels(upstream)
        self.upstream_sent_bytes.labels(upstream)
        self.upstream_budget_bytes.labels(upstream)
        self.upstream_budget_waiting.labels(upstream)
        self.upstream_held_frames.labels(upstream)
        self.upstream_paused.labels(upstream)
        self.upstream_certificate_expiry_timestamp.labels(upstream)
        for kind in ("transient", "permanent"):
            self.upstream_errors.labels(upstream, kind)

    def register_concentrator(self, concentrator: str, radios: int) -> None:
        """Export every series of one concentrator as 0 from the start."""
        self.concentrator_up.labels(concentrator)
        self.concentrator_reconnects.labels(concentrator)
        self.concentrator_ring_used.labels(concentrator)
        for step in Step:
            self.concentrator_recovery_steps.labels(concentrator, step.value)
        for reason in LINK_REJECT_REASONS:
            self.link_rejects.labels(concentrator, reason)
        for radio in map(str, range(radios)):
            self.radio_receiving.labels(concentrator, radio)
            self.radio_deaf.labels(concentrator, radio)
            self.radio_missed_frames.labels(concentrator, radio)
            self.radio_rssi_dbm.labels(concentrator, radio)
            self.radio_snr_db.labels(concentrator, radio)
            for crc in CrcStatus:
                self.radio_frames_received.labels(concentrator, radio, crc.value)

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(f"lora_edge_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(f"lora_edge_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]
    ) -> Histogram:
        return Histogram(f"lora_edge_{name}", text, labels, registry=self.registry, buckets=buckets)
