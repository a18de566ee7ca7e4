"""The converters under dataset/ and the simulated detector: no motion files are needed, tiny ones are written here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.data.motion_file import read_motion_file
from common.data.world_motion import WorldClip, read_world_motion
from common.errors import InputError
from common.geometry.camera import h36m_cameras, project
from common.geometry.skeleton import H36M
from common.wild import detector_noise
from common.wild.draw import Draw
from dataset import prepare_cmu, prepare_toy
from dataset.asf_amc import read_asf, read_asf_amc
from dataset.bvh import read_bvh_file
from dataset.clips import Clip, cleaned, read_clips, read_folder, read_ready
from dataset.mocap import chain, resample
from dataset.rigs import read_bvh
from tests.mocap_texts import ASF_UNIT, amc_text, asf_text, bvh_text
from tests.synthetic import REST

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def cmu_folder(tmp_path: Path) -> Path:
    """A subject's .asf, clips 01_01 (amc), 03_02 (amc and bvh) and 09_01 (bvh), long enough to be used."""
    folder = tmp_path / "cmu"
    (folder / "sub").mkdir(parents=True)
    for subject in ("01", "03"):
        (folder / f"{subject}.asf").write_bytes(asf_text(4).encode())
    (folder / "01_01.amc").write_bytes(amc_text(frames=100).encode())
    (folder / "03_02.amc").write_bytes(amc_text(frames=80).encode())
    (folder / "sub" / "03_02.bvh").write_text(bvh_text(frames=200))
    (folder / "sub" / "09_01.bvh").write_text(bvh_text(frames=101))
    return folder


# Parsers


def test_asf_amc_rotations_are_applied_in_order(tmp_path):
    (tmp_path / "01.asf").write_text(asf_text())
    (tmp_path / "01_01.amc").write_text(amc_text(root="1 2 3 0 0 0", rfemur="90 0 90", rtibia="90", ltibia="90"))
    joints = read_asf_amc(tmp_path / "01.asf", tmp_path / "01_01.amc") / ASF_UNIT
    assert joints.shape == (1, 17, 3)
    joints = joints[0]
    np.testing.assert_allclose(joints[0], [1, 2, 3], atol=1e-12)
    # The femur turns about x, then z; the tibia about the x axis that was turned with it.
    np.testing.assert_allclose(joints[2] - joints[1], [0, 0, -1], atol=1e-12)
    np.testing.assert_allclose(joints[3] - joints[2], [-1, 0, 0], atol=1e-12)
    # The left tibia's own axes are turned by 90 degrees about z: its x is the world's y.
    np.testing.assert_allclose(joints[6] - joints[5], [0, 0, -1], atol=1e-12)
    np.testing.assert_allclose(
        joints[[7, 8, 9, 10]] - joints[0], [[0, 1.5, 0], [0, 2.5, 0], [0, 4.5, 0], [0, 5.5, 0]], atol=1e-12
    )
    np.testing.assert_allclose(
        joints[[11, 13, 14, 16]] - joints[0], [[1, 2, 0], [3, 2, 0], [-1, 2, 0], [-3, 2, 0]], atol=1e-12
    )


def test_amc_root_turns_the_whole_body(tmp_path):
    (tmp_path / "01.asf").write_text(asf_text())
    (tmp_path / "01_01.amc").write_text(amc_text(root="0 0 0 90 0 90"))
    joints = read_asf_amc(tmp_path / "01.asf", tmp_path / "01_01.amc")[0] / ASF_UNIT
    np.testing.assert_allclose(joints[[1, 4]], [[0, -1, 0], [0, 1, 0]], atol=1e-12)
    np.testing.assert_allclose(joints[7], [0, 0, 1.5], atol=1e-12)


