"""MPI-INF-3DHP: the reader, the protocol of its test, PCK and AUC, the script that makes its files, and a whole run."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from common.data.datasets import read_sequences
from common.data.mpi_inf_3dhp import FROM_FILE, PCK_JOINTS
from common.data.pose_dataset import BatchOrder, PoseDataset, loader
from common.errors import InputError
from common.evaluation.evaluate import Scores, evaluate, evaluate_lifting
from common.evaluation.metrics import auc, mpjpe, pck
from common.evaluation.report import score_table
from common.geometry.normalise import Normaliser
from common.geometry.skeleton import H36M
from common.inference.compute import Compute
from common.training.recipes import MHFORMER, MIXSTE
from common.training.settings import resolve
from common.training.setup import build_model
from dataset import matlab, prepare_3dhp
from model import Prediction
from tests import synthetic_3dhp
from tests.conftest import ROOT

Main = Callable[..., None]
PARENTS = (16, 15, 1, 2, 3, 1, 5, 6, 14, 8, 9, 14, 11, 12, -1, 14, 1)
"""Of the joints of the files."""
COMMANDS = re.findall(r"^python (main_\w+\.py .*--dataset 3dhp.*)$", (ROOT / "README.md").read_text("utf-8"), re.M)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_3dhp.save(tmp_path_factory.mktemp("3dhp"), *synthetic_3dhp.arrays())


# Metrics.


def test_pck_and_auc_of_errors_that_are_counted_by_hand() -> None:
    target = torch.zeros(2, 3, 3, dtype=torch.float64)
    prediction = target.clone()
    prediction[0, :, 1] = torch.tensor([0.0, 0.149, 0.150])
    prediction[1, :, 2] = torch.tensor([-0.0049, 0.2, -0.0051])
    assert pck(prediction, target).tolist() == pytest.approx([2 / 3, 2 / 3])
    # Thresholds of 0, 5, .., 150 mm that are more than the error: 30, 1 and 0; then 30, 0 and 29.
    assert auc(prediction, target).tolist() == pytest.approx([31 / 93, 59 / 93])
    assert (1000 * mpjpe(prediction, target)).tolist() == pytest.approx([299 / 3, 70.0])
    assert pck(prediction, target, threshold=0.005).tolist() == pytest.approx([1 / 3, 1 / 3])


def test_a_perfect_prediction_has_an_auc_of_30_thresholds_of_31() -> None:
    pose = torch.randn(4, 14, 3, dtype=torch.float64)
    assert torch.equal(pck(pose, pose), torch.ones(4, dtype=torch.float64))
    assert [round(100 * share, 2) for share in auc(pose, pose).tolist()] == [96.77] * 4


# The reader.


def test_joints_of_the_files_become_those_of_human36m() -> None:
    assert sorted(FROM_FILE) == list(range(17))
    assert FROM_FILE[0] == 14
    place = {file: ours for ours, file in enumerate(FROM_FILE)} | {-1: -1}
    assert tuple(place[PARENTS[file]] for file in FROM_FILE) == H36M.parents
    right, left = (2, 3, 4, 8, 9, 10), (5, 6, 7, 11, 12, 13)
    pairs = {(place[one], place[other]) for one, other in zip(right, left, strict=True)}
    assert pairs == {(joint, H36M.mirrored[joint]) for joint in H36M.right}
    assert sorted(FROM_FILE[joint] for joint in PCK_JOINTS) == list(range(14))


def test_both_splits_are_read(root: Path) -> None:
    train, test = synthetic_3dhp.arrays()
    data = read_sequences("3dhp", root, "gt", "train")
    assert len(data.sequences) == 8 * 2 * 8
    assert data.source == synthetic_3dhp.SOURCE
    first, last = data.sequences[0], data.sequences[-1]
    assert (last.subject, last.action, last.camera, last.size, last.fps) == ("S8", "Seq2", "8", (2048, 2048), 50)
    assert (first.fps, first.valid) == (25, None)
    for joint, name in ((14, "Hip"), (0, "Head"), (4, "RWrist"), (13, "LFoot")):
        ours = H36M.names.index(name)
        assert np.array_equal(last.pose_2d[:, ours], train["S8 Seq2"][0]["8"]["data_2d"][:, joint])
        assert last.pose_3d[:, ours] == pytest.approx(train["S8 Seq2"][0]["8"]["data_3d"][:, joint] / 1000, abs=1e-6)
    sequences = read_sequences("3dhp", root, "gt", "test", "TS6,TS2").sequences
    assert [(sequence.action, sequence.size) for sequence in sequences] == [
        ("TS2", (2048, 2048)),
        ("TS6", (1920, 1080)),
    ]
    for sequence in sequences:
        assert np.array_equal(sequence.valid, test[sequence.action]["valid"])


def test_a_test_file_with_a_field_for_each_sequence_is_the_same(root: Path, tmp_path: Path) -> None:
    _, test = synthetic_3dhp.arrays()
    numbers = {name: {**part, "valid": part["valid"][:, None].astype(np.float64)} for name, part in test.items()}
    np.savez(tmp_path / "data_test_3dhp.npz", **{name: np.array(part, dtype=object) for name, part in numbers.items()})
    both = [read_sequences("3dhp", folder, "gt", "test").sequences for folder in (root, tmp_path)]
    for one, other in zip(*both, strict=True):
        assert np.array_equal(one.pose_3d, other.pose_3d)
        assert np.array_equal(one.valid, other.valid)


def scaled(name: str, factor: float) -> Callable[[dict, dict], None]:
    def change(train: dict, test: dict) -> None:
        train["S1 Seq1"][0]["0"][name] *= factor
        test["TS1"][name] *= factor

    return change


def replaced(name: str, value: object) -> Callable[[dict, dict], None]:
    return lambda train, test: test["TS1"].update({name: value})


SPOILED: list[tuple[str, Callable[[dict, dict], object], list[str]]] = [
    ("train", lambda train, _: train.pop("S3 Seq2"), ["S3 Seq2 is missing"]),
    ("train", lambda train, _: train["S2 Seq1"][0].pop("8"), ["S2 Seq1", "cameras 0, 1, 2, 4, 5, 6, 7, not 0"]),
    ("train", lambda train, _: train["S2 Seq1"][0].update({"3": {}}), ["S2 Seq1", "cameras", "3"]),
    ("train", lambda train, _: train["S2 Seq1"].pop(), ["S2 Seq1", "[cameras, frames per second]"]),
    ("train", lambda train, _: train["S2 Seq1"].__setitem__(1, "fast"), ["S2 Seq1", "[cameras, frames per second]"]),
    ("train", lambda train, _: train.__setitem__("S2 Seq1", 5), ["S2 Seq1", "[cameras, frames per second]"]),
    ("train", lambda train, _: train["S2 Seq1"][0]["4"].pop("data_3d"), ["S2 Seq1, camera 4", "data_3d"]),
    ("train", scaled("data_3d", 0.001), ["S1 Seq1, camera 0, data_3d", "metres", "millimetres"]),
    ("test", scaled("data_3d", 0.001), ["TS1, data_3d", "in metres"]),
    ("test", scaled("data_3d", 0.1), ["TS1, data_3d", "in centimetres"]),
    ("test", scaled("data_2d", 0.0005), ["TS1, data_2d", "not in pixels"]),
    ("test", lambda _, test: test.pop("TS5"), ["TS5 is missing"]),
    ("test", lambda _, test: test.pop("TS1"), ["TS1 is missing"]),
    ("test", lambda _, test: test["TS4"].pop("valid"), ["TS4", "no valid flags"]),
    ("test", replaced("valid", np.zeros(10, bool)), ["TS1", "no valid frame"]),
    ("test", replaced("valid", np.ones(9, bool)), ["TS1", "9 valid flags for 10 frames"]),
    ("test", replaced("valid", np.full(10, 2)), ["TS1, valid", "0 and 1"]),
    ("test", replaced("valid", [1, 2]), ["TS1, valid", "no array"]),
    ("test", replaced("data_3d", np.zeros((10, 16, 3))), ["TS1, data_3d", "(10, 16, 3)", "17"]),
    ("test", replaced("data_2d", np.zeros((10, 17, 3))), ["TS1, data_2d", "(10, 17, 3)", "17, 2"]),
    ("test", replaced("data_2d", np.zeros((11, 17, 2))), ["TS1", "11 frames of 2D, but 10 of 3D"]),
    ("test", replaced("data_3d", np.full((10, 17, 3), np.nan)), ["TS1, data_3d", "frame 0, joint 0"]),
    ("test", replaced("data_3d", np.full((10, 17, 3), "x")), ["TS1, data_3d", "text"]),
    ("test", lambda _, test: test.__setitem__("TS1", 5), ["TS1", "data_2d"]),
]


@pytest.fixture(scope="session")
def good() -> tuple[dict, dict]:
    return synthetic_3dhp.arrays(10)


@pytest.mark.parametrize(("split", "change", "words"), SPOILED)
def test_a_file_that_is_otherwise_is_refused(
    split: str, change: Callable[[dict, dict], object], words: list[str], good: tuple[dict, dict], tmp_path: Path
) -> None:
    train, test = copy.deepcopy(good)
    change(train, test)
    synthetic_3dhp.save(tmp_path, train if split == "train" else None, test if split == "test" else None)
    with pytest.raises(InputError) as refusal:
        read_sequences("3dhp", tmp_path, "gt", split)
    sentence = str(refusal.value)
    assert sentence.startswith(str(tmp_path / f"data_{split}_3dhp.npz"))
    assert [word for word in words if word not in sentence] == []
    assert "again" in sentence or "prepare_3dhp.py" in sentence or "leave out" in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--root_path", "nowhere"), ["data_test_3dhp.npz", "no such file"]),
        (("--actions", "TS1,TS7"), ["--actions", "TS7", "TS1, TS2"]),
        (("--keypoints", "cpn"), ["--keypoints", "'cpn'", "3dhp"]),
    ],
)
def test_flags_that_do_not_go_with_3dhp_end_in_one_sentence(
    flags: tuple[str, ...], words: list[str], root: Path, main: Main, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(
            "main_mixste.py", "--dataset", "3dhp", "--root_path", root, *TINY, "--checkpoint", tmp_path / "run", *flags
        )
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.count("\n") == 1
    assert [word for word in words if word not in error] == []


# The protocol.


class Echo(nn.Module):
    """Gives x and y of its input as metres, and z 0, for all frames: a score tells which frame and joint was scored."""

    def forward(self, pose_2d: Tensor, kept: object = None) -> Prediction:
        return Prediction(torch.cat([pose_2d, torch.zeros_like(pose_2d[..., :1])], dim=-1), None, ())


def by_hand(test: dict) -> dict[str, tuple[int, float, float, float]]:
    """Frames, MPJPE (mm), PCK and AUC (%) of Echo for each sequence and "all", from the arrays as the file has them."""
    found, every = {}, []
    for name, part in test.items():
        w, h = synthetic_3dhp.SIZES[name]
        target = part["data_3d"].astype(np.float64) - part["data_3d"][:, 14:15]
        pose = np.zeros_like(target)
        pose[..., :2] = 1000 * (part["data_2d"] / w * 2 - [1, h / w])
        pose[:, 14] = 0
        every.append(np.linalg.norm(pose - target, axis=-1)[part["valid"]])  # (V, 17)
        found[name] = summed_up(every[-1])
    return found | {"all": summed_up(np.concatenate(every))}


def summed_up(errors: np.ndarray) -> tuple[int, float, float, float]:
    shares = [(errors[:, :14] < threshold).mean() for threshold in range(0, 151, 5)]
    return len(errors), errors.mean(), 100 * shares[-1], 100 * sum(shares) / 31


def check(scores: Scores, expected: dict[str, tuple[int, float, float, float]]) -> None:
    for tables in (scores.once, scores.published):
        for column, name in enumerate(("mpjpe", "pck", "auc"), start=1):
            for action, value in tables[name].actions.items():
                assert value == pytest.approx(expected[action][column], abs=2e-3)
            assert tables[name].mean == pytest.approx(expected["all"][column], abs=2e-3)
        assert tables["mpjpe"].counts == {action: row[0] for action, row in expected.items() if action != "all"}


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("frames", [9, 27])
def test_the_centres_of_windows_around_valid_frames_are_scored(root: Path, frames: int, flip: bool) -> None:
    data = read_sequences("3dhp", root, "gt", "test")
    windows = PoseDataset(data.sequences, data.skeleton, Normaliser(), frames, 1)
    order, compute = BatchOrder(len(windows), 7), Compute(torch.device("cpu"))
    scores = evaluate(
        Echo(), windows, loader(windows, order, 0, compute.device), compute,
        flip_test=flip, centre_only=True, pooled=data.pooled, pck_joints=data.pck_joints,
    )  # fmt: skip
    expected = by_hand(synthetic_3dhp.arrays()[1])
    check(scores, expected)
    assert 0 < expected["all"][2] < 100  # else it would say nothing about joints and thresholds
    head, row = (score_table(scores, "title").splitlines()[i] for i in (3, 4))
    position = ["MPJPE", "PCK", "AUC", "P-MPJPE"]
    assert head.split() == ["action", "windows", *position, "frames", *position, "N-MPJPE", "MPJVE", "Accel"]
    assert row.split()[:5] == ["TS1", str(expected["TS1"][0]), *(f"{value:.2f}" for value in expected["TS1"][1:])]
    assert scores.as_dict()["pck"] == scores.published["pck"].mean


def test_invalid_neighbours_stay_in_the_windows(root: Path) -> None:
    (sequence,) = read_sequences("3dhp", root, "gt", "test", "TS1").sequences
    windows = PoseDataset([sequence], H36M, Normaliser("pixels"), 5, 1)
    assert windows.start.tolist() == [-1, 2, 5]  # valid frames 1, 4 and 7 less 2
    shown = windows[np.array([0])].pose_2d[0].numpy()  # (5, 17, 2)
    assert np.array_equal(shown, sequence.pose_2d[[0, 0, 1, 2, 3]])


def test_a_part_without_valid_frames_is_refused(root: Path) -> None:
    (sequence,) = read_sequences("3dhp", root, "gt", "test", "TS1").sequences
    last = int(np.flatnonzero(sequence.valid)[-1])
    rest = dataclasses.replace(sequence, valid=np.arange(len(sequence)) == last)
    with pytest.raises(InputError, match=r"no valid frame is left with --subset 1\.0 and --downsample 9"):
        PoseDataset([rest], H36M, Normaliser(), 9, 1, downsample=9)


def test_clips_that_are_lifted_whole_count_their_valid_frames(root: Path) -> None:
    data = read_sequences("3dhp", root, "gt", "test")

    def lift(pose_2d: np.ndarray, size: tuple[float, float], fps: float) -> np.ndarray:
        pose = Echo()(torch.from_numpy(Normaliser().apply(pose_2d, size))[None]).pose[0].numpy()
        pose[:, 0] = 0
        return pose

    scores = evaluate_lifting(lift, data.sequences, data.sequences, data.pooled, data.pck_joints)  # type: ignore[arg-type]
    check(scores, by_hand(synthetic_3dhp.arrays()[1]))
    assert list(scores.once["mpjve"].counts) == ["TS2"]  # no other has two valid frames in a row


# Whole runs.

TINY = (
    "--frames", 9, "--channel", 16, "--depth", 2, "--token_num", 3, "--layer_index", 1, "--stride", 9, "--batch_size",
    64, "--device", "cpu", "--nepoch", 1,
)  # fmt: skip


def test_a_model_trains_and_is_tested(root: Path, main: Main, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data, results = ("--dataset", "3dhp", "--root_path", root), tmp_path / "results.json"
    main("main_mixste.py", *data, *TINY, "--checkpoint", tmp_path / "run", "--results", results)
    printed = capsys.readouterr().out
    assert "MPJPE      PCK      AUC" in printed
    assert synthetic_3dhp.SOURCE in printed
    trained = json.loads(results.read_text())
    main("main_mixste.py", "--test", *data, *TINY, "--previous_dir", tmp_path / "run", "--results", results)
    tested = json.loads(results.read_text())
    assert tested["actions"] == trained["actions"]
    assert tested["scored"] == "centre frame of each window"
    valid = {name: int(part["valid"].sum()) for name, part in synthetic_3dhp.arrays()[1].items()}
    assert {name: row["windows"] for name, row in tested["actions"].items()} == valid
    for name in ("mpjpe", "pck", "auc"):
        weighted = sum(valid[action] * row[name] for action, row in tested["actions"].items()) / sum(valid.values())
        assert tested[name] == pytest.approx(weighted)
    assert 0 <= tested["auc"] <= tested["pck"] <= 100


def test_the_readme_has_commands_for_the_windows_of_the_papers() -> None:
    frames = []
    for command in COMMANDS:
        script, *argv = shlex.split(command)
        recipe = MHFORMER if "mhformer" in script else MIXSTE
        settings = resolve(recipe, "mixste.hot_mixste", argv).settings
        with torch.device("meta"):
            model = build_model(settings, None)
        frames.append(model.frames)
        assert settings.keypoints == "gt"
    assert set(frames) == {81, 27, 9}


# The official files.


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the data set as it is unpacked; not to be written to."""
    pytest.importorskip("h5py")
    folder = tmp_path_factory.mktemp("official")
    train, test = synthetic_3dhp.arrays(4)
    for name, (cameras, _) in train.items():
        synthetic_3dhp.save_annot(folder.joinpath(*name.split(), "annot.mat"), cameras)
    for name, sequence in test.items():
        synthetic_3dhp.save_annot_data(folder / "mpi_inf_3dhp_test_set" / name / "annot_data.mat", sequence)
    return folder


