"""Who is who from frame to frame: people of single pictures -> one track of keypoints per person."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from common.geometry.skeleton import H36M

FARTHEST = 0.5
"""People farther apart than this from one frame to the next are not the same, in units of the person's size in the
picture.
"""
SPEED = 3.0
"""Whoever was out of sight may have gone so many of these units a second further: about a sprint."""
PATIENCE = (0.25, 1.0)
"""Seconds after which somebody who was out of sight is somebody new: as long as the person had been seen, but within
these.
"""
SHORTEST = (0.5, 0.8)
"""A person must have been seen for so many seconds or, where the whole video is hardly longer, for this share of it."""
IN_ALL = 24
"""No more people than this come out of a video with many scenes: each has a row of its own over all frames in every
result.
"""

# The motion model: constant velocity, in units of the person's size and seconds.
JITTER = 0.015
"""Standard deviation of where a detector puts the middle of a person."""
STARTING_SPEED = 1.0
"""Standard deviation of the velocity of somebody who was seen once."""
CHANGE = 1.0
"""The variance of the velocity grows by this in a second."""

# What counts beside it.
SCALE = 0.15
"""Standard deviation of the logarithm of how long the limbs are in the picture, from one sighting to the next."""
LIKENESS = 0.08
"""A joint that is this far from where it was in the body, in sizes, adds exp(-1/2) to the likeness of two poses."""
POSE, FORGETTING = 12.0, 0.2
"""The cost of no likeness at all to the last pose, from one frame to the next, and the seconds in which that falls to a
third.
"""
USUAL, MEMORY = 10.0, 0.7
"""The cost of no likeness at all to the person's usual pose, and the seconds after which a pose weighs a third in that.
"""
SAME = (0.15, 0.8)
"""Two in one frame are one person if they are closer than this, in sizes, and their poses are more alike than this."""
SETTLED, GLIMPSE = 0.25, 0.1
"""A track is sure of its person after so many seconds, and as long as he or she was not out of sight for more than so
many.
"""
TINY = 1e-6
"""Stands for sizes and lengths of 0, pixels, which nothing can be divided by."""
IMPOSSIBLE = 1e6
"""Stands for the cost of what cannot be: larger than all that can."""

_ENDS = np.array(H36M.bones)  # (16, 2): joint and parent


@dataclass(eq=False)
class _Track:
    """One person: the numbers of the frames in which he or she was seen, the keypoints (17, 3) in these, and how the
    person moves.
    """

    identity: Hashable = None
    """Who it is, where the file of the keypoints says it."""
    frames: list[int] = field(default_factory=list)
    people: list[np.ndarray] = field(default_factory=list)
    size: float = 0.0
    """The person's size in the picture, pixels: the largest so far, for who crouches is no smaller."""
    usual: np.ndarray = field(default_factory=lambda: np.zeros((17, 3)))
    """The mean of the last poses, laid on each other: keypoints (17, 3)."""
    offset: np.ndarray = field(default_factory=lambda: np.zeros(2))
    """From the middle of the last keypoints to where the motion model has it, pixels."""
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    """Pixels per second."""
    covariance: np.ndarray = field(default_factory=lambda: np.diag([JITTER**2, STARTING_SPEED**2]))
    """(2, 2) of place and velocity along x, and along y: sizes and seconds."""

    def predict(self, seconds: float) -> tuple[np.ndarray, np.ndarray]:
        """After so many seconds: how far the middle is from that of the last keypoints (2,), pixels; and the covariance
        (2, 2).
        """
        step = np.array([[1, seconds], [0, 1]])
        change = CHANGE * np.array([[seconds**3 / 3, seconds**2 / 2], [seconds**2 / 2, seconds]])
        return self.offset + self.velocity * seconds, step @ self.covariance @ step.T + change

    def extend(self, frame: int, person: np.ndarray, fps: float) -> None:
        """The person (17, 3) was seen in this frame: a step of the Kalman filter."""
        if self.frames:
            seconds = (frame - self.frames[-1]) / fps
            expected, covariance = self.predict(seconds)
            moved = compare(self.people[-1][None], person[None])[0][0, 0]
            gain = covariance[0] / (covariance[0, 0] + JITTER**2)  # (2,): of place and velocity
            error = moved - expected
            self.offset = (gain[0] - 1) * error
            self.velocity = self.velocity + gain[1] * error
            self.covariance = covariance - np.outer(gain, covariance[0])
            news = max(1 / (len(self.frames) + 1), 1 - math.exp(-seconds / MEMORY))
            self.usual = mean_pose(self.usual, person, news)
        else:
            self.usual = person
        self.frames.append(frame)
        self.people.append(person)
        self.size = max(self.size, float(size(person)))


