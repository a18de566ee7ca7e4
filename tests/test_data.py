"""From files to batches: windows, padding, versions, order, readers, cameras."""

from __future__ import annotations

import dataclasses
import math
import tracemalloc
import weakref
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from common.data.datasets import default_keypoints, read_sequences
from common.data.motion_file import read_motion_file, write_motion_file
from common.data.pose_dataset import Batch, BatchOrder, PoseDataset, loader
from common.data.sequences import PoseSequence
from common.errors import InputError
from common.geometry.augment import VERSIONS, flip
from common.geometry.camera import (
    Camera,
    camera_to_world,
    conjugate,
    denormalise_picture,
    h36m_cameras,
    normalise_picture,
    project,
    rotate,
    unproject,
    world_to_camera,
)
from common.geometry.normalise import Normaliser
from common.geometry.skeleton import H36M, H36M_16
from common.geometry.windows import subsample, window_bounds
from tests import synthetic
from tests.rules import motion

ADMITTED = ("Walking", "Sitting", "SittingDown")


def sequence(length: int, seed: int, action: str = "Walking", channels: int = 2, joints: int = 17) -> PoseSequence:
    """A clip of random numbers: pixels in a picture of 1000 x 800, metres."""
    rng = np.random.default_rng(seed)
    pose_2d = rng.uniform(0, 800, (length, joints, channels)).astype(np.float32)
    if channels == 3:
        pose_2d[..., 2] /= 800
    pose_3d = rng.standard_normal((length, joints, 3)).astype(np.float32)
    return PoseSequence("S1", action, "cam", pose_2d, pose_3d, (1000, 800))


def dataset(
    lengths: list[int], frames: int = 9, stride: int = 9, normaliser: Normaliser | None = None, **more: object
) -> PoseDataset:
    clips = [sequence(length, number, ADMITTED[number % 3]) for number, length in enumerate(lengths)]
    return PoseDataset(clips, H36M, normaliser or Normaliser(), frames, stride, **more)


# Windows.


