"""Where one scene ends and the next begins: pictures of a video in, the same pictures out, the first ones of a scene
marked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

DIFFERENT = 0.3
"""Pictures that differ by more may be of two scenes: see `difference`. Of one scene, a moving camera's too, they differ
by 0.1.
"""
SUDDEN = 4.0
"""And they do if this is so many times what pictures differed by before, in the median over RECENT: else everything is
quick here.
"""
RECENT = 9
AROUND = 3
"""Pictures before and after a cut that are compared: a flash or a broken picture between alike ones is no cut."""
SKETCH = (32, 18)  # width and height in pixels
FAINT = 2.0  # grey levels: contrast below is noise

Picture = tuple[int, float, np.ndarray]
"""Number, seconds, and pixels (H, W, 3) uint8, as a VideoReader gives them."""


def with_cuts(pictures: Iterable[Picture]) -> Iterator[tuple[Picture, bool]]:
    """Pass pictures on, each with whether it is the first of another scene than the one before; AROUND - 1 pictures
    late.
    """
    before: deque[np.ndarray] = deque(maxlen=AROUND)  # sketches of the scene's last pictures
    usual: deque[float] = deque(maxlen=RECENT)
    waiting: deque[tuple[Picture, np.ndarray]] = deque()

    def first() -> tuple[Picture, bool]:
        picture, sketch = waiting[0]
        cut = False
        if before:
            step = difference(before[-1], sketch)
            if step > max(DIFFERENT, SUDDEN * float(np.median(usual or [0]))):
                cut = all(difference(old, new) > DIFFERENT for old in before for _, new in waiting)
            usual.append(step)
        if cut:
            before.clear()
        before.append(sketch)
        waiting.popleft()
        return picture, cut

    for picture in pictures:
        waiting.append((picture, _sketch(picture[2])))
        if len(waiting) == AROUND:
            yield first()
    while waiting:
        yield first()


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """How much two sketches (18, 32, 3) differ, 0 to 2: 0 alike, whatever their brightness; 1 nothing in common."""
    first, second = (sketch - sketch.mean(axis=(0, 1)) for sketch in (first, second))
    return float(((first - second) ** 2).mean() / ((first**2).mean() + (second**2).mean() + FAINT**2))


def _sketch(picture: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) uint8 in little -> (18, 32, 3) float32."""
    step = max(1, min(picture.shape[:2]) // 120)  # of a large picture every pixel would be more than it takes
    return cv2.resize(picture[::step, ::step], SKETCH, interpolation=cv2.INTER_AREA).astype(np.float32)
