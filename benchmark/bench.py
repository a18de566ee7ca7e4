"""Every speed ratio of this repository in one run: inference, training, scoring and the choice of frames.

    python benchmark/bench.py --json benchmark/results/speed.json

`make bench` runs it. What is measured is in benchmark/inference.py, train_speed.py and selection_speed.py. --quick: one
thread, one window at a time, and few rounds.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import tempfile

import torch

from benchmark import selection_speed, train_speed
from benchmark.inference import about_the_machine, add_flags, fastest, hourglass_savings, inference_rows
from common.arguments import Parser
from common.data.datasets import default_keypoints, read_sequences
from common.errors import exit_on_input_error
from common.evaluation.metrics import p_mpjpe
from common.files import check_writable, write_text
from common.inference.compute import choose_compute
from dataset.prepare_toy import write
from model import create_model

POSES = 2048
LENGTH = 500
"""Frames of a clip to train on: more would only take longer to draw."""


def training(rounds: int) -> dict[str, dict[str, float]]:
    """Frames per second of a training step by model and number format, and ratios to the plain model."""
    bf16 = train_speed.Format("--precision bf16", choose_compute("cpu", "0", "bf16"))
    formats = [train_speed.PLAIN, train_speed.FLOAT32, train_speed.PLAIN_BF16, bf16]
    with tempfile.TemporaryDirectory() as folder:
        write(folder, LENGTH, seed=0)
        data = read_sequences("h36m", folder, default_keypoints("h36m"), "train")
    found = {}
    for model in train_speed.MODELS:
        found[model.title] = train_speed.speeds(model, formats, data, rounds)
        print(
            f"training {model.title}: "
            + ", ".join(f"{name} {value:,.4g}" for name, value in found[model.title].items())
        )
    return found


def scoring(rounds: int) -> float:
    """Poses per second of P-MPJPE."""
    poses = torch.randn(2, POSES, 17, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rate = POSES / fastest({"p_mpjpe": lambda: p_mpjpe(*poses)}, rounds)["p_mpjpe"]
    print(f"P-MPJPE: {rate:,.0f} poses/s")
    return rate


def selection(rounds: int) -> dict[str, float]:
    """The share of MHFormer's pass that choosing frames takes, by selector; one thread."""
    found = {}
    for select in ("cluster", "attention"):
        model = create_model("mhformer.h2ot_mhformer", select=select)
        found[select] = selection_speed.measure(model, create_model("mhformer.mhformer"), rounds)[2]
        print(f"choosing frames by {select}, MHFormer: {found[select]:.1%} of the pass", flush=True)
    return found


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_flags(parser)
    parser.add_argument("--quick", action="store_true", help="one thread, one window at a time, two rounds")
    args = parser.parse_args()
    if args.json:
        check_writable(args.json)
    if args.quick:
        args.threads, args.batches, args.rounds = [1], [1], 2
    found: dict[str, object] = dict(about_the_machine())
    rows = inference_rows(args.threads, args.batches, args.rounds)
    found |= {"inference": rows, "hourglass": hourglass_savings(rows)}
    torch.set_num_threads(max(args.threads))
    found |= {"training_threads": max(args.threads), "training": training(args.rounds)}
    torch.set_num_threads(1)
    found |= {"p_mpjpe_poses_per_second": scoring(args.rounds), "selection": selection(args.rounds)}
    if args.json:
        write_text(args.json, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    exit_on_input_error(main)
