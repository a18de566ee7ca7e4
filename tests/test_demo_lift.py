"""From keypoints with gaps to poses: what is bridged, what is left out, what is marked."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import InputError
from demo.lift import bridge, lift_people, one_euro

SIZE = (640, 480)


class Flat:
    """Stands in for a Lifter: the depth of every joint is 0, the root is in the origin; remembers how long its clips
    were.
    """

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def __call__(
        self, pose_2d: np.ndarray, size: tuple[int, int], fps: float, height: float | None, fov: float | None
    ) -> np.ndarray:
        self.lengths.append(len(pose_2d))
        pose = np.concatenate([pose_2d[..., :2] / size[0], 0 * pose_2d[..., :1]], axis=-1)
        return (pose - pose[:, :1]).astype(np.float32)


def clip(found: str) -> np.ndarray:
    """Keypoints that move evenly, with the person where `found` has a x -> (len(found), 17, 3)."""
    time = np.arange(len(found))[:, None, None]
    pose = np.concatenate(
        [100 + 3 * time + np.arange(17)[:, None] * [1, 2], np.full((len(found), 17, 1), 0.8)], axis=-1
    )
    pose[[letter != "x" for letter in found]] = 0
    return pose


def test_short_gaps_are_bridged_and_marked() -> None:
    given = clip("xx" + 5 * "." + "xxx")
    filled, found, runs = bridge(given, fps=10)
    assert runs == [slice(0, 10)]
    assert found.tolist() == [True] * 2 + [False] * 5 + [True] * 3
    np.testing.assert_allclose(filled[..., :2], clip(10 * "x")[..., :2])  # even motion goes on evenly
    np.testing.assert_allclose(filled[2:7, :, 2], 0.4)
    assert np.array_equal(filled[found], given[found])


def test_long_gaps_and_both_ends_are_left_out() -> None:
    filled, found, runs = bridge(clip("..xxx" + 6 * "." + "xx..."), fps=10)
    assert runs == [slice(2, 5), slice(11, 13)]
    assert np.array_equal(filled[~found], np.zeros((11, 17, 3)))


def test_a_joint_that_one_side_of_a_gap_lacks() -> None:
    given = clip("x.x")
    given[0, 4] = 0
    filled, _, _ = bridge(given, fps=30)
    assert np.array_equal(filled[1, 4, :2], given[2, 4, :2])


@pytest.mark.parametrize("smooth", [False, True])
def test_people_are_lifted_run_by_run(smooth: bool) -> None:
    lifter, seen = Flat(), ["xxx" + 9 * "." + "xxxx", ".xxx..xxxxxx...."]
    poses, valid = lift_people(np.stack([clip(person) for person in seen]), SIZE, 10, lifter, smooth=smooth)
    assert lifter.lengths == [3, 4, 11]
    assert poses.shape == (2, 16, 17, 3)
    assert poses.dtype == np.float32
    assert [["x" if there else "." for there in person] for person in valid] == [list(person) for person in seen]
    empty = np.isnan(poses).all(axis=(2, 3))
    assert np.array_equal(empty, np.isnan(poses).any(axis=(2, 3)))
    assert [int(row.sum()) for row in empty] == [9, 5]
    assert not (empty & valid).any()


def test_nobody_is_an_error() -> None:
    with pytest.raises(InputError, match="no person was found"):
        lift_people(np.zeros((1, 5, 17, 3)), SIZE, 30, Flat())


def test_the_filter_takes_jitter_and_leaves_motion() -> None:
    rng = np.random.default_rng(0)
    time = np.arange(300) / 50
    motion = np.sin(2 * np.pi * 0.5 * time)[:, None] * 0.3
    noisy = motion + 0.01 * rng.standard_normal((300, 8))
    both = (one_euro(noisy, 50) + one_euro(noisy[::-1], 50)[::-1]) / 2
    assert np.abs(np.diff(both, n=2, axis=0)).mean() < 0.5 * np.abs(np.diff(noisy, n=2, axis=0)).mean()
    assert np.abs(both - motion).mean() < np.abs(noisy - motion).mean()
    assert np.array_equal(one_euro(np.ones((5, 3)), 50), np.ones((5, 3)))
