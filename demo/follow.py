"""People followed from picture to picture, each in a region, by two models: one finds people in a square, one sees the
joints of the person in a region.
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np

from demo.convert import Conversion
from demo.track import patience

MARGIN = 1.25
"""The region's side over what the body reaches, as in the training of the landmark models."""
FIND_EVERY = 0.2
"""People who come into the picture are looked for this often, seconds, in every square, one after the other; while
there is nobody, in every picture and all squares, but those who are far off still only this often.
"""
AROUND = 1.5
"""Whoever was lost is looked for in a square that reaches so many sides of the region around where he or she was, and
is now.
"""
NEWS = 0.3
"""The share that the last step has in the velocity of a person."""
FORGET = 1.0
"""After a gap of so many seconds, or a step back, the people are looked for from the start."""
OVERLAP = 0.2
"""Of the squares in which people are looked for, the share that the next one sees again."""
SMALLEST = 8
"""The smallest side of a region, pixels."""
PARALLEL = min(4, os.cpu_count() or 1)
"""So many people, or squares of a search, are seen to at once."""
DOUBLE, DOUBTFUL = 0.06, 0.15
"""People whose points are less than this apart in the mean, in sides of the region, are one; the more so where one of
them was out of sight, and so is only guessed to be in the region.
"""


class Region(NamedTuple):
    """A square of the picture in which to look for one person's joints: centre and side in pixels, turn in radians
    (clockwise).
    """

    x: float
    y: float
    side: float
    turn: float

    @classmethod
    def around(cls, centre: np.ndarray, end: np.ndarray) -> Region:
        """Around the middle of the hips `centre` (2,), so that the body reaches to `end` (2,), the side of the head;
        with a margin.
        """
        along = end - centre
        turn = math.atan2(along[1], along[0]) + math.pi / 2
        return cls(
            float(centre[0]),
            float(centre[1]),
            MARGIN * 2 * math.hypot(*along),
            (turn + math.pi) % (2 * math.pi) - math.pi,
        )

    def same(self, other: Region) -> bool:
        """Whether both are probably about one person."""
        return math.hypot(self.x - other.x, self.y - other.y) < 0.15 * min(self.side, other.side)


class Person(NamedTuple):
    points: np.ndarray  # (33, 3)
    region: Region  # where to look in the next picture
    velocity: tuple[float, float] = (0.0, 0.0)  # of the region, pixels per second
    first: float = 0.0  # when the person was found, seconds
    last: float = 0.0  # when the person was last seen
    world: np.ndarray | None = None  # (33, 3) metres, about the middle of the hips, where the model says it

    def going_on(self, now: Person, time: float) -> Person:
        """The same person as he or she is `now`, at `time`."""
        seconds = max(time - self.last, 1e-3)
        moved = ((now.region.x - self.region.x) / seconds, (now.region.y - self.region.y) / seconds)
        velocity = ((1 - NEWS) * self.velocity[0] + NEWS * moved[0], (1 - NEWS) * self.velocity[1] + NEWS * moved[1])
        return now._replace(velocity=velocity, first=self.first, last=time)

    def doubles(self, others: list[Person], nearest: float = DOUBLE) -> bool:
        """Whether this is one of the others, as when two regions have slipped onto one person."""
        apart = [
            np.linalg.norm(self.points[:, :2] - other.points[:, :2], axis=-1).mean() / other.region.side
            for other in others
        ]
        return min(apart, default=math.inf) <= nearest

    def heading(self, time: float) -> Region:
        """Where the person should be by then."""
        (x, y), seconds = self.velocity, time - self.last
        return self.region._replace(x=self.region.x + x * seconds, y=self.region.y + y * seconds)

    def error(self, now: Person, time: float) -> float:
        """How far somebody is from where this person should be, pixels."""
        expected = self.heading(time)
        return math.hypot(now.region.x - expected.x, now.region.y - expected.y)

    def is_awaited(self, time: float, width: int, height: int) -> bool:
        """Whether the person, who was lost, should still be in the picture, and is looked for there."""
        x, y = self.heading(time)[:2]
        return 0 <= x < width and 0 <= y < height and time - self.last <= patience(self.last - self.first)

    def square(self, time: float, width: int, height: int) -> tuple[int, int, int, int]:
        """The part (x, y, width, height) of a picture in which the person is looked for who was lost: from there to
        where he or she is heading; of no size where that is outside.
        """
        ahead, reach = self.heading(time), AROUND / 2 * self.region.side
        left, right = (round(min(max(end, 0), width)) for end in _span(self.region.x, ahead.x, reach))
        top, bottom = (round(min(max(end, 0), height)) for end in _span(self.region.y, ahead.y, reach))
        return left, top, right - left, bottom - top

    def is_at(self, newcomer: Person, time: float) -> bool:
        """Whether somebody who was found is where this person, who was lost, is looked for."""
        ahead, reach = self.heading(time), AROUND / 2 * self.region.side
        left, right = _span(self.region.x, ahead.x, reach)
        top, bottom = _span(self.region.y, ahead.y, reach)
        return left <= newcomer.region.x <= right and top <= newcomer.region.y <= bottom


