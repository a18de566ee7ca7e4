"""What in-the-wild training draws keeps the rules: motion, bodies, cameras, the detector's errors, batches."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from common.data.world_motion import WorldClip
from common.errors import InputError
from common.geometry.box import box_of, in_box, turn_to_box
from common.geometry.normalise import box_of as numpy_box
from common.geometry.skeleton import H36M, body_height
from common.inference.lifting import resample_2d
from common.training.recipes import WILD
from common.wild import BONES, HEIGHT, PARTS, WILD_TEST, MotionBank, Wild, WildDataset, detector_noise
from common.wild import body as bodies
from common.wild.camera import NEAREST, SIZES, shoot
from common.wild.detector import film_weights, observe, resample
from common.wild.draw import Draw
from dataset import prepare_toy
from tests.synthetic import REST
from tests.test_training import identical

FPS = prepare_toy.FPS
MIRRORED = list(H36M.mirrored)
PARENTS = list(H36M.parents)
STANDING = REST[:, [0, 2, 1]].astype(np.float32) * np.array(
    [1, 1, -1], np.float32
)  # (17, 3), world, y up, chest over hip
LOWER, UPPER = [1, 2, 4, 5], [11, 12, 14, 15]


def walker(length: int, seed: int, action: str = "Walking") -> np.ndarray:
    """A rigid figure of the toy set (length, 17, 3), metres, world, y up."""
    rng = np.random.default_rng(seed)
    body = prepare_toy.make_body(rng)
    x, y, z = np.moveaxis(prepare_toy.forward_kinematics(body, prepare_toy.MOTIONS[action](length, body, rng)), -1, 0)
    return np.stack([x, z, -y], axis=-1).astype(np.float32)


TRAIN = [
    WorldClip("01_01", "01", "train", True, walker(120, 1)),
    WorldClip("05_01", "05", "train", False, walker(90, 2, "Greeting")),
    WorldClip("05_02", "05", "train", False, walker(20, 3, "Sitting")),  # shorter than a window
]
AS_TRAINED = Wild()
EXACT = replace(WILD_TEST, noise=(1e-9, 1e-9))


def windows(*poses: np.ndarray) -> Tensor:
    """Windows (B, F, 17, 3)."""
    return torch.from_numpy(np.stack(poses))


def bones(pose: np.ndarray | Tensor) -> np.ndarray:
    """Lengths (..., 16) of poses (..., 17, 3)."""
    pose = np.asarray(pose)
    return np.linalg.norm(pose - pose[..., PARENTS, :], axis=-1)[..., 1:]


def forward(pose: np.ndarray | Tensor) -> np.ndarray:
    """How far the nose of poses (..., 17, 3) is before the body, to the front of one whose left is left; negative if
    mirrored.
    """
    pose = np.asarray(pose)
    ahead = np.cross(pose[..., 4, :] - pose[..., 1, :], pose[..., 8, :] - pose[..., 0, :])
    return (ahead * (pose[..., 9, :] - pose[..., 8, :])).sum(axis=-1)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No joint far off, no sides swapped."""
    monkeypatch.setattr(detector_noise, "OUTLIER_RATE", 0.0)
    monkeypatch.setattr(detector_noise, "SWAP_RATE", 0.0)


# Random numbers.


def test_a_key_gives_the_same_numbers_again() -> None:
    def drawn(*key: int) -> list[Tensor]:
        draw = Draw(key)
        return [
            draw.uniform(2, 3, 50),
            draw.normal(50),
            draw.integer(9, 50),
            draw.pick((0.2, 0.8), 50),
            draw.rotation(5),
        ]

    assert identical(drawn(1, 2), drawn(1, 2))
    for other in ((1, 3), (2, 1), (1, 2, 0), (0, 1, 2)):
        assert not identical(drawn(1, 2), drawn(*other))


def test_numbers_are_spread_as_asked_for() -> None:
    draw = Draw([0])
    even, ratio = draw.uniform(-2, 4, 20000), draw.ratio(0.5, 8, 20000)
    assert (even.min(), even.max()) == (pytest.approx(-2, abs=0.01), pytest.approx(4, abs=0.01))
    assert even.mean() == pytest.approx(1, abs=0.05)
    assert (ratio < 1).float().mean() == pytest.approx(0.25, abs=0.02)  # one doubling of four
    assert (ratio.min() >= 0.5) & (ratio.max() <= 8)
    assert draw.chance(0.3, 20000).float().mean() == pytest.approx(0.3, abs=0.02)
    shares = torch.bincount(draw.pick((0.2, 0.0, 0.5, 0.3), 20000)) / 20000
    np.testing.assert_allclose(shares, [0.2, 0, 0.5, 0.3], atol=0.02)
    turns = draw.rotation(5000)
    np.testing.assert_allclose(turns @ turns.mT, torch.eye(3).expand(5000, 3, 3), atol=1e-5)
    np.testing.assert_allclose(torch.linalg.det(turns), 1, atol=1e-5)
    np.testing.assert_allclose(turns.mean(dim=0), np.zeros((3, 3)), atol=0.03)  # every direction goes everywhere


# Motion.


def cut(bank: MotionBank, clip: list[int], centre: list[float], speed: list[float], frames: int) -> np.ndarray:
    return bank.cut(torch.tensor(clip), torch.tensor(centre), torch.tensor(speed), frames).numpy()


def test_a_cut_at_the_clip_s_own_speed_is_the_clip() -> None:
    bank = MotionBank(TRAIN, FPS)
    clip, centre = [0, 1, 0, 0], [40.0, 30, 2, 119]  # two of them stick out and are moved into the clip
    found = cut(bank, clip, centre, [1.0] * 4, 21)
    for window, number, start in zip(found, clip, (30, 20, 0, 99), strict=True):
        np.testing.assert_array_equal(window, TRAIN[number].pose[start : start + 21])
    np.testing.assert_array_equal(cut(bank, clip, centre, [-1.0] * 4, 21), found[:, ::-1])
    np.testing.assert_array_equal(cut(bank, clip[:1], centre[:1], [2.0], 21)[0], TRAIN[0].pose[20:61:2])


def test_in_clips_that_are_too_short_the_edge_frames_are_repeated() -> None:
    (found,) = cut(MotionBank(TRAIN, FPS), [2], [3.0], [1.0], 30)  # 20 frames, 5 more on either side
    np.testing.assert_array_equal(found[5:25], TRAIN[2].pose)
    np.testing.assert_array_equal(found[[0, 4, 25, 29]], TRAIN[2].pose[[0, 0, -1, -1]])
    one = WorldClip("a", "a", "train", True, STANDING[None])
    np.testing.assert_array_equal(cut(MotionBank([one], FPS), [0], [0.0], [0.7], 5)[0], [STANDING] * 5)


