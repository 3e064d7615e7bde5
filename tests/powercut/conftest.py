"""A folder that costs no disk."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.powercut.preload import scratch_directory


@pytest.fixture
def scratch() -> Iterator[Path]:
    """In memory if possible: for what does not test the disk itself."""
    path = Path(tempfile.mkdtemp(prefix="powercut-", dir=scratch_directory()))
    try:
        yield path
    finally:
        shutil.rmtree(path)
