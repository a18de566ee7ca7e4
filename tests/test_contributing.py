"""The examples of CONTRIBUTING.md: whole, short, and working."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from common.data.datasets import read_sequences
from demo.detect import DETECTORS, create_detector
from model import create_model, registry
from model.pruning import SELECTORS
from tests.conftest import ROOT
from tests.rules import motion

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^## A (.*?)$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
EXAMPLES = {title: re.search(r"```python\n(.*?)```", text, re.DOTALL)[1] for title, text in SECTIONS}


@pytest.fixture(autouse=True)
def registers_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an example registers is gone after its test."""
    monkeypatch.setattr(registry, "_BUILDERS", dict(registry._BUILDERS))
    for table in (SELECTORS, DETECTORS):
        for key in ("change", "mine"):
            monkeypatch.setitem(table, key, None)
            monkeypatch.delitem(table, key)


def run(title: str) -> None:
    exec(compile(EXAMPLES[title], f"CONTRIBUTING.md: {title}", "exec"), {"__name__": "example"})


def test_the_backbone_takes_any_plan() -> None:
    run("backbone")
    for sizes, frames in (
        ({}, 27),
        ({"prune": "1:13,2:5", "select": "uniform", "recover": "interpolation"}, 27),
        ({"recover": "none"}, 9),
    ):
        model = create_model("frame.hot_frame", **sizes).eval()
        assert model(motion(2, 27, 2, seed=1)).pose.shape == (2, frames, 17, 3)


def test_the_selector_works_in_a_model() -> None:
    run("selector")
    model = create_model(
        "mixste.mixste", frames=9, channel=16, depth=2, d_hid=16, prune="1:4", select="change", recover="none"
    ).eval()
    kept = model(motion(2, 9, 2, seed=1)).kept[0]
    assert kept.shape == (2, 4)
    assert (kept.diff(dim=1) > 0).all()
    assert (kept == 4).any(dim=1).all()  # the centre always stays
    still = torch.zeros(1, 6, 2, 3)
    still[:, 4:] = 1
    assert SELECTORS["change"](still, 2).tolist() == [[0, 4]]


def test_the_data_set_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("data set")
    for split, subject in (("train", "anna"), ("test", "ben")):
        (sequence,) = read_sequences("walks", tmp_path, "noisy", split).sequences
        assert (sequence.subject, sequence.fps, len(sequence)) == (subject, 30, 60)


def test_the_detector_is_found_by_name() -> None:
    run("detector")
    detector = create_detector("mine")
    people = detector.detect(np.zeros((100, 200, 3), np.uint8), 0.0)
    assert people.shape == (1, detector.joints.sources, 3)
    assert (people[..., :2] < (200, 100)).all()