@pytest.mark.parametrize("speed", [0.37, 1.0, -1.6])
def test_straight_motion_stays_straight_at_any_speed(speed: float) -> None:
    velocity = np.array([0.03, -0.01, 0.02], np.float32)
    line = STANDING + velocity * np.arange(60, dtype=np.float32)[:, None, None]
    bank = MotionBank([WorldClip("a", "a", "train", True, line)], FPS)
    (found,) = cut(bank, [0], [29.3], [speed], 31)
    steps = np.arange(31) - 15
    np.testing.assert_allclose(found, STANDING + velocity * (29.3 + speed * steps)[:, None, None], atol=1e-5)


def test_clips_are_drawn_by_weight_and_minutes() -> None:
    clips = [replace(clip, weight=weight) for clip, weight in zip(TRAIN, (0.5, 0.0, 3.0), strict=True)]
    share = (torch.arange(6000) + 0.5) / 6000
    for by_content, wanted in ((True, [60, 0, 60]), (False, [120, 90, 20])):
        clip, frame = MotionBank(clips, FPS, by_content=by_content).place(share)
        np.testing.assert_allclose(torch.bincount(clip) / 6000, np.array(wanted) / sum(wanted), atol=1e-3)
        for number in clip.unique().tolist():
            where = frame[clip == number]
            assert (where.diff() > 0).all()  # evenly from end to end
            assert (where[0], where[-1]) == (pytest.approx(0, abs=0.1), pytest.approx(len(clips[number]) - 1, abs=0.1))
    ends = MotionBank(clips, FPS).place(torch.tensor([0.0, 1 - 1e-12, 1.0]))
    assert ends[0].tolist() == [0, 2, 2]
    assert ends[1].tolist() == [0, 19, 19]


# Bodies.


def test_bones_and_joints_are_two_ways_to_say_the_same() -> None:
    pose = windows(walker(9, 1), walker(9, 2, "Greeting"))
    np.testing.assert_allclose(bodies.joints_of(bodies.bones_of(pose)), pose, atol=1e-6)
    axes = bodies.axes_of(pose, bodies.CHEST)
    np.testing.assert_allclose(axes.mT @ axes, torch.eye(3).expand(2, 9, 3, 3), atol=1e-5)
    np.testing.assert_allclose(torch.linalg.det(axes), 1, atol=1e-5)
    ahead = ((pose[:, :, 9] - pose[:, :, 8]) * axes[..., 2]).sum(-1)
    assert (ahead > 0).all()


def turned(pose: Tensor, rotation: np.ndarray) -> Tensor:
    return (pose.double() @ torch.from_numpy(rotation).T + torch.tensor([3.0, 0.2, -1.0])).float()


ABOUT_VERTICAL = np.array([[math.cos(2.1), 0, math.sin(2.1)], [0, 1, 0], [-math.sin(2.1), 0, math.cos(2.1)]])


def test_legs_under_another_upper_body() -> None:
    lower, upper = windows(walker(50, 1)), windows(walker(50, 2, "Greeting"))
    found = bodies.recombine(lower, upper)
    np.testing.assert_array_equal(found[:, :, :7], lower[:, :, :7])
    own = [0, *range(7, 17)]
    apart = [torch.cdist(pose[:, :, own], pose[:, :, own]) for pose in (found, upper)]
    np.testing.assert_allclose(*apart, atol=1e-3)  # the upper body's own shape
    high, wanted = (pose[:, :, 7:, 1] - pose[:, :, :1, 1] for pose in (found, upper))
    np.testing.assert_allclose(high, wanted, atol=1e-6)  # and upright as it was
    assert (forward(found) > 0).all()
    # With its own legs, turned about the vertical and moved, it is what it was.
    again = turned(upper, ABOUT_VERTICAL)
    np.testing.assert_allclose(bodies.recombine(again, upper), again, atol=1e-5)


def test_limbs_stand_to_another_trunk_as_they_stood_to_their_own() -> None:
    pose, donor = walker(30, 1), walker(30, 2, "Greeting")
    pose, donor = windows(*[pose] * 40), windows(*[donor] * 40)
    found = bodies.transplant(pose, donor, Draw([0]))
    kinds = set()
    for one, whole, other in zip(found, pose, donor, strict=True):
        moved = tuple(np.flatnonzero(~np.isclose(one, whole, atol=1e-6).all(axis=(0, 2))).tolist())
        kinds.add(moved)
        for limb, part in ((bodies.ARMS, bodies.CHEST), (bodies.LEGS, bodies.PELVIS)):
            for root, *joints in limb:
                if joints[0] in moved:
                    local = [(p[:, joints] - p[:, root, None]) @ bodies.axes_of(p[None], part)[0] for p in (one, other)]
                    np.testing.assert_allclose(*local, atol=1e-5)
    assert kinds == {(12, 13, 15, 16), (15, 16), (12, 13), (2, 3, 5, 6)}
    # The limbs of the same person, lying somewhere, are the person's own.
    lying = turned(donor, np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]))
    np.testing.assert_allclose(bodies.transplant(lying, donor, Draw([0])), lying, atol=1e-5)


def test_on_the_way_between_two_poses() -> None:
    one, two = windows(*[walker(60, 1)] * 30), windows(*[walker(60, 4, "Sitting")] * 30)
    found = bodies.on_the_way(one, two, 25.0, Draw([0]))
    np.testing.assert_allclose(bones(found), bones(one), atol=1e-4)
    np.testing.assert_array_equal(found[:, :, 0], one[:, :, 0])
    thigh = (found[..., 2, :] - found[..., 1, :])[..., 1] / torch.from_numpy(
        bones(found)[..., 1]
    )  # -1: upright, 0: as of one who sits
    assert thigh.min() < -0.9
    assert thigh.max() > -0.4
    own = bodies.on_the_way(
        one, turned(one, ABOUT_VERTICAL), 25.0, Draw([0])
    )  # from a pose to itself, whatever it faces
    np.testing.assert_allclose(own, one, atol=0.02)
    still = one[:, :1].expand(-1, 60, -1, -1)
    speed = bodies.on_the_way(still, two[:, :1].expand(-1, 60, -1, -1), 25.0, Draw([1])).diff(dim=1).norm(dim=-1) * 25
    assert 0.01 < speed.max() < 5  # nothing jumps


