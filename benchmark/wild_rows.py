"""Small trainings with the recipe `wild` that benchmarks compare: each a process of its own and a JSON file that is
kept.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from common.data.world_motion import read_world_motion
from common.errors import InputError
from common.files import write_text
from common.training.recipes import WILD, prepare
from common.wild import WildDataset
from model import create_model
from model.complexity import gflops

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmark" / "results" / "wild"
FRAMES = 45
BATCH = WILD.defaults["batch_size"]
SEEDS = (1, 2, 3)
METRICS = ("mpjpe", "p_mpjpe", "acceleration")


@dataclass(frozen=True)
class Kind:
    """A model that is trained: what tables call it, the entry script, the model's name and sizes (its plan among
    them).
    """

    label: str
    script: str
    model: str
    sizes: dict[str, int | str]


def build(kind: Kind) -> torch.nn.Module:
    """The untrained model of a kind, as the recipe starts it."""
    model = create_model(kind.model, frames=FRAMES, in_channels=WILD.normaliser.in_channels, **kind.sizes)
    prepare(model, WILD, fresh=True)
    return model


def all_windows(root: Path, motion: str = "cmu") -> WildDataset:
    """The training windows at stride 1."""
    clips, fps, _ = read_world_motion(root / f"motion_{motion}.npz", "train")
    return WildDataset(clips, fps, WILD.normaliser, FRAMES, 1, seed=0)


def row_name(name: str, seed: int) -> str:
    """The file of one training, less .json."""
    return name if seed == SEEDS[0] else f"{name}_seed{seed}"


def train(
    name: str,
    kind: Kind,
    data: WildDataset,
    stride: int | None,
    seed: int,
    root: Path,
    others: Mapping[str, Path] | None = None,
    **flags: str,
) -> dict:
    """Train one epoch of a window for every `stride` frames, unless that is done, and return what was measured.

    data: the windows at stride 1. others: names, and folders with a wild_test.npz, of more sets to test on. flags: more
    of the entry script's.
    """
    path = RESULTS / f"{name}.json"
    if not path.exists():
        with tempfile.TemporaryDirectory() as folder:
            script, run = ROOT / kind.script, f"{folder}/run"
            flags = {"recipe": "wild", "root_path": root, "model": kind.model, "frames": FRAMES, **kind.sizes,
            "stride": stride,
                     "nepoch": 1, "seed": seed, "checkpoint": run, **flags}  # fmt: skip
            started = time.time()
            scores = _scores(script, flags)
            minutes = round((time.time() - started) / 60, 1)
            tests = {"test": True, "dataset": "wild", "previous_dir": run}
            more = {other: _scores(script, tests | {"root_path": place}) for other, place in (others or {}).items()}
        keep = (
            "mpjpe",
            "p_mpjpe",
            "n_mpjpe",
            "mpjve",
            "acceleration",
            "model",
            "sizes",
            "parameters",
            "source",
            "actions",
        )
        row = {key: scores[key] for key in keep}
        row |= {"label": kind.label, "seed": seed, "stride": stride, "steps": -(-len(data) // (stride * BATCH))}
        row |= {"minutes": minutes, "gflops": gflops(build(kind))[0]}
        if more:
            row["others"] = {other: {key: found[key] for key in (*METRICS, "actions")} for other, found in more.items()}
        write_text(path, json.dumps(row, indent=1) + "\n")
    return json.loads(path.read_text())


def _scores(script: Path, flags: dict[str, object]) -> dict:
    """Run an entry script in a process of its own and return its --results. A flag that is True stands alone."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder, "scores.json")
        words = (
            text
            for flag, value in flags.items()
            for text in ([f"--{flag}"] if value is True else [f"--{flag}", str(value)])
        )
        if subprocess.run([sys.executable, str(script), *words, "--results", str(results)]).returncode:
            raise InputError(f"{script.name} failed; see above")
        return json.loads(results.read_text())


def table(rows: list[dict]) -> str:
    """One line per training."""
    lines = [
        f"{'':18} {'parameters':>10} {'GFLOPs':>7} {'steps':>6} {'minutes':>7} {'MPJPE':>7} {'P-MPJPE':>7} "
        f"{'MPJVE':>6} {'Accel':>6}"
    ]
    for row in rows:
        numbers = (
            f"{row['parameters']:10,} {row['gflops']:7.3f} {row['steps']:6} {row['minutes']:7.1f} {row['mpjpe']:7.1f}"
        )
        lines.append(
            f"{row['label']:18} {numbers} {row['p_mpjpe']:7.1f} {row['mpjve']:6.2f} {row['acceleration']:6.2f}"
        )
    return "\n".join(lines)


def mean_and_spread(runs: list[dict]) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation over the seeds, by metric; one seed has no spread: nan."""
    values = {metric: [run[metric] for run in runs] for metric in METRICS}
    return {
        metric: (statistics.mean(v), statistics.stdev(v) if len(v) > 1 else float("nan"))
        for metric, v in values.items()
    }