def test_bvh_channels_are_applied_in_order(tmp_path):
    path = tmp_path / "05_01.bvh"
    path.write_text(bvh_text(frames=3, rThigh=(90, 90, 0), rShin=(0, 90, 0)))
    poses, fps = read_bvh(path)
    assert poses.shape == (2, 17, 3)  # the T-pose is gone
    assert fps == 120
    pose = poses[0]
    np.testing.assert_allclose(pose[0], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(pose[2] - pose[1], [0, 0, -0.4], atol=1e-12)
    np.testing.assert_allclose(pose[3] - pose[2], [-0.4, 0, 0], atol=1e-12)
    np.testing.assert_allclose(pose[[4, 5, 6]] - pose[0], [[0.1, 0, 0], [0.1, -0.4, 0], [0.1, -0.8, 0]], atol=1e-12)
    np.testing.assert_allclose(pose[[7, 8]] - pose[0], [[0, 0.25, 0], [0, 0.475, 0]], atol=1e-12)
    head = pose[0] + [0, 0.6, 0]
    np.testing.assert_allclose(
        np.linalg.norm(pose[[9, 10]] - head, axis=-1), [np.hypot(0.04, 0.035), np.hypot(0.155, 0.01)]
    )


def test_folder_prefers_amc_and_finds_subfolders(cmu_folder):
    clips = read_folder(cmu_folder)
    assert {name: (clip.source, len(clip.poses)) for name, clip in clips.items()} == {
        "01_01": ("amc", 42), "03_02": ("amc", 33), "09_01": ("bvh", 42),
    }  # fmt: skip


def test_resampling_reproduces_a_smooth_curve():
    def curve(time):
        return np.stack([np.sin(6 * time), np.cos(4 * time), time**3], axis=-1)[:, None]  # (T, 1, 3)

    poses = resample(curve(np.arange(241) / 120), 120, 50)
    assert poses.shape == (101, 1, 3)
    np.testing.assert_allclose(poses, curve(np.arange(101) / 50), atol=1e-5)
    for length in (1, 2, 3, 4, 5, 6):  # short ones too: a straight line stays one
        line = np.arange(length) / 30.0
        resampled = resample(line, 30, 50)
        np.testing.assert_allclose(resampled, np.arange(len(resampled)) / 50, atol=1e-12)
        if length > 2:
            np.testing.assert_allclose(resample(line**2, 30, 50), (np.arange(len(resampled)) / 50) ** 2, atol=1e-12)


@pytest.mark.parametrize("axes", ["x", "zxy", "zyz", "xx", "zxyzx"])
def test_rotations_are_chained_about_moving_axes(axes):
    unit, angles = dict(zip("xyz", np.eye(3), strict=True)), np.random.default_rng(0).uniform(-180, 180, (4, len(axes)))
    turns = chain(axes, angles)  # (4, 3, 3)
    for turn, row in zip(turns, np.radians(angles), strict=True):
        expected = np.eye(3)
        for axis, angle in zip(axes, row, strict=True):
            cross = np.cross(np.eye(3), unit[axis]).T * -1  # cross @ v is the cross product of axis and v
            expected = expected @ (np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)  # Rodrigues
        np.testing.assert_allclose(turn, expected, atol=1e-12)
    np.testing.assert_array_equal(chain(axes, angles[0]), turns[0])  # one frame without its axis


# The studio


def test_pieces_stay_in_the_studio_and_keep_the_way():
    time = np.arange(500)
    poses = np.zeros((500, 17, 3))
    poses[..., 0] = time[:, None] * 0.02  # 10 m straight on
    poses[:, (3, 6), 2] = 0.3
    poses[:, 0, 2] = 1.2
    pieces = prepare_cmu.studio_pieces(poses)
    assert [len(piece) for piece in pieces] == [250, 250]
    for piece in pieces:
        assert np.linalg.norm(piece[:, 0, :2], axis=-1).max() <= 2.5
        np.testing.assert_allclose(np.diff(piece[:, 0, 0]), 0.02)
        np.testing.assert_allclose(piece[:, 3, 2], 0)
    assert prepare_cmu.studio_pieces(poses[:24]) == []


def test_world_stays_right_handed():
    x, y, z = prepare_cmu.z_up(np.eye(3))
    np.testing.assert_allclose(y, [0, 0, 1])
    np.testing.assert_allclose(np.cross(x, y), z)


def test_motion_file_is_read_back(cmu_folder, tmp_path, monkeypatch, capsys):
    output = tmp_path / "out" / "data.npz"
    monkeypatch.setattr(
        sys, "argv", ["prepare_cmu.py", "--input", str(cmu_folder), "--output", str(output), "--seed", "4"]
    )
    prepare_cmu.main()
    assert "3 clips" in capsys.readouterr().out
    train, source = read_motion_file(output, "gt", "train")
    test, _ = read_motion_file(output, "noisy", "test")
    assert "mocap.cs.cmu.edu" in source
    assert "NSF EIA-0196217" in source
    assert [(s.subject, s.action, len(s)) for s in train] == [("01", "Playground", 38)] * 4
    # These people stand in a T-pose: all clips have lost the frames in which one blends into the motion.
    assert [(s.subject, s.action, len(s)) for s in test] == [("03", "Uneven terrain", 29)] * 4 + [("09", "Run", 38)] * 4
    cameras = {camera.name: camera for camera in h36m_cameras("S1")}
    assert [s.camera for s in train] == list(cameras)
    for sequence in train:
        np.testing.assert_allclose(
            sequence.pose_2d, project(sequence.pose_3d.astype(np.float64), cameras[sequence.camera]), atol=1e-3
        )
    assert all(s.pose_2d.shape[2] == 3 and s.pose_2d[..., 2].min() >= 0 and s.pose_2d[..., 2].max() <= 1 for s in test)

    first = output.read_bytes()
    prepare_cmu.main()
    assert output.read_bytes() == first
    (cmu_folder / "01_01.amc").unlink()  # what is drawn for one clip does not depend on the others
    prepare_cmu.main()
    again, _ = read_motion_file(output, "noisy", "test")
    np.testing.assert_array_equal(again[0].pose_2d, test[0].pose_2d)


def test_ready_file_gives_the_same_clips(cmu_folder, tmp_path):
    clips = read_folder(cmu_folder)
    np.savez(tmp_path / "ready.npz", **ready_fields(clips))
    ready = read_ready(tmp_path / "ready.npz")
    assert list(ready) == list(clips)
    for name, clip in clips.items():
        assert ready[name].source == clip.source
        np.testing.assert_allclose(ready[name].poses, clip.poses, atol=1e-5)


def ready_fields(clips: dict[str, Clip]) -> dict[str, np.ndarray]:
    poses = np.concatenate([clip.poses for clip in clips.values()])
    return {
        "clips": np.array(list(clips)),
        "source": np.array([clip.source for clip in clips.values()]),
        "lengths": np.array([len(clip.poses) for clip in clips.values()]),
        "root": poses[:, 0].astype(np.float32),
        "relative": (poses[:, 1:] - poses[:, :1]).astype(np.float32),
    }


# Other rigs

MIXAMO = {
    "hip": "Hips", "abdomen": "Spine", "chest": "Spine1", "neck": "Neck", "head": "Head", "Shldr": "Arm",
    "ForeArm": "ForeArm",
    "Hand": "Hand", "Thigh": "UpLeg", "Shin": "Leg", "Foot": "Foot",
}  # fmt: skip
RIG_NAMES = {
    "Mixamo": MIXAMO,
    "Rokoko": MIXAMO | {"Thigh": "Thigh", "Shin": "Shin"},
    "Xsens": MIXAMO | {"abdomen": "Chest", "chest": "Chest2", "Shldr": "Shoulder", "ForeArm": "Elbow", "Hand": "Wrist",
    "Thigh": "Hip",
                       "Shin": "Knee", "Foot": "Ankle"},
    "CMU": {"hip": "root", "abdomen": "lowerback", "chest": "upperback", "neck": "upperneck", "head": "head",
    "Shldr": "humerus",
            "ForeArm": "radius", "Hand": "wrist", "Thigh": "femur", "Shin": "tibia", "Foot": "foot"},
}  # fmt: skip


def renamed(text: str, rig: str, prefix: str = "") -> str:
    """The BVH file with the joint names of another rig."""
    names, right_left = RIG_NAMES[rig], {"r": "r", "l": "l"} if rig == "CMU" else {"r": "Right", "l": "Left"}
    words = []
    for line in text.split("\n"):
        kind, _, joint = line.strip().partition(" ")
        if kind in ("ROOT", "JOINT"):
            new = names.get(joint) or right_left[joint[0]] + names[joint[1:]]
            line = line.replace(joint, prefix + new)
        words.append(line)
    return "\n".join(words)


@pytest.mark.parametrize(
    ("rig", "prefix"), [("Mixamo", "mixamorig:"), ("Mixamo", ""), ("Rokoko", ""), ("Xsens", ""), ("CMU", "")]
)
def test_rigs_by_their_names(rig, prefix, tmp_path):
    daz, other = tmp_path / "05_01.bvh", tmp_path / "b.bvh"
    daz.write_text(bvh_text(frames=5, rThigh=(0, 40, 0), lForeArm=(0, 0, 50)))
    other.write_text(renamed(daz.read_text(), rig, prefix))
    (wanted, fps), (found, same) = read_bvh(daz), read_bvh(other)
    assert fps == same
    found = found[1:]  # these keep their first frame
    np.testing.assert_allclose(
        found[:, [0, 1, 2, 3, 4, 5, 6, 8, *range(11, 17)]], wanted[:, [0, 1, 2, 3, 4, 5, 6, 8, *range(11, 17)]]
    )
    trunk = found[:, [0, 8]].mean(axis=1)  # this spine is straight
    np.testing.assert_allclose(found[:, 7], trunk, atol=1e-9)
    head = found[:, 0] + [0, 0.6, 0]
    np.testing.assert_allclose(found[:, 9] - head, [[0, 0.04, 0.035]] * 4, atol=1e-9)
    np.testing.assert_allclose(found[:, 10] - head, [[0, 0.155, 0.01]] * 4, atol=1e-9)
    np.testing.assert_allclose(
        read_bvh(other, 0.02)[0][1:, 1:7], 2 * found[:, 1:7], atol=1e-9
    )  # another unit of length


def test_a_rig_that_stands_along_z_is_stood_up(tmp_path):
    """With the same motion about turned axes, it is the same person."""
    text, path = renamed(bvh_text(frames=3), "Mixamo"), tmp_path / "a.bvh"
    path.write_text(text)
    wanted, _ = read_bvh(path)
    lines = []
    for line in text.split("\n"):
        if line.strip().startswith("OFFSET") and "OFFSET 1 0 0" not in line:
            x, y, z = map(float, line.split()[1:])
            line = f"OFFSET {x:g} {-z:g} {y:g}"
        lines.append(line)
    path.write_text("\n".join(lines))
    np.testing.assert_allclose(read_bvh(path)[0], wanted, atol=1e-9)


def test_unknown_joints_are_named(tmp_path):
    path = tmp_path / "a.bvh"
    path.write_text(renamed(bvh_text(), "Xsens").replace("RightKnee", "Knie").replace("LeftWrist", "Pulse"))
    with pytest.raises(InputError, match="of Xsens's, the nearest, it lacks RightKnee, LeftWrist;") as error:
        read_bvh(path)
    assert "Mixamo, Rokoko, Xsens" in str(error.value)


# Cleaning


def strolling(frames: int) -> np.ndarray:
    """(frames, 17, 3) metres, 50 Hz: a person with hanging arms goes slowly."""
    rest = REST[:, [0, 2, 1]] * [-1, 1, 1]
    return rest + 0.01 * np.arange(frames)[:, None, None] * [0, 0, 1]


def test_t_poses_and_jumps_are_cut_out():
    poses = strolling(200)
    assert list(cleaned({"a": Clip(poses, "a", "x")})) == ["a"]
    np.testing.assert_array_equal(cleaned({"a": Clip(poses, "a", "x")})["a"].poses, poses)
    raised = poses.copy()
    for joints, side in (((12, 13), 1), ((15, 16), -1)):
        for number, joint in enumerate(joints, start=1):
            raised[0, joint] = raised[0, joints[0] - 1] + number * np.sign(raised[0, 11] - raised[0, 14]) * [
                side * 0.27,
                0,
                0,
            ]
    found = cleaned({"a": Clip(raised, "a", "x")})
    assert [(name, len(clip.poses)) for name, clip in found.items()] == [("a", 196)]

    jumping = poses.copy()
    jumping[120:, 13, 1] += 0.3  # 15 m/s
    found = cleaned({"a": Clip(jumping, "s", "x", "sit", 2.0)})
    assert [(name, len(clip.poses)) for name, clip in found.items()] == [("a.1", 118), ("a.2", 78)]
    assert {(clip.subject, clip.content, clip.weight) for clip in found.values()} == {("s", "sit", 2.0)}
    np.testing.assert_array_equal(found["a.2"].poses, jumping[122:])
    teleported = poses.copy()
    teleported[20:] += [0.5, 0, 0]  # the whole person; what is left before it is too short
    assert [(name, len(clip.poses)) for name, clip in cleaned({"a": Clip(teleported, "a", "x")}).items()] == [
        ("a", 178)
    ]
    fast = poses.copy()
    fast[120:, 13, 1] += 0.25
    assert list(cleaned({"a": Clip(fast, "a", "x")})) == ["a"]


@pytest.mark.parametrize("factor", [100, 0.001])
def test_another_unit_of_length_is_said(factor, tmp_path):
    clips = {"a": Clip(strolling(50) * factor, "a", "x")}
    np.savez(tmp_path / "ready.npz", **ready_fields(clips))
    with pytest.raises(InputError, match=r"clip a: the person is .* m from ankle to crown.* unit of length"):
        read_clips(tmp_path / "ready.npz")


# World motion of any source


def write_ready(folder: Path, name: str = "ready", **columns: object) -> Path:
    """Clips of five people: walking, sitting, estimated, keyed, and one that is kept for testing."""
    clips = {
        name: Clip(strolling(60 + number), name, name)
        for number, name in enumerate(("cmuexp", "a", "cmump", "m2m", "dm"))
    }
    content = np.array(["walk", "sit", "kick", "crouch, kneel, fall", "floor"])
    fields = ready_fields(clips) | {"subject": np.array(list(clips)), "content": content} | columns
    np.savez(folder / f"{name}.npz", **{name: value for name, value in fields.items() if value is not None})
    return folder / f"{name}.npz"


def prepare(main, *inputs: Path, output: Path) -> dict[str, WorldClip]:
    main("dataset/prepare_motion.py", "--input", *inputs, "--output", output)
    found = {}
    for split in ("train", "test"):
        try:
            clips, _, _ = read_world_motion(output, split)
        except InputError:
            continue
        found |= {clip.name: clip for clip in clips}
    return found


def test_motion_is_weighted_by_content(main, tmp_path, capsys):
    found = prepare(main, write_ready(tmp_path), output=tmp_path / "motion_a.npz")
    assert {name: (clip.content, clip.split, clip.weight) for name, clip in found.items()} == {
        "cmuexp": ("walk", "train", 0.3), "a": ("sit", "train", 3.0), "cmump": ("kick", "train", 0.3),
        "m2m": ("keyed crouch/kneel/fall", "train", 3.0), "dm": ("floor", "test", 3.0),
    }  # fmt: skip
    out = capsys.readouterr().out
    assert "train: 4 clips" in out
    assert "keyed crouch/kneel/fall" in out
    found = prepare(main, write_ready(tmp_path, weight=np.array([1, 2, 0, 4, 5])), output=tmp_path / "motion_a.npz")
    assert [found[name].weight for name in ("cmuexp", "a", "cmump", "m2m", "dm")] == [1, 2, 0, 4, 5]


def test_folders_and_files_go_together(main, cmu_folder, tmp_path):
    found = prepare(main, cmu_folder, write_ready(tmp_path), output=tmp_path / "motion_a.npz")
    assert {name: (clip.split, clip.own_bones, clip.content) for name, clip in found.items() if name[0] == "0"} == {
        "01_01": ("train", True, "playground"), "03_02": ("test", True, "uneven terrain"),
        "09_01": ("test", False, "run"),
    }  # fmt: skip
    assert len(found) == 8


BAD_MOTION = {
    "weights in words": ({"weight": np.array(list("abcde"))}, "field weight is"),
    "a weight that is no number": ({"weight": np.array([1, 1, np.nan, 1, 1])}, "weight of clip 'cmump' is nan"),
    "a weight without end": ({"weight": np.array([1, 1, 1, np.inf, 1])}, "weight of clip 'm2m' is inf"),
    "a weight below nothing": ({"weight": np.array([-1, 1, 1, 1, 1])}, "weight of clip 'cmuexp' is -1"),
    "one weight": ({"weight": np.array(1.0)}, "field weight is"),
    "contents in numbers": ({"content": np.arange(5)}, "field content is"),
    "a subject too few": ({"subject": np.array(["a"])}, "field subject is"),
    "no source": ({"source": None}, "field source is missing"),
}


@pytest.mark.parametrize("name", BAD_MOTION)
def test_bad_motion_is_one_sentence(name, main, tmp_path, capsys):
    changed, says = BAD_MOTION[name]
    with pytest.raises(SystemExit) as stop:
        prepare(main, write_ready(tmp_path, **changed), output=tmp_path / "motion_a.npz")
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert says in error
    assert not (tmp_path / "motion_a.npz").exists()


def test_a_clip_in_two_inputs_is_refused(main, tmp_path, capsys):
    with pytest.raises(SystemExit):
        prepare(main, write_ready(tmp_path), write_ready(tmp_path, "again"), output=tmp_path / "motion_a.npz")
    assert "clip a is also in another input" in capsys.readouterr().err


# Bad input


def damage(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "HIERARCHY"),
        ("\x00\xff garbage", "HIERARCHY"),
        (bvh_text()[:300], "MOTION"),
        (
            bvh_text().partition("MOTION")[0][:300] + bvh_text()[bvh_text().index("\nMOTION") :],
            "HIERARCHY is cut short",
        ),
        (bvh_text(frames=50)[:-200], "cut short"),
        (damage(bvh_text(), "Frames:", "Bones:"), "Frames:"),
        (damage(bvh_text(), "0.00833333", "0"), "Frame Time"),
        (damage(bvh_text(), "100 0 0", "100 oops 0"), "not all numbers"),
        (damage(bvh_text(), "100 0 0", "100 nan 0"), "not finite"),
        (damage(bvh_text(), "OFFSET 0 20 0", "OFFSET 0 20"), "OFFSET"),
        (damage(bvh_text(), "CHANNELS 3", "CHANNELS 4"), "CHANNELS"),
        (bvh_text(left_out="lFoot"), "of Daz's, the nearest, it lacks lFoot;"),
        (bvh_text(frames=1), "T-pose"),
    ],
)
def test_bad_bvh(tmp_path, text, says):
    path = tmp_path / "05_01.bvh"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=says) as error:
        read_bvh(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


KEYWORDS = "End Site|Frames|Frame Time"
DIALECTS = {
    "a mark of UTF-8": lambda text: "\ufeff" + text,
    "lines of Windows": lambda text: text.replace("\n", "\r\n"),
    "lines of old Macs": lambda text: text.replace("\n", "\r"),
    "tabs": lambda text: text.replace("  ", "\t").replace(" ", "\t"),
    "empty lines": lambda text: "\n\n" + text.replace("\n", "\n\n"),
    "small letters": lambda text: re.sub(
        f"{KEYWORDS}|HIERARCHY|ROOT|JOINT|OFFSET|CHANNELS|MOTION", lambda word: word[0].lower(), text
    ),
    "capitals": lambda text: re.sub(f"{KEYWORDS}|[XYZ](position|rotation)", lambda word: word[0].upper(), text),
    "EndSite": lambda text: text.replace("End Site", "EndSite"),
    "names of end sites": lambda text: text.replace("End Site", "End Site toes of it"),
    "blanks in names": lambda text: text.replace("JOINT abdomen", "JOINT MOTION of the abdomen").replace(
        "ROOT hip", "ROOT the hip"
    ),
    "braces on the line": lambda text: re.sub(r"\s*\{\s*", "{", text),
    "braces on one line": lambda text: re.sub(r"\s*\}\s*", "}", text).replace("}MOTION", "}\nMOTION"),
    "blanks before colons": lambda text: text.replace("Frames:", "Frames :").replace("Time:", "Time :"),
    "no blanks after colons": lambda text: text.replace("Frames: ", "Frames:").replace("Time: ", "Time:"),
    "FrameTime": lambda text: text.replace("Frame Time", "FrameTime"),
    "channels before offsets": lambda text: re.sub(r"(OFFSET [^\n]*)\n\s*(CHANNELS [^\n]*)", r"\2\n\1", text),
    "the end of DOS": lambda text: text + "\x1a",
    "blanks at the ends": lambda text: text.replace("\n", "  \n") + "\n\n \n",
    "exponents": lambda text: text.replace("100 0 0", "1e+002 0.0E0 -0"),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_dialects_of_bvh(dialect: str, tmp_path: Path) -> None:
    plain, other = tmp_path / "plain.bvh", tmp_path / "other.bvh"
    text = bvh_text(frames=3, chest=(10, 20, 30), lForeArm=(5, -40, 7))
    plain.write_text(text)
    other.write_bytes(DIALECTS[dialect](text).encode())
    joints, values, fps = read_bvh_file(plain)
    found, found_values, found_fps = read_bvh_file(other)
    assert [(joint.parent, joint.offset.tolist(), joint.channels) for joint in found] == [
        (joint.parent, joint.offset.tolist(), joint.channels) for joint in joints
    ]
    if dialect == "blanks in names":
        assert [joint.name for joint in found[:2]] == ["the hip", "MOTION of the abdomen"]
    else:
        assert [joint.name for joint in found] == [joint.name for joint in joints]
    np.testing.assert_array_equal(found_values, values)
    assert found_fps == fps


def test_bvh_in_utf_16(tmp_path: Path) -> None:
    path = tmp_path / "05_01.bvh"
    path.write_text(bvh_text(), encoding="utf-16")
    assert len(read_bvh(path)[0]) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (bvh_text().replace("JOINT abdomen", "ROOT abdomen"), "one skeleton"),
        (damage(bvh_text(), "CHANNELS 3", "CHANNELS ²"), "CHANNELS"),
        (damage(bvh_text(), "100 0 0", "1e300 0 0"), "beyond"),
        ("HIERARCHY ROOT a { OFFSET 0 0 0 }\nMOTION\nFrames: 9\nFrame Time: 0.01\n", "no CHANNELS"),
        (re.sub(r"Frames:\s*\d+", "Frames: 1e300", bvh_text()), "beyond"),
        (
            "HIERARCHY ROOT a { End Site { JOINT b { OFFSET 0 0 0 } } }\nMOTION\nFrames: 9\nFrame Time: 0.01\n",
            "no OFFSET",
        ),
    ],
)
def test_bvh_that_cannot_be_used(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.bvh").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says):
        read_bvh_file(tmp_path / "a.bvh")


def test_cost_of_a_clip_that_jumps() -> None:
    looked_at = 0

    class Counted(np.ndarray):
        def __getitem__(self, key: object) -> np.ndarray:
            nonlocal looked_at
            if isinstance(key, slice):
                looked_at += len(range(*key.indices(len(self))))
            return super().__getitem__(key)

    for frames in (4000, 8000):
        looked_at = 0
        poses = np.zeros((frames, 17, 3))
        poses[1::2] += 100
        assert prepare_cmu.studio_pieces(poses.view(Counted)) == []
        assert looked_at < 20 * frames


def test_pieces_between_jumps() -> None:
    poses = np.zeros((400, 17, 3))
    poses[200:] += 50
    pieces = prepare_cmu.studio_pieces(poses)  # one jump, in the middle
    assert [len(piece) for piece in pieces] == [200, 200]


def test_bvh_cut_anywhere_is_an_input_error(tmp_path):
    path = tmp_path / "05_01.bvh"
    text = bvh_text()
    for end in range(0, len(text) - 4, 37):
        path.write_text(text[:end])
        with pytest.raises(InputError):
            read_bvh(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no frames"),
        ("\x00\xff garbage", "line 1"),
        (amc_text(frames=3)[:-20], "frame 3 lacks"),
        (damage(amc_text(), "rfemur 0 0 0", "rfemur 0 0"), "does not fit"),
        (damage(amc_text(), "rfemur 0 0 0", "tail 0 0 0"), "does not fit"),
        (damage(amc_text(), "rfemur 0 0 0", "rfemur 0 oops 0"), "rfemur is not all numbers"),
        (damage(amc_text(), "rfemur 0 0 0", "rfemur 0 nan 0"), "rfemur holds a value that is not finite"),
        (damage(amc_text(), ":DEGREES", ":RADIANS"), "radians"),
    ],
)
def test_bad_amc(tmp_path, text, says):
    (tmp_path / "01.asf").write_text(asf_text())
    path = tmp_path / "01_01.amc"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=says) as error:
        read_asf_amc(tmp_path / "01.asf", path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "section :units"),
        (asf_text()[:400], "section :hierarchy"),
        (damage(asf_text(), "length 0.45", "length zero"), "units length"),
        (damage(asf_text(), "direction -1 0 0", "direction -1 0"), "rhipjoint', direction"),
        (damage(asf_text(), "axis 0 0 0 XYZ", "axis 0 0 0 XYY"), "rhipjoint', axis"),
        (damage(asf_text(), "dof rx", "dof tx"), "rfemur', dof"),
        (damage(asf_text(), "order TX", "order RX"), "root order"),
        (damage(asf_text(), "position 0 0 0", "position 0 0 1"), "root position"),
        (damage(asf_text(), "name rtibia", "name shin"), "'rtibia'"),
        (damage(asf_text(), "    rfemur rtibia\r\n", ""), "'rtibia'"),
    ],
)
def test_bad_asf(tmp_path, text, says):
    path = tmp_path / "01.asf"
    path.write_bytes(text.encode())
    with pytest.raises(InputError, match=says) as error:
        read_asf(path)
    assert str(path) in str(error.value)


