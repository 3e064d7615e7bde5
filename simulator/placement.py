"""Where things stand: local metres east and north of the area's origin."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from simulator.draws import Draws

Point = tuple[float, float]
"""Metres east, metres north."""

_METRES_PER_DEGREE = 111_195  # on a sphere of 6 371 km, good to 0.6 % over a city


@dataclass(frozen=True, slots=True)
class Position:
    """A point in local metres and its height above ground."""

    x_m: float
    y_m: float
    height_m: float

    def distance_m(self, other: "Position") -> float:
        """Straight line, heights included."""
        return math.dist(
            (self.x_m, self.y_m, self.height_m), (other.x_m, other.y_m, other.height_m)
        )


@dataclass(frozen=True, slots=True)
class Area:
    """The piece of the earth that a scenario plays on; latitude and longitude in degrees."""

    description: str
    latitude: float
    longitude: float

    def point(self, latitude: float, longitude: float) -> Point:
        """Local metres of a geographic position, flat-earth: fit for a city, not for a country."""
        east = math.cos(math.radians(self.latitude)) * (longitude - self.longitude)
        return (east * _METRES_PER_DEGREE, (latitude - self.latitude) * _METRES_PER_DEGREE)


@dataclass(frozen=True, slots=True)
class Spots:
    """One sensor at each point, in order."""

    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """Anywhere along a polyline: a river, a street."""

    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Anywhere between two opposite corners: a ward, a beach."""

    corner: Point
    opposite: Point


Placement = Spots | Line | Rectangle


def place(placement: Placement, index: int, draws: Draws) -> Point:
    """Where sensor ``index`` of a group stands; ``draws`` are that sensor's own.

    The size of the group does not matter, so that a sensor stays where it is when others come.
    """
    match placement:
        case Spots(points):
            return points[index]
        case Line(points):
            return _along(points, draws.uniform(0))
        case Rectangle(corner, opposite):
            return (
                corner[0] + (opposite[0] - corner[0]) * draws.uniform(0),
                corner[1] + (opposite[1] - corner[1]) * draws.uniform(1),
            )


def _along(points: Sequence[Point], share: float) -> Point:
    """The point after this share of a polyline's length."""
    left = share * sum(math.dist(start, end) for start, end in pairwise(points))
    for start, end in pairwise(points):
        length = math.dist(start, end)
        if left < length:
            part = left / length
            return (start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part)
        left -= length
    return points[-1]
