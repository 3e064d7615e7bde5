"""A host that can be killed: ``python -m tests.firmware.host_process PORT``.

Writes each event's number and payload to standard output, which stands for its disk, and
acknowledges it only then.
"""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from drivers.bridge import BridgeDriver
from protocol.lora.events import UplinkReceived
from tests.drivers.devices import BRIDGE, boottime_us


async def commit_events(port: Path) -> None:
    """Until somebody kills this process."""
    options = replace(BRIDGE.options, port=str(port))
    async with BridgeDriver(options, boottime_us) as driver:
        async for event in driver.events():
            if isinstance(event, UplinkReceived):
                assert event.origin is not None
                print(event.origin.number, event.payload.hex(), flush=True)
                driver.acknowledge(event)


if __name__ == "__main__":
    asyncio.run(commit_events(Path(sys.argv[1])))