def test_bad_folders(cmu_folder, tmp_path):
    with pytest.raises(InputError, match="holds no"):
        read_folder(tmp_path / "cmu" / "nothing")
    (cmu_folder / "sub" / "01_01.amc").write_text(amc_text())
    with pytest.raises(InputError, match="also there"):
        read_folder(cmu_folder)
    (cmu_folder / "sub" / "01_01.amc").unlink()
    (cmu_folder / "01.asf").unlink()
    with pytest.raises(InputError, match=r"01\.asf"):
        read_folder(cmu_folder)
    with pytest.raises(InputError, match="no such file"):
        read_asf(tmp_path / "missing.asf")


def test_bad_ready_files(cmu_folder, tmp_path):
    path = tmp_path / "ready.npz"
    fields = ready_fields(read_folder(cmu_folder))

    def fails(says: str, **changed: object) -> None:
        np.savez(path, **{name: value for name, value in (fields | changed).items() if value is not None})
        with pytest.raises(InputError, match=says):
            read_ready(path)

    fails("root is missing", root=None)
    fails("field root", root=fields["root"][:-1])
    fails("field relative", relative=fields["relative"][:, 1:])
    fails("relative, entry 0, 0, 0 is nan", relative=fields["relative"] * np.nan)
    fails(r"lengths is int64 \(2,\), not whole numbers \(3,\) as field clips has them", lengths=fields["lengths"][:-1])
    fails("field source", source=np.arange(3))
    fails("names a clip twice", clips=np.array(["01_01", "1_01", "09_01"]))
    fails("clips is pickled objects", clips=np.array([{}, {}, {}], dtype=object))
    whole = path.read_bytes()
    for content in (b"", b"garbage", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(InputError, match="not a readable"):
            read_ready(path)
    with open(path, "wb") as file:
        np.save(file, fields["root"])
    with pytest.raises(InputError, match="holds one array"):
        read_ready(path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["prepare_motion.py", "--input", "nowhere"],
        ["prepare_cmu.py", "--input", "nowhere"],
        ["prepare_toy.py", "--frames", "0"],
    ],
)
def test_scripts_end_with_one_sentence_and_exit_code_2(arguments, tmp_path):
    script, *flags = arguments
    command = [sys.executable, str(ROOT / "dataset" / script), *flags, "--output", str(tmp_path / "out")]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


