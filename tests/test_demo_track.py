"""People who cross, leave, come back and flicker keep or lose their tracks as they should."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from dataset.prepare_toy import Body, Motion, forward_kinematics
from demo.track import Tracker, compare, same, size

BODY = np.random.default_rng(0).uniform(-40, 40, (17, 2)) * [0.5, 1.5]


def person(x: float, y: float = 200, scale: float = 1.0) -> np.ndarray:
    """A body around (x, y) -> (17, 3)."""
    return np.concatenate([BODY * scale + [x, y], np.full((17, 1), 0.9)], axis=1)


def lengths(tracks: np.ndarray) -> list[int]:
    """In how many frames each of the people (P, T, 17, 3) was seen."""
    return (tracks[..., 2] > 0).any(axis=2).sum(axis=1).tolist()


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
    assert lengths(found) == [8, 8]


def test_who_is_far_away_is_somebody_else() -> None:
    assert len(tracked([[person(100)]] * 8 + [[person(300)]] * 8)) == 2


def test_who_was_out_of_sight_may_have_gone_on() -> None:
    size = np.ptp(BODY[:, 1])
    jump = [[person(100)]] * 8 + [[]] * 5
    assert len(tracked(jump + [[person(100 + 1.5 * size)]] * 8)) == 1
    assert len(tracked(jump + [[person(100 + 3 * size)]] * 8)) == 2
    assert (
        len(tracked(jump + [[person(100 + 1.5 * size, scale=0.5)]] * 8)) == 1
    )  # crouching, a person is as large as before


def test_who_flickered_up_is_not_waited_for() -> None:
    """A ghost beside somebody who then leaves does not take that person's place."""
    ghost = person(160, scale=1.5)
    found = tracked([[person(100)]] * 18 + [[person(100), ghost]] * 2 + [[]] * 5 + [[person(180)]] * 10)
    assert lengths(found) == [30]


def test_a_flicker_is_left_out_and_most_are_kept_by_length() -> None:
    frames = [[person(100)] + ([person(500)] if t == 4 else []) + ([person(800)] if t > 5 else []) for t in range(20)]
    found = tracked(frames)
    assert lengths(found) == [20, 14]
    assert len(tracked(frames, most=1)) == 1


def test_who_was_seen_for_less_than_half_a_second_is_nobody() -> None:
    assert len(tracked([[]] * 8 + [[person(100)]] * 4 + [[]] * 8)) == 0  # also where nobody was there for longer
    assert len(tracked([[]] * 8 + [[person(100)]] * 5 + [[]] * 8)) == 1
    clip = [[person(100), person(300)] if t in (5, 6) else [person(100)] for t in range(12)]
    found = tracked(clip, fps=30)  # the whole clip is shorter
    assert lengths(found) == [12]
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


# One person found twice
# --------------------------------------------------------------------------------------------------------


def double(rng: np.random.Generator, original: np.ndarray, noise: float, shift: float) -> np.ndarray:
    """A false detection beside a person (17, 3): pixels of noise and of a shift."""
    angle = rng.uniform(0, 2 * np.pi)
    moved = original[:, :2] + shift * np.array([np.cos(angle), np.sin(angle)]) + rng.normal(0, noise, (17, 2))
    return np.concatenate([moved, original[:, 2:] * rng.uniform(0.3, 1.0)], axis=1)


@pytest.mark.parametrize(("noise", "shift"), [(0, 0), (0, 6), (0, 12), (3, 0), (3, 8)])
@pytest.mark.parametrize("when", [[20], [0], [0, 1, 2, 40], range(20, 60), range(90)], ids=str)
def test_a_person_who_is_found_twice_is_one(noise: float, shift: float, when: list[int]) -> None:
    rng = np.random.default_rng(3)
    frames = [[person(100 + 3 * t)] for t in range(90)]
    for t in when:
        frames[t].insert(int(rng.integers(2)), double(rng, frames[t][0], noise, shift))
    assert lengths(tracked(frames, fps=30)) == [90]


def test_the_better_of_two_is_kept() -> None:
    good, half, faint = person(100), person(102), person(103)
    half[::2] = 0
    faint[:, 2] = 0.2
    for worse in (half, faint):
        for pair in ([good, worse], [worse, good]):
            found = tracked([pair] * 20)
            np.testing.assert_allclose(found[0], np.broadcast_to(good, (20, 17, 3)), rtol=1e-6)
            found = tracked([[person(100)]] * 10 + [pair] + [[person(100)]] * 10)
            np.testing.assert_allclose(found[0, 10], good, rtol=1e-6)


