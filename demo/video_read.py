"""Reading video: a file, a folder of images or a camera -> its pictures, one at a time, at a constant rate."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from common.errors import InputError
from demo.video_file import DEFAULT_FPS, VideoFile, simple_rate
from demo.video_record import new_recording, quiet_opencv, record_camera

VIDEOS = Path(__file__).resolve().parent / "video"
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
TIFF = (".tif", ".tiff")


@dataclass(frozen=True)
class VideoReader:
    """A source of pictures at a constant rate. Iterating reads it from the start, one picture in memory at a time.

    path: the file or folder. size: (width, height) in pixels, upright and with square pixels. fps: pictures per second.
    frames, duration (seconds): as the file says them, or None; a damaged file yields fewer. has_audio: whether there is
    sound for VideoWriter's audio_from. pictures: called with a size (width, height), yields the pictures in that size.

    Each step yields (index, seconds = index / fps, picture (H, W, 3) uint8 BGR, which the caller may change). Raises
    InputError where an image cannot be read; warns on stderr, once, where a part of a video cannot be.
    """

    path: Path
    size: tuple[int, int]
    fps: Fraction
    frames: int | None
    duration: float | None
    has_audio: bool
    pictures: Callable[[tuple[int, int]], Iterator[np.ndarray]] = field(repr=False)

    def __iter__(self) -> Iterator[tuple[int, float, np.ndarray]]:
        for index, picture in enumerate(self.pictures(self.size)):
            yield index, float(index / self.fps), picture

    def scaled(self, lines: int) -> VideoReader:
        """The same video in pictures that are at most `lines` pixels high. The decoder scales them, which is cheap."""
        return replace(self, size=scaled_size(self.size, lines))


def scaled_size(size: tuple[int, int], lines: int) -> tuple[int, int]:
    """A size (width, height) reduced to a height of `lines` pixels, with an even width; a lower one stays as it is."""
    width, height = size
    return (max(2, 2 * round(width * lines / height / 2)), lines) if height > lines else (width, height)


def open_video(
    source: str | Path,
    folder: str | Path = VIDEOS,
    *,
    fps: float | Fraction = DEFAULT_FPS,
    seconds: float | None = None,
) -> VideoReader:
    """A reader of `source`: a video, a folder of images, the bare name of one of these in `folder`, or a camera's
    number in digits.

    Videos come out upright, at their average rate. Where the rate of the file varies, each picture is the frame that is
    nearest in time, repeated or left out as needed: the length stays, and sound stays in step. Time 0 is the first
    frame that decodes. Images come in natural order (frame2 before frame10) at `fps`. A camera is first recorded into
    `folder` for `seconds`, see record_camera.

    Raises InputError where there is no such file, it is not a video, none of its frames can be decoded, a folder has no
    images, or these cannot be read or differ in size.
    """
    path, camera = find_source(source, folder)
    if camera is not None:
        record_camera(camera, seconds, path)
    return _open_images(path, fps) if path.is_dir() else _open_file(path)


def find_source(source: str | Path, folder: str | Path = VIDEOS) -> tuple[Path, int | None]:
    """The path that `open_video` reads for a source, and None; for a camera the new file in `folder` that it would be
    recorded to, and its number. Raises InputError where there is no such file.
    """
    name, folder = str(source), Path(folder)
    # os.path's functions, since those of Path raise errors for names that are too long and others.
    for path in [Path(name), folder / name] if len(Path(name).parts) == 1 else [Path(name)]:
        if name and os.path.exists(path):
            if not os.path.isdir(path) and not os.path.isfile(path):
                raise InputError(f"{path}: is neither a file nor a folder; give a video or a folder of images")
            return path, None
    if re.fullmatch(r"[0-9]{1,9}", name):
        return new_recording(int(name), folder), int(name)
    raise InputError(
        f"{name or 'no name'}: there is no such file, here or in {folder}; give a video or a folder of images"
    )


def _open_file(path: Path) -> VideoReader:
    video = VideoFile(path)
    frames = None if video.duration is None else max(1, round(video.duration * video.fps))
    return VideoReader(path, video.size, video.fps, frames, video.duration, video.has_audio, video.pictures)


# Folders of images
# ------------------------------------------------------------------------------------------------------------


def _open_images(folder: Path, fps: float | Fraction) -> VideoReader:
    """Every image is decoded once here, so that a bad one is found before the work begins."""
    paths = _image_paths(folder)
    height, width = _read_image(paths[0]).shape[:2]
    full_size = (width, height)

    def read(path: Path) -> np.ndarray:
        picture = _read_image(path)
        _check_size(picture, path, full_size, paths[0])
        return picture

    def pictures(size: tuple[int, int]) -> Iterator[np.ndarray]:
        for picture in map(read, paths):
            yield picture if size == full_size else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)

    for path in paths[1:]:
        read(path)
    rate = simple_rate(fps)
    return VideoReader(
        folder, full_size, rate, len(paths), float(len(paths) / rate), has_audio=False, pictures=pictures
    )


def _image_paths(folder: Path) -> list[Path]:
    """The images of a folder in natural order. Raises InputError where there are none."""
    try:
        paths = [path for path in folder.iterdir() if path.suffix.lower() in IMAGES and not path.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror}); give a folder that you may read") from error
    if not paths:
        raise InputError(f"{folder}: holds no images ({', '.join(IMAGES)}); give a folder of images or a video")
    return sorted(paths, key=_natural)


def _natural(path: Path) -> tuple[list[str | int], str]:
    """A sorting key by which frame2 comes before frame10."""
    parts = re.split(r"([0-9]+)", path.name.lower())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], path.name


def _read_image(path: Path) -> np.ndarray:
    """A picture (H, W, 3) uint8 BGR, upright. Raises InputError where it cannot be read."""
    picture, pages = None, 1
    with contextlib.suppress(OSError, cv2.error), quiet_opencv():
        data = np.fromfile(path, np.uint8)  # cv2.imread fails on some names on Windows
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if path.suffix.lower() in TIFF and picture is not None:
            pages += len(cv2.imdecodemulti(data, cv2.IMREAD_COLOR, range=(1, 2))[1])
    if pages > 1:
        raise InputError(f"{path}: holds several pages; save each page as an image of its own")
    if picture is None:
        raise InputError(f"{path}: cannot be read as an image; repair it or take it out of the folder")
    return picture


def _check_size(picture: np.ndarray, path: Path, size: tuple[int, int], first: Path) -> None:
    """Raise InputError where a picture is not of the `size` (width, height) of the first one of its folder."""
    height, width = picture.shape[:2]
    if (width, height) != size:
        raise InputError(
            f"{path}: is {width} x {height}, but {first.name} is {size[0]} x {size[1]}; the images of a folder must be "
            "of one size"
        )