# The simulated detector


def test_residual_statistics():
    draw = Draw([0])
    error = detector_noise.residual((300, 3000, 1, 2), 50.0, draw)[:, :, 0].transpose(0, 1).numpy()  # (3000, 300, 2)
    bias = error.mean(axis=0)
    assert bias.std() == pytest.approx(0.009, rel=0.1)
    error = error - bias
    assert error.std() == pytest.approx(np.hypot(0.012, 0.003), rel=0.02)
    # White noise adds to the variance but not to the covariance of neighbouring frames.
    assert (error[1:] * error[:-1]).mean() == pytest.approx(0.88 * 0.012**2, rel=0.03)
    assert (error[5:] * error[:-5]).mean() == pytest.approx(0.88**5 * 0.012**2, rel=0.05)
    # At 25 frames per second the drift of neighbouring frames is that of every second frame at 50.
    slow = detector_noise.residual((300, 3000, 1, 2), 25.0, draw)[:, :, 0].transpose(0, 1).numpy()
    slow = slow - slow.mean(axis=0)
    assert (slow[1:] * slow[:-1]).mean() == pytest.approx(0.88**2 * 0.012**2, rel=0.03)


def test_detector_like_scores_fall_with_the_error():
    pixels = np.tile(np.linspace(0, 400, 34).reshape(1, 17, 2), (5000, 1, 1))
    assert detector_noise.person_height(pixels) == pytest.approx(400 * 32 / 33)
    seen = detector_noise.detector_like(pixels, np.random.default_rng(1))
    assert seen.shape == (5000, 17, 3)
    assert seen.dtype == np.float32
    error = np.linalg.norm(seen[..., :2] - pixels, axis=-1) / detector_noise.person_height(pixels)
    far = error > 0.1
    assert 0.001 < far.mean() < 0.05
    assert seen[..., 2][far].max() < seen[..., 2][error < 0.01].min()
    assert 0 <= seen[..., 2].min() <= seen[..., 2].max() <= 1
    np.testing.assert_array_equal(seen, detector_noise.detector_like(pixels, np.random.default_rng(1)))
    assert not np.array_equal(seen, detector_noise.detector_like(pixels, np.random.default_rng(2)))
    # The errors are measured by the person: twice as large in the picture, twice the error.
    twice = detector_noise.detector_like(2 * pixels, np.random.default_rng(1))
    np.testing.assert_allclose(twice[..., :2], 2 * seen[..., :2], rtol=1e-5, atol=1e-3)


