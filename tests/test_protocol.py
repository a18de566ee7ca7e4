"""The published evaluation end to end, through the entry scripts: scores and counts of a set made by rule, at several
batch sizes.

With HOT_SHARED naming a folder that has protocol/ in it, the same is checked on real motion.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from common.data.datasets import read_sequences
from model import create_model
from tests.rules import GOLDEN, filled
from tests.synthetic import write_h36m

ROWS = {
    f"{row['model']}-{row['flags'][1]}": row for row in json.loads((GOLDEN / "expected_synthetic.json").read_text())
}
QUICK = "mixste.hot_mixste-27"
SHARED = Path(os.environ["HOT_SHARED"]) / "protocol" if os.environ.get("HOT_SHARED") else None

Main = Callable[..., None]


@pytest.fixture(scope="session")
def evaluate(main: Main, h36m_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict]:
    """evaluate(row, *flags) runs the row's command on weights filled by the rule and returns what --results says."""

    def call(row: dict, *flags: object, root: Path = h36m_root) -> dict:
        values = dict(zip(row["flags"][::2], map(int, row["flags"][1::2]), strict=True))
        model = create_model(row["model"], **{flag[2:]: value for flag, value in values.items() if flag != "--stride"})
        folder = tmp_path_factory.mktemp("weights")
        torch.save(filled(model).state_dict(), folder / "weights.pth")
        where = ["--root_path", root, "--previous_dir", folder, "--results", folder / "results.json"]
        main(row["command"], "--test", "--device", "cpu", "--model", row["model"], *row["flags"], *where, *flags)
        return json.loads((folder / "results.json").read_text())

    return call


def check(row: dict, found: dict, actions: list[str]) -> None:
    """Agreement within 0.01 mm, or 0.05 where frames are selected and rounding may flip one; counts are equal."""
    tolerance = 0.05 if "--token_num" in row["flags"] else 0.01
    assert sorted(found["actions"]) == sorted(actions)
    for action in actions:
        mpjpe, p_mpjpe, windows = row["action_mpjpe_pmpjpe_count"][action]
        score = found["actions"][action]
        assert score["windows"] == windows
        assert score["mpjpe"] == pytest.approx(mpjpe, abs=tolerance, rel=0)
        assert score["p_mpjpe"] == pytest.approx(p_mpjpe, abs=tolerance, rel=0)
    if len(actions) == len(row["action_mpjpe_pmpjpe_count"]):
        assert found["mpjpe"] == pytest.approx(row["mpjpe"], abs=tolerance, rel=0)
        assert found["p_mpjpe"] == pytest.approx(row["p_mpjpe"], abs=tolerance, rel=0)


def test_published_scores_at_every_batch_size(evaluate: Callable[..., dict]) -> None:
    row = ROWS[QUICK]
    found = {size: evaluate(row, "--batch_size", size) for size in (1, 7, 64)}
    for scores in found.values():
        check(row, scores, list(row["action_mpjpe_pmpjpe_count"]))
        assert scores["mpjpe"] == pytest.approx(found[1]["mpjpe"], abs=0.01, rel=0)
        assert scores["p_mpjpe"] == pytest.approx(found[1]["p_mpjpe"], abs=0.01, rel=0)
    assert found[1]["model"] == row["model"]
    assert found[1]["sizes"]["frames"] == int(row["flags"][1])
    assert found[1]["parameters"] == sum(
        p.numel() for p in create_model(row["model"], **found[1]["sizes"]).parameters()
    )
    assert found[1]["seconds"] > 0


# One window around every frame takes long on a CPU: each batch size has an action of its own here.
@pytest.mark.parametrize(("action", "batch_size"), [("SittingDown", 1), ("Sitting", 7), ("Walking", 64)])
@pytest.mark.parametrize("name", [name for name in ROWS if name != QUICK])
def test_published_scores(name: str, action: str, batch_size: int, evaluate: Callable[..., dict]) -> None:
    row = ROWS[name]
    found = evaluate(row, "--batch_size", batch_size, "--actions", action)
    check(row, found, [action])
    score, once = found["actions"][action], found["each_frame_once"]["actions"][action]
    if row["flags"][3] == "1":  # the centre frames are every real frame once
        assert found["scored"] == "centre frame of each window"
        assert once["frames"] == score["windows"]
        assert once["mpjpe"] == pytest.approx(score["mpjpe"], abs=1e-4)
    else:
        assert found["scored"].startswith("all frames")
        assert once["frames"] < score["windows"] * int(row["flags"][1])


