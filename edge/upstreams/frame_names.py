"""What a frame's sender is called in topics and subjects."""

from protocol.records.sensor_frame import SensorFrame


def sender_of(frame: SensorFrame) -> str:
    """The configured device; else its address; ``join-<dev_eui>``; else the radio that heard it."""
    content = frame.content
    if content.device is not None:
        return content.device
    if content.dev_addr is not None:
        return content.dev_addr.hex()
    if content.dev_eui is not None:
        return f"join-{content.dev_eui.hex()}"
    first = content.receptions[0]
    return f"{first.concentrator}-{first.radio}"
