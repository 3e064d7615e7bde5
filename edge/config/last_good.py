"""Keeps the last configuration that started, for a start at which the present one is faulty.

A gateway on a pole that refuses to start over a typing error loses what it would have heard. So it
goes on with what worked, and says so.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.config.document import read_document
from edge.config.faults import ConfigError, Fault
from edge.config.load import LoadedConfig, load_config, load_document
from edge.config.toml_text import quoted
from edge.durable_file import write_durably

logger = logging.getLogger(__name__)

FILE_NAME = "last-good.toml"
KEYS_FILE_NAME = "last-good-keys.toml"
_VARIABLES_TABLE = "environment"


@dataclass(frozen=True, slots=True)
class StartConfig:
    """What to start with; ``faults`` is why it is not the present configuration, or empty."""

    loaded: LoadedConfig
    faults: tuple[Fault, ...] = ()

    @property
    def is_last_good(self) -> bool:
        """Whether the present configuration is faulty."""
        return bool(self.faults)


def load_or_last_good(path: Path, environ: Mapping[str, str], state_dir: Path) -> StartConfig:
    """Load the configuration, or if it is faulty the last one that worked.

    Raises:
        ConfigError: faults of the present one, if there is no good one to go back to.
    """
    try:
        return StartConfig(load_config(path, environ))
    except ConfigError as error:
        try:
            return StartConfig(_load_last_good(state_dir), tuple(error.faults))
        except ConfigError as second:
            if (state_dir / FILE_NAME).exists():
                logger.error("the last good configuration cannot be used either: %s", second)
        raise


def remember_good(loaded: LoadedConfig, state_dir: Path) -> None:
    """Keep a configuration that has started, with its keys and its environment variables.

    Raises:
        OSError: it cannot be written.
    """
    variables = dict(loaded.variables)
    if loaded.config.gateway.keys_file is not None:
        # A copy, because the keys file may be what is faulty next time.
        keys = loaded.config.gateway.keys_file.read_bytes()
        write_durably(state_dir / KEYS_FILE_NAME, keys)
        variables["LORA_EDGE_GATEWAY__KEYS_FILE"] = str(state_dir / KEYS_FILE_NAME)
    lines = [f"{name} = {quoted(value)}" for name, value in variables.items()]
    table = "\n".join(["", f"[{_VARIABLES_TABLE}]", *lines, ""])
    write_durably(state_dir / FILE_NAME, (loaded.text + table).encode())


def _load_last_good(state_dir: Path) -> LoadedConfig:
    document = read_document(state_dir / FILE_NAME)
    variables = document.values.pop(_VARIABLES_TABLE, {})
    return load_document(document, {name: str(value) for name, value in variables.items()})