def test_two_who_are_close_stay_two() -> None:
    mirror = [-1, 1, 1]
    left, right = (
        WALKING[20] + [300, 0, 0],
        WALKING[34] * mirror + [300, 0, 0],
    )  # one behind the other, on different ways
    assert not same(np.stack([left, right])).any()
    assert lengths(tracked([[left, right]] * 30, fps=30)) == [30, 30]
    apart = 0.2 * float(size(left))
    hugging = [left, left * mirror + [600 + apart, 0, 0]]
    assert lengths(tracked([hugging] * 30, fps=30)) == [30, 30]
    # Who was seen beside somebody is not taken for a double, even in the same pose at the same place.
    meeting = [[person(100 + 4 * t), person(340 - 4 * t)] for t in range(30)] + [[person(220), person(221)]] * 15
    assert lengths(tracked(meeting, fps=30)) == [45, 45]


# People who cross
# --------------------------------------------------------------------------------------------------------------


def walker(x: np.ndarray, depth: float, phase: float, fps: float) -> np.ndarray:
    """Somebody who walks along the picture, x (T,) metres from its middle -> (T, 17, 3) pixels and scores, of 1920 x
    1080.
    """
    speed = np.gradient(x) * fps
    stride = 2 * np.pi * np.cumsum(np.abs(speed))[:, None] / fps / 1.4 + phase + np.array([0, np.pi])  # (T, 2)
    swing = np.minimum(1, np.abs(speed) / 0.8)[:, None]
    ahead = speed[np.argmax(np.abs(speed) > 0.1) :][:1] > 0
    facing, heading = np.where(speed > 0.1, 0, np.where(speed < -0.1, np.pi, np.nan)), np.where(ahead, 0.0, np.pi)
    turned = []
    for wanted in facing:  # at 6 radians a second at most
        heading = heading + np.clip(np.nan_to_num(wanted - heading), -6 / fps, 6 / fps)
        turned.append(float(heading[0]))
    flat = np.zeros((len(x), 2))
    motion = Motion(
        thigh=0.45 * swing * np.sin(stride),
        knee=0.08 + 0.95 * swing * np.clip(np.cos(stride + 0.35), 0, None) ** 2,
        arm=-0.36 * swing * np.sin(stride),
        elbow=0.3 + 0.25 * swing * np.clip(-np.sin(stride), 0, None),
        arm_out=flat + 0.12,
        forearm_out=flat + 0.08,
        lean=0.06 + 0.02 * np.sin(2 * stride[:, 0]),
        heading=np.array(turned),
        place=np.stack([x, np.full(len(x), depth)], axis=1),
    )
    world = forward_kinematics(Body(), motion)  # (T, 17, 3), z up, looked at along y
    away = 6 + world[..., 1]
    return np.stack([960 + 1000 * world[..., 0] / away, 700 - 1000 * world[..., 2] / away, 0 * away + 0.9], axis=-1)


WALKING = walker(np.arange(60) / 25 - 1.2, 0, 0, 25) - [960, 0, 0]

# The ways of two people along the picture, metres at times t (T,) of a speed v: they meet at time 0.
WAYS = {
    "cross": lambda t, v: (v * t, -v * t),
    "pass one who stands": lambda t, v: (0 * t, -v * t),
    "stop behind": lambda t, v: (0 * t, v * (np.clip(t + 0.15, None, 0) + np.clip(t - 0.15, 0, None))),
    "turn behind": lambda t, v: (0 * t, -v * np.sqrt(t**2 + 0.04)),
    "both turn": lambda t, v: (v * np.sqrt(t**2 + 0.09), -v * np.sqrt(t**2 + 0.09)),
    "overtake": lambda t, v: (v * t, 2 * v * t),
}


def switches(tracks: np.ndarray, people: np.ndarray, shown: np.ndarray) -> int:
    """How often people (2, T, 17, 3) who were shown (2, T) go from one track to another."""
    owner = (np.abs(tracks[:, None] - people) < 1e-3).all(axis=(3, 4)) & (tracks[:, None, ..., 2] > 0).any(
        axis=3
    )  # (tracks, 2, T)
    count = 0
    for number in range(len(people)):
        frames = owner[:, number].any(axis=0) & shown[number]
        count += int((np.diff(owner[:, number, frames].argmax(axis=0)) != 0).sum())
    return count