def test_bones_that_point_apart_turn_all_the_way_round() -> None:
    """An arm that hangs and an arm that is raised: on the way between them it is never shorter, and never jumps."""
    raised = STANDING.copy()
    for arm in ((11, 12, 13), (14, 15, 16)):
        raised[list(arm[1:])] = 2 * raised[arm[0]] - raised[list(arm[1:])]
    one, two = (torch.from_numpy(pose).expand(20, 75, 17, 3) for pose in (STANDING, raised))
    found = bodies.on_the_way(one, two, 25.0, Draw([3]))
    np.testing.assert_allclose(bones(found), bones(one), atol=1e-4)
    assert (found.diff(dim=1).norm(dim=-1) * 25).max() < 6


def angles(pose: Tensor) -> Tensor:
    """How far right and left knees and elbows are bent (B, F, 4), radians."""
    bone = bodies.bones_of(pose)
    above, below = (bodies.unit(bone[:, :, [pair[end] for pair in bodies.HINGES]]) for end in (0, 1))
    return torch.acos((above * below).sum(-1).clamp(-1, 1))


def backwards(pose: Tensor) -> Tensor:
    """How far knees and elbows are bent to the wrong side (B, F, 4): the sine."""
    bone = bodies.bones_of(pose)
    return (bodies.unit(bone[:, :, [pair[1] for pair in bodies.HINGES]]) * bodies.fronts(bone)).sum(-1)


@pytest.mark.parametrize("action", ["Walking", "Sitting", "Greeting"])
def test_captured_knees_and_elbows_bend_to_their_own_side(action: str) -> None:
    """What the code takes for the wrong side is so for people who walk, sit and wave."""
    assert backwards(windows(walker(100, 1, action))).max() < 0.1


def test_knees_and_elbows_stay_hinges() -> None:
    wrong = walker(40, 1).copy()
    for joint, parent, side in ((3, 2, 1), (6, 5, 1), (13, 12, -1), (16, 15, -1)):  # feet forward, hands back
        wrong[:, joint] = wrong[:, parent] + side * 0.4 * (wrong[:, 9] - wrong[:, 8]) / 0.1 * [1, 0, 1]
    pose = windows(wrong)
    assert (backwards(pose).amax(dim=1) > 0.3).all()
    found = bodies.joints_of(bodies.keep_hinges(bodies.bones_of(pose)))
    np.testing.assert_allclose(bones(found), bones(pose), atol=1e-5)
    assert backwards(found).max() < 0.35
    right = windows(walker(40, 1))
    np.testing.assert_allclose(bodies.joints_of(bodies.keep_hinges(bodies.bones_of(right))), right, atol=1e-5)


def test_flexed_limbs_are_more_or_less_bent_in_their_own_plane() -> None:
    pose = windows(*[walker(60, 1)] * 20, *[walker(60, 2, "Sitting")] * 20)
    found = bodies.flex(pose, 25.0, Draw([0]))
    np.testing.assert_allclose(bones(found), bones(pose), atol=1e-5)
    rest = [0, 1, 2, 4, 5, *range(7, 13), 14, 15]
    np.testing.assert_allclose(found[:, :, rest], pose[:, :, rest], atol=1e-5)
    before, after = angles(pose), angles(found)
    assert (after < before - 0.1).any(dim=1).any(dim=0).all()
    assert (after > before + 0.1).any(dim=1).any(dim=0).all()
    assert after.max() <= bodies.MOST_BENT + 1e-3
    assert backwards(found).max() < 0.15
    bone, other = (bodies.bones_of(p) for p in (pose, found))
    across = torch.linalg.cross(bone[:, :, 2], bone[:, :, 3])  # the axis of the right knee
    bent = before[..., 0] > 0.5
    leaves = (bodies.unit(across) * bodies.unit(other[:, :, 3])).sum(-1)[bent]
    assert leaves.abs().max() < 0.25
    assert (found - pose).diff(dim=1).norm(dim=-1).max() < 0.15  # slowly, metres per frame


def test_bent_limbs_keep_their_length_and_their_limits() -> None:
    pose = windows(*[walker(75, 1)] * 40)
    found = bodies.bend(pose, 25.0, Draw([0]))
    np.testing.assert_allclose(bones(found), bones(pose), atol=1e-5)
    np.testing.assert_allclose(found[:, :, [0, 1, 4, 7]], pose[:, :, [0, 1, 4, 7]], atol=1e-6)
    moved = (found - pose).norm(dim=-1).mean(dim=(0, 1))
    assert (moved[[2, 3, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16]] > 1e-3).all()
    assert (found - pose).norm(dim=-1).max() < 1.5
    assert 1e-3 < (found - pose).diff(dim=1).abs().max() < 0.15
    np.testing.assert_allclose(angles(found), angles(pose), atol=2e-3)  # limbs turn as a whole
    for part, joints in ((bodies.PELVIS, (1, 4)), (bodies.CHEST, (14, 11))):
        axes = bodies.axes_of(found, part)
        for joint in joints:
            direction = bodies.unit(found[:, :, joint + 1] - found[:, :, joint])[:, :, None] @ axes  # (B, F, 1, 3)
            outward = direction[..., 0] * (-1 if joint in H36M.right else 1)
            assert outward.min() > bodies.INWARD[joint] - 0.3  # the trunk has turned a little since
            assert direction[..., 2].min() > bodies.BACKWARD[joint] - 0.3


def test_bones_are_as_long_as_asked_for() -> None:
    pose = windows(walker(30, 1), walker(30, 2), walker(30, 7, "Sitting"))
    same = replace(WILD_TEST, bone_spread=(0.0, 0.0))
    found = bodies.redraw_bones(pose, torch.tensor([False, True, False]), same, Draw([0]))
    np.testing.assert_allclose(bones(found)[[0, 2]], np.broadcast_to(BONES[1:], (2, 30, 16)), atol=1e-5)
    np.testing.assert_allclose(found[1], pose[1], atol=1e-6)
    for part, joint in enumerate(PARENTS[1:]):  # bones point where they did
        one, other = ((p[:, :, part + 1] - p[:, :, joint]) for p in (found, pose))
        np.testing.assert_allclose((one * other).sum(-1), one.norm(dim=-1) * other.norm(dim=-1), rtol=1e-4)
    legs = (np.array(BONES)[[2, 3, 5, 6]] / bones(pose)[0, 0, [1, 2, 4, 5]]).mean()
    np.testing.assert_allclose(found[0, :, 0], pose[0, :, 0] * legs, rtol=1e-4)  # longer legs go further


def people(what: Wild) -> np.ndarray:
    """Lengths (4000, 16) of the bones of 4000 people."""
    pose = torch.from_numpy(STANDING).expand(4000, 1, 17, 3)
    return bones(bodies.redraw_bones(pose, torch.zeros(4000, dtype=torch.bool), what, Draw([0])))[:, 0]


