"""Scene cuts are found; moving cameras, flashes, noise and slow series of pictures are none."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from demo.cuts import AROUND, difference, with_cuts

SIZE = (160, 90)


def scene(seed: int, size: tuple[int, int] = (400, 300)) -> np.ndarray:
    """A picture (H, W, 3) uint8 of smooth patches, as rooms and landscapes are."""
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(0, 255, (9, 12, 3), np.uint8), size, interpolation=cv2.INTER_CUBIC)


def window(picture: np.ndarray, x: int, y: int = 40) -> np.ndarray:
    return picture[y : y + SIZE[1], x : x + SIZE[0]]


def cuts(pictures: list[np.ndarray]) -> list[int]:
    """The numbers of the pictures that begin a scene."""
    marked = list(with_cuts((i, i / 25, picture) for i, picture in enumerate(pictures)))
    assert [number for (number, _, _), _ in marked] == list(range(len(pictures)))
    assert all(picture is pictures[number] for (number, _, picture), _ in marked)
    return [number for (number, _, _), cut in marked if cut]


def noisy(picture: np.ndarray, seed: int, strength: float = 6) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, strength, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def pan(seed: int, count: int = 30, step: int = 4) -> list[np.ndarray]:
    """A camera that turns, quickly."""
    return [noisy(window(scene(seed), step * i), i) for i in range(count)]


@pytest.mark.parametrize("at", [1, 2, 5, 29])
def test_a_cut_is_found_wherever_it_is(at: int) -> None:
    assert cuts([*pan(1)[:at], *pan(2)]) == [at]
    assert cuts([*pan(1), *pan(2)[:at]]) == [30]
    assert cuts([*pan(1), *[picture[:, ::-1] for picture in pan(1)]]) == [30]


def test_several_scenes() -> None:
    assert cuts([*pan(1), *pan(2, 10), *pan(3), *pan(1)]) == [30, 40, 70]


def darker(i: int) -> float:
    return 1 - 0.03 * i


SAME_SCENE: dict[str, Callable[[int], np.ndarray]] = {
    "still": lambda i: window(scene(1), 0),
    "pan": lambda i: pan(1)[i],
    "noise": lambda i: noisy(window(scene(1), 0), i, 40),
    "exposure": lambda i: np.clip(window(scene(1), 0) * 0.5 + (60 if i > 12 else 0), 0, 255).astype(np.uint8),
    "fade": lambda i: (window(scene(1), 0) * darker(i)).astype(np.uint8),
    "flash": lambda i: np.full((90, 160, 3), 255, np.uint8) if i in (10, 20, 21) else noisy(window(scene(1), 0), i),
    "strobe": lambda i: noisy(window(scene(1), 0) // (8 if i // 2 % 2 else 1), i),
    "broken picture": lambda i: window(scene(9), 0) if i == 15 else noisy(window(scene(1), 0), i),
    "black": lambda i: noisy(np.full((90, 160, 3), 16, np.uint8), i, 2),
    "grey": lambda i: np.full((90, 160, 3), 8 * i, np.uint8),
    "slides": lambda i: scene(i, SIZE),
}


@pytest.mark.parametrize("name", SAME_SCENE)
def test_what_is_no_cut(name: str) -> None:
    found = cuts([SAME_SCENE[name](i) for i in range(30)])
    assert [number for number in found if number > 3] == []  # of slides the first few may be scenes
    assert name == "slides" or not found


def test_somebody_who_walks_in_is_no_cut() -> None:
    pictures = [noisy(window(scene(4), 0), i) for i in range(30)]
    for i in range(30):  # close by, and fast
        pictures[i][10:, max(0, 12 * i - 160) : max(0, 12 * i - 120)] = (30, 20, 10)
    assert cuts(pictures) == []


def test_difference_is_about_the_picture_not_its_brightness() -> None:
    first, second = (cv2.resize(scene(seed), (32, 18)).astype(np.float32) for seed in (1, 2))
    assert difference(first, first + 50) == pytest.approx(0, abs=1e-4)
    assert difference(first, 1.3 * first) < 0.1
    assert difference(first, second) > 0.5


@pytest.mark.parametrize("count", range(AROUND + 2))
def test_short_videos_lose_nothing(count: int) -> None:
    assert cuts(pan(1)[:count]) == []