# The synthetic walker


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    prepare_toy.write(folder, frames=150, seed=0)
    return folder


def load(path: Path, name: str) -> dict:
    with np.load(path, allow_pickle=True) as archive:  # written by this very test
        return archive[name].item()


def test_toy_has_the_layout_and_says_what_it_is(toy):
    poses = load(toy / "data_3d_h36m.npz", "positions_3d")
    assert list(poses) == ["S1", "S5", "S6", "S7", "S8", "S9", "S11"]
    for name in ("data_2d_h36m_gt", "data_2d_h36m_cpn_ft_h36m_dbb"):
        metadata = load(toy / f"{name}.npz", "metadata")
        assert metadata["keypoints_symmetry"] == [list(H36M.left), list(H36M.right)]
        assert (metadata["layout_name"], metadata["num_joints"]) == ("h36m", 17)
        assert "synthetic" in metadata["source"]
        views = load(toy / f"{name}.npz", "positions_2d")
        for subject, actions in poses.items():
            assert list(actions) == list(views[subject]) == list(prepare_toy.ACTIONS)
            for action, pose in actions.items():
                assert pose.shape == (150, 32, 3)
                assert [view.shape for view in views[subject][action]] == [(150, 17, 2)] * 4


def test_toy_body_is_a_body(toy):
    poses = load(toy / "data_3d_h36m.npz", "positions_3d")
    statures = set()
    for subject, actions in poses.items():
        joints = np.concatenate(
            [pose[:, prepare_toy.KEPT].astype(np.float64) for pose in actions.values()]
        )  # (T, 17, 3)
        bones = np.stack([joints[:, joint] - joints[:, parent] for joint, parent in H36M.bones], axis=1)  # (T, 16, 3)
        lengths = np.linalg.norm(bones, axis=-1)
        np.testing.assert_allclose(lengths, np.broadcast_to(lengths[:1], lengths.shape), atol=1e-5)
        statures.add(round(float(lengths[0].sum()), 3))
        left = joints[:, 4] - joints[:, 1]
        for hip, knee, foot in ((1, 2, 3), (4, 5, 6)):
            bend = np.cross(joints[:, knee] - joints[:, hip], joints[:, foot] - joints[:, knee])
            assert (bend * left).sum(axis=-1).min() > -1e-6, subject
        np.testing.assert_allclose(joints[:, (3, 6), 2].min(axis=1), prepare_toy.ANKLE, atol=1e-6)
        # Who walks, walks forward: left is on the left of the way.
        walker = actions["Walking"][:, prepare_toy.KEPT].astype(np.float64)
        front = np.cross(walker[:-1, 4] - walker[:-1, 1], [0, 0, 1])
        assert ((front * np.diff(walker[:, 0], axis=0)).sum(axis=-1) > 0).all()
    assert len(statures) == len(poses)