def test_bodies_vary_as_asked_for() -> None:
    length = people(replace(WILD_TEST, bone_spread=(0.06, 0.03)))
    np.testing.assert_allclose(length, length[:, [joint - 1 for joint in MIRRORED[1:]]], rtol=1e-4)
    ratio = length / BONES[1:]
    np.testing.assert_allclose(ratio.mean(axis=0), 1, atol=0.005)
    np.testing.assert_allclose(ratio.std(axis=0), np.hypot(0.06, 0.03), rtol=0.06)
    size = np.corrcoef(ratio[:, 1], ratio[:, 9])[0, 1]  # of thigh and head: what they share is the person's size
    assert size == pytest.approx(0.06**2 / (0.06**2 + 0.03**2), abs=0.05)
    assert 0.75 < ratio.min() < ratio.max() < 1.25


def test_people_of_any_size_and_build() -> None:
    still = replace(WILD_TEST, bone_spread=(0.0, 0.0))
    ratio = people(replace(still, sizes=1.0)) / BONES[1:]
    np.testing.assert_allclose(
        ratio, np.broadcast_to(ratio[:, :1], ratio.shape), rtol=1e-4
    )  # children are small adults here
    tall = ratio[:, 0] * bodies.ADULT
    assert (tall.min(), tall.max()) == (pytest.approx(1.2, abs=0.01), pytest.approx(2.1, abs=0.01))
    ratio = people(replace(still, build_spread=0.05)) / BONES[1:]
    for group, spread in zip(bodies.GROUPS, (0.05, 0.05, 0.05, 0.1), strict=True):
        part = ratio[:, [joint - 1 for joint in group]]
        np.testing.assert_allclose(part, np.broadcast_to(part[:, :1], part.shape), rtol=1e-4)
        assert part.std() == pytest.approx(spread * 0.96, rel=0.05)  # cut off at twice


def draw(what: Wild, count: int = 12, frames: int = 21, seed: int = 0) -> Tensor:
    bank, clip = MotionBank(TRAIN, FPS), torch.arange(count) % 2
    return bodies.draw_motion(bank, clip, torch.full((count,), 40.0), frames, FPS, what, Draw([seed]))


def test_mirrored_twice_is_what_it_was() -> None:
    plain, mirrored = draw(WILD_TEST), draw(replace(WILD_TEST, mirrored=1.0))
    np.testing.assert_array_equal(mirrored[:, :, MIRRORED] * torch.tensor([-1.0, 1, 1]), plain)
    assert (forward(mirrored) > 0).all()  # whose left is still the left
    assert not np.allclose(mirrored[..., 0], plain[..., 0], atol=0.01)


def test_nothing_is_changed_in_a_test_set_but_bones() -> None:
    found = draw(WILD_TEST).numpy()
    for window, clip in zip(found, [TRAIN[0], TRAIN[1]] * 6, strict=True):
        if clip.own_bones:
            np.testing.assert_allclose(window, clip.pose[30:51], atol=1e-5)
        else:
            cosine = (window - window[:, PARENTS]) * (clip.pose - clip.pose[:, PARENTS])[30:51]
            product = bones(window) * bones(clip.pose[30:51])
            np.testing.assert_allclose(cosine.sum(-1)[:, 1:], product, rtol=1e-4)
    assert np.ptp(bones(found)[1::2, 0], axis=0).min() > 0.005  # another body each


@pytest.mark.parametrize("part", ["slow", "recombined", "limbs", "bent", "flexed", "bodies"])
def test_each_part_changes_motion_and_leaves_people(part: str) -> None:
    plain = replace(Wild().without(PARTS), own_bones=1.0, mirrored=0.0, bone_spread=(0.0, 0.0))
    on = {name: 1.0 if name != "build_spread" else 0.05 for name in PARTS[part]}
    one, other = draw(plain, 24), draw(replace(plain, **on), 24)
    assert other.isfinite().all()
    length = bones(other)
    np.testing.assert_allclose(length, np.broadcast_to(length[:, :1], length.shape), atol=1e-3)  # rigid
    assert (forward(other) > 0).mean() > 0.95
    shape = [p - p[:, :, :1] for p in (one, other)]
    assert not np.allclose(*shape, atol=0.02)


# Cameras.


def test_cameras() -> None:
    world = torch.from_numpy(STANDING).expand(800, 3, 17, 3)
    plain = replace(AS_TRAINED, tumbled=0.0, steep=0.0)
    pose, size, focal, up = shoot(world, plain, Draw([0]))
    assert pose.dtype == torch.float32
    np.testing.assert_allclose(bones(pose), bones(world), atol=1e-5)
    np.testing.assert_allclose(forward(pose), forward(world), rtol=1e-3)  # no mirrored world
    np.testing.assert_allclose(bodies.unit(pose[:, 0, 8] - pose[:, 0, 0]), up, atol=1e-4)  # these stand
    pitch, roll = torch.rad2deg(torch.asin(up[:, 2])).neg(), torch.rad2deg(torch.atan2(up[:, 0], -up[:, 1]))
    low, high = AS_TRAINED.pitch
    assert low - 0.01 < pitch.min() < low + 2  # looking down brings the head nearer
    assert high - 2 < pitch.max() < high + 0.01
    assert roll.std() == pytest.approx(AS_TRAINED.roll, rel=0.1)
    assert roll.abs().max() < 3 * AS_TRAINED.roll + 0.01
    across = pose[:, 0, 4] - pose[:, 0, 1]
    assert (
        np.histogram(torch.atan2(across[:, 2], across[:, 0]), bins=8, range=(-np.pi, np.pi))[0].min() > 50
    )  # from all around
    field = torch.rad2deg(2 * torch.arctan(size.amax(dim=1) / 2 / focal))
    assert field.min() > AS_TRAINED.field_of_view[0] - 1e-4
    assert field.max() < AS_TRAINED.field_of_view[1] + 1e-4
    assert {tuple(one) for one in size.int().tolist()} == set(SIZES)
    assert pose[:, 1, 0, 2].min() >= AS_TRAINED.distance[0] - 1e-5


