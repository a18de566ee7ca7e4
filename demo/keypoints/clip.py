"""What a file of another tool says of a video: who is where, by the numbers of the frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from common.data.schema import MOST_PIXELS, shown
from common.errors import InputError
from demo.convert import Conversion

MOST_SCORE = 30.0
"""Scores are 0 to 1, but the logits of some models are a little more; more than this are percents or no scores."""
MOST_PEOPLE = 200
"""More people in one frame are none of a video: the file is of something else."""


class Person(NamedTuple):
    """One person of one frame: points (J, 3), x and y as the file has them and score 0..1, 0 where a joint was not
    found; identity: who it is, None where the file does not say.
    """

    points: np.ndarray
    identity: str | int | None = None


Frames = dict[int | str, list[Person]]
"""The people of each frame, by its number, or by the name of its picture."""


@dataclass(frozen=True)
class Clip:
    """The frames of a file.

    complete: whether frames without people are among them. first: the number of a video's first frame, None where it is
    not known. conversion: the table of the joints, None where their number says it. in_pixels: None where the numbers
    show whether they are pixels or shares of the picture.
    """

    tool: str
    frames: Frames
    complete: bool = False
    first: int | None = None
    conversion: Conversion | None = None
    in_pixels: bool | None = None
    fps: float | None = None
    size: tuple[int, int] | None = None
    names: dict[int | str, str] = field(default_factory=dict)
    """The names of the pictures, by the keys of `frames`, where these are numbers of another kind."""


def read_points(where: str, values: object, columns: int | None = None) -> np.ndarray:
    """Numbers of one person -> (J, 3), pixels and score 0..1.

    values: x, y and score joint by joint, in one row or as (J, columns); of two columns there is no score, and every
    joint that is not at 0, 0 was found. columns: of a row, 3 unless given. Raises InputError, whose sentence begins
    with `where`, where they are something else.
    """
    advice = "write the file again"
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where} is no list of numbers; {advice}") from None
    if array.ndim == 1 and len(array) and len(array) % (columns or 3) == 0:
        array = array.reshape(-1, columns or 3)  # (J, columns)
    if array.ndim != 2 or array.shape[1] not in (2, 3) or not len(array):
        raise InputError(f"{where} has the shape {array.shape}, not x, y and score of every joint; {advice}")
    if array.shape[1] == 2:
        array = np.concatenate([array, (array != 0).any(axis=1, keepdims=True)], axis=1)  # (J, 3)
    array[np.isnan(array).all(axis=1)] = 0  # how Pose2Sim writes who was not found
    broken = np.argwhere(~(np.abs(array) <= MOST_PIXELS))  # NaN as well
    if len(broken):
        joint, axis = broken[0].tolist()
        raise InputError(
            f"{where} is {array[joint, axis]:g} in {('x', 'y', 'score')[axis]} of joint {joint}; pixels are finite, "
            "and a joint that was not found has x 0, y 0 and score 0"
        )
    if array[:, 2].max() > MOST_SCORE:
        raise InputError(f"{where} has a score of {array[:, 2].max():g}, but scores are 0 to 1; {advice}")
    array[:, 2] = np.clip(array[:, 2], 0, 1)
    array[array[:, 2] == 0] = 0
    return array


def read_identity(value: object) -> str | int | None:
    """Who somebody is: a text or a whole number of 0 or more, alone or in a list; None for anything else."""
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 1:
        value = value[0]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str):
        return value or None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def add_person(frames: Frames, where: str, key: int | str, person: Person) -> None:
    """Put a person into a frame, unless no joint was found. Raises InputError where there are too many."""
    people = frames.setdefault(key, [])
    if (person.points[:, 2] > 0).any():
        people.append(person)
    if len(people) > MOST_PEOPLE:
        raise InputError(f"{where}: frame {shown(key)} has more than {MOST_PEOPLE} people; give keypoints of a video")


def frames_of_rows(
    rows: Sequence[object], where: str, people_of: Callable[[object, str], list[Person] | None]
) -> Frames | None:
    """A frame for each row, whose people `people_of` reads; None: it says of one that it is not of its kind."""
    frames: Frames = {}
    for number, row in enumerate(rows):
        people = people_of(row, f"{where}: frame {number}")
        if people is None:
            return None
        frames[number] = []
        for person in people:
            add_person(frames, where, number, person)
    return frames