@pytest.mark.parametrize("frames", [3, 9, 27, 243])
@pytest.mark.parametrize("length", [1, 2, 5, 26, 27, 28, 100, 243, 500])
def test_windows_of_stride_f_hold_every_frame_once(length: int, frames: int) -> None:
    bounds = window_bounds(length, frames, frames)
    inside = [i for start, end in bounds for i in range(start, end) if 0 <= i < length]
    assert inside == list(range(length))
    assert (bounds[:, 1] - bounds[:, 0] == frames).all()
    before, after = -bounds[0, 0], bounds[-1, 1] - length
    assert 0 <= after - before <= 1 or 0 <= before - after <= 1  # centred
    assert len(bounds) == -(-length // frames)


@pytest.mark.parametrize("stride", [2, 5, 27, 81, 300])
@pytest.mark.parametrize("length", [1, 26, 27, 28, 54, 55, 101, 400])
def test_windows_by_the_formula(length: int, stride: int) -> None:
    frames = 27
    count = max(1, math.ceil((length - frames) / stride + 1))
    first = -(((count - 1) * stride + frames - length) // 2)
    assert window_bounds(length, frames, stride).tolist() == [
        [first + k * stride, first + k * stride + frames] for k in range(count)
    ]


@pytest.mark.parametrize("length", [1, 4, 9, 30])
def test_windows_of_stride_1_are_centred_on_each_frame(length: int) -> None:
    assert window_bounds(length, 9, 1).tolist() == [[i - 4, i + 5] for i in range(length)]


SUBSETS = [(100, 1, 1, 100), (100, 0.5, 1, 50), (101, 0.3, 2, 15), (7, 1, 3, 2)]


@pytest.mark.parametrize(("length", "subset", "downsample", "count"), SUBSETS)
def test_subset_and_downsample(length: int, subset: float, downsample: int, count: int) -> None:
    cut = subsample(length, subset, downsample)
    frames = list(range(length))[cut]
    assert len(frames) == count
    assert set(np.diff(frames)) <= {downsample}
    assert cut.stop <= length
    assert cut == subsample(length, subset, downsample)


def test_the_start_of_a_subset_depends_on_the_length() -> None:
    starts = {length: subsample(length, 0.5, 1).start / length for length in range(100, 140)}
    assert len(set(starts.values())) > 20
    assert min(starts.values()) < 0.1 < 0.4 < max(starts.values()) <= 0.5
    # sha256("100") begins with ad57366865126e55..., as little-endian 32 bit 0x683657ad: 0.4071 of the way.
    assert subsample(100, 0.5, 1) == slice(
        int(0x683657AD / (2**32 - 1) * 51), int(0x683657AD / (2**32 - 1) * 51) + 50, 1
    )


def test_subset_and_downsample_take_the_same_frames_of_2d_and_3d() -> None:
    clip = sequence(40, 0)
    cut = subsample(40, 0.5, 2)
    data = PoseDataset([clip], H36M, Normaliser("pixels"), 9, 9, subset=0.5, downsample=2)
    np.testing.assert_array_equal(data.pose_2d, clip.pose_2d[cut])
    np.testing.assert_array_equal(data.pose_3d, clip.pose_3d[cut])
    assert data.length.tolist() == [10]
    with pytest.raises(InputError, match=r"--subset 0\.001 and --downsample 9"):
        PoseDataset([clip], H36M, Normaliser(), 9, 9, subset=0.001, downsample=9)


# Cutting.


@pytest.mark.parametrize(("frames", "stride"), [(9, 9), (9, 1), (9, 4), (27, 27), (51, 1)])
def test_padding_repeats_the_edge_in_2d_and_3d(frames: int, stride: int) -> None:
    lengths = [20, 5, 9, 31]
    data = dataset(lengths, frames, stride, Normaliser("pixels"))
    item = 0
    for number, length in enumerate(lengths):
        clip, pad = sequence(length, number), 2 * frames
        wide = [np.pad(pose, ((pad, pad), (0, 0), (0, 0)), mode="edge") for pose in (clip.pose_2d, clip.pose_3d)]
        for start, end in window_bounds(length, frames, stride):
            got = data[item]
            np.testing.assert_array_equal(got.pose_2d[0], wide[0][start + pad : end + pad])
            np.testing.assert_array_equal(got.pose_3d[0], wide[1][start + pad : end + pad])
            assert (int(got.sequence), int(got.start)) == (number, start)
            assert data.actions[number] == ADMITTED[number % 3]
            item += 1
    assert item == data.windows == len(data)


@pytest.mark.parametrize("versions", VERSIONS)
def test_a_batch_equals_its_items(versions: tuple[bool, bool]) -> None:
    data = dataset([20, 5, 9, 31], 9, 4, flipped=versions[0], reversed_=versions[1])
    items = np.random.default_rng(0).permutation(len(data))
    batch, singles = data[items], [data[int(item)] for item in items]
    for part, name in zip(batch, Batch._fields, strict=True):
        assert torch.equal(part, torch.cat([getattr(single, name) for single in singles])), name
    assert len(batch.pose_2d) == len(data) == data.windows * len(VERSIONS[versions])


def test_versions_of_a_window() -> None:
    assert VERSIONS[True, False] == ((False, False), (True, False))
    assert VERSIONS[False, True] == ((False, False), (False, True))
    assert VERSIONS[True, True] == ((False, False), (False, True), (True, True))
    plain = dataset([20, 5])
    for flags, versions in VERSIONS.items():
        data = dataset([20, 5], flipped=flags[0], reversed_=flags[1])
        for number, (flipped, backwards) in enumerate(versions):
            for window in range(data.windows):
                pose_2d, pose_3d = plain[window].pose_2d, plain[window].pose_3d
                if flipped:
                    pose_2d, pose_3d = flip(pose_2d, H36M.mirrored), flip(pose_3d, H36M.mirrored)
                if backwards:
                    pose_2d, pose_3d = pose_2d.flip(1), pose_3d.flip(1)
                got = data[number * data.windows + window]
                assert torch.equal(got.pose_2d, pose_2d)
                assert torch.equal(got.pose_3d, pose_3d)


@pytest.mark.parametrize("skeleton", [H36M, H36M_16], ids=["17", "16"])
def test_flip(skeleton: object) -> None:
    pose = motion(2, 5, 3, 1, skeleton.joints)
    flipped = flip(pose, skeleton.mirrored)
    assert torch.equal(flip(flipped, skeleton.mirrored), pose)
    assert torch.equal(flipped[..., skeleton.left, 0], -pose[..., skeleton.right, 0])
    assert torch.equal(flipped[..., skeleton.left, 1:], pose[..., skeleton.right, 1:])
    middle = [joint for joint in range(skeleton.joints) if joint not in (*skeleton.left, *skeleton.right)]
    assert torch.equal(flipped[..., middle, 1:], pose[..., middle, 1:])
    assert torch.equal(pose, motion(2, 5, 3, 1, skeleton.joints))  # the input is left alone
    for left, right in zip(skeleton.left, skeleton.right, strict=True):
        assert skeleton.names[left][1:] == skeleton.names[right][1:]
        assert (skeleton.names[left][0], skeleton.names[right][0]) == ("L", "R")


def test_an_item_copies_its_window_only() -> None:
    data = dataset([60_000], 9, 9, flipped=True, reversed_=True)
    before = [data.pose_2d.copy(), data.pose_3d.copy()]
    whole = data.pose_3d.nbytes
    tracemalloc.start()
    for item in (0, data.windows, 3 * data.windows - 1):
        got = data[item]
        got.pose_2d.zero_()
        got.pose_3d.zero_()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < whole / 50
    np.testing.assert_array_equal(data.pose_2d, before[0])
    np.testing.assert_array_equal(data.pose_3d, before[1])


# The order of batches.


@pytest.mark.parametrize("seed", [None, 0, 1126])
def test_every_item_once_per_epoch_and_the_short_batch_stays(seed: int | None) -> None:
    batches = list(BatchOrder(23, 4, seed, epoch=1))
    assert [len(batch) for batch in batches] == [4, 4, 4, 4, 4, 3]
    assert sorted(np.concatenate(batches)) == list(range(23))
    assert len(BatchOrder(23, 4, seed, 1)) == 6


def test_order_depends_on_seed_and_epoch_alone() -> None:
    def order(*arguments: int | None) -> list[int]:
        return np.concatenate(list(BatchOrder(50, 4, *arguments))).tolist()

    assert order(None) == list(range(50))
    assert order(7, 1) == order(7, 1)
    assert order(7, 1) != order(7, 2)
    assert order(7, 1) != order(8, 1)
    assert order(7, 1) != list(range(50))


def test_first_goes_on_in_the_middle_of_an_epoch() -> None:
    whole = [batch.tolist() for batch in BatchOrder(23, 4, 7, 3)]
    for first in range(7):
        rest = BatchOrder(23, 4, 7, 3, first)
        assert [batch.tolist() for batch in rest] == whole[first:]
        assert len(rest) == 6 - first


def test_the_loader_brings_the_batches_in_order() -> None:
    data = dataset([20, 5, 9, 31], 9, 4)
    order = BatchOrder(len(data), 4, 1, 1)
    batches = list(loader(data, order, 4, torch.device("cpu")))
    assert [batch.pose_3d.shape[0] for batch in batches] == [len(items) for items in order]
    for batch, items in zip(batches, order, strict=True):
        assert torch.equal(batch.pose_2d, data[items].pose_2d)


def test_the_loader_draws_no_random_numbers_of_the_model_s() -> None:
    data = dataset([20])
    torch.manual_seed(3)
    state = torch.get_rng_state()
    list(loader(data, BatchOrder(len(data), 2), 0, torch.device("cpu")))
    assert torch.equal(torch.get_rng_state(), state)


# Normalising.


@pytest.mark.parametrize("kind", ["picture", "pixels"])
@pytest.mark.parametrize("channels", [2, 3])
def test_normaliser_round_trip(kind: str, channels: int) -> None:
    clip = sequence(6, 0, channels=channels)
    normaliser = Normaliser(kind, channels)
    back = normaliser.invert(normaliser.apply(clip.pose_2d, clip.size), clip.size)
    np.testing.assert_allclose(back, clip.pose_2d, atol=1e-3)
    assert normaliser.apply(clip.pose_2d, clip.size).dtype == np.float32


def test_normalised_picture_keeps_the_aspect() -> None:
    corners = np.array([[0, 0], [1000, 0], [1000, 800], [500, 400]], float)
    np.testing.assert_allclose(
        normalise_picture(corners, (1000, 800)), [[-1, -0.8], [1, -0.8], [1, 0.8], [0, 0]], atol=1e-12
    )
    np.testing.assert_allclose(denormalise_picture(normalise_picture(corners, (1000, 800)), (1000, 800)), corners)


def test_confidence_is_the_score_or_one() -> None:
    plain, scored = sequence(6, 0), sequence(6, 0, channels=3)
    assert (Normaliser("picture", 3).apply(plain.pose_2d, plain.size)[..., 2] == 1).all()
    np.testing.assert_array_equal(
        Normaliser("picture", 3).apply(scored.pose_2d, scored.size)[..., 2], scored.pose_2d[..., 2]
    )
    assert Normaliser("picture", 2).apply(scored.pose_2d, scored.size).shape == (6, 17, 2)
    flipped = PoseDataset([scored], H36M, Normaliser("picture", 3), 3, 3, flipped=True)
    np.testing.assert_array_equal(flipped[2].pose_2d[0, :, :, 2], flipped[0].pose_2d[0][:, list(H36M.mirrored), 2])


@pytest.mark.parametrize("values", [("cube", 2), ("picture", 4), ("box", 1)])
def test_unknown_normalisers_are_refused(values: tuple[str, int]) -> None:
    with pytest.raises(ValueError, match=str(values[0])):
        Normaliser(*values)


# The Human3.6M reader.


def test_h36m_takes_17_joints_into_camera_space(h36m_root: Path) -> None:
    poses, truth, detected = synthetic.h36m_positions()
    found = read_sequences("h36m", h36m_root, "cpn_ft_h36m_dbb", "test")
    assert found.source is None
    assert found.skeleton == H36M
    assert len(found.sequences) == 2 * 3 * 4
    for number, clip in enumerate(found.sequences):
        subject, action = ("S9", "S11")[number // 12], list(synthetic.LENGTHS["S9"])[number // 4 % 3]
        view = synthetic.CAMERAS["extrinsics"][subject][number % 4]
        matrix = quaternion_matrix(view["orientation"])
        world = poses[subject][action][:, synthetic.KEPT].astype(np.float64)
        np.testing.assert_allclose(clip.pose_3d, (world - np.array(view["translation"]) / 1000) @ matrix, atol=1e-5)
        np.testing.assert_array_equal(clip.pose_2d, detected[subject][action][number % 4])
        assert (clip.subject, clip.action) == (subject, action.split(" ")[0])
        assert clip.size == (
            synthetic.CAMERAS["intrinsics"][number % 4]["res_w"],
            synthetic.CAMERAS["intrinsics"][number % 4]["res_h"],
        )
        assert clip.fps == 50
        assert clip.pose_3d.dtype == clip.pose_2d.dtype == np.float32
        assert clip.pose_3d[:, 0, 2].min() > 1  # the hip keeps its place in front of the camera
        np.testing.assert_allclose(
            project(clip.pose_3d, h36m_cameras(subject)[number % 4]), truth[subject][action][number % 4], atol=0.01
        )


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ("Walking", {"Walking"}),
        ("Sitting", {"Sitting"}),
        ("SittingDown", {"SittingDown"}),
        ("Walking, Sitting", {"Walking", "Sitting"}),
    ],
)
def test_actions_are_whole_names(actions: str, expected: set[str], h36m_root: Path) -> None:
    found = read_sequences("h36m", h36m_root, "cpn_ft_h36m_dbb", "test", actions).sequences
    assert {clip.action for clip in found} == expected
    assert len(found) == 8 * len(expected)


def test_takes_count_as_their_action(tmp_path: Path) -> None:
    synthetic.write_h36m(tmp_path, {"S9": {"Walking": 5, "Walking 1": 6}, "S11": {"WalkDog 2": 7}})
    found = read_sequences("h36m", tmp_path, "gt", "test").sequences
    assert [clip.action for clip in found] == ["Walking"] * 8 + ["WalkDog"] * 4
    assert len(read_sequences("h36m", tmp_path, "gt", "test", "Walking").sequences) == 8


def test_reading_twice_gives_the_same_and_leaves_the_skeleton_alone(h36m_root: Path) -> None:
    skeletons = dataclasses.asdict(H36M), dataclasses.asdict(H36M_16)
    made = []
    for _ in range(2):
        data = read_sequences("h36m", h36m_root, "cpn_ft_h36m_dbb", "test")
        made.append(PoseDataset(data.sequences, data.skeleton, Normaliser(), 27, 27, flipped=True))
    np.testing.assert_array_equal(made[0].pose_2d, made[1].pose_2d)
    np.testing.assert_array_equal(made[0].pose_3d, made[1].pose_3d)
    items = np.arange(len(made[0]))
    assert torch.equal(made[0][items].pose_2d, made[1][items].pose_2d)
    assert (dataclasses.asdict(H36M), dataclasses.asdict(H36M_16)) == skeletons
    with pytest.raises(dataclasses.FrozenInstanceError):
        H36M.parents = ()


def test_sequences_may_go_as_soon_as_they_are_copied(h36m_root: Path) -> None:
    data = read_sequences("h36m", h36m_root, "cpn_ft_h36m_dbb", "test")
    shared = (data.skeleton, Normaliser(), 27, 27)
    kept = PoseDataset(data.sequences, *shared, flipped=True, subset=0.5, downsample=2)
    clip = weakref.ref(data.sequences[3])
    consumed = PoseDataset(data.sequences, *shared, flipped=True, subset=0.5, downsample=2, consume=True)
    assert data.sequences == []
    assert clip() is None
    for name in ("pose_2d", "pose_3d", "length", "offset", "start", "sequence"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(consumed, name))


def test_only_the_2d_that_is_asked_for_is_read(tmp_path: Path) -> None:
    poses, _, detected = synthetic.h36m_positions({"S9": {"Walking": 5}, "S11": {"Walking": 6}})
    synthetic.save_h36m(tmp_path, poses, None, detected)
    assert len(read_sequences("h36m", tmp_path, "cpn_ft_h36m_dbb", "test").sequences) == 8
    with pytest.raises(InputError, match=r"data_2d_h36m_gt\.npz: no such file"):
        read_sequences("h36m", tmp_path, "gt", "test")


def test_2d_that_runs_on_is_cut_and_2d_that_ends_early_refused(tmp_path: Path) -> None:
    poses, truth, detected = synthetic.h36m_positions({"S9": {"Walking": 8}, "S11": {"Walking": 6}})
    detected["S9"]["Walking"] = [np.concatenate([view, view[:3] + 100]) for view in detected["S9"]["Walking"]]
    truth["S9"]["Walking"][2] = truth["S9"]["Walking"][2][:-1]
    synthetic.save_h36m(tmp_path, poses, truth, detected)
    found = read_sequences("h36m", tmp_path, "cpn_ft_h36m_dbb", "test").sequences
    assert [len(clip.pose_2d) for clip in found] == [len(clip) for clip in found] == [8] * 4 + [6] * 4
    np.testing.assert_array_equal(found[0].pose_2d, detected["S9"]["Walking"][0][:8])
    with pytest.raises(InputError, match="has 7 frames, but the 3D has 8"):
        read_sequences("h36m", tmp_path, "gt", "test")


def test_metadata_of_the_ground_truth_file(tmp_path: Path) -> None:
    poses, truth, _ = synthetic.h36m_positions({"S9": {"Walking": 5}, "S11": {"Walking": 6}})
    symmetry = [[np.int64(4), np.int32(5)], [np.int64(1), np.int32(2)]]
    synthetic.save_h36m(tmp_path, poses, truth, metadata={"num_joints": np.int64(17), "keypoints_symmetry": symmetry})
    found = read_sequences("h36m", tmp_path, "gt", "test")
    assert found.source is None
    synthetic.save_h36m(tmp_path, poses, truth, metadata={"num_joints": 17, "source": "made by rule"})
    assert read_sequences("h36m", tmp_path, "gt", "test").source == "made by rule"


@pytest.mark.parametrize("keypoints", ["sh_ft_h36m", "hr"])
def test_16_joint_files_have_no_neck(keypoints: str, tmp_path: Path) -> None:
    poses, truth, _ = synthetic.h36m_positions({"S9": {"Walking": 5}, "S11": {"Walking": 6}})
    synthetic.save_h36m(tmp_path, poses, truth)
    fewer = {
        subject: {"Walking": [np.delete(view, 9, axis=1) for view in truth[subject]["Walking"]]} for subject in truth
    }
    np.savez(tmp_path / f"data_2d_h36m_{keypoints}.npz", positions_2d=fewer, metadata={"num_joints": 16})
    whole, found = (read_sequences("h36m", tmp_path, name, "test") for name in ("gt", keypoints))
    assert found.skeleton == H36M_16
    assert found.skeleton.joints == 16
    for a, b in zip(whole.sequences, found.sequences, strict=True):
        np.testing.assert_array_equal(np.delete(a.pose_3d, 9, axis=1), b.pose_3d)
        np.testing.assert_array_equal(np.delete(a.pose_2d, 9, axis=1), b.pose_2d)


def test_skeletons() -> None:
    assert H36M.parents == (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)
    assert H36M.left == (4, 5, 6, 11, 12, 13)
    assert H36M.right == (1, 2, 3, 14, 15, 16)
    assert H36M_16.parents == (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 8, 10, 11, 8, 13, 14)
    assert H36M_16.names == tuple(name for name in H36M.names if name != H36M.names[9])
    assert len(H36M.bones) == 16
    for name, side in zip(H36M.names, H36M.sides, strict=True):
        assert side == {"L": "left", "R": "right"}.get(name[0], "middle")
    assert (H36M_16.sides[8], H36M_16.sides[10], H36M_16.sides[15]) == ("middle", "left", "right")
    assert len(H36M_16.bones) == 15
    assert [H36M.mirrored[i] for i in H36M.mirrored] == list(range(17))


def test_train_and_test_subjects(tmp_path: Path) -> None:
    lengths = {subject: {"Walking": 5} for subject in ("S1", "S5", "S6", "S7", "S8", "S9", "S11")}
    synthetic.write_h36m(tmp_path, lengths)
    for split, subjects in (("train", ["S1", "S5", "S6", "S7", "S8"]), ("test", ["S9", "S11"])):
        found = read_sequences("h36m", tmp_path, "gt", split).sequences
        assert [clip.subject for clip in found[::4]] == subjects


# Our own format.


def test_motion_file_round_trip(tmp_path: Path) -> None:
    synthetic.write_tiny(tmp_path)
    arrays = synthetic.tiny_arrays()
    for split, numbers in (("train", (0, 1)), ("test", (2, 3))):
        found, source = read_motion_file(tmp_path / "data_tiny.npz", "noisy", split)
        assert source == arrays["source"]
        for number, clip in zip(numbers, found, strict=True):
            np.testing.assert_array_equal(clip.pose_3d, arrays["pose_3d"][number].astype(np.float32))
            np.testing.assert_array_equal(clip.pose_2d, arrays["pose_2d"]["noisy"][number].astype(np.float32))
            for name in ("subject", "action", "camera"):
                assert getattr(clip, name) == arrays[name][number]
            assert (clip.size, clip.fps) == (arrays["size"][number], 50)
    found = read_sequences("tiny", tmp_path, default_keypoints("tiny"), "test", "Sitting").sequences
    assert [clip.subject for clip in found] == ["P4"]


def test_motion_file_with_scores_and_another_rate(tmp_path: Path) -> None:
    arrays = synthetic.tiny_arrays()
    scored = [np.concatenate([part, np.full_like(part[..., :1], 0.5)], -1) for part in arrays["pose_2d"]["noisy"]]
    write_motion_file(tmp_path / "data_mine.npz", **{**arrays, "fps": 30, "pose_2d": {"detected": scored}})
    clip = read_sequences("mine", tmp_path, "detected", "train").sequences[0]
    assert clip.pose_2d.shape[-1] == 3
    assert clip.fps == 30
    assert (Normaliser("picture", 3).apply(clip.pose_2d, clip.size)[..., 2] == 0.5).all()


def test_other_keypoints_of_a_motion_file_are_not_read(tmp_path: Path) -> None:
    path = synthetic.write_tiny(tmp_path) / "data_tiny.npz"
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("pose_2d_noisy.npy").header_offset
    with open(path, "r+b") as file:
        file.seek(start + 1000)
        file.write(b"damage")
    with pytest.raises(InputError, match="pose_2d_noisy"):
        read_motion_file(path, "noisy", "train")
    assert len(read_motion_file(path, "gt", "train")[0]) == 2


# Cameras.


def quaternion_matrix(quaternion: tuple[float, ...]) -> np.ndarray:
    """The rotation matrix of a unit quaternion (w, x, y, z), from the textbook."""
    w, x, y, z = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def cameras() -> list[Camera]:
    return [camera for subject in ("S1", "S5", "S6", "S7", "S8", "S9", "S11") for camera in h36m_cameras(subject)]


@pytest.mark.parametrize("camera", cameras()[::5], ids=lambda camera: camera.name)
def test_camera_round_trips(camera: Camera) -> None:
    rng = np.random.default_rng(0)
    world = rng.uniform(0, 2, (50, 3))
    seen = world_to_camera(world, camera)
    np.testing.assert_allclose(
        camera_to_world(seen, camera), world, atol=5e-6
    )  # the file's quaternions have seven digits
    np.testing.assert_allclose(seen, (world - camera.translation) @ quaternion_matrix(camera.orientation), atol=5e-6)
    unit = tuple(np.array(camera.orientation) / np.linalg.norm(camera.orientation))
    camera = dataclasses.replace(camera, orientation=unit)
    np.testing.assert_allclose(camera_to_world(world_to_camera(world, camera), camera), world, atol=1e-12)
    depth = rng.uniform(3, 6, 200)
    points = np.concatenate([rng.uniform(-0.4, 0.4, (200, 2)), np.ones((200, 1))], -1) * depth[:, None]
    np.testing.assert_allclose(unproject(project(points, camera), depth, camera), points, atol=1e-6)


def test_rotation_against_the_matrix() -> None:
    rng = np.random.default_rng(1)
    for _ in range(10):
        quaternion = rng.standard_normal(4)
        quaternion /= np.linalg.norm(quaternion)
        points = rng.standard_normal((7, 3))
        np.testing.assert_allclose(rotate(quaternion, points), points @ quaternion_matrix(quaternion).T, atol=1e-12)
        np.testing.assert_allclose(rotate(conjugate(quaternion), rotate(quaternion, points)), points, atol=1e-12)


def test_projection_against_the_tools_of_the_field() -> None:
    points = np.random.default_rng(2).uniform([-3, -3, 2], [3, 3, 8], (100, 3))  # some are beyond 45 degrees
    for lens, camera in zip(synthetic.CAMERAS["intrinsics"], h36m_cameras("S9"), strict=True):
        np.testing.assert_allclose(project(points, camera), synthetic.project(points, lens), atol=1e-8)


def test_cameras_stand_around_the_room() -> None:
    assert len({(camera.name, camera.translation) for camera in cameras()}) == 28
    for camera in cameras():
        assert 1 < camera.translation[2] < 2  # metres over the floor
        centre = world_to_camera(np.array([0, 0, 1.0]), camera)
        assert centre[2] > 2
        assert abs(centre[:2] / centre[2]).max() < 0.3  # it looks at the middle of the room
    with pytest.raises(KeyError):
        h36m_cameras("S2")