@pytest.mark.parametrize("hidden", [0.1, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("way", WAYS)
def test_two_who_meet_keep_their_tracks(way: str, hidden: float) -> None:
    """The one who is further away is hidden for so many seconds around the time at which they meet."""
    fps = 30
    t = np.arange(-1.5, 1.5, 1 / fps)
    for seed, (speed, noise) in enumerate([(0.6, 2), (1.3, 2), (1.3, 5), (2.5, 2)]):
        rng = np.random.default_rng(seed)
        front, behind = WAYS[way](t, speed)
        people = np.stack([walker(front, -0.2, rng.uniform(0, 6), fps), walker(behind, 0.2, rng.uniform(0, 6), fps)])
        people[..., :2] += rng.normal(0, noise, (*people.shape[:3], 2))
        shown = np.stack([t < 9, np.abs(t - rng.uniform(-0.05, 0.05)) > hidden / 2])
        found = tracked([[people[p, i] for p in rng.permutation(2) if shown[p, i]] for i in range(len(t))], fps=fps)
        assert len(found) == 2
        assert switches(found, people, shown) == 0, (speed, noise)


@pytest.mark.parametrize("fps", [10, 24, 60, 240])
def test_crossing_at_any_rate(fps: float) -> None:
    t = np.arange(-1.5, 1.5, 1 / fps)
    people = np.stack([walker(1.3 * t, -0.2, 0, fps), walker(-1.3 * t, 0.2, 2, fps)])
    shown = np.stack([t < 9, np.abs(t) > 0.15])
    found = tracked([[people[p, i] for p in (1, 0) if shown[p, i]] for i in range(len(t))], fps=fps)
    assert len(found) == 2
    assert switches(found, people, shown) == 0


def test_motion_alone_tells_apart_who_looks_the_same() -> None:
    for speed in (1, 4):
        for hidden in (0, 3, 12):
            shown = [[True, abs(t - 45) * 2 >= hidden] for t in range(90)]
            frames = [[person(400 + speed * (t - 45)), person(400 - speed * (t - 45))] for t in range(90)]
            found = tracked(
                [[p for p, there in zip(*row, strict=True) if there] for row in zip(frames, shown, strict=True)], fps=30
            )
            people = np.array(frames).swapaxes(0, 1)  # (2, 90, 17, 3)
            assert len(found) == 2
            assert switches(found, people, np.array(shown).T & (np.arange(90) != 45)) == 0


@pytest.mark.parametrize("fps", [0.5, 1, 5, 1000])
def test_one_person_at_any_rate(fps: float) -> None:
    assert lengths(tracked([[person(100 + 60 * min(t / fps, 3))] for t in range(30)], fps=fps)) == [30]


def test_joints_that_are_missing_move_nobody() -> None:
    first, second = person(100), person(110)
    second[3:9] = 0
    moved, likeness = compare(first[None], second[None], size(first))
    np.testing.assert_allclose(moved[0, 0], [10, 0], atol=1e-9)
    assert likeness[0, 0] == pytest.approx(1)
    moved, likeness = compare(first[None], 0 * second[None])
    assert not np.isfinite(moved).any()
    assert likeness[0, 0] == 0
    assert lengths(tracked([[first], [0 * first]] * 10, fps=10))[0] == 10
    frames = [[person(100 + 3 * t)] for t in range(30)]
    for t in range(12, 20):
        frames[t][0][::2] = 0
    assert lengths(tracked(frames)) == [30]


def test_what_is_over_is_let_go() -> None:
    """What is kept does not grow with people who flickered up long ago."""
    quiet, flickering, rng = Tracker(30), Tracker(30), np.random.default_rng(0)
    kept = []
    for _ in range(300):
        quiet.add(np.array([person(100)]))
        flickering.add(np.array([person(100), person(*rng.uniform(1000, 90000, 2))]))
        kept.append(len(pickle.dumps(flickering)) - len(pickle.dumps(quiet)))
    assert max(kept[30:]) <= 1.5 * max(kept[:30])  # after a second as after ten
    assert lengths(flickering.tracks(4)) == [300]