def test_cameras_from_above_and_below_and_bodies_turned_freely() -> None:
    world = torch.from_numpy(STANDING).expand(2000, 3, 17, 3)
    pose, _, _, up = shoot(world, replace(AS_TRAINED, tumbled=0.0, steep=1.0), Draw([0]))
    np.testing.assert_allclose(bodies.unit(pose[:, 0, 8] - pose[:, 0, 0]), up, atol=1e-4)
    counts = np.histogram(up[:, 2], bins=8, range=(-1, 1))[0]  # evenly over the sphere
    assert counts.min() > 0.8 * 250
    pose, _, _, up = shoot(world, replace(AS_TRAINED, tumbled=1.0, steep=0.0), Draw([0]))
    assert (up == 0).all()  # which nothing tells
    trunk = bodies.unit(pose[:, 0, 8] - pose[:, 0, 0])
    np.testing.assert_allclose(trunk.mean(dim=0), 0, atol=0.05)
    np.testing.assert_allclose(trunk.T @ trunk / 2000, np.eye(3) / 3, atol=0.03)
    np.testing.assert_allclose(bones(pose), bones(world), atol=1e-5)
    np.testing.assert_allclose(forward(pose), forward(world), rtol=1e-3)


@pytest.mark.parametrize("step", [0.0, 0.5])
def test_people_are_in_front_of_the_camera_and_in_the_picture(step: float) -> None:
    """Also those who walk towards it: half a metre per frame, eight metres in all."""
    path = np.arange(17, dtype=np.float32)[:, None, None] * np.array([step, 0, 0], np.float32)
    pose, size, focal, _ = shoot(torch.from_numpy(STANDING + path).expand(400, -1, -1, -1), AS_TRAINED, Draw([1]))
    assert pose[..., 2].min() >= NEAREST - 1e-4
    assert (pose[..., 2].amin(dim=(1, 2)) < NEAREST + 1e-4).any() == (step > 0)
    root = pose[:, 8, 0, :2] / pose[:, 8, 0, 2:] * focal[:, None] + size / 2
    assert (root >= -0.01).all()
    assert (root <= size + 0.01).all()
    pixels = pose[:, 8, :, :2] / pose[:, 8, :, 2:] * focal[:, None, None] + size[:, None] / 2
    inside = ((pixels >= 0) & (pixels <= size[:, None])).all(dim=-1)
    assert inside.float().mean() > 0.95


# The detector.


def standing(count: int, frames: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """People who stand still, 3 to 12 m away, camera space (B, F, 17, 3), with sizes (B, 2) and focal lengths (B,)."""
    pose = STANDING * np.array([1, -1, -1], np.float32) - np.array([0, -1, 0], np.float32)
    distance = np.random.default_rng(seed).uniform(3, 12, (count, 1, 1, 1)).astype(np.float32) * np.array(
        [0, 0, 1], np.float32
    )
    pose = torch.from_numpy(np.repeat(pose + distance, frames, axis=1))
    return pose, torch.tensor([1280.0, 720.0]).expand(count, 2), torch.full((count,), 1200.0)


def project(pose: np.ndarray | Tensor, size: np.ndarray | Tensor, focal: np.ndarray | Tensor) -> np.ndarray:
    """Camera space (B, F, 17, 3) -> pixels (B, F, 17, 2) of a pinhole camera."""
    pose, size, focal = (np.asarray(values, np.float64) for values in (pose, size, focal))
    return pose[..., :2] / pose[..., 2:] * focal[:, None, None, None] + size[:, None, None] / 2


def errors(seen: np.ndarray | Tensor, view: tuple) -> np.ndarray:
    """Of the detector, in heights of the person in the picture: (B, F, 17, 2)."""
    true = project(*view)
    return (np.asarray(seen)[..., :2] - true) / numpy_box(true)[1][:, None, None, None]


@pytest.mark.usefixtures("quiet")
def test_pixels_are_the_pinhole_projection_of_the_pose() -> None:
    view = shoot(draw(AS_TRAINED, 40), AS_TRAINED, Draw([0]))[:3]
    seen = observe(*view, FPS, EXACT, Draw([0]))
    assert seen.shape == (40, 21, 17, 3)
    assert seen.dtype == torch.float32
    np.testing.assert_allclose(seen[..., :2], project(*view), rtol=1e-4, atol=0.05)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("fps", [50.0, 25.0])
def test_errors_are_as_large_as_the_detector_s(fps: float) -> None:
    bias, drift, white = detector_noise.BIAS, detector_noise.DRIFT, detector_noise.WHITE
    correlation = detector_noise.CORRELATION ** (detector_noise.REFERENCE_FPS / fps)
    view = standing(300, 80)
    error = errors(observe(*view, fps, WILD_TEST, Draw([0])), view)
    assert abs(error.mean()) < 0.0005
    assert error.std() == pytest.approx(np.sqrt(bias**2 + drift**2 + white**2), rel=0.03)
    assert (error[:, 0] * error[:, -1]).mean() == pytest.approx(bias**2, rel=0.1)  # what stays
    change = np.diff(error, axis=1)
    assert change.std() == pytest.approx(np.sqrt(2 * drift**2 * (1 - correlation) + 2 * white**2), rel=0.02)
    larger = errors(observe(*view, fps, replace(WILD_TEST, noise=(1.7, 1.7)), Draw([0])), view)
    np.testing.assert_allclose(larger, 1.7 * error, atol=2e-5)
    uneven = errors(observe(*view, fps, replace(WILD_TEST, uneven=(0.5, 2.0)), Draw([0])), view)
    ratio = (uneven * error).sum(axis=(1, 3)) / (error**2).sum(axis=(1, 3))  # (B, 17), each joint's own
    np.testing.assert_allclose(uneven, error * ratio[:, None, :, None], atol=1e-3)
    assert (ratio.min(), ratio.max()) == (pytest.approx(0.5, abs=0.01), pytest.approx(2, abs=0.02))


def test_scores_fall_with_the_error_and_some_joints_are_far_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_noise, "SWAP_RATE", 0.0)
    view = standing(300, 100)
    seen = observe(*view, FPS, WILD_TEST, Draw([0])).numpy()
    score, error = seen[..., 2], np.linalg.norm(errors(seen, view), axis=-1)
    assert 0 < score.min() < score.max() == 1
    bins = [0, 0.01, 0.02, 0.04, 0.08, 0.15, 0.5]
    means = [score[(error >= low) & (error < high)].mean() for low, high in itertools.pairwise(bins)]
    assert means == sorted(means, reverse=True)
    assert means[0] > 0.9
    assert means[-1] < 0.3
    off = error > 0.07
    expected = detector_noise.chance_of(detector_noise.OUTLIER_RATE, 100 / FPS)
    assert off.any(axis=1).mean() == pytest.approx(expected, rel=0.15)  # of joints and windows
    assert error.max() < detector_noise.OUTLIER_DISTANCE[1] + 0.1