def test_repeated_evaluation_is_bit_equal(evaluate: Callable[..., dict]) -> None:
    first, second = (
        {**evaluate(ROWS[QUICK], "--batch_size", 7, "--actions", "SittingDown"), "seconds": None} for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize(
    "flags", [("--test_augmentation", "false"), ("--keypoints", "gt"), ("--out_all", "0"), ("--crop_uv", "1")]
)
def test_flags_of_the_protocol_change_the_scores(flags: tuple[str, str], evaluate: Callable[..., dict]) -> None:
    published = ROWS[QUICK]["action_mpjpe_pmpjpe_count"]["SittingDown"][0]
    found = evaluate(ROWS[QUICK], *flags, "--batch_size", 64, "--actions", "SittingDown")
    assert abs(found["actions"]["SittingDown"]["mpjpe"] - published) > 0.1


def cut(sequence: np.ndarray, first: int, frames: int) -> np.ndarray:
    """Frames first..first + frames of (T, J, axes), with the edge frames repeated."""
    return np.stack([sequence[min(max(i, 0), len(sequence) - 1)] for i in range(first, first + frames)])


def mirror(pose: torch.Tensor) -> torch.Tensor:
    """x negated, the person's sides swapped; written out joint by joint."""
    swap = {1: 4, 2: 5, 3: 6, 4: 1, 5: 2, 6: 3, 11: 14, 12: 15, 13: 16, 14: 11, 15: 12, 16: 13}
    mirrored = pose.clone()
    for joint in range(17):
        mirrored[..., joint, :] = pose[..., swap.get(joint, joint), :]
    mirrored[..., 0] *= -1
    return mirrored


def procrustes(prediction: np.ndarray, target: np.ndarray) -> float:
    """The error of one frame (J, 3) after the best rotation, translation and scale."""
    p, t = prediction - prediction.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(t.T @ p)
    sign = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    aligned = p @ (u @ sign @ vt).T * np.trace(np.diag(s) @ sign) / (p**2).sum()
    return np.linalg.norm(aligned - t, axis=-1).mean()


@pytest.fixture(scope="module")
def short_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sequences longer and shorter than a window of 27 frames."""
    lengths = {"S9": {"Walking": 38, "Sitting": 27}, "S11": {"Walking 1": 30, "Sitting": 11}}
    return write_h36m(tmp_path_factory.mktemp("short"), lengths)


@pytest.mark.parametrize("name", ["mixste.mixste", "mixste.hot_mixste"])
def test_each_frame_once_against_a_slow_count(name: str, evaluate: Callable[..., dict], short_root: Path) -> None:
    row = {"command": "main_mixste.py", "model": name, "flags": ["--frames", "27", "--stride", "27", "--channel", "16"]}
    if "hot" in name:
        row["flags"] += ["--token_num", "9", "--layer_index", "1"]
    found = evaluate(row, "--batch_size", 3, root=short_root)
    sizes = dict(zip((flag[2:] for flag in row["flags"][::2]), map(int, row["flags"][1::2]), strict=True))
    sizes.pop("stride")
    model = filled(create_model(name, **sizes)).eval()
    windows = {"Walking": [], "Sitting": []}
    once = {action: {key: [] for key in ("mpjpe", "p_mpjpe", "mpjve", "acceleration")} for action in windows}
    for sequence in read_sequences("h36m", short_root, "cpn_ft_h36m_dbb", "test").sequences:
        width, height = sequence.size
        pose_2d = (sequence.pose_2d / width * 2 - [1, height / width]).astype(np.float32)
        target = (sequence.pose_3d - sequence.pose_3d[:, :1]).astype(np.float64)
        length, count = len(target), -(-len(target) // 27)
        pose = np.full(target.shape, np.nan)
        for number in range(count):
            first = -((count * 27 - length) // 2) + 27 * number
            x = torch.from_numpy(cut(pose_2d, first, 27))[None]
            with torch.no_grad():
                y = ((model(x).pose + mirror(model(mirror(x)).pose)) / 2)[0].double().numpy()
            y[:, 0] = 0
            windows[sequence.action].append(np.linalg.norm(y - cut(target, first, 27), axis=-1).mean())
            for i in range(27):
                if 0 <= first + i < length:
                    assert np.isnan(pose[first + i]).all()  # no frame twice
                    pose[first + i] = y[i]
        scores = once[sequence.action]
        scores["mpjpe"] += np.linalg.norm(pose - target, axis=-1).mean(-1).tolist()
        scores["p_mpjpe"] += [procrustes(p, t) for p, t in zip(pose, target, strict=True)]
        for key, order in (("mpjve", 1), ("acceleration", 2)):
            scores[key] += np.linalg.norm(np.diff(pose - target, n=order, axis=0), axis=-1).mean(-1).tolist()
    for action, frames in (("Walking", 4 * (38 + 30)), ("Sitting", 4 * (27 + 11))):
        assert found["actions"][action]["windows"] == len(windows[action])
        assert found["actions"][action]["mpjpe"] == pytest.approx(1000 * np.mean(windows[action]), abs=1e-3)
        assert found["each_frame_once"]["actions"][action]["frames"] == frames == len(once[action]["mpjpe"])
        for key, values in once[action].items():
            assert found["each_frame_once"]["actions"][action][key] == pytest.approx(
                1000 * np.mean(values), abs=1e-3
            ), key
    for key in once["Walking"]:
        mean = np.mean([1000 * np.mean(once[action][key]) for action in once])
        assert found["each_frame_once"][key] == pytest.approx(mean, abs=1e-3), key


def test_kept_frames_are_scored_and_said_so(
    evaluate: Callable[..., dict], short_root: Path, capsys: pytest.CaptureFixture
) -> None:
    flags = ["--frames", "27", "--stride", "27", "--channel", "16", "--token_num", "5", "--layer_index", "1"]
    row = {"command": "main_mixste_tpc.py", "model": "mixste.tpc_mixste", "flags": flags}
    found = evaluate(row, root=short_root)
    assert found["scored"].startswith("kept frames")
    assert "kept frames" in capsys.readouterr().out
    frames = {action: score["frames"] for action, score in found["each_frame_once"]["actions"].items()}
    assert all(0 < frames[action] <= 5 * found["actions"][action]["windows"] for action in frames)
    assert all(
        score["windows"] == count for score, count in zip(found["actions"].values(), (4 * 2, 4 * 4), strict=True)
    )


@pytest.mark.skipif(
    SHARED is None or not (SHARED / "expected.json").exists(), reason="HOT_SHARED names no folder with protocol/ in it"
)
def test_published_scores_on_real_motion(evaluate: Callable[..., dict]) -> None:
    rows = [row for row in json.loads((SHARED / "expected.json").read_text()) if row["flags"][3] != "1"]
    assert rows
    for row, batch_size in zip(rows, (7, 64), strict=True):
        check(row, evaluate(row, "--batch_size", batch_size, root=SHARED), list(row["action_mpjpe_pmpjpe_count"]))
