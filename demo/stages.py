"""The stages of the demo: they run side by side, and end, with the files and threads that they hold, when their block
is left.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from common.errors import InputError
from demo.convert import convert
from demo.cuts import with_cuts
from demo.detect import Detector
from demo.export import Poses
from demo.render import Scene3D, draw_2d, draw_3d, panel_size, place_people, side_by_side
from demo.track import Tracker
from demo.video import VideoReader, VideoWriter, scaled_size

AHEAD = 4  # pictures that wait between two stages that run side by side
BLANK = 40  # grey of the pictures where there is no video
SAME_RATE = 0.002  # of the rate: 30 and 29.97 frames per second are one

Item = TypeVar("Item")


@contextlib.contextmanager
def ahead(items: Iterable[Item]) -> Iterator[Iterator[Item]]:
    """Give items that a thread of its own makes, a few before they are asked for; an error there is raised here.

    When the block is left, the thread has ended and `items`, if they come from a generator, are closed.
    """
    waiting: queue.Queue = queue.Queue(AHEAD)
    stopped = threading.Event()

    def put(what: tuple[str, object]) -> None:
        while not stopped.is_set():
            try:
                waiting.put(what, timeout=0.1)
                break
            except queue.Full:
                continue

    def work() -> None:
        source = iter(items)
        try:
            for item in source:
                if stopped.is_set():
                    return
                put(("item", item))
            put(("end", None))
        except BaseException as error:  # whatever it is, it belongs to whoever reads
            put(("error", error))
        finally:
            if isinstance(source, Generator):
                source.close()

    def received() -> Iterator[Item]:
        while True:
            kind, value = waiting.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield received()
    finally:
        stopped.set()
        thread.join()


def detect_people(video: VideoReader, detector: Detector, most: int) -> np.ndarray:
    """The 2D keypoints of the people seen longest, at most `most` at a time -> (P, T, 17, 3), pixels and score.

    Nobody is followed over a scene cut: who is seen on both sides is two people. Raises InputError where nobody is
    found.
    """
    tracker, scenes = Tracker(float(video.fps)), 1
    with ahead(with_cuts(video)) as pictures:
        bar = tqdm(pictures, total=video.frames, desc="detecting", unit="frame", disable=None, leave=False)
        for (_, at, picture), cut in bar:
            if cut:
                scenes += 1
                tracker.end_all()
                detector.reset()
            tracker.add(convert(detector.detect(picture, at), detector.joints))
    if not tracker.count:
        raise InputError(f"{video.path}: holds no picture that can be read; record, download or copy it again")
    if scenes > 1:
        print(f"{scenes} scenes; nobody is followed from one to the next")
    return choose_people(tracker, most, video.path)


def choose_people(tracker: Tracker, most: int, path: str | Path) -> np.ndarray:
    """The people of a video or file who were seen longest, at most `most` at a time -> (P, T, 17, 3), pixels and score.

    Raises InputError where nobody was seen for long enough.
    """
    keypoints = tracker.tracks(most)
    if not len(keypoints):
        raise InputError(
            f"{path}: no person was found for half a second; use a video in which a person is large enough to see"
        )
    if len(keypoints) < tracker.found:
        print(
            f"{tracker.found} people, of whom the {len(keypoints)} seen longest are taken; --people takes more at a "
            "time"
        )
    return keypoints


def check_same_video(video: VideoReader, path: str | Path, frames: int, fps: float, size: tuple[int, int]) -> None:
    """Raise InputError where the keypoints or poses of a file cannot be of this video: their frames, rate or size
    differ.
    """
    advice = "give the video that they are of, or leave --video out"
    if video.size != tuple(size):
        have, want = ("x".join(map(str, sides)) for sides in (video.size, size))
        raise InputError(f"{path}: is of pictures of {want} pixels, but those of {video.path} have {have}; {advice}")
    if abs(float(video.fps) / fps - 1) > SAME_RATE:
        raise InputError(
            f"{path}: is of {fps:g} frames per second, but {video.path} has {float(video.fps):g}; {advice}, or --fps "
            "for a folder of images"
        )
    if video.frames != frames:  # what a file says of itself may be wrong
        count = count_frames(video)
        if count != frames:
            raise InputError(f"{path}: is of {frames} frames, but {video.path} has {count}; {advice}")


def count_frames(video: VideoReader) -> int:
    """How many frames a video has, whatever it says of itself."""
    return sum(1 for _ in video.scaled(2))


def drawn(pictures: Iterable[np.ndarray], poses: Poses, size: tuple[int, int], fix_z: bool) -> Iterator[np.ndarray]:
    """Each picture, of `size` (width, height), with the 2D over it, and the 3D to its right.

    Raises InputError where there are not as many pictures as frames of poses.
    """
    posed = poses.posed  # (P, T)
    offsets = place_people(poses.poses_3d, posed, poses.fps, poses.keypoints_2d, fix_z)  # (P, T, 3)
    scene = Scene3D.around(panel_size(size), poses.poses_3d + offsets[:, :, None], posed)
    keypoints = poses.keypoints_2d * np.array(
        [size[0] / poses.size[0], size[1] / poses.size[1], 1], np.float32
    )  # (P, T, 17, 3)
    frames, count = posed.shape[1], 0
    for frame, picture in enumerate(pictures):
        count += 1
        if frame >= frames:
            continue
        for person in range(len(posed)):
            draw_2d(picture, keypoints[person, frame], poses.valid[person, frame], person)
        yield side_by_side(picture, draw_3d(scene, poses.poses_3d[:, frame], posed[:, frame], offsets[:, frame]))
    if count != frames:
        raise InputError(
            f"the poses are of {frames} frames, but the video has {count}; give the video that they are of"
        )


def render(video: VideoReader | None, poses: Poses, path: Path, fix_z: bool, lines: int) -> int:
    """Write the side-by-side video, no higher than `lines` pixels, and return how many pictures it has.

    Decoding, drawing and encoding run side by side. No video: the 2D stands on grey. Raises InputError where the video
    has not as many pictures as the poses have frames, or the file cannot be written.
    """
    frames, size = poses.posed.shape[1], scaled_size(video.size if video else poses.size, lines)
    if video:
        pictures = (picture for _, _, picture in video.scaled(lines))
    else:
        pictures = (np.full((size[1], size[0], 3), BLANK, np.uint8) for _ in range(frames))
    sound = video.path if video and video.has_audio else None
    with ahead(pictures) as decoded, ahead(drawn(decoded, poses, size, fix_z)) as sheets:
        first = next(sheets)
        with VideoWriter(
            path, video.fps if video else poses.fps, first.shape[1::-1], sound, frames / poses.fps
        ) as writer:
            every = itertools.chain([first], sheets)
            for sheet in tqdm(every, total=frames, desc="drawing", unit="frame", disable=None, leave=False):
                writer.write(sheet)
    return writer.frames