def test_in_long_clips_errors_are_as_frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_noise, "SWAP_RATE", 0.0)
    short, long = (
        (detector_noise.outliers((count, frames, 17), FPS, Draw([0])) != 0).float().mean()
        for count, frames in ((3000, 45), (9, 15000))
    )
    assert float(long) == pytest.approx(float(short), rel=0.15)


def swapped_sides(seen: Tensor, view: tuple) -> np.ndarray:
    """Which joints are seen where their twins are (B, F, 17); all are seen where they or their twins are."""
    true = project(*view)
    own, other = (np.isclose(seen[..., :2], pixels, atol=0.05).all(axis=-1) for pixels in (true, true[:, :, MIRRORED]))
    assert (own | other).all()
    assert own[:, :, [0, 7, 8, 9, 10]].all()
    return ~own


def test_sides_are_swapped_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_noise, "OUTLIER_RATE", 0.0)
    monkeypatch.setattr(detector_noise, "turns", lambda rate, _: [0.99] if rate else [0.0])
    view = standing(200, 100)
    swapped = swapped_sides(observe(*view, FPS, EXACT, Draw([0])), view)
    for group in detector_noise.SWAP_GROUPS:
        together = swapped[:, :, list(group)]
        assert (together == together[..., :1]).all()
        assert together.any(axis=(1, 2)).mean() > 0.9
        assert together[..., 0].sum(axis=1).max() <= detector_noise.SWAP_SECONDS[1] * FPS + 1


@pytest.mark.usefixtures("quiet")
def test_sides_are_swapped_for_long_with_low_and_with_high_scores() -> None:
    view = standing(400, 100)
    seen = observe(*view, FPS, replace(EXACT, swapped=1.0), Draw([0]))
    swapped = swapped_sides(seen, view)
    kinds = {tuple(np.flatnonzero(one)) for one in swapped.any(axis=1)}
    legs, arms = (tuple(sorted(group)) for group in detector_noise.SWAP_GROUPS)
    assert {legs, arms, (*legs, *arms)} <= kinds <= {(), legs, arms, (*legs, *arms)}
    assert np.median(swapped.any(axis=-1).sum(axis=1)) > 0.5 * FPS
    low = np.array(
        [
            score[where].mean() if where.any() else np.nan
            for score, where in zip(seen[..., 2].numpy(), swapped, strict=True)
        ]
    )
    low = low[~np.isnan(low)]
    assert 0.3 < (low > 0.9).mean() < 0.7
    assert (low < 0.5).mean() > 0.2


@pytest.mark.usefixtures("quiet")
def test_limbs_go_astray() -> None:
    view = standing(600, 60)
    seen = observe(*view, FPS, replace(EXACT, astray=1.0), Draw([0]))
    error = np.linalg.norm(errors(seen, view), axis=-1)  # (B, F, 17)
    limbs = [tuple(np.flatnonzero(one)) for one in (error > 1e-3).any(axis=1)]
    assert set(limbs) <= {
        (),
        (2, 3),
        (5, 6),
        (12, 13),
        (15, 16),
        (3,),
        (6,),
        (13,),
        (16,),
        (12,),
        (15,),
        (2,),
        (5,),
    }  # of one limb, never its root
    arms = np.mean([bool({12, 13, 15, 16} & set(limb)) for limb in limbs])
    assert 0.65 < arms < 0.85
    assert 0.1 < np.quantile(error.max(axis=(1, 2)), 0.8) < 1
    true, far = project(*view), error[:, 30].max(axis=-1) > 0.05
    on_the_other = np.isclose(seen[:, 30, :, :2], true[:, 30, MIRRORED], atol=0.1).all(axis=-1) & (error[:, 30] > 0.05)
    assert 0.1 < on_the_other.any(axis=-1)[far].mean() < 0.6
    score = seen[..., 2].numpy()
    worst = np.array([score[i, 30][error[i, 30] > 0.05].mean() for i in np.flatnonzero(far)])
    assert 0.3 < (worst > 0.9).mean() < 0.7  # a detector may be sure of itself
    assert (np.abs(np.diff(error, axis=1)).max(axis=(1, 2)) < 1).all()


def test_spells() -> None:
    draw = Draw([0])
    for chance in (0.0, 0.3, 1.0):
        found = detector_noise.spells(chance, (0.2, 0.6), 100, 50.0, draw, 2000, 2).numpy()  # 10 to 30 frames
        assert found.shape == (2000, 100, 2)
        assert found.any(axis=1).mean() == pytest.approx(chance, abs=0.02)
        # One in each at most, which may begin before and end after.
        starts = (np.diff(found.astype(int), axis=1, prepend=0) == 1).sum(axis=1)
        assert starts.max(initial=0) <= 1
        assert found.sum(axis=1).max() <= 31
        long = np.linspace(10, 30, 1000)
        assert found.mean() == pytest.approx(chance * (long / (100 + long)).mean(), rel=0.05)
    whole = detector_noise.spells(1.0, (0.2, 0.2), 100, 50.0, draw, 500).sum(dim=1)
    assert whole.median() == 10
    assert detector_noise.chance_of(0.5, 2) == pytest.approx(1 - np.exp(-1))
    soft = detector_noise.soft_spells(1.0, (0.4, 0.4), 100, 50.0, draw, 500)
    assert (soft.min(), soft.max()) == (0, 1)
    assert ((soft > 0) & (soft < 1)).any(dim=1).float().mean() > 0.5


@pytest.mark.usefixtures("quiet")
def test_missing_joints_have_no_score() -> None:
    view = standing(200, 50)
    assert (observe(*view, FPS, WILD_TEST, Draw([0]))[..., 2] > 0).all()
    missing = replace(WILD_TEST, missing=1.0, unscored=0.5)
    seen = observe(*view, FPS, missing, Draw([0]))
    gone = (seen[..., 2] == 0).numpy()
    assert gone.any(axis=(1, 2)).mean() > 0.8
    assert 0.02 < gone.mean() < 0.3
    limbs = {tuple(np.flatnonzero(one)) for one in gone.any(axis=1)}
    assert set(bodies.LIMBS) <= limbs
    assert (in_box(seen)[gone] == 0).all()


def cut_windows(guessed: float) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """What is seen, where it is, and which joints (B, 17) are missing or guessed."""
    view = standing(300, 20)
    seen = observe(*view, FPS, replace(EXACT, cut=1.0, guessed=guessed), Draw([0]))
    return seen, project(*view)[:, 0], (seen[..., 2].mean(dim=1) < 0.65).numpy()


