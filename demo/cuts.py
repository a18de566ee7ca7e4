"""Scene cuts: passes the pictures of a video on, and marks the first one of every new scene."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

DIFFERENT = 0.3
"""Pictures of two scenes differ by more than this, see `difference`. Neighbours in one scene differ by about 0.1, even
where the camera moves.
"""
SUDDEN = 4.0
"""They also differ by this many times more than the pictures before the cut did: in a quick scene all pictures differ.
"""
RECENT = 9
"""Pictures before a cut, over which the median of their differences is taken."""
AROUND = 3
"""Pictures before and after a cut that are compared: one flash or broken picture between like ones is not a cut."""
SKETCH = (32, 18)  # width and height in pixels
FAINT = 2.0  # grey levels: contrast below is noise

Picture = tuple[int, float, np.ndarray]
"""Number, seconds, and pixels (H, W, 3) uint8, as a VideoReader gives them."""


def with_cuts(pictures: Iterable[Picture]) -> Iterator[tuple[Picture, bool]]:
    """Yield each picture, and whether a new scene begins with it; a picture comes after AROUND - 1 more were read."""
    before: deque[np.ndarray] = deque(maxlen=AROUND)  # sketches of the scene's last pictures
    usual: deque[float] = deque(maxlen=RECENT)
    waiting: deque[tuple[Picture, np.ndarray]] = deque()

    def oldest() -> tuple[Picture, bool]:
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
            yield oldest()
    while waiting:
        yield oldest()


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """How much two sketches (18, 32, 3) differ, 0 to 2: 0 at most in brightness, 1 if nothing is alike."""
    first, second = (sketch - sketch.mean(axis=(0, 1)) for sketch in (first, second))
    return float(((first - second) ** 2).mean() / ((first**2).mean() + (second**2).mean() + FAINT**2))


def _sketch(picture: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) uint8 made small -> (18, 32, 3) float32."""
    step = max(1, min(picture.shape[:2]) // 120)  # a large picture has more pixels than are needed
    return cv2.resize(picture[::step, ::step], SKETCH, interpolation=cv2.INTER_AREA).astype(np.float32)
