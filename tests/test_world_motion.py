"""Motion in the world: what is written is read back, what is spoilt is one sentence."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.data.world_motion import WorldClip, read_world_motion, split_of, write_world_motion
from common.errors import InputError

SOURCE = "made up for the tests"
Arrays = dict[str, np.ndarray]


def clip(name: str, split: str, own_bones: bool, length: int) -> WorldClip:
    pose = np.random.default_rng(length).standard_normal((length, 17, 3)).astype(np.float32)
    return WorldClip(name, name[:2], split, own_bones, pose, f"content of {name}", length / 10)


CLIPS = [clip("02_01", "train", True, 30), clip("03_01", "test", True, 25), clip("01_02", "train", False, 41)]


def write(folder: Path) -> Path:
    path = folder / "motion_mine.npz"
    write_world_motion(path, source=SOURCE, fps=30, clips=CLIPS)
    return path


def assert_same(found: list[WorldClip], expected: list[WorldClip]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert (one.name, one.subject, one.split, one.own_bones) == (
            other.name,
            other.subject,
            other.split,
            other.own_bones,
        )
        assert (one.content, one.weight) == (other.content, other.weight)
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
            "format": (), "source": (), "fps": (), "name": (3,), "subject": (3,), "split": (3,), "own_bones": (3,),
            "length": (3,),
            "content": (3,), "weight": (3,), "pose": (96, 17, 3),
        }  # fmt: skip


def put(index: object, value: object) -> Callable[[np.ndarray], np.ndarray]:
    def changed(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values[index] = value
        return values

    return changed


def test_files_without_contents_and_weights_are_read(tmp_path: Path) -> None:
    path = write(tmp_path)
    with np.load(path) as archive:
        arrays = {name: values for name, values in archive.items() if name not in ("content", "weight")}
    np.savez(path, **arrays)
    found, _, _ = read_world_motion(path, "train")
    assert [(clip.name, clip.content, clip.weight) for clip in found] == [("02_01", "", 1.0), ("01_02", "", 1.0)]
    assert {type(clip.weight) for clip in found} == {float}


@pytest.mark.parametrize("subject", ["03", "09", "11", "12", "14", "cmu09", "dm", "mass", "m2madd"])
def test_whom_models_are_tested_on(subject: str) -> None:
    assert split_of("x_01", subject) == split_of(f"{subject}_01", "x") == "test"
    assert split_of("x_01", "01") == "train"


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
    "contents in numbers": ("content", lambda _: np.arange(3), ["content", "text"]),
    "a content too few": ("content", lambda values: values[:2], ["content"]),
    "weights in words": ("weight", lambda _: np.array(["a", "b", "c"]), ["weight", "numbers"]),
    "a weight of no number": ("weight", put(0, np.nan), ["weight", "02_01", "nan"]),
    "a weight below nothing": ("weight", put(2, -1.0), ["weight", "01_02", "is -1, not"]),
    "a weight without end": ("weight", put(1, np.inf), ["weight", "03_01", "inf"]),
    "weights of nothing": ("weight", lambda values: 0 * values, ["weight", "'train'"]),
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
        assert "dataset/prepare_motion.py" in sentence


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
