"""A gateway with a handful of frames, shared by the tests that only look at it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.cli.served_gateway import FRAMES, ServedGateway, served_gateway


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedGateway]:
    """Its frames are never changed."""
    directory: Path = tmp_path_factory.mktemp("gw")
    with served_gateway(directory, FRAMES, notices=("disk nearly\x1b[2J full",)) as running:
        yield running
