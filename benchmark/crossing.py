"""Who is who, and how soon, in films that are put together from a video of real people whose place is known.

    python benchmark/crossing.py --detector_model full

The woman of demo/video/sample_video.mp4 is cut out (the camera stands still) and put into the empty scene again: with
her own mirror image, whom she meets, one behind the other; behind the man, who stands; or with the man, and she appears
or is away for a moment. Prints how often a track goes from one person to the other, and how many frames pass from when
she is there to when she is marked.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

from common.arguments import Parser
from common.errors import exit_on_input_error
from common.geometry.skeleton import H36M
from demo.convert import convert
from demo.detect import create_detector
from demo.track import Tracker
from demo.video_read import open_video

LINES = 540
WALKS = range(62, 182)
"""The frames in which the woman walks freely; the man stands in most of them."""
STANDS, LEFT = 20, 180
"""The man stands still around the one frame, and has left that place by the other."""
DIFFERENT = 22.0
"""Levels of grey by which a pixel of a person differs from the empty scene."""


class Cut(NamedTuple):
    """Somebody cut out of a frame: the pixels (H, W, 3), how much each counts (H, W, 1), the keypoints (17, 3); whole
    pictures.
    """

    picture: np.ndarray
    alpha: np.ndarray
    keypoints: np.ndarray

    def moved(self, right: float, down: float, scale: float = 1.0, mirror: bool = False) -> Cut:
        """Scaled around the middle of the hips, which then goes right and down by pixels; mirrored in the picture
        first.
        """
        height, width = self.picture.shape[:2]
        x, y = self.keypoints[0, :2]
        sign = -1 if mirror else 1
        start = width - 1 - x if mirror else x
        change = np.array([[sign * scale, 0, start + right - sign * scale * x], [0, scale, y + down - scale * y]])
        points = self.keypoints.copy()
        points[:, :2] = points[:, :2] @ change[:, :2].T + change[:, 2]
        picture, alpha = (cv2.warpAffine(part, change, (width, height)) for part in (self.picture, self.alpha))
        return Cut(picture, alpha[..., None], points)


def cut_out(frame: np.ndarray, scene: np.ndarray, keypoints: np.ndarray) -> Cut:
    """The person with these keypoints (17, 3), as far as a frame differs from the empty scene around them."""
    margin = 0.15 * np.ptp(keypoints[:, 1])
    (left, top), (right, bottom) = keypoints[:, :2].min(axis=0) - margin, keypoints[:, :2].max(axis=0) + margin
    apart = cv2.GaussianBlur(np.abs(frame.astype(np.float32) - scene).max(axis=2), (0, 0), 1.0)
    inside = np.zeros(frame.shape[:2], np.uint8)
    inside[max(0, int(top)) : max(0, int(bottom)), max(0, int(left)) : max(0, int(right))] = 1
    shape = cv2.morphologyEx((apart > DIFFERENT).astype(np.uint8) * inside, cv2.MORPH_CLOSE, np.ones((9, 9)))
    for joint, parent in H36M.bones:  # where clothes are like what is behind them
        ends = [tuple(int(value) for value in keypoints[end, :2]) for end in (joint, parent)]
        cv2.line(shape, *ends, 1, max(1, round(0.04 * float(np.ptp(keypoints[:, 1])))))
    contours, _ = cv2.findContours(shape, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros_like(shape), [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return Cut(frame, cv2.GaussianBlur(filled.astype(np.float32), (0, 0), 1.0)[..., None], keypoints)


def put(scene: np.ndarray, people: Iterable[Cut]) -> np.ndarray:
    """The scene with people in it, the last in front."""
    picture = scene
    for person in people:
        picture = picture * (1 - person.alpha) + person.picture * person.alpha
    return np.clip(picture, 0, 255).astype(np.uint8)


class Film(NamedTuple):
    """Pictures, and where everybody is: keypoints (P, T, 17, 3), score 0 in the frames in which the person is not
    there.
    """

    name: str
    pictures: Iterator[np.ndarray]
    truth: np.ndarray


def film(name: str, scene: np.ndarray, frames: list[list[Cut | None]]) -> Film:
    """A film of people, from the one behind to the one in front; None: not there."""
    nobody = np.zeros((17, 3))
    truth = np.array([[nobody if cut is None else cut.keypoints for cut in cuts] for cuts in frames]).swapaxes(
        0, 1
    )  # (P, T, 17, 3)
    return Film(name, (put(scene, (cut for cut in cuts if cut is not None)) for cuts in frames), truth)


def owners(tracks: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Which track each person (P, T, 17, 3) is on -> (P, T); -1: on none, -2: not there, or too close to somebody to
    say.
    """
    owner = np.full(truth.shape[:2], -2)
    size = np.median(np.ptp(truth[..., 1], axis=2)[truth[..., 2].max(axis=2) > 0])
    middle, found = (people[..., :2].mean(axis=2) for people in (truth, tracks))
    for person, frame in itertools.product(*map(range, owner.shape)):
        others = [other for other in range(len(truth)) if other != person and truth[other, frame, :, 2].any()]
        close = any(np.linalg.norm(middle[person, frame] - middle[other, frame]) < 0.3 * size for other in others)
        if truth[person, frame, :, 2].any() and not close:
            apart = [np.linalg.norm(place - middle[person, frame]) for place in found[:, frame]]
            near = [
                track
                for track, (way, row) in enumerate(zip(apart, tracks, strict=True))
                if row[frame, :, 2].any() and way < 0.15 * size
            ]
            owner[person, frame] = min(near, key=apart.__getitem__, default=-1)
    return owner