class Tracker:
    """Takes the people of one picture after another; `tracks` gives them as arrays.

    Each picture's people go to the tracks that they fit best, all together as well as can be (Hungarian assignment).
    Where a person should be by now, how large he or she was and in which pose count together, as logarithms of
    probabilities.
    """

    def __init__(self, fps: float) -> None:
        self.fps, self.count = fps, 0
        self._live: list[_Track] = []  # those that may go on
        self._finished: list[_Track] = []  # those that are over, of people only

    def add(self, people: np.ndarray, identities: Sequence[Hashable] | None = None) -> None:
        """The people (P, 17, 3) of the next picture, pixels and score; P may be 0. identities: who they are, where that
        is known, of every picture: then whoever comes back goes on the same track.
        """
        if identities is None:
            self._finish([t for t in self._live if self._unseen(t) > patience(len(t.frames) / self.fps)])
            people = self._without_doubles(people)
            owners = self._assign(self._live, people)
        else:
            known = {track.identity: track for track in self._live}
            owners = {number: known[who] for number, who in enumerate(identities) if who in known}
        for number, person in enumerate(people):
            track = owners.get(number) or _Track(identities[number] if identities else None)
            if not track.frames:
                self._live.append(track)
            track.extend(self.count, person, self.fps)
        self.count += 1

    def end_all(self) -> None:
        """End every track, as at a scene cut: whoever is seen from the next picture on is somebody new."""
        self._finish(self._live)

    def _unseen(self, track: _Track) -> float:
        """For how many seconds before the next picture the person was not seen."""
        return (self.count - track.frames[-1] - 1) / self.fps

    def _finish(self, over: list[_Track]) -> None:
        """Keep, of tracks that are over, those of people: so neither time nor memory grows with flickers."""
        self._live = [track for track in self._live if track not in over]
        self._finished += [track for track in over if self._is_person(track)]

    def _is_person(self, track: _Track) -> bool:
        """Whether a track is long enough for a video of the pictures so far. The more come, the longer it must be."""
        seconds, share = SHORTEST
        return len(track.frames) >= min(seconds * self.fps, share * self.count)

    def _without_doubles(self, people: np.ndarray) -> np.ndarray:
        """Of people (P, 17, 3) of the next picture everybody once: of two who are one, whom a track that is sure goes
        on with, or who has the better scores. People of two such tracks are known to be two, however close they come.
        """
        doubles = same(people)  # (P, P)
        if not doubles.any():
            return people
        sure = self._assign([track for track in self._live if self._is_sure(track)], people)
        scores = people[..., 2].sum(axis=-1)  # (P,)
        kept: list[int] = []
        for number in sorted(range(len(people)), key=lambda number: (number not in sure, -scores[number])):
            if number in sure or not doubles[number, kept].any():
                kept.append(number)
        return people[sorted(kept)]

    def _is_sure(self, track: _Track) -> bool:
        """Whether a track has its person before its eyes, and has had for a while."""
        return len(track.frames) >= SETTLED * self.fps and self._unseen(track) <= GLIMPSE

    def _assign(self, tracks: list[_Track], people: np.ndarray) -> dict[int, _Track]:
        """Who of people (P, 17, 3) goes on which of the tracks, all together as likely as can be: by the person's
        number.
        """
        if not tracks or not len(people):
            return {}
        cost = self._cost(tracks, people)
        pairs = zip(*linear_sum_assignment(cost), strict=True)
        return {int(person): tracks[track] for track, person in pairs if cost[track, person] < IMPOSSIBLE}

    def _cost(self, tracks: list[_Track], people: np.ndarray) -> np.ndarray:
        """How unlikely it is that people (P, 17, 3) are those of the tracks -> (N, P), -log(probability); IMPOSSIBLE:
        cannot be.
        """
        last = np.stack([track.people[-1] for track in tracks])  # (N, 17, 3)
        unseen = np.array([[self._unseen(track)] for track in tracks])  # (N, 1)
        predicted = [track.predict(self._unseen(track) + 1 / self.fps) for track in tracks]
        expected = np.stack([way for way, _ in predicted])[:, None]  # (N, 1, 2)
        variance = np.array([[covariance[0, 0]] for _, covariance in predicted]) + JITTER**2  # (N, 1)
        sizes = np.maximum([[track.size] for track in tracks], size(people))  # (N, P)
        moved, likeness = compare(last, people, sizes)  # (N, P, 2), (N, P)
        error = np.linalg.norm(moved - expected, axis=-1) / sizes
        scale = np.log(_limbs(last)[:, None] / _limbs(people))  # (N, P)
        usual = compare(np.stack([track.usual for track in tracks]), people, sizes)[1]  # (N, P)
        unlike = POSE * np.exp(-unseen / FORGETTING) * (1 - likeness) + USUAL * (1 - usual)
        wrong = -np.log(
            np.maximum(people[..., 2].mean(axis=-1), 1e-6)
        )  # (P,): what is incomplete is less likely to be anybody
        cost = error**2 / variance / 2 + np.log(variance) + (scale / SCALE) ** 2 / 2 + unlike + wrong
        possible = np.linalg.norm(moved, axis=-1) <= (FARTHEST + SPEED * (unseen + 1 / self.fps)) * sizes
        return np.where(possible, cost, IMPOSSIBLE)

    @property
    def found(self) -> int:
        """How many people were seen, none of them a flicker by SHORTEST."""
        return len(self._people())

    def _people(self) -> list[_Track]:
        return [track for track in [*self._finished, *self._live] if self._is_person(track)]

    def tracks(self, most: int) -> np.ndarray:
        """The people who were seen longest, longest first -> (P, T, 17, 3), zeros where they were not seen.

        In no picture are there more than `most`, and in all no more than IN_ALL or `most`. Whoever was seen for less
        than SHORTEST says is a flicker and left out; P may be 0.
        """
        chosen: list[_Track] = []
        seen = np.zeros(self.count, int)  # (T,) how many of the chosen
        for track in sorted(self._people(), key=lambda track: -len(track.frames)):
            if seen[track.frames].max() < most and len(chosen) < max(most, IN_ALL):
                seen[track.frames] += 1
                chosen.append(track)
        keypoints = np.zeros((len(chosen), self.count, 17, 3), np.float32)
        for person, track in enumerate(chosen):
            keypoints[person, track.frames] = track.people
        return keypoints


