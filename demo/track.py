"""Who is who from frame to frame: people of single pictures -> one track of keypoints per person."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

FARTHEST = 0.5
"""People farther apart than this from one frame to the next are not the same, in units of the person's size in the picture."""
FAR = 1e3
"""Stands for any distance that is too far: larger than all that are not."""
SPEED = 3.0
"""Whoever was out of sight may have gone so many of these units a second further: about a sprint."""
PATIENCE = (0.25, 1.0)
"""Seconds after which somebody who was out of sight is somebody new: as long as the person had been seen, but within these."""
SHORTEST = (0.5, 0.8)
"""A person must have been seen for so many seconds or, where the whole video is hardly longer, for this share of it."""


@dataclass(eq=False)
class _Track:
    """The frames (numbers) in which one person was seen, and their keypoints (17, 3)."""

    frames: list[int] = field(default_factory=list)
    people: list[np.ndarray] = field(default_factory=list)
    size: float = 0.0
    """The person's size in the picture, pixels: the largest so far, for who crouches is no smaller."""

    def extend(self, frame: int, person: np.ndarray) -> None:
        """The person (17, 3) was seen in this frame."""
        self.frames.append(frame)
        self.people.append(person)
        self.size = max(self.size, size(person))


class Tracker:
    """Takes the people of one picture after another; `tracks` gives them as arrays.

    Each picture's people go to the tracks that they are nearest to, all together as near as can be (Hungarian assignment).
    """

    def __init__(self, fps: float) -> None:
        self.fps, self.count = fps, 0
        self._live: list[_Track] = []  # those that may go on
        self._finished: list[_Track] = []  # those that are over, of people only

    def add(self, people: np.ndarray) -> None:
        """The people (P, 17, 3) of the next picture, pixels and score; P may be 0."""
        least, most = (seconds * self.fps for seconds in PATIENCE)
        self._finish([track for track in self._live if self.count - track.frames[-1] > min(max(least, len(track.frames)), most)])
        taken = set()
        if self._live and len(people):
            cost = np.array([[self._cost(track, person) for person in people] for track in self._live])  # (tracks, P)
            for row, column in zip(*linear_sum_assignment(cost), strict=True):
                if cost[row, column] < FAR:
                    self._live[row].extend(self.count, people[column])
                    taken.add(int(column))
        for number, person in enumerate(people):
            if number not in taken:
                self._live.append(_Track())
                self._live[-1].extend(self.count, person)
        self.count += 1

    def end_all(self) -> None:
        """End every track, as at a scene cut: whoever is seen from the next picture on is somebody new."""
        self._finish(self._live)

    def _finish(self, over: list[_Track]) -> None:
        """Keep, of tracks that are over, those of people: so neither time nor memory grows with flickers."""
        self._live = [track for track in self._live if track not in over]
        self._finished += [track for track in over if self._is_person(track)]

    def _is_person(self, track: _Track) -> bool:
        """Whether a track is long enough for a video of the pictures so far. The more come, the longer it must be."""
        seconds, share = SHORTEST
        return len(track.frames) >= min(seconds * self.fps, share * self.count)

    def _cost(self, track: _Track, person: np.ndarray) -> float:
        """How far a person (17, 3) is from where the track ends, in units of the size; FAR: it is somebody else."""
        apart = distance(track.people[-1], person) / max(track.size, size(person), 1e-6)
        unseen = (self.count - track.frames[-1] - 1) / self.fps  # seconds
        return apart if apart <= FARTHEST + SPEED * unseen else FAR

    def tracks(self, most: int) -> np.ndarray:
        """The `most` people who were seen longest, longest first -> (P, T, 17, 3), zeros where they were not seen.

        Whoever was seen for less than SHORTEST says is a flicker and left out; P may be 0.
        """
        people = [track for track in [*self._finished, *self._live] if self._is_person(track)]
        chosen = sorted(people, key=lambda track: -len(track.frames))[:most]
        keypoints = np.zeros((len(chosen), self.count, 17, 3), np.float32)
        for person, track in enumerate(chosen):
            keypoints[person, track.frames] = track.people
        return keypoints


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """How far apart two people (17, 3) are, pixels: the mean over joints that both have; inf if none."""
    both = (first[:, 2] > 0) & (second[:, 2] > 0)
    return float(np.linalg.norm(first[both, :2] - second[both, :2], axis=-1).mean()) if both.any() else np.inf


def size(person: np.ndarray) -> float:
    """The longer side of the box around the joints that a person (17, 3) has, pixels."""
    there = person[:, 2] > 0
    return float(np.ptp(person[there, :2], axis=0).max()) if there.any() else 0.0