def follow(film: Film, model: str | None, fps: float) -> np.ndarray:
    """`owners` of the tracks that the demo makes of a film."""
    detector, tracker = create_detector(model=model), Tracker(fps)
    for number, picture in enumerate(film.pictures):
        tracker.add(convert(detector.detect(picture, number / fps), detector.joints))
    return owners(tracker.tracks(9), film.truth)


def switches(owner: np.ndarray) -> int:
    """How often people (P, T) go from one track to another."""
    return sum(int((np.diff(row[row >= 0]) != 0).sum()) for row in owner)


def main() -> None:
    """Put the films together, follow the people, print."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--detector_model", help="full, heavy or the file of a model (default: heavy where it is there, else full)"
    )
    args = parser.parse_args()
    video = open_video("sample_video.mp4").scaled(LINES)
    fps, detector, tracker = float(video.fps), create_detector(model=args.detector_model), Tracker(float(video.fps))
    frames = []
    for _, at, picture in video:
        frames.append(picture)
        tracker.add(convert(detector.detect(picture, at), detector.joints))
    man, woman = tracker.tracks(2)
    scene = np.median([*frames[::16], *frames[LEFT::2]], axis=0).astype(
        np.float32
    )  # of most of these everybody is elsewhere
    walk = [cut_out(frames[number], scene, woman[number]) for number in WALKS]
    still = cut_out(frames[STANDS], scene, man[STANDS])
    frames.clear()
    middle, width = len(walk) // 2, scene.shape[1]
    centre = walk[middle].keypoints[0, 0]

    def mirrored(cut: Cut, scale: float) -> Cut:
        return cut.moved(2 * centre - width + 1, 0, scale, mirror=True)

    print(f"{'film':44} {'switches':>8}   tracks of each")
    for name, scale, behind, step in (
        ("meets herself, mirrored", 1.0, True, 1),
        ("the other in front", 1.0, False, 1),
        ("the other smaller, behind", 0.85, True, 1),
        ("at twice the speed", 1.0, True, 2),
        ("at three times the speed", 1.0, False, 3),
    ):
        pairs = [[mirrored(cut, scale), cut] if behind else [cut, mirrored(cut, scale)] for cut in walk[::step]]
        owner = follow(film(name, scene, pairs), args.detector_model, fps)
        print(f"{name:44} {switches(owner):8}   {[sorted(set(row[row >= 0].tolist())) for row in owner]}", flush=True)
    standing = still.moved(centre - still.keypoints[0, 0], walk[middle].keypoints[0, 1] - still.keypoints[0, 1], 1.05)
    for name, pairs in (
        ("passes behind the man", [[cut, standing] for cut in walk]),
        ("passes in front of the man", [[standing, cut] for cut in walk]),
        ("at twice the speed, behind", [[cut, standing] for cut in walk[::2]]),
    ):
        owner = follow(film(name, scene, pairs), args.detector_model, fps)
        print(f"{name:44} {switches(owner):8}   {[sorted(set(row[row >= 0].tolist())) for row in owner]}", flush=True)

    print(f"\n{'film':44}   frames until she is marked; in each film she comes a frame or two later")
    for away in (0.0, 0.3, 0.5, 0.8):
        late = []
        for start in range(64, 70, 1 if not away else 2):
            gone = range(start) if not away else range(start - round(away * fps), start)
            numbers = range(10, start + 20)
            pairs = [[None if number in gone else walk[number], still] for number in numbers]
            marked = follow(film("", scene, pairs), args.detector_model, fps)[0, numbers.index(start) :] >= 0
            late.append(int(marked.argmax()) if marked.any() else -1)
        name = "she appears" if not away else f"she is away for {away} s"
        print(f"{name:44}   {late}", flush=True)


if __name__ == "__main__":
    exit_on_input_error(main)
