"""Asks the root helper to cut a device's power or pull its reset pin.

The service may do neither itself. It leaves an empty file named after the concentrator;
``lora-edge-power.path`` sees that and starts the helper, which looks up in its own configuration
what the name stands for. So the service can ask for what an administrator has written there, and
for nothing else.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PowerHelper:
    """Where requests are left.

    Attributes:
        table: the helper's configuration; each line begins with a concentrator's name.
        requests: directory that the helper watches.
    """

    table: Path = Path("/etc/lora-edge/power.conf")
    requests: Path = Path("/run/lora-edge-power")

    def knows(self, concentrator: str) -> bool:
        """Whether the helper is there, and has been told what to do about this one."""
        try:
            lines = self.table.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return False
        return self.requests.is_dir() and any(line.split()[:1] == [concentrator] for line in lines)

    def ask(self, concentrator: str) -> None:
        """Leave a request; that it cannot be left is logged."""
        try:
            (self.requests / concentrator).touch()
        except OSError as error:
            logger.warning("power cannot be asked for concentrator=%s: %s", concentrator, error)