@pytest.mark.usefixtures("quiet")
def test_the_edge_of_the_picture_cuts_one_side() -> None:
    seen, true, low = cut_windows(0.0)
    assert low.any(axis=1).all()
    assert not low.all(axis=1).any()
    edges = []
    for pixels, beyond, window in zip(true, low, seen.numpy(), strict=True):
        sides = {"bottom": pixels[:, 1], "top": -pixels[:, 1], "left": -pixels[:, 0], "right": pixels[:, 0]}
        cut = [name for name, along in sides.items() if along[beyond].min() >= along[~beyond].max() - 0.01]
        assert cut
        edges.append(cut[0])
        np.testing.assert_allclose(
            window[:, ~beyond, :2], np.broadcast_to(pixels[~beyond], (20, (~beyond).sum(), 2)), atol=0.05
        )
    assert edges.count("bottom") > 150
    assert set(edges) == {"bottom", "top", "left", "right"}
    assert 0.2 < (seen[..., 2] == 0).any(dim=1).any(dim=1).float().mean() < 0.6  # the others are guessed


@pytest.mark.usefixtures("quiet")
def test_legs_out_of_the_picture_are_guessed_straight_down() -> None:
    seen, true, low = cut_windows(1.0)
    legs = [3, 6]
    cut = low[:, legs].all(axis=1) & ~low[:, :2].any(axis=1) & (seen[..., 2] > 0).all(dim=1).all(dim=1).numpy()
    assert cut.mean() > 0.3
    foot, hip = seen[cut][:, :, legs, 1].numpy(), true[cut][:, None, [1, 4], 1]
    tall = np.ptp(true[cut][..., 1], axis=-1)[:, None, None]
    below = (foot - hip) / tall
    assert 0.2 < below.min() < below.max() < 1
    assert below.std() > 0.03


@pytest.mark.usefixtures("quiet")
def test_frozen_joints_followed_people_and_other_definitions() -> None:
    view = standing(100, 50)
    seen = observe(*view, FPS, replace(WILD_TEST, frozen=1.0), Draw([0]))
    still = (seen[..., :2].diff(dim=1) == 0).all(dim=-1).any(dim=1).numpy()  # (B, 17), in spite of the noise
    assert still.any(axis=1).mean() > 0.8
    assert {tuple(np.flatnonzero(one)) for one in still} <= {(), *bodies.LIMBS}

    assert (observe(*view, FPS, replace(WILD_TEST, unscored=1.0), Draw([0]))[..., 2] == 1).all()

    offset = errors(observe(*view, FPS, replace(EXACT, definitions=1.0), Draw([0])), view)
    np.testing.assert_allclose(
        offset, np.broadcast_to(offset[:, :1], offset.shape), atol=1e-4
    )  # of those who stand still
    far = np.linalg.norm(offset, axis=-1).max(axis=(0, 1))
    same = np.isin(np.arange(17), [2, 3, 5, 6, 12, 13, 15, 16])  # knees, ankles, elbows, wrists
    assert far[same].max() < 1e-4
    assert 0.005 < far[~same].min() < far[~same].max() < 0.2

    pose = view[0] + torch.linspace(-1, 1, 50)[:, None, None] * torch.tensor([1.0, 0, 0])
    seen = observe(pose, *view[1:], FPS, replace(EXACT, followed=1.0), Draw([0])).numpy()
    true = project(pose, *view[1:])
    np.testing.assert_allclose(seen[:, 25, :, :2], true[:, 25], atol=0.05)
    share = np.ptp(seen[:, :, 0, 0], axis=1) / np.ptp(true[:, :, 0, 0], axis=1)
    assert share.max() < 0.51
    assert share.min() < 0.1


# Films of other frame rates.


@pytest.mark.parametrize("rate", [15.0, 23.976, 30.0, 60.0])
def test_a_film_of_another_rate_is_brought_back_as_the_lifter_does_it(rate: float) -> None:
    frames = 51
    to_film, from_film = film_weights(frames, 25.0, rate, torch.device("cpu"))
    count = math.floor((frames - 1) * rate / 25) + 1
    assert to_film.shape == (count, frames)
    np.testing.assert_allclose(to_film.sum(dim=1), 1, atol=1e-5)
    np.testing.assert_allclose(from_film.sum(dim=1), 1, atol=1e-5)
    line = torch.arange(frames).float()
    inner = slice(4, -4)
    np.testing.assert_allclose((from_film @ (to_film @ line))[inner], line[inner], atol=0.3)
    seen = torch.rand(1, count, 17, 3, generator=torch.Generator().manual_seed(0))
    seen[..., 2] *= torch.rand(1, count, 17, generator=torch.Generator().manual_seed(1)) > 0.1
    if (frames - 1) * rate % 25 == 0:  # the film begins and ends with the window, as clips do
        wanted = resample_2d(seen[0].numpy().astype(np.float64), frames)
        np.testing.assert_allclose(resample(seen, from_film)[0, inner], wanted[inner], atol=1e-4)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("rate", [15.0, 60.0])
def test_films_show_the_same_motion(rate: float) -> None:
    pose, size, focal = standing(20, 45)
    pose = pose + 0.3 * torch.sin(torch.arange(45) / 10)[:, None, None] * torch.tensor([1.0, 0, 0])
    film = replace(EXACT, film=1.0, film_fps=(rate, rate))
    error = np.linalg.norm(errors(observe(pose, size, focal, 25.0, film, Draw([0])), (pose, size, focal)), axis=-1)
    assert error[:, 4:-4].max() < 0.005
    assert error[:, 4:-4].max() > 1e-6
    missing = observe(pose, size, focal, 25.0, replace(film, missing=1.0), Draw([0]))
    assert missing.isfinite().all()
    assert 0.02 < (missing[..., 2] == 0).float().mean() < 0.3


# The data set.


def dataset(what: Wild = AS_TRAINED, frames: int = 27, stride: int = 6, seed: int = 1) -> WildDataset:
    return WildDataset(TRAIN, FPS, WILD.normaliser, frames, stride, seed, what)


def test_the_same_seed_epoch_and_items_give_the_same_batch() -> None:
    items = np.array([3, 0, 20, 7])
    one, other = dataset(), dataset()
    first = one[items]
    assert identical(list(first), list(other[items]))
    one.epoch = 2
    second = one[items]
    one.epoch = 0
    torch.rand(3)  # what others draw changes nothing
    assert identical(list(first), list(one[items]))
    for changed in (second, dataset(seed=2)[items], one[items[::-1].copy()]):
        assert not torch.equal(changed.pose_2d, first.pose_2d)
        assert not torch.equal(changed.pose_3d, first.pose_3d)


