"""Recording a camera to a video file."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from common.errors import InputError
from demo.video_file import DEFAULT_FPS, FASTEST, SLOWEST, simple_rate
from demo.video_write import VideoWriter


def new_recording(number: int, folder: Path) -> Path:
    """The name of a new file in `folder` for a recording of camera `number`: its number, and the date and time."""
    path = folder / f"camera{number}_{time.strftime('%Y%m%d_%H%M%S')}.mp4"
    while path.exists():
        path = path.with_stem(path.stem + "_")
    return path


def record_camera(number: int, seconds: float | None, path: str | Path) -> Path:
    """Record camera `number` into the new MP4 file `path`, which is returned: for `seconds`, or until q or Ctrl+C.

    Where OpenCV has windows, the picture is shown in one, and q ends the recording there. Frames are written by the
    clock, as a camera's rate is not steady. There is no sound. Raises InputError where there is no such camera or it
    gives no picture, or the file is there already or cannot be written.
    """
    if os.path.lexists(path):
        raise InputError(f"{path}: is there already; give the name of a new file")
    with _opened(number) as camera:
        good, picture = camera.read() if camera.isOpened() else (False, np.zeros((0, 0, 3), np.uint8))
        if not good:
            raise InputError(
                f"camera {number}: there is none, or it gives no picture; plug it in and close other programs that use "
                "it"
            )
        claimed = camera.get(cv2.CAP_PROP_FPS)
        fps = simple_rate(claimed if SLOWEST <= claimed <= FASTEST else DEFAULT_FPS)
        height, width = picture.shape[:2]
        window = _Window(f"camera {number}: q ends the recording")
        print(f"recording camera {number}; q in its window, or Ctrl+C, ends it", file=sys.stderr)
        with VideoWriter(path, fps, (width, height)) as writer, contextlib.suppress(KeyboardInterrupt):
            start, elapsed = time.monotonic(), 0.0
            while good and (seconds is None or elapsed < seconds or not writer.frames):
                while writer.frames <= elapsed * fps:
                    writer.write(picture)
                if not window.show(picture):
                    break
                good, picture = camera.read()
                elapsed = time.monotonic() - start
    return Path(path)


@contextlib.contextmanager
def _opened(number: int) -> Iterator[cv2.VideoCapture]:
    """Yield a camera; afterwards let go of it and close its window."""
    with quiet_opencv():
        camera = cv2.VideoCapture(number)
    try:
        yield camera
    finally:
        camera.release()
        with contextlib.suppress(cv2.error):
            cv2.destroyAllWindows()


class _Window:
    """A window that shows pictures, where there is a screen and OpenCV was built with windows."""

    def __init__(self, title: str) -> None:
        self._title, self._works = title, True

    def show(self, picture: np.ndarray) -> bool:
        """Show a picture; return False where q was pressed."""
        if self._works:
            try:
                cv2.imshow(self._title, picture)
                return cv2.waitKey(1) & 0xFF != ord("q")
            except cv2.error:
                self._works = False
        return True


@contextlib.contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV's own messages off stderr: where something fails, an error of ours says it."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