def test_toy_is_inside_every_picture(toy):
    views = load(toy / "data_2d_h36m_gt.npz", "positions_2d")
    noisy = load(toy / "data_2d_h36m_cpn_ft_h36m_dbb.npz", "positions_2d")
    for subject, actions in views.items():
        for action, four in actions.items():
            for camera, view, seen in zip(h36m_cameras(subject), four, noisy[subject][action], strict=True):
                assert view.min() > 0
                assert (view < camera.size).all()
                assert 0.5 < np.median(np.linalg.norm(seen - view, axis=-1)) < 20


def test_toy_depends_on_the_seed_only():
    first, again, other = (prepare_toy.build(20, seed)[0]["S9"]["Greeting"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


# Real files, where they are at hand


@pytest.mark.skipif("HOT_SHARED" not in os.environ, reason="HOT_SHARED names no folder with CMU files")
@pytest.mark.parametrize("name", ["02_01", "02_03", "03_02", "05_03", "09_01"])
def test_cmu_files_give_the_reference_conversion(name):
    folder = Path(os.environ["HOT_SHARED"]) / "data"
    reference = read_ready(folder / "cmu17_50hz.npz")[name]
    clip = read_folder(folder / "cmu_raw")[name]
    assert clip.source == reference.source
    assert clip.poses.shape == reference.poses.shape
    error = np.linalg.norm(clip.poses - reference.poses, axis=-1)  # (T, 17)
    assert error.max() < 0.001
