"""Places: where sensors stand and how far that is."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.draws import Draws
from simulator.placement import Area, Line, Placement, Point, Position, Rectangle, Spots, place

coordinates = st.floats(-10_000, 10_000, allow_subnormal=False)
points = st.tuples(coordinates, coordinates)
seeds = st.integers(0, 1000)


def test_distance_counts_height() -> None:
    assert Position(0, 0, 0).distance_m(Position(3, 4, 12)) == pytest.approx(13)


def test_geographic_positions() -> None:
    """One arc minute of latitude is a nautical mile, 1 852 m; of longitude, cos(60) of that."""
    area = Area("", 60.0, 20.0)
    x_m, y_m = area.point(60 + 1 / 60, 20 + 1 / 60)
    assert y_m == pytest.approx(1852, rel=0.001)
    assert x_m == pytest.approx(926, rel=0.001)


@given(points, points, seeds)
def test_inside_the_rectangle(corner: Point, opposite: Point, seed: int) -> None:
    x, y = place(Rectangle(corner, opposite), 0, Draws(seed))
    assert min(corner[0], opposite[0]) - 1e-6 <= x <= max(corner[0], opposite[0]) + 1e-6
    assert min(corner[1], opposite[1]) - 1e-6 <= y <= max(corner[1], opposite[1]) + 1e-6


@given(st.lists(points, min_size=2, max_size=5), seeds)
def test_on_the_line(line: list[Point], seed: int) -> None:
    """On some segment the way over the point is no longer than the direct one."""
    point = place(Line(tuple(line)), 0, Draws(seed))
    detours = [
        math.dist(a, point) + math.dist(point, b) - math.dist(a, b) for a, b in pairwise(line)
    ]
    assert min(detours) < 1e-6


def test_lines_are_filled_evenly() -> None:
    """A leg of a quarter of the length gets a quarter: 2 000 draws, three standard errors."""
    line = Line(((0, 0), (100, 0), (100, 300)))
    first = sum(place(line, 0, Draws(1, f"{i}"))[0] < 100 for i in range(2000))
    assert abs(first - 500) < 3 * math.sqrt(2000 * 0.25 * 0.75)


def test_spots_are_taken_in_order() -> None:
    spots = Spots(((1, 2), (3, 4)))
    assert [place(spots, index, Draws(1)) for index in (0, 1)] == [(1, 2), (3, 4)]


@pytest.mark.parametrize(
    "placement", [Rectangle((0, 0), (1000, 1000)), Line(((0, 0), (1000, 0)))], ids=["area", "line"]
)
def test_sensors_do_not_stand_on_each_other(placement: Placement) -> None:
    assert len({place(placement, i, Draws(1, f"{i}")) for i in range(100)}) == 100
