"""The people of a film: read from a file of keypoints, picked by number, listed."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from common.errors import InputError
from demo.keypoint_files import read_keypoints
from demo.keypoints.read import Film, follow_file, is_own
from demo.keypoints.text import natural
from demo.stages import check_same_video, choose_people, count_frames
from demo.video_read import IMAGES, VideoReader


def read_people(
    path: str | Path,
    video: VideoReader | None,
    most: int,
    *,
    fps: float,
    size: tuple[int, int] | None = None,
    layout: str | None = None,
) -> tuple[np.ndarray, float, tuple[int, int]]:
    """The people of a file of keypoints, this program's or another tool's -> (P, T, 17, 3) pixels and score, frames per
    second and (width, height).

    video: the film that they are of, if it is at hand; fps, size: what to take where neither it nor the file tells.
    most: of another tool's file, at most so many people at a time. layout: of its joints, where the file does not tell.
    Raises InputError where the file cannot be used, or is not of the video.
    """
    if video:
        fps, size = float(video.fps), video.size
    if is_own(path):
        if layout is not None:
            raise InputError(f"{path}: says itself what its joints are; leave --layout out")
        keypoints, fps, size = read_keypoints(path, Path(video.path).name if video else None, size, fps)
    else:
        film = Film(fps, size, partial(count_frames, video), _images(video.path)) if video else Film(fps, size)
        tracker, fps, size = follow_file(path, film, layout)
        keypoints = choose_people(tracker, most, path)
    if video:
        check_same_video(video, path, keypoints.shape[1], fps, size)
    return keypoints, fps, size


def _images(path: Path) -> tuple[str, ...]:
    """The names of the images of a folder, in order."""
    if not path.is_dir():
        return ()
    names = [file.name for file in path.iterdir() if file.suffix.lower() in IMAGES and not file.name.startswith(".")]
    return tuple(sorted(names, key=natural))


def check_person(person: int | None, count: int) -> slice:
    """The rows of the people who are asked for: of one by number, None for all. Raises InputError where there is no
    such person.
    """
    if person is None:
        return slice(None)
    if person >= count:
        numbers = f"0 to {count - 1}" if count > 1 else "only 0"
        raise InputError(
            f"--person is {person}, but the people have the numbers {numbers}; the table at the end of a run "
            "says who is who"
        )
    return slice(person, person + 1)


def people_table(keypoints: np.ndarray, fps: float, first: int = 0) -> str:
    """Who was seen, from when to when, how much of that time, and how sure the 2D was: a line for each person.

    keypoints: (P, T, 17, 3); first: the number of the first person.
    """
    lines = ["person       from         to   seen  score"]
    for number, clip in enumerate(keypoints, first):
        seen = np.flatnonzero((clip[..., 2] > 0).any(axis=1))  # (N,) frames
        if not len(seen):
            lines.append(f"{number:6}          -          -     0%      -")
            continue
        start, end = int(seen[0]), int(seen[-1]) + 1
        share, score = len(seen) / (end - start), float(clip[seen, :, 2].mean())
        lines.append(f"{number:6} {_clock(start / fps):>10} {_clock(end / fps):>10} {share:>6.0%} {score:>6.2f}")
    return "\n".join(lines)


def _clock(seconds: float) -> str:
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths % 600 // 10:02}.{tenths % 10}"