def test_the_official_files_become_the_two_that_are_read(
    official: Path, main: Main, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    main("dataset/prepare_3dhp.py", "--input", official, "--output", tmp_path / "made")
    assert "yours are not comparable" in capsys.readouterr().out  # made by rule: other counts
    synthetic_3dhp.save(tmp_path / "straight", *synthetic_3dhp.arrays(4))
    for split in ("train", "test"):
        made, straight = (read_sequences("3dhp", tmp_path / name, "gt", split) for name in ("made", "straight"))
        for one, other in zip(made.sequences, straight.sequences, strict=True):
            assert (one.subject, one.action, one.camera, one.size) == (
                other.subject, other.action, other.camera, other.size,
            )  # fmt: skip
            assert np.array_equal(one.pose_2d, other.pose_2d)
            assert np.array_equal(one.pose_3d, other.pose_3d)
            assert np.array_equal(one.valid, other.valid)
    rates = {
        f"{s.subject} {s.action}": s.fps for s in read_sequences("3dhp", tmp_path / "made", "gt", "train").sequences
    }
    assert [name for name, fps in rates.items() if fps == 50] == list(prepare_3dhp.FAST)


def test_a_cell_array_of_matlab_73_is_that_of_matlab_5(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "newer.mat", "w") as file:
        cells = [np.arange(6.0).reshape(2, 3) + i for i in range(3)]
        for i, cell in enumerate(cells):
            file[f"#refs#/{i}"] = cell.T
        references = np.array([[file[f"#refs#/{i}"].ref for i in range(3)]], dtype=h5py.ref_dtype)
        file.create_dataset("annot2", data=references, dtype=h5py.ref_dtype)
    read = matlab.read_matlab(tmp_path / "newer.mat", ("annot2",))["annot2"]
    assert isinstance(read, list)
    assert all(np.array_equal(one, other) for one, other in zip(read, cells, strict=True))


def test_official_files_that_cannot_be_read_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"TS1/annot_data\.mat is neither"):
        prepare_3dhp.find_test_files(tmp_path)
    path = tmp_path / "annot.mat"
    with pytest.raises(InputError, match="no such file"):
        prepare_3dhp.read_train_sequence(path)
    synthetic_3dhp.save_annot(path, synthetic_3dhp.arrays(2)[0]["S1 Seq1"][0])
    whole = path.read_bytes()
    for damaged in (b"", b"MATLAB 5.0 MAT-file", whole[:3000], whole[:128] + bytes(500)):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"annot\.mat: (not a readable|variable)"):
            prepare_3dhp.read_train_sequence(path)
    path.write_bytes(whole)
    with pytest.raises(InputError, match="variable valid_frame is missing"):
        prepare_3dhp.read_test_sequence(path)
    newer = tmp_path / "annot_data.mat"
    newer.write_bytes(b"MATLAB 7.3 MAT-file" + bytes(600))
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(InputError, match="pip install h5py"):
        prepare_3dhp.read_test_sequence(newer)
