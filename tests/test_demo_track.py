"""People who cross, leave, come back and flicker keep or lose their tracks as they should."""

from __future__ import annotations

import numpy as np
import pytest

from demo.track import Tracker, distance

BODY = np.random.default_rng(0).uniform(-40, 40, (17, 2)) * [0.5, 1.5]


def person(x: float, y: float = 200, scale: float = 1.0) -> np.ndarray:
    """A body around (x, y) -> (17, 3)."""
    return np.concatenate([BODY * scale + [x, y], np.full((17, 1), 0.9)], axis=1)


def tracked(frames: list[list[np.ndarray]], most: int = 4, fps: float = 10) -> np.ndarray:
    tracker = Tracker(fps)
    for people in frames:
        tracker.add(np.array(people).reshape(-1, 17, 3))
    return tracker.tracks(most)


def test_the_order_in_a_picture_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    frames = [[person(100 + 3 * t), person(400 - 2 * t)] for t in range(20)]
    shuffled = [[people[i] for i in rng.permutation(2)] for people in frames]
    found = tracked(shuffled)
    assert found.shape == (2, 20, 17, 3)
    ways = sorted(found[:, :, :, 0].mean(axis=2).tolist())
    expected = sorted(np.array(frames)[..., 0].mean(axis=2).T.tolist())
    np.testing.assert_allclose(ways, expected, atol=1e-3)


def test_a_short_absence_keeps_the_track_and_a_long_one_does_not() -> None:
    here = [person(100)]
    assert len(tracked([here] * 8 + [[]] * 5 + [here] * 8)) == 1
    found = tracked([here] * 8 + [[]] * 15 + [here] * 8)
    assert len(found) == 2
    assert [(row[..., 2] > 0).any(axis=1).sum() for row in found] == [8, 8]


def test_who_is_far_away_is_somebody_else() -> None:
    assert len(tracked([[person(100)]] * 8 + [[person(300)]] * 8)) == 2


def test_who_was_out_of_sight_may_have_gone_on() -> None:
    size = np.ptp(BODY[:, 1])
    jump = [[person(100)]] * 8 + [[]] * 5
    assert len(tracked(jump + [[person(100 + 1.5 * size)]] * 8)) == 1
    assert len(tracked(jump + [[person(100 + 3 * size)]] * 8)) == 2
    assert len(tracked(jump + [[person(100 + 1.5 * size, scale=0.5)]] * 8)) == 1  # crouching, a person is as large as before


def test_who_flickered_up_is_not_waited_for() -> None:
    """A ghost beside somebody who then leaves does not take that person's place."""
    ghost = person(160, scale=1.5)
    found = tracked([[person(100)]] * 18 + [[person(100), ghost]] * 2 + [[]] * 5 + [[person(180)]] * 10)
    assert [int((row[..., 2] > 0).any(axis=1).sum()) for row in found] == [30]


def test_a_flicker_is_left_out_and_most_are_kept_by_length() -> None:
    frames = [[person(100)] + ([person(500)] if t == 4 else []) + ([person(800)] if t > 5 else []) for t in range(20)]
    found = tracked(frames)
    assert [int((row[..., 2] > 0).any(axis=1).sum()) for row in found] == [20, 14]
    assert len(tracked(frames, most=1)) == 1


def test_who_was_seen_for_less_than_half_a_second_is_nobody() -> None:
    assert len(tracked([[]] * 8 + [[person(100)]] * 4 + [[]] * 8)) == 0  # also where nobody was there for longer
    assert len(tracked([[]] * 8 + [[person(100)]] * 5 + [[]] * 8)) == 1
    clip = [[person(100), person(300)] if t in (5, 6) else [person(100)] for t in range(12)]
    found = tracked(clip, fps=30)  # the whole clip is shorter
    assert [int((row[..., 2] > 0).any(axis=1).sum()) for row in found] == [12]
    assert len(tracked([[person(100)]], fps=30)) == 1
    assert len(tracked([[person(100)]] + [[]] * 11, fps=30)) == 0


def test_a_cut_ends_all_tracks() -> None:
    tracker = Tracker(10)
    for t in range(20):
        if t == 12:
            tracker.end_all()
        tracker.add(np.array([person(100)]))
    seen = (tracker.tracks(4)[..., 2] > 0).any(axis=2)  # (P, T)
    np.testing.assert_array_equal(seen, [np.arange(20) < 12, np.arange(20) >= 12])


def test_nobody() -> None:
    assert tracked([[], []]).shape == (0, 2, 17, 3)


def test_distance_counts_common_joints_only() -> None:
    first, second = person(100), person(110)
    second[3] = 0
    assert distance(first, second) == pytest.approx(10, rel=1e-6)
    assert distance(first, 0 * second) == np.inf