def test_an_epoch_sees_all_motion_by_its_weight() -> None:
    data = dataset(stride=6)
    assert len(data) == math.ceil((120 + 90 + 20) / 6)
    clips = data[np.arange(len(data))].sequence
    np.testing.assert_allclose(torch.bincount(clips), [20, 15, 3], atol=1.5)
    heavy = [replace(clip, weight=weight) for clip, weight in zip(TRAIN, (0, 1, 9), strict=True)]
    data = WildDataset(heavy, FPS, WILD.normaliser, 27, 1, 1, AS_TRAINED)
    assert len(data) == 230
    np.testing.assert_allclose(torch.bincount(data[np.arange(230)].sequence), [0, 230 / 3, 2 * 230 / 3], atol=1.5)
    plain = WildDataset(heavy, FPS, WILD.normaliser, 27, 1, 1, AS_TRAINED.without(["content"]))
    np.testing.assert_allclose(torch.bincount(plain[np.arange(230)].sequence), [120, 90, 20], atol=1.5)
    assert len(dataset(stride=1000)) == 1


@pytest.mark.parametrize(
    "items", [5, np.array([5]), np.arange(38), np.array([37, 37, 0])], ids=["int", "one", "all", "repeated"]
)
def test_batches_of_any_items(items: np.ndarray | int) -> None:
    batch, count = dataset()[items], np.size(items)
    assert batch.pose_2d.shape == (count, 27, 17, 3)
    assert batch.pose_3d.shape == (count, 27, 17, 3)
    assert (batch.sequence.shape, batch.start.shape, batch.focal.shape, batch.up.shape) == (
        (count,),
        (count,),
        (count,),
        (count, 3),
    )
    assert batch.pose_2d.dtype == batch.pose_3d.dtype == torch.float32
    assert batch.pose_2d.isfinite().all()
    assert batch.pose_3d.isfinite().all()
    assert (batch.pose_2d[..., 2] >= 0).all()
    assert (batch.pose_2d[..., 2] <= 1).all()
    assert (batch.pose_2d[batch.pose_2d[..., 2] == 0] == 0).all()
    assert batch.pose_2d[..., :2].abs().max() < 20


@pytest.mark.parametrize("part", PARTS)
def test_each_part_can_be_left_out(part: str) -> None:
    """And is one: without it, other batches come out."""
    heavy = [replace(clip, weight=weight) for clip, weight in zip(TRAIN, (1, 1, 9), strict=True)]
    chances = {name for fields in PARTS.values() for name in fields if isinstance(getattr(AS_TRAINED, name), float)}
    often = replace(AS_TRAINED, **dict.fromkeys(chances, 1.0) | {"cut": 1.0, "build_spread": 0.05, "slow": 0.3})
    whole, less = (
        WildDataset(heavy, FPS, WILD.normaliser, 9, 6, 1, what)[np.arange(30)]
        for what in (often, often.without([part]))
    )
    assert not torch.equal(whole.pose_2d, less.pose_2d)
    assert less.pose_2d.isfinite().all()


def test_parts_of_unknown_names() -> None:
    with pytest.raises(InputError, match="--without names 'arms'; it may name content, slow"):
        Wild().without(["slow", "arms"])
    assert Wild().without([]) == Wild()


def test_the_box_is_the_normaliser_s() -> None:
    seen = dataset(replace(AS_TRAINED, missing=1.0))
    draw = Draw([0])
    shot = shoot(
        bodies.draw_motion(seen.bank, torch.arange(60) % 3, torch.full((60,), 9.0), 27, 25.0, AS_TRAINED, draw),
        AS_TRAINED,
        draw,
    )
    pixels = observe(shot.pose, shot.size, shot.focal, 25.0, replace(AS_TRAINED, missing=1.0), draw)
    pixels[3, :, :, 2] = 0  # nobody
    pixels[4, 5:, :, 2] = 0
    pixels[5, 4:, :, 2] = 0  # an even number of frames
    found, turn = in_box(pixels), turn_to_box(pixels, shot.size / 2, shot.focal)
    for number, (window, size, focal) in enumerate(
        zip(pixels.numpy(), shot.size.numpy(), shot.focal.numpy(), strict=True)
    ):
        np.testing.assert_allclose(found[number], WILD.normaliser.apply(window, tuple(size))[..., :2], atol=1e-4)
        np.testing.assert_allclose(turn[number], WILD.normaliser.turn(window, size, focal / size.max()), atol=1e-5)
        for one, other in zip(box_of(pixels[number : number + 1, ..., :2]), numpy_box(window[..., :2]), strict=True):
            np.testing.assert_allclose(one[0], other, rtol=1e-5, atol=1e-2)


def test_targets_are_bodies_of_one_height() -> None:
    batch = dataset(replace(AS_TRAINED, tumbled=0.0, steep=0.0))[np.arange(38)]
    target = batch.pose_3d.numpy()
    assert (target[:, :, 0] == 0).all()
    np.testing.assert_allclose(body_height(target).mean(axis=1), HEIGHT, rtol=1e-4)
    length = bones(target)  # (38, 27, 16)
    np.testing.assert_allclose(length, np.broadcast_to(length[:, :1], length.shape), atol=2e-3)  # rigid
    np.testing.assert_allclose(length, length[..., [joint - 1 for joint in MIRRORED[1:]]], atol=2e-3)  # left as right
    assert (target[:, :, 10, 1] < target[:, :, 0, 1]).mean() > 0.95  # y down: heads are above hips
    np.testing.assert_allclose(batch.up.norm(dim=-1), 1, atol=1e-5)
    trunk = bodies.unit(batch.pose_3d[:, 13, 8])
    assert ((trunk * batch.up).sum(-1) > 0.6).float().mean() > 0.9  # of people who walk, stand and sit


@pytest.mark.usefixtures("quiet")
def test_targets_have_the_axes_that_the_input_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen from afar, the input is the target without its depth, up to scale; in the camera's axes it is so only in the
    middle.
    """
    data, items = dataset(replace(EXACT, distance=(9.0, 12.0), field_of_view=(70.0, 90.0))), np.arange(38)

    def misfit() -> float:
        batch = data[items]
        shown, target = (x[..., :2] - x[..., :1, :2] for x in (batch.pose_2d, batch.pose_3d))
        scale = (shown * target).sum(dim=(1, 2, 3), keepdim=True) / (target**2).sum(dim=(1, 2, 3), keepdim=True)
        return ((shown - scale * target).norm(dim=-1).mean() / (scale * target).norm(dim=-1).mean()).item()

    turned = misfit()
    monkeypatch.setattr("common.geometry.box.rotation_to", lambda ray: torch.eye(3).expand(len(ray), 3, 3))
    assert turned < 0.06
    assert turned < misfit() / 2
