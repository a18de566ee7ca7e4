"""Small trainings with the recipe `wild` that benchmarks compare: each a process of its own and a JSON file that is kept."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from common.errors import InputError
from common.files import write_text
from common.recipes import WILD, prepare
from common.wild import WildDataset
from common.world_motion import read_world_motion
from model import create_model
from model.complexity import gflops

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmark" / "results" / "wild"
FRAMES = 45
BATCH = WILD.defaults["batch_size"]
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Kind:
    """A model that is trained: what tables call it, the entry script, the model's name and sizes (its plan among them)."""

    label: str
    script: str
    model: str
    sizes: dict[str, int | str]


def build(kind: Kind) -> torch.nn.Module:
    """The untrained model of a kind, as the recipe starts it."""
    model = create_model(kind.model, frames=FRAMES, in_channels=WILD.normaliser.in_channels, **kind.sizes)
    prepare(model, WILD, fresh=True)
    return model


def all_windows(root: Path) -> WildDataset:
    """The training windows at stride 1."""
    clips, fps, _ = read_world_motion(root / "motion_cmu.npz", "train")
    return WildDataset(clips, fps, WILD.normaliser, FRAMES, 1, seed=0)


def row_name(name: str, seed: int) -> str:
    """The file of one training, less .json."""
    return name if seed == SEEDS[0] else f"{name}_seed{seed}"


def train(name: str, kind: Kind, data: WildDataset, stride: int | None, seed: int, root: Path) -> dict:
    """Train one epoch of windows `stride` frames apart, unless that is done, and return what was measured.

    data: the windows at stride 1.
    """
    path = RESULTS / f"{name}.json"
    if not path.exists():
        with tempfile.TemporaryDirectory() as folder:
            flags = {"recipe": "wild", "root_path": root, "model": kind.model, "frames": FRAMES, **kind.sizes, "stride": stride,
                     "nepoch": 1, "seed": seed, "checkpoint": f"{folder}/run", "results": f"{folder}/scores.json"}  # fmt: skip
            command = [
                sys.executable,
                str(ROOT / kind.script),
                *(text for flag, value in flags.items() for text in (f"--{flag}", str(value))),
            ]
            started = time.time()
            if subprocess.run(command).returncode:
                raise InputError(f"the training of {name} failed; see above")
            scores = json.loads(Path(folder, "scores.json").read_text())
        windows = sum(len(range(stride // 2 % length, length, stride)) for length in data.bank.length)
        keep = ("mpjpe", "p_mpjpe", "n_mpjpe", "mpjve", "acceleration", "model", "sizes", "parameters", "source", "actions")
        row = {key: scores[key] for key in keep}
        row |= {"label": kind.label, "seed": seed, "stride": stride, "steps": -(-windows // BATCH)}
        row |= {"minutes": round((time.time() - started) / 60, 1), "gflops": gflops(build(kind))[0]}
        write_text(path, json.dumps(row, indent=1) + "\n")
    return json.loads(path.read_text())


def table(rows: list[dict]) -> str:
    """One line per training."""
    lines = [f"{'':18} {'parameters':>10} {'GFLOPs':>7} {'steps':>6} {'minutes':>7} {'MPJPE':>7} {'P-MPJPE':>7} {'MPJVE':>6} {'Accel':>6}"]
    for row in rows:
        numbers = f"{row['parameters']:10,} {row['gflops']:7.3f} {row['steps']:6} {row['minutes']:7.1f} {row['mpjpe']:7.1f}"
        lines.append(f"{row['label']:18} {numbers} {row['p_mpjpe']:7.1f} {row['mpjve']:6.2f} {row['acceleration']:6.2f}")
    return "\n".join(lines)


METRICS = ("mpjpe", "p_mpjpe", "acceleration")


def mean_and_spread(runs: list[dict]) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation over the seeds, by metric; one seed has no spread: nan."""
    values = {metric: [run[metric] for run in runs] for metric in METRICS}
    return {metric: (statistics.mean(v), statistics.stdev(v) if len(v) > 1 else float("nan")) for metric, v in values.items()}