def _span(first: float, second: float, reach: float) -> tuple[float, float]:
    """What reaches so far beyond two numbers."""
    return min(first, second) - reach, max(first, second) + reach


def _follow(
    people: list[Person], looks: list[Future[Person | None]], time: float, others: list[Person], nearest: float
) -> list[Person | None]:
    """People as they are now, by what the looks at them say; None: out of sight, also where the region has slipped onto
    somebody else.

    Of two regions on one person, that of the person who should be there goes on.
    """
    results = [look.result() for look in looks]
    seen = {number: person for number, person in enumerate(results) if person is not None}
    kept: dict[int, Person] = {}
    for number in sorted(seen, key=lambda number: people[number].error(seen[number], time)):
        if not seen[number].doubles([*others, *kept.values()], nearest):
            kept[number] = people[number].going_on(seen[number], time)
    return [kept.get(number) for number in range(len(people))]


class PeopleDetector(ABC):
    """Follows people with two models: one finds people in a square of the picture, one sees the joints of a person in a
    region.

    most: no more people than this are followed. followed: who was seen in the last picture. lost: who is still looked
    for. A child class has the two models as `_find_in` and `_look`.
    """

    joints: Conversion

    def __init__(self, most: int) -> None:
        self.most = most
        self.followed: list[Person] = []
        self.lost: list[Person] = []
        self.last_time = -math.inf
        self._turn = -1  # which of the squares was searched last; they are counted on and on
        # A network does one thing at a time; several people, and the squares of a search, share a few of each kind. One
        # person alone has a network that runs on several cores, which makes no difference to the result.
        self._workers = ThreadPoolExecutor(PARALLEL, thread_name_prefix="detector")
        self._finders: SimpleQueue[Any] = SimpleQueue()
        self._lookers: SimpleQueue[Any] = SimpleQueue()
        self._alone: SimpleQueue[Any] = SimpleQueue()

    def reset(self) -> None:
        """As `Detector.reset`."""
        self.followed, self.lost, self._turn = [], [], -1

    def detect(self, frame: np.ndarray, time: float) -> np.ndarray:
        """As `Detector.detect`; who is seen longest first."""
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"a frame is {frame.dtype} {frame.shape}, not uint8 (H, W, 3)")
        if not 0 <= time - self.last_time <= FORGET:
            self.reset()
        self.last_time = time
        height, width = frame.shape[:2]
        side = max(min(height, width), max(height, width) // 4)
        # The model sees 224 x 224 pixels, in which a person of a third of a wide picture's height is lost: so
        # squares as large as the picture's shorter side are searched too and, where nothing is found, smaller ones.
        tiles = cover(width, height, side) or [(0, 0, width, height)]
        squares = [*tiles, *([(0, 0, width, height)] if len(tiles) > 1 else [])]
        due = self._due(len(tiles), time)
        room = self.most - len(self.followed)
        first = squares if not self.followed else [tiles[number % len(tiles)] for number in due if room]
        lost = [person for person in self.lost if person.is_awaited(time, width, height)][:room]
        networks = self._alone if len(self.followed) == 1 and not first and not lost else self._lookers
        looks = [self._workers.submit(self._look, networks, frame, person.region) for person in self.followed]
        guesses = [self._workers.submit(self._look, self._lookers, frame, person.heading(time)) for person in lost]
        finds = self._search(frame, [*first, *(person.square(time, width, height) for person in lost)])
        known = _follow(self.followed, looks, time, [], DOUBLE)
        people = [person for person in known if person is not None]
        gone = [person for person, now in zip(self.followed, known, strict=True) if now is None]
        rest = [] if people else [square for square in squares if square not in first]
        finds += self._search(frame, [*rest, *(person.square(time, width, height) for person in gone)])
        back = _follow(lost, guesses, time, people, DOUBTFUL)
        people += [person for person in back if person is not None]
        found = [pair for find in finds for pair in find.result()]
        if not people and not found and any(number % len(tiles) == 0 for number in due):
            found = [
                pair for find in self._search(frame, cover(width, height, round(0.6 * side))) for pair in find.result()
            ]
        newcomers = self._newcomers(frame, time, found, people)
        missing = [*gone, *(person for person, now in zip(lost, back, strict=True) if now is None)]
        for newcomer in newcomers:
            who = min(
                (person for person in missing if person.is_at(newcomer, time)),
                default=None,
                key=lambda person: person.error(newcomer, time),
            )
            people.append(newcomer if who is None else who.going_on(newcomer, time))
            missing = [person for person in missing if person is not who]
        self.followed, self.lost = people, missing
        if not self.followed:
            return np.zeros((0, self.joints.sources, 3), np.float32)
        return np.stack([person.points for person in self.followed])

    def _due(self, squares: int, time: float) -> range:
        """Which squares are to be searched by now, so that each of so many is in FIND_EVERY; they are counted on and
        on.
        """
        last = math.floor(time / FIND_EVERY * squares + 1e-6)  # times are rounded: 0.6 / 0.2 is 2.9999999999999996
        first, self._turn = max(self._turn, last - squares) + 1, last
        return range(first, last + 1)

    def _newcomers(
        self, frame: np.ndarray, time: float, found: list[tuple[float, Region]], known: list[Person]
    ) -> list[Person]:
        """The people in regions that were found, beside those who are known."""
        people = list(known)
        for region in _different(found):
            if len(people) >= self.most:
                break
            if any(region.same(person.region) for person in people):
                continue
            person = self._look(self._alone, frame, region)
            if person is not None:
                person = self._look(
                    self._alone, frame, person.region
                )  # again, now that it is known better where the person is
            if person is not None and not person.doubles(people):
                people.append(person._replace(first=time, last=time))
        return people[len(known) :]

    def _search(
        self, frame: np.ndarray, squares: list[tuple[int, int, int, int]]
    ) -> list[Future[list[tuple[float, Region]]]]:
        """Have people looked for in squares (x, y, width, height) of a frame, side by side."""
        return [self._workers.submit(self._find_in, frame, square) for square in squares if min(square[2:]) >= SMALLEST]

    @abstractmethod
    def _find_in(self, frame: np.ndarray, square: tuple[int, int, int, int]) -> list[tuple[float, Region]]:
        """Regions in which a person seems to be, each with how sure that is."""

    @abstractmethod
    def _look(self, networks: SimpleQueue, frame: np.ndarray, region: Region) -> Person | None:
        """The joints of the person in a region, as one of the networks sees them; None where there is nobody."""


def _different(found: list[tuple[float, Region]]) -> list[Region]:
    """Of several regions of one person the surest, the largest first."""
    regions: list[Region] = []
    for _, region in sorted(found, reverse=True, key=lambda pair: pair[0]):
        if not any(region.same(other) for other in regions):
            regions.append(region)
    return sorted(regions, key=lambda region: -region.side)


def cover(width: int, height: int, side: int) -> list[tuple[int, int, int, int]]:
    """Squares (x, y, width, height) that cover a picture and overlap by OVERLAP or more, cut where the picture is
    narrower; none where one would be the picture itself.
    """

    def starts(length: int) -> list[int]:
        if length <= side:
            return [0]
        return [
            round(start)
            for start in np.linspace(0, length - side, math.ceil((length - side) / (side * (1 - OVERLAP))) + 1)
        ]

    if max(width, height) <= side:
        return []
    return [(x, y, min(width, side), min(height, side)) for y in starts(height) for x in starts(width)]
