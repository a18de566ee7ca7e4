"""Motion in the world: what is written is read back, what is spoilt is one sentence, and CMU's agrees with its camera-space file."""

from __future__ import annotations

import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from common.motion_file import read_motion_file
from common.skeleton import H36M
from common.world_motion import WorldClip, read_world_motion, write_world_motion
from dataset import prepare_cmu

SOURCE = "made up for the tests"
Arrays = dict[str, np.ndarray]


def clip(name: str, split: str, own_bones: bool, length: int) -> WorldClip:
    pose = np.random.default_rng(length).standard_normal((length, 17, 3)).astype(np.float32)
    return WorldClip(name, name[:2], split, own_bones, pose)


CLIPS = [clip("02_01", "train", True, 30), clip("03_01", "test", True, 25), clip("01_02", "train", False, 41)]


def write(folder: Path) -> Path:
    path = folder / "motion_mine.npz"
    write_world_motion(path, source=SOURCE, fps=30, clips=CLIPS)
    return path


def assert_same(found: list[WorldClip], expected: list[WorldClip]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert (one.name, one.subject, one.split, one.own_bones) == (other.name, other.subject, other.split, other.own_bones)
        assert one.pose.dtype == np.float32
        np.testing.assert_array_equal(one.pose, other.pose)


@pytest.mark.parametrize("split", ["train", "test"])
def test_what_is_written_is_read_back(split: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    found, fps, source = read_world_motion(path, split)
    assert_same(found, [clip for clip in CLIPS if clip.split == split])
    assert (fps, source) == (30.0, SOURCE)
    assert isinstance(found[0].own_bones, bool)
    with np.load(path, allow_pickle=False) as archive:  # plain arrays, all of them
        assert {name: archive[name].shape for name in archive.files} == {
            "format": (), "source": (), "fps": (), "name": (3,), "subject": (3,), "split": (3,), "own_bones": (3,), "length": (3,),
            "pose": (96, 17, 3),
        }  # fmt: skip


def put(index: object, value: object) -> Callable[[np.ndarray], np.ndarray]:
    def changed(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values[index] = value
        return values

    return changed


FIELDS = ("format", "source", "fps", "name", "subject", "split", "own_bones", "length", "pose")
# what: (field, the field spoilt, words of the sentence beside the file's name)
SPOILT: dict[str, tuple[str, Callable[[np.ndarray], object], list[str]]] = {
    "another format": ("format", lambda _: "hot-motion 1", ["format", "hot-motion 1", "hot-world 1"]),
    "fps of nothing": ("fps", lambda _: 0.0, ["fps"]),
    "fps below nothing": ("fps", lambda _: -50, ["fps"]),
    "fps is no number": ("fps", lambda _: np.nan, ["fps"]),
    "fps without end": ("fps", lambda _: np.inf, ["fps"]),
    "fps in words": ("fps", lambda _: "fast", ["fps"]),
    "fps of each clip": ("fps", lambda _: np.full(3, 50.0), ["fps"]),
    "sources": ("source", lambda _: np.array(["a", "b", "c"]), ["source"]),
    "a source in numbers": ("source", lambda _: 3, ["source"]),
    "objects": ("name", lambda values: values.astype(object), ["name"]),
    "names in numbers": ("name", lambda _: np.arange(3), ["name"]),
    "one subject": ("subject", lambda _: np.array("01"), ["subject"]),
    "a subject too few": ("subject", lambda values: values[:2], ["subject"]),
    "a name too few": ("name", lambda values: values[:2], ["name"]),
    "another split": ("split", put(1, "val"), ["split", "03_01", "'val'"]),
    "no one to train on": ("split", put(slice(None), "test"), ["'train'"]),
    "bones in numbers": ("own_bones", lambda values: values.astype(int), ["own_bones", "bool"]),
    "bones of each joint": ("own_bones", lambda values: np.tile(values[:, None], (1, 17)), ["own_bones"]),
    "lengths in fractions": ("length", lambda values: values + np.array([0.5, -0.5, 0.0]), ["length"]),
    "a length of nothing": ("length", put(0, 0), ["length", "02_01"]),
    "a length below nothing": ("length", put(slice(None), [97, -1, 0]), ["length", "03_01"]),
    "lengths that do not add up": ("length", put(0, 31), ["pose", "(97, 17, 3)", "(96, 17, 3)"]),
    # In 64 bits these add up to 96.
    "lengths that wrap around": ("length", lambda _: np.array([2**64 - 1, 96, 1], np.uint64), ["pose", "length"]),
    "16 joints": ("pose", lambda values: values[:, :16], ["pose", "(96, 16, 3)"]),
    "poses without depth": ("pose", lambda values: values[..., :2], ["pose"]),
    "poses in one row": ("pose", lambda values: values.reshape(-1), ["pose"]),
    "doubles": ("pose", lambda values: values.astype(np.float64), ["pose", "float64", "float32"]),
    "poses in words": ("pose", lambda values: values.astype(str), ["pose"]),
    "NaN": ("pose", put((30 + 25 + 7, 3, 1), np.nan), ["pose", "clip 01_02", "frame 7, joint 3"]),
    "infinity": ("pose", put((4, 16, 2), np.inf), ["pose", "clip 02_01", "frame 4, joint 16"]),
}


def refused(path: Path) -> str:
    """The sentence with which the file is refused for training."""
    with pytest.raises(InputError) as error:
        read_world_motion(path, "train")
    sentence = str(error.value)
    assert sentence.startswith(f"{path}: ")
    assert "\n" not in sentence
    assert re.search(r"; (make|see|repair) ", sentence)  # and it says what to do
    return sentence


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_field_is_one_sentence(name: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    field, spoil, named = SPOILT[name]
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays[field] = np.asarray(spoil(arrays[field]))
    np.savez(path, **arrays)
    sentence = refused(path)
    for words in named:
        assert words in sentence


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_that_is_missing_or_no_array(field: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    with np.load(path) as archive:
        arrays = {name: values for name, values in archive.items() if name != field}
    np.savez(path, **arrays)
    assert f"field {field} is missing" in refused(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{field}.npy", b"words\n")
    assert f"field {field} " in refused(path)


@pytest.mark.parametrize("content", ["missing", "folder", "nothing", "text", "half", "one array"])
def test_a_file_that_is_no_npz(content: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    path.unlink()
    if content == "folder":
        path.mkdir()
    elif content == "one array":
        with open(path, "wb") as file:
            np.save(file, CLIPS[0].pose)
    elif content != "missing":
        path.write_bytes({"nothing": b"", "text": b"motion\n", "half": whole[: len(whole) // 2]}[content])
    sentence = refused(path)
    if content == "missing":
        assert "dataset/prepare_cmu.py" in sentence


def test_damage_anywhere_is_a_sentence_or_harmless(tmp_path: Path) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    sentences = []
    for place in range(0, len(whole), 61):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x81]) + whole[place + 1 :])
        try:
            clips, fps, source = read_world_motion(path, "train")
        except InputError as error:
            sentences.append(str(error))
        else:  # a date of the zip file, say
            assert_same(clips, [CLIPS[0], CLIPS[2]])
            assert (fps, source) == (30.0, SOURCE)
    assert len(sentences) > len(whole) / 61 / 2
    assert not any("\n" in sentence for sentence in sentences)


# The CMU conversion


def ready_clips() -> dict[str, prepare_cmu.Clip]:
    """Two people walk out of the studio, one of them in a BVH clip and one to test on; clips just too short and just long enough."""

    def walk(length: int, seed: int, speed: float) -> np.ndarray:
        poses = np.random.default_rng(seed).normal([3.0, 1.0, -4.0], 0.4, (length, 17, 3))
        return poses + speed * np.arange(length)[:, None, None] * [0.6, 0.0, 0.8]

    return {
        "01_01": prepare_cmu.Clip(walk(300, 0, 0.03), "amc"),
        "01_02": prepare_cmu.Clip(walk(prepare_cmu.SHORTEST, 1, 0.0), "amc"),
        "01_03": prepare_cmu.Clip(walk(prepare_cmu.SHORTEST - 1, 2, 0.0), "amc"),
        "05_01": prepare_cmu.Clip(walk(prepare_cmu.SHORTEST + prepare_cmu.SETTLING, 3, 0.0), "bvh"),
        "05_02": prepare_cmu.Clip(walk(prepare_cmu.SHORTEST + prepare_cmu.SETTLING - 1, 4, 0.0), "bvh"),
        "09_01": prepare_cmu.Clip(walk(400, 5, 0.02), "bvh"),
        "12_04": prepare_cmu.Clip(walk(50, 6, 0.0), "amc"),
    }


@pytest.fixture(scope="module")
def cmu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of data_cmu.npz and motion_cmu.npz, as the script writes them from the clips above."""
    folder = tmp_path_factory.mktemp("cmu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare_cmu, "read_ready", lambda _: ready_clips())
        (folder / "clips.npz").touch()
        patch.setattr(sys, "argv", ["prepare_cmu.py", "--input", str(folder / "clips.npz"), "--output", str(folder / "data_cmu.npz")])
        prepare_cmu.main()
    return folder


def bone_lengths(poses: np.ndarray) -> np.ndarray:
    """(T, 17, 3) -> (T, 16), metres."""
    joint, parent = map(list, zip(*H36M.bones, strict=True))
    return np.linalg.norm(poses[:, joint] - poses[:, parent], axis=-1)


def test_cmu_clips_are_whole_and_in_the_world(cmu: Path) -> None:
    given = ready_clips()
    for split, names in (("train", ["01_01", "01_02", "05_01"]), ("test", ["09_01", "12_04"])):
        clips, fps, source = read_world_motion(cmu / "motion_cmu.npz", split)
        assert [clip.name for clip in clips] == names
        assert fps == prepare_cmu.FPS
        assert "mocap.cs.cmu.edu" in source
        assert "camera" not in source
        for clip in clips:
            assert clip.own_bones == (given[clip.name].source == "amc")
            settling = 0 if clip.own_bones else prepare_cmu.SETTLING
            np.testing.assert_array_equal(clip.pose, given[clip.name].poses[settling:].astype(np.float32))


@pytest.mark.parametrize("split", ["train", "test"])
def test_cmu_has_the_same_bodies_in_both_files(split: str, cmu: Path) -> None:
    clips, fps, _ = read_world_motion(cmu / "motion_cmu.npz", split)
    sequences, _ = read_motion_file(cmu / "data_cmu.npz", "gt", split)
    cameras = sorted({sequence.camera for sequence in sequences})
    assert len(cameras) == 4
    for camera in cameras:
        seen = [sequence for sequence in sequences if sequence.camera == camera]
        assert len(seen) > len(clips)  # those who leave the studio are in pieces there
        assert {sequence.fps for sequence in seen} == {fps}
        for subject in {clip.subject for clip in clips}:
            world = np.concatenate([clip.pose for clip in clips if clip.subject == subject])
            pieces = np.concatenate([sequence.pose_3d for sequence in seen if sequence.subject == subject])
            np.testing.assert_allclose(bone_lengths(pieces), bone_lengths(world), atol=1e-5)  # frame by frame
            # A rigid motion keeps the side that left is on, too.
            np.testing.assert_allclose(handedness(pieces), handedness(world), rtol=1e-3, atol=1e-4)


def handedness(poses: np.ndarray) -> np.ndarray:
    """The volume that three bones at the hip span, signed: (T, 17, 3) -> (T,); mirrored poses have the opposite."""
    right, left, spine = (poses[:, joint] - poses[:, 0] for joint in (1, 4, 7))
    return (np.cross(right, left) * spine).sum(axis=-1)


def test_cmu_split_is_by_person(cmu: Path) -> None:
    train, test = ({clip.subject for clip in read_world_motion(cmu / "motion_cmu.npz", split)[0]} for split in ("train", "test"))
    assert test <= set(prepare_cmu.TEST_SUBJECTS)
    assert not train & set(prepare_cmu.TEST_SUBJECTS)
    for split, subjects in (("train", train), ("test", test)):
        assert {sequence.subject for sequence in read_motion_file(cmu / "data_cmu.npz", "gt", split)[0]} == subjects


@pytest.mark.parametrize(("output", "beside"), [("data_cmu.npz", "motion_cmu.npz"), ("cmu.npz", "motion_cmu.npz"), ("data_", "motion_")])
def test_name_of_the_second_file(output: str, beside: str, tmp_path: Path) -> None:
    assert prepare_cmu.world_path(tmp_path / "data_folder" / output) == tmp_path / "data_folder" / beside
