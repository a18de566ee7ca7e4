"""The weights that come with the repository: each has a card, loads as it is, and predicts what it did when it was
stored.

After new weights: `python -m tests.test_shipped` stores the predictions anew.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.geometry.skeleton import H36M
from common.inference.checkpoint import DEFAULT, SHIPPED, read_checkpoint, shipped_checkpoint
from common.inference.lifting import Lifter

FILES = sorted(SHIPPED.glob("wild_*.pth"))
GOLDEN = Path(__file__).resolve().parent / "golden" / "predictions" / "shipped.npz"
SIZE = (1280, 720)


def walker(frames: int = 70) -> np.ndarray:
    """A stick figure that swings its limbs, seen by nobody's camera: (frames, 17, 3) pixels and scores."""
    still = np.array(
        [[0, 0], [-1, 0], [-1, 4], [-1, 8], [1, 0], [1, 4], [1, 8], [0, -2], [0, -4], [0, -5], [0, -6],
         [1.5, -4], [2, -1.5], [2, 0.5], [-1.5, -4], [-2, -1.5], [-2, 0.5]]
    )  # fmt: skip
    time = np.arange(frames)[:, None] / 50 * 2 * np.pi
    swing = np.zeros((frames, 17, 2))
    for side, joints in ((1, (2, 3, 12, 13)), (-1, (5, 6, 15, 16))):
        swing[:, joints, 0] = side * np.sin(time) * [0.8, 1.6, -0.8, -1.5]
    pose = (
        (still + swing) * 30
        + [600 + 2 * 1, 330]
        + np.stack([2 * np.arange(frames), np.zeros(frames)], axis=-1)[:, None]
    )
    score = 0.9 + 0.1 * np.cos(np.arange(17))[None, :, None] * np.ones((frames, 1, 1))
    return np.concatenate([pose, score], axis=-1)


def predictions() -> dict[str, np.ndarray]:
    """Every tenth frame of what each file makes of the walker."""
    return {file.stem: Lifter.from_checkpoint(file)(walker(), SIZE, 50)[::10] for file in FILES}


def test_there_are_weights_where_none_are_named() -> None:
    assert shipped_checkpoint() in FILES
    assert shipped_checkpoint(DEFAULT) == shipped_checkpoint()
    assert sum(file.stat().st_size for file in FILES) < 40 * 2**20


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_has_a_card_and_says_what_it_is(file: Path) -> None:
    card = file.with_suffix(".md").read_text()
    for word in ("Data", "Licence", "Command", "MPJPE", "Limits", "mocap.cs.cmu.edu"):
        assert word in card
    checkpoint = read_checkpoint(file)
    assert checkpoint.name.split(".")[1] == file.stem.removeprefix("wild_")
    assert checkpoint.normaliser.kind == "box"
    assert all(value.dtype.itemsize == 2 for value in checkpoint.weights.values() if value.is_floating_point())


def test_predictions_are_those_that_were_stored() -> None:
    with np.load(GOLDEN) as stored:
        expected = dict(stored)
    found = predictions()
    assert found.keys() == expected.keys()
    for name, pose in found.items():
        np.testing.assert_allclose(pose, expected[name], atol=2e-4, err_msg=name)


def test_a_walker_is_lifted_to_a_person() -> None:
    """Upright, of a person's size, its right to the left of the picture, which it faces."""
    for file in FILES:
        pose = Lifter.from_checkpoint(file)(walker(), SIZE, 50)  # (70, 17, 3)
        assert (pose[:, 10, 1] < -0.4).all()  # the head is above the hips: y points down
        assert (pose[:, (3, 6), 1] > 0.5).all()
        assert (pose[:, 1, 0] < pose[:, 4, 0]).all()
        bones = np.linalg.norm(pose[:, [j for j, _ in H36M.bones]] - pose[:, [p for _, p in H36M.bones]], axis=-1)
        assert 0.3 < bones[:, 1].mean() < 0.6  # a thigh


if __name__ == "__main__":
    np.savez(GOLDEN, **predictions())