def patience(seen: float) -> float:
    """For how many seconds somebody who is out of sight is waited for who was seen for so many."""
    least, most = PATIENCE
    return min(max(least, seen), most)


def compare(first: np.ndarray, second: np.ndarray, sizes: np.ndarray | float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """How far people (N, 17, 3) moved to become others (P, 17, 3), and how alike the poses are: (N, P, 2) in pixels,
    (N, P) 0 to 1.

    The likeness is the object keypoint similarity of poses that lie on each other, relative to `sizes` (N, P).
    Both count joints by their scores; where there is no common joint, the way is inf and the likeness 0.
    """
    weight = first[:, None, :, 2] * second[None, :, :, 2]  # (N, P, 17)
    total = weight.sum(axis=-1, keepdims=True)  # (N, P, 1)
    weight = weight / np.where(total > 0, total, 1)
    way = second[None, :, :, :2] - first[:, None, :, :2]  # (N, P, 17, 2)
    moved = (way * weight[..., None]).sum(axis=2)  # (N, P, 2)
    apart = np.linalg.norm(way - moved[:, :, None], axis=-1) / np.asarray(sizes)[..., None]  # (N, P, 17)
    likeness = (np.exp(-((apart / LIKENESS) ** 2) / 2) * weight).sum(axis=-1)
    return np.where(total > 0, moved, np.inf), likeness


def mean_pose(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """The mean (17, 3) of two people, of whom the first is laid on the second, by scores and the share of the
    second.
    """
    moved = compare(first[None], second[None])[0][0, 0]
    weights = np.stack([(1 - share) * first[:, 2], share * second[:, 2]])[..., None]  # (2, 17, 1)
    points = (weights * np.stack([first[:, :2] + moved, second[:, :2]])).sum(axis=0) / np.maximum(
        weights.sum(axis=0), TINY
    )
    return np.concatenate([points, weights.sum(axis=0)], axis=1)


def _limbs(people: np.ndarray) -> np.ndarray:
    """How long the bones of people (P, 17, 3) are in the picture, the mean of those that are there, pixels -> (P,)."""
    ends = people[:, _ENDS]  # (P, 16, 2, 3)
    there = (ends[..., 2] > 0).all(axis=2)  # (P, 16)
    length = np.linalg.norm(ends[:, :, 0, :2] - ends[:, :, 1, :2], axis=-1)
    return np.maximum((length * there).sum(axis=1) / np.maximum(there.sum(axis=1), 1), TINY)


def same(people: np.ndarray) -> np.ndarray:
    """Which people (P, 17, 3) of one picture are one who was found twice, at one place and in one pose -> (P, P),
    nobody with himself.
    """
    sizes = np.maximum(size(people)[:, None], size(people))  # (P, P)
    moved, likeness = compare(people, people, sizes)
    nearest, like = SAME
    return (np.linalg.norm(moved, axis=-1) < nearest * sizes) & (likeness > like) & ~np.eye(len(people), dtype=bool)


def size(people: np.ndarray) -> np.ndarray:
    """The longer side of the box around the joints that people (..., 17, 3) have, pixels -> (...); at least TINY."""
    there = people[..., 2:] > 0  # (..., 17, 1)
    ends = [np.where(there, sign * people[..., :2], -np.inf).max(axis=-2) for sign in (1, -1)]  # twice (..., 2)
    return np.maximum((ends[0] + ends[1]).max(axis=-1), TINY)
