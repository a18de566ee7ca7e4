"""The benchmark that reads the numbers of a release: which clips count for which, and what is said of files that are
not there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmark import generalisation
from common.data.sequences import PoseSequence
from common.data.wild_file import View, read_wild_file, write_wild_file
from common.evaluation.evaluate import evaluate_lifting
from common.geometry.normalise import Normaliser
from common.inference.checkpoint import save_checkpoint
from common.inference.lifting import Lifter
from demo.keypoint_files import write_keypoints
from model import create_model
from tests.rules import motion
from tests.test_real_film import FPS, in_camera_axes, person, ring, seen

LENGTHS, CLIPS = (30, 12, 20, 2), ("dm_roll", "m2madd_Pushup", "mass_walk", "dm_jump")
ACTIONS = ("floor", "keyed floor", "walk", "jump")


def view(lengths: tuple[int, ...]) -> View:
    """Windows of so many frames, in a picture of 1000 x 800."""
    poses = [motion(1, length, 3, seed)[0].numpy() * 0.3 + [0, 0, 4] for seed, length in enumerate(lengths)]
    pixels = [
        np.concatenate([pose[..., :2] / pose[..., 2:] * 900 + [500, 400], np.full_like(pose[..., :1], 0.9)], -1)
        for pose in poses
    ]
    return View(pixels, poses, np.array([[1000, 800]] * len(lengths)), np.full(len(lengths), 900.0))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with studio_test.npz, wild_test.npz and weights.pth; not to be written to."""
    root = tmp_path_factory.mktemp("generalisation")
    write_wild_file(root / "studio_test.npz", view(LENGTHS), CLIPS, 50.0, "by rule", ACTIONS)
    write_wild_file(root / "wild_test.npz", view((15, 15)), ("03_01", "09_02"), 50.0, "by rule")
    model = create_model("mixste.hot_mixste", frames=9, channel=16, token_num=3, layer_index=1, depth=2, in_channels=3)
    save_checkpoint(root / "weights.pth", model, Normaliser("box", 3, 25.0, 1.64))
    return root


def test_every_frame_counts_for_its_groups(root: Path) -> None:
    lifter = Lifter.from_checkpoint(root / "weights.pth")
    found = generalisation.score_files(lifter, root, generalisation.TESTS)
    frames = {group: scores["frames"] for group, scores in found.items()}
    assert frames == {
        "wild_test": 30, "subject 03 alone": 15, "studios, captured": 52, "studios, keyed": 12,
        "studios, on the floor": 42,
    }  # fmt: skip
    for name, group in (("studio_test.npz", "studios, captured"), ("wild_test.npz", "wild_test")):
        belongs = generalisation.TESTS[name][group]
        sequences = [sequence for sequence in read_wild_file(root / name)[0] if belongs(sequence)]
        expected = evaluate_lifting(lifter, sequences, sequences, pooled=True).once
        for metric in ("mpjpe", "p_mpjpe", "acceleration"):
            assert found[group][metric] == pytest.approx(expected[metric].mean, rel=1e-6)


def test_a_lifter_that_knows_the_truth_moves_as_people_do() -> None:
    pose = motion(1, 20, 3, 1)[0].numpy()
    sequence = PoseSequence("a", "walk", "", pose[..., :2], pose, (100, 100))
    true = generalisation.measure(lambda *_: pose - pose[:, :1], sequence)
    assert max(true[name].max() for name in ("mpjpe", "p_mpjpe", "acceleration")) < 1e-6
    np.testing.assert_allclose(true["moves"], true["people_move"], rtol=1e-4)
    still = generalisation.measure(lambda *_: np.zeros_like(pose), sequence)
    assert still["moves"].max() == 0
    np.testing.assert_allclose(still["acceleration"], still["people_move"])


def test_what_is_not_there_is_left_out_and_said(
    root: Path, main: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    flags = ("--root_path", root, "--checkpoint", root / "weights.pth", "--caches", tmp_path)
    main("benchmark/generalisation.py", *flags, "--validation")
    out = capsys.readouterr().out
    assert "wild_val.npz is not there" in out
    assert "studios" not in out
    main("benchmark/generalisation.py", *flags, "--results", tmp_path / "scores.json")
    out = capsys.readouterr().out
    assert "real film" in out
    assert "studios, on the floor" in out
    assert json.loads((tmp_path / "scores.json").read_text())["clips"]["studios, keyed"]["frames"] == 12


def test_films_are_scored_from_the_2d_that_is_kept(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cameras, points = ring(), person()
    own = in_camera_axes(points, cameras)
    write_keypoints(tmp_path / "full" / "keypoints.npz", seen(points, cameras), FPS, cameras[0].size)
    np.savez(tmp_path / "full" / "detector_3d.npz", own=own.astype(np.float32))
    monkeypatch.setattr(
        "benchmark.real_film.find_films", lambda folder: ([Path(camera.name) for camera in cameras], cameras)
    )
    found = generalisation.score_films(Lifter.from_checkpoint(root / "weights.pth"), tmp_path, tmp_path)
    assert found["full"]["detector"]["disagreement"]["mean"] < 0.01
    assert found["full"]["lifted"]["disagreement"]["mean"] > 1
    assert "film, 2D by full" in generalisation.table({}, found)
