"""The motion files: bones keep their length, and what is read back from each file stands where the people do."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from common.errors import InputError
from common.geometry.rigid import JOINTS, LIMBS, RIG, RigidMotion, fit_rig
from common.geometry.skeleton import H36M
from dataset.bvh import bvh_forward_kinematics, read_bvh_file
from demo.motion import formats
from demo.motion.angles import joint_angles, write_angles
from demo.motion.bvh import write_bvh
from demo.motion.formats import FILES, choose_formats, file_names, write_motion
from demo.motion.markers import write_c3d, write_trc
from demo.motion.person import LABELS, Person, people_in_space, quaternions
from demo.poses import Poses
from demo.results import Results

FPS, FRAMES = 25.0, 60
LENGTHS = dict(zip(RIG.names, (
    0, 0.13, 0.43, 0.42, 0.13, 0.43, 0.42, 0, 0.23, 0.25, 0, 0.12, 0.11, 0.15, 0.28, 0.25, 0.15, 0.28, 0.25
), strict=True))  # fmt: skip


def moving_rig(seed: int = 0) -> RigidMotion:
    """Somebody who turns all the way around and bends every joint, within the limits."""
    rng, time = np.random.default_rng(seed), np.linspace(0, 2 * np.pi, FRAMES)
    directions = np.zeros((RIG.joints, 3))
    directions[[4, 13]], directions[[1, 16]], directions[[8, 9]] = (1, 0, 0), (-1, 0, 0), (0, 1, 0)
    for limb in LIMBS:
        directions[[limb.middle, limb.end]] = limb.rest
    turns = np.tile(np.eye(3), (FRAMES, RIG.joints, 1, 1))
    turns[:, 0] = Rotation.from_euler("y", time[:, None]).as_matrix()
    turns[:, 8] = Rotation.from_euler("y", 15 * np.sin(time)[:, None], degrees=True).as_matrix()
    swing = {1: (-50, 0, 10), 4: (-30, 0, 10), 13: (0, -20, -60), 16: (0, 20, 60), 10: (25, 15, 0)}
    for limb in LIMBS:
        by = np.sin(time + rng.uniform(0, 6))[:, None] * np.array(swing[limb.root])
        turns[:, limb.root] = Rotation.from_euler("XYZ", by, degrees=True).as_matrix()
        bend = np.radians(50 + 40 * np.sin(2 * time + rng.uniform(0, 6)))
        turns[:, limb.middle] = Rotation.from_rotvec(bend[:, None] * limb.hinge).as_matrix()
    root = np.stack([0.3 * np.sin(time), 0.9 + 0 * time, 0.2 * np.cos(time)], axis=-1)
    return RigidMotion(directions * np.array(list(LENGTHS.values()))[:, None], root, turns)


def lifted(motion: RigidMotion) -> np.ndarray:
    return motion.world()[0][:, JOINTS]


def lengths(places: np.ndarray) -> np.ndarray:
    """(T, 16) of H36M poses."""
    return np.stack([np.linalg.norm(places[:, j] - places[:, parent], axis=-1) for j, parent in H36M.bones], axis=-1)


@pytest.fixture
def poses() -> Poses:
    """Two people with noise, camera axes. The first comes in frame 3 and is away in the frames 20 to 27; the second is
    there for half a second."""
    world = np.stack([lifted(moving_rig(seed)) for seed in (1, 2)])  # (2, T, 17, 3)
    world += np.random.default_rng(0).normal(0, 0.004, world.shape)
    pose = ((world - world[:, :, :1]) * (1, -1, -1)).astype(np.float32)
    pose[0, :3] = pose[0, 20:28] = pose[1, 12:] = np.nan
    return Poses(pose, np.ones((2, FRAMES, 17, 3), np.float32), np.isfinite(pose[..., 0, 0]), FPS, (640, 480))


@pytest.fixture
def offsets() -> np.ndarray:
    """A path, (2, T, 3), camera axes."""
    return np.stack(np.broadcast_arrays([[-0.7], [0.7]], -0.9, np.linspace(0, 3, FRAMES)), axis=-1)


@pytest.fixture
def person(poses: Poses, offsets: np.ndarray) -> Person:
    people, short = people_in_space(poses, offsets)
    assert short == [1]
    return people[0]


# ---- the fit ----


def test_a_rigid_motion_is_found_again() -> None:
    motion = moving_rig()
    found = fit_rig(lifted(motion), FPS)
    assert found.deviation(lifted(motion)).mean() < 1e-3
    assert found.deviation(lifted(motion)).max() < 0.01
    assert np.linalg.norm(found.offsets, axis=-1) == pytest.approx(list(LENGTHS.values()), abs=1e-3)


def test_bones_keep_one_length_left_and_right_alike(person: Person) -> None:
    long = lengths(lifted(person.rigid))
    assert np.ptp(long, axis=0).max() < 1e-9
    number = {joint: row for row, (joint, _) in enumerate(H36M.bones)}
    for left, right in zip(H36M.left, H36M.right, strict=True):
        assert long[0, number[left]] == pytest.approx(long[0, number[right]])
    assert long[0] == pytest.approx(np.median(lengths(person.joints[person.posed]), axis=0), abs=0.004)
    assert person.deviation < 0.01
    assert lifted(person.rigid)[:, 0] == pytest.approx(person.joints[person.posed, 0])  # the hip stays


def test_one_bad_frame_changes_no_length() -> None:
    places = lifted(moving_rig())
    places[7] *= 3
    assert np.linalg.norm(fit_rig(places, FPS).offsets, axis=-1) == pytest.approx(list(LENGTHS.values()), abs=2e-3)


@pytest.mark.parametrize("limb", LIMBS, ids=[RIG.names[limb.middle] for limb in LIMBS])
def test_hinges_bend_one_way_and_within_limits(limb: object) -> None:
    rng = np.random.default_rng(3)
    places = lifted(moving_rig()) + rng.normal(0, 0.15, (FRAMES, 17, 3))  # what no body can do
    turns = Rotation.from_matrix(fit_rig(places, FPS).turns[:, limb.middle]).as_rotvec(degrees=True)
    bend = turns @ limb.hinge
    assert turns == pytest.approx(bend[:, None] * limb.hinge, abs=1e-6)
    assert bend.min() > -1e-6
    assert bend.max() < limb.bend + 1e-6


def test_a_straight_leg_lets_the_knee_face_forward() -> None:
    motion = moving_rig()
    motion.turns[:, 2] = motion.turns[:, 5] = np.eye(3)
    places = lifted(motion) + np.random.default_rng(0).normal(0, 0.003, (FRAMES, 17, 3))
    found, expected = fit_rig(places, FPS).world()[1], motion.world()[1]
    off = Rotation.from_matrix(found[:, 2].swapaxes(1, 2) @ expected[:, 2]).magnitude()
    assert np.degrees(np.median(off)) < 40


@pytest.mark.parametrize("collapsed", [slice(None), slice(5, 6)], ids=["always", "in one frame"])
@pytest.mark.parametrize("joints", [range(17), (1, 4), (11, 14, 8), (2, 3)], ids=str)
def test_bones_without_a_direction(collapsed: slice, joints: tuple[int, ...]) -> None:
    places = lifted(moving_rig())
    for joint in joints:
        places[collapsed, joint] = places[collapsed, 0]
    found = fit_rig(places, FPS)
    assert np.isfinite(found.turns).all()
    assert np.linalg.det(found.turns) == pytest.approx(np.ones(found.turns.shape[:2]))


# ---- in space ----


def test_people_stand_in_space_with_y_up(person: Person, poses: Poses, offsets: np.ndarray) -> None:
    assert (person.number, person.name) == (0, "person0")
    assert person.posed.tolist() == [*range(3, 20), *range(28, FRAMES)]
    assert np.isnan(person.joints[[0, 2, 20, 27]]).all()
    feet, head = person.joints[30, [3, 6], 1], person.joints[30, 10, 1]
    assert (feet < 0.6).all()
    assert head > 1.3
    assert person.joints[30, 0] == pytest.approx(offsets[0, 30] * (1, -1, -1))
    axes = np.array([1, -1, -1])
    assert np.prod(axes) == 1  # no mirror: right is right
    assert person.joints[30] == pytest.approx((poses.poses_3d[0, 30] + offsets[0, 30]) * axes, abs=1e-6)


def test_frames_without_a_pose_are_bridged(person: Person) -> None:
    motion = person.in_every_frame()
    places = motion.world()[0]
    assert len(places) == FRAMES
    assert places[person.posed] == pytest.approx(person.rigid.world()[0], abs=1e-9)
    assert np.array_equal(places[0], places[2])
    steps = np.linalg.norm(np.diff(places[18:30], axis=0), axis=-1)
    assert steps.max() < 0.25  # nobody jumps


def test_quaternions_do_not_change_sides(person: Person) -> None:
    found = quaternions(person.rigid.turns)
    assert ((found[1:] * found[:-1]).sum(axis=-1) >= 0).all()
    assert Rotation.from_quat(found[:, 0]).as_matrix() == pytest.approx(person.rigid.turns[:, 0])
    around = Rotation.from_euler("y", np.linspace(0, 4 * np.pi, 50)[:, None]).as_matrix()[:, None]
    assert quaternions(around)[25, 0] @ quaternions(around)[0, 0] < 0  # twice around, over both sides


# ---- the files ----


def near_the_poses(places: np.ndarray, person: Person) -> None:
    """places (K, 17, 3), metres: the fitted joints, and so near to the lifted ones as was said."""
    assert np.abs(places - lifted(person.rigid)).max() < 1e-3
    off = np.linalg.norm(places - person.joints[person.posed], axis=-1)
    assert off.mean() == pytest.approx(person.deviation, abs=1e-4)


@pytest.mark.parametrize(("unit", "scale"), [("cm", 100), ("m", 1)])
def test_bvh(unit: str, scale: float, person: Person, tmp_path: Path) -> None:
    write_bvh(tmp_path / "a.bvh", person, unit)
    joints, values, fps = read_bvh_file(tmp_path / "a.bvh")
    places, _ = bvh_forward_kinematics(joints, values)
    assert [joint.name for joint in joints] == list(RIG.names)
    assert [joint.parent for joint in joints] == list(RIG.parents)
    assert fps == FPS
    near_the_poses(np.stack(places, axis=1)[person.posed][:, JOINTS] / scale, person)
    assert len(values) == FRAMES
    turns = ("rotation", "z"), ("rotation", "x"), ("rotation", "y")
    assert joints[0].channels == (("position", "x"), ("position", "y"), ("position", "z"), *turns)
    assert all(joint.channels == turns for joint in joints[1:])
    assert not joints[0].offset.any()
    rest = {joint.name: joint.offset for joint in joints}  # a T pose that faces +z
    assert rest["LElbow"][0] > 0 > rest["RElbow"][0]
    assert rest["LKnee"][1] < 0 < rest["Spine"][1]
    assert (tmp_path / "a.bvh").read_text().count("End Site") == 5


def test_angles_of_the_bvh_do_not_jump(tmp_path: Path) -> None:
    motion = moving_rig()
    motion.turns[:, 2] = Rotation.from_euler("x", np.linspace(0, 140, FRAMES)[:, None], degrees=True).as_matrix()
    write_bvh(tmp_path / "a.bvh", Person(0, lifted(motion), np.arange(FRAMES), motion, FPS))
    values = read_bvh_file(tmp_path / "a.bvh")[1]
    assert np.abs(np.diff(values[:, 3:], axis=0)).max() < 30
    assert values[-1, 9:12] == pytest.approx([0, 140, 0], abs=1e-4)  # the knee, past a right angle


def test_glb(person: Person, poses: Poses, offsets: np.ndarray, tmp_path: Path) -> None:
    gltf = pytest.importorskip("pygltflib")
    from demo.motion.glb import write_glb

    other = Person(3, person.joints, person.posed, person.rigid, FPS)
    write_glb(tmp_path / "a.glb", [person, other])
    document = gltf.GLTF2().load(str(tmp_path / "a.glb"))
    data = document.binary_blob()

    def array(number: int) -> np.ndarray:
        accessor = document.accessors[number]
        kind = {gltf.FLOAT: "<f4", gltf.UNSIGNED_SHORT: "<u2", gltf.UNSIGNED_BYTE: "u1"}[accessor.componentType]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor.type]
        view = document.bufferViews[accessor.bufferView]
        assert view.byteOffset % 4 == 0
        flat = np.frombuffer(data, kind, accessor.count * width, view.byteOffset)
        return flat.reshape(-1, width) if width > 1 else flat

    assert [animation.name for animation in document.animations] == ["person0", "person3"]
    assert (len(document.skins), len(document.scenes), document.accessors[0].count > 0) == (2, 1, True)
    for skin, animation, mesh in zip(document.skins, document.animations, document.meshes, strict=True):
        nodes = [document.nodes[number] for number in skin.joints]
        assert tuple(node.name for node in nodes) == RIG.names
        keys = np.array([0, *person.posed])  # the last one is the film's last
        turns = np.zeros((len(keys), RIG.joints, 3, 3))
        root = None
        for channel in animation.channels:
            sampler = animation.samplers[channel.sampler]
            assert sampler.interpolation == "LINEAR"
            assert array(sampler.input) * FPS == pytest.approx(keys, abs=1e-3)
            values = array(sampler.output)
            if channel.target.path == "translation":
                assert channel.target.node == skin.joints[0]
                root = values.astype(float)
            else:
                assert ((values[1:] * values[:-1]).sum(axis=-1) > 0).all()
                turns[:, skin.joints.index(channel.target.node)] = Rotation.from_quat(values).as_matrix()
        offsets = np.array([node.translation for node in nodes])
        places = lifted(RigidMotion(offsets, root, turns))
        assert np.array_equal(places[0], places[1])  # still until the person comes
        near_the_poses(places[1:], person)
        # The mesh is bound where the T pose has the joints, and stands on the ground.
        rest = lifted(RigidMotion(offsets, offsets[:1], np.tile(np.eye(3), (1, RIG.joints, 1, 1))))[0]
        bound = -array(skin.inverseBindMatrices).reshape(-1, 4, 4)[:, 3, :3]
        assert bound[JOINTS] == pytest.approx(rest, abs=1e-6)
        assert rest[[3, 6], 1] == pytest.approx([0, 0], abs=1e-6)
        part = mesh.primitives[0]
        points, owners = array(part.attributes.POSITION), array(part.attributes.JOINTS_0)
        assert len(points) == len(owners) == len(array(part.indices))
        assert set(owners[:, 0]) <= set(range(RIG.joints))
        assert np.array_equal(array(part.attributes.WEIGHTS_0), np.tile([1, 0, 0, 0], (len(points), 1)))
        triangles = points.reshape(-1, 3, 3)
        normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
        spindles = points.reshape(-1, 24, 3).mean(axis=1).repeat(8, axis=0)
        assert ((triangles.mean(axis=1) - spindles) * normals).sum(axis=-1).min() > 0  # faces look outward


def test_trc(person: Person, tmp_path: Path) -> None:
    write_trc(tmp_path / "a.trc", person)
    lines = (tmp_path / "a.trc").read_text().split("\n")
    assert lines[0].split("\t") == ["PathFileType", "4", "(X/Y/Z)", "a.trc"]
    about = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
    assert (about["DataRate"], about["NumFrames"], about["NumMarkers"], about["Units"]) == ("25", "60", "17", "m")
    assert lines[3].split("\t")[2::3] == list(LABELS)
    assert lines[4].split("\t")[2:5] == ["X1", "Y1", "Z1"]
    assert lines[5] == ""
    rows = [line.split("\t") for line in lines[6:-1]]
    assert [row[0] for row in rows] == [str(frame + 1) for frame in range(FRAMES)]
    assert float(rows[25][1]) == 1
    found = np.array([[float(field or "nan") for field in row[2:]] for row in rows]).reshape(FRAMES, 17, 3)
    assert found == pytest.approx(person.joints, abs=1e-4, nan_ok=True)


def test_c3d(person: Person, tmp_path: Path) -> None:
    ezc3d = pytest.importorskip("ezc3d")
    write_c3d(tmp_path / "a.c3d", person)
    content = ezc3d.c3d(str(tmp_path / "a.c3d"))
    about = content["parameters"]["POINT"]
    assert about["LABELS"]["value"] == list(LABELS)
    assert (about["RATE"]["value"][0], about["UNITS"]["value"]) == (FPS, ["mm"])
    found = content["data"]["points"][:3].transpose(2, 1, 0) / 1000
    assert found == pytest.approx(person.joints, abs=1e-4, nan_ok=True)


def test_angles_of_known_postures(tmp_path: Path) -> None:
    motion = moving_rig()
    turns = np.tile(np.eye(3), (FRAMES, RIG.joints, 1, 1))
    turns[:, 0] = motion.turns[:, 0]  # whichever way the person faces
    for joint, axis, degrees in (
        (1, "x", -30), (2, "x", 70), (4, "z", 20), (13, "z", -90), (14, "y", -40), (16, "z", 60),
    ):  # fmt: skip
        turns[:, joint] = Rotation.from_euler(axis, degrees, degrees=True).as_matrix()
    motion = RigidMotion(motion.offsets, motion.root, turns)
    found = {name: angle[9] for name, angle in joint_angles(motion).items()}
    assert found == pytest.approx(
        {
            "right_hip_flexion": 30, "right_hip_abduction": 0, "right_knee_flexion": 70,
            "left_hip_flexion": 0, "left_hip_abduction": 20, "left_knee_flexion": 0,
            "left_shoulder_flexion": 0, "left_shoulder_abduction": 0, "left_elbow_flexion": 40,
            "right_shoulder_flexion": 0, "right_shoulder_abduction": 30, "right_elbow_flexion": 0,
        },
        abs=1e-4,
    )  # fmt: skip
    person = Person(
        0, lifted(motion), np.arange(5, 10), RigidMotion(motion.offsets, motion.root[5:10], turns[5:10]), FPS
    )
    write_angles(tmp_path / "a.csv", person)
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == FRAMES
    assert rows[4]["left_hip_abduction_deg"] == rows[10]["left_hip_abduction_deg"] == ""
    assert (float(rows[5]["time_s"]), float(rows[5]["left_hip_abduction_deg"])) == (0.2, 20)


def test_the_same_motion_gives_the_same_files(person: Person, tmp_path: Path) -> None:
    for write in (write_bvh, write_trc, write_angles):
        write(tmp_path / "1" / "a", person)
        write(tmp_path / "2" / "a", person)
        assert (tmp_path / "1" / "a").read_bytes() == (tmp_path / "2" / "a").read_bytes()


# ---- which files ----


def written(poses: Poses, offsets: np.ndarray, wanted: list[str], folder: Path) -> set[str]:
    with Results(folder, folder / "film.mp4", file_names(wanted, 2)) as results:
        write_motion(results, wanted, poses, offsets, "cm")
    return set(results.written)


def test_who_is_seen_too_little_has_no_files(
    poses: Poses, offsets: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    wanted = choose_formats(None)
    mine = {FILES[name].format(0) for name in wanted}
    assert written(poses, offsets, wanted, tmp_path / "out") == mine
    assert {path.name for path in (tmp_path / "out").iterdir()} == mine | {"written.json"}
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "person 1: poses for less than 1 second, too few for a file of the motion"
    assert said[1].startswith("person 0: constant bones, ")
    assert len(said) == 2


def test_a_video_too_long_for_c3d(
    poses: Poses, offsets: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(formats, "C3D_FRAMES", FRAMES - 1)
    assert written(poses, offsets, ["trc", "c3d"], tmp_path) == {"person0.trc"}
    assert "no .c3d: it holds 59 frames at most, and the video has 60; use the .trc\n" in capsys.readouterr().out


def test_nobody_long_enough(poses: Poses, offsets: np.ndarray, tmp_path: Path) -> None:
    poses.poses_3d[0, 24:] = np.nan
    assert written(poses, offsets, choose_formats(None), tmp_path / "out") == {"poses.csv"}


def test_only_the_wanted_files(poses: Poses, offsets: np.ndarray, tmp_path: Path) -> None:
    assert written(poses, offsets, choose_formats(" BVH,angles,bvh"), tmp_path) == {
        "person0.bvh",
        "person0_angles.csv",
    }
    assert file_names(["csv", "trc", "glb"], 2) == ["poses.csv", "person0.trc", "person1.trc", "people.glb"]


def test_packages_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "PACKAGES", {"glb": "no_such_package"})
    assert choose_formats(None) == ["bvh", "trc", "c3d", "csv", "angles"]
    with pytest.raises(InputError, match=r"glb needs the package no_such_package.*pip install no_such_package"):
        choose_formats("bvh,glb")


@pytest.mark.parametrize("wanted", ["fbx", "bvh,,trc", "", "bvh trc"])
def test_unknown_formats(wanted: str) -> None:
    with pytest.raises(InputError, match="is no format; give some of bvh,glb,trc,c3d,csv,angles"):
        choose_formats(wanted)


def test_one_frame_at_one_frame_per_second(poses: Poses, offsets: np.ndarray, tmp_path: Path) -> None:
    still = Poses(poses.poses_3d[:1, 30:31], poses.keypoints_2d[:1, :1], poses.valid[:1, 30:31], 1.0, (640, 480))
    wanted = choose_formats(None)
    assert len(written(still, offsets[:, :1], wanted, tmp_path)) == len(wanted)
    assert read_bvh_file(tmp_path / "person0.bvh")[1].shape == (1, 60)
