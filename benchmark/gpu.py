"""What a GPU makes of the models, in every number format, eager and compiled: inference, training, the wild sampler.

    python benchmark/gpu.py

Shown are windows a second (the fastest of --rounds calls) and the memory that PyTorch held at most. Inference is one
forward pass; training is the project's own step (`train_one_epoch`). "compiled" is torch.compile of fixed shapes, with
CUDA graphs in inference. What was not begun within --minutes is left out, and said. `--device cpu --quick` runs the
same code at small sizes, to see that it works: on a machine without a GPU nothing more can be learned from it.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import argparse
import functools
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from common.arguments import Parser, number
from common.data.pose_dataset import Batch
from common.data.world_motion import WorldClip
from common.errors import InputError, exit_on_input_error
from common.geometry.normalise import Normaliser
from common.inference.compute import Compute, choose_compute
from common.training.engine import train_one_epoch
from common.training.recipes import MHFORMER, MIXSTE, Recipe
from common.wild import WildDataset
from model import PoseTransformer, create_model


class Model(NamedTuple):
    """A model to time: its registered name, recipe, and windows of a batch in inference and in training."""

    name: str
    recipe: Recipe
    inference: int
    training: int


MODELS = (
    Model("mixste.mixste", MIXSTE, 16, 4),
    Model("mixste.hot_mixste", MIXSTE, 16, 4),
    Model("mhformer.mhformer", MHFORMER, 256, 128),
)
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
QUICK = {"frames": 9, "channel": 8, "d_hid": 16}
QUICK_PLAN = {"token_num": 5, "layer_index": 1}


class Case(NamedTuple):
    """One row of the table."""

    model: Model
    work: str
    precision: str
    compiled: bool


def cases(quick: bool) -> Iterator[Case]:
    """Every row; quick: those whose code a CPU can run in seconds."""
    for model in MODELS:
        for work in ("inference", "training"):
            for precision in ("fp32", "bf16") if quick else PRECISIONS:
                for compiled in (False,) if quick else (False, True):
                    yield Case(model, work, precision, compiled)


def build(model: Model, quick: bool) -> PoseTransformer:
    """The model at its own sizes; quick: at small ones."""
    plan = QUICK_PLAN if model.name == "mixste.hot_mixste" else {}
    return create_model(model.name, **({**QUICK, **plan} if quick else {}))


def caller(case: Case, compute: Compute, quick: bool) -> tuple[Callable[[], object], int]:
    """A function that does a row's work once, and the windows that it does."""
    torch.manual_seed(0)
    model = build(case.model, quick).to(compute.device)
    windows = 2 if quick else getattr(case.model, case.work)
    x = torch.randn(windows, model.frames, model.joints, model.in_channels, device=compute.device)
    if case.work == "inference":
        model.eval()
        if case.compiled:
            model.compile(mode="reduce-overhead", dynamic=False)

        def infer() -> None:
            with torch.inference_mode(), compute.autocast():
                model(x)

        return infer, windows
    if case.compiled:
        model.compile(dynamic=False)
    optimizer = case.model.recipe.optimizer(model.parameter_groups(), 1e-5)
    scaler = torch.amp.GradScaler(compute.device.type, enabled=case.precision == "fp16")
    none = torch.zeros(windows, dtype=torch.int64)
    batch = Batch(x, torch.randn(*x.shape[:3], 3, device=compute.device), none, none)
    step = functools.partial(
        train_one_epoch, model, [batch], case.model.recipe, optimizer, compute, scaler, False, lambda *_: None
    )
    return step, windows


def sampler(device: torch.device, quick: bool) -> tuple[Callable[[], object], int]:
    """Draws a batch of the wild recipe on the device, from a clip of somebody who sways."""
    windows, time_of = 8 if quick else 256, np.linspace(0, 60, 3000)[:, None, None]
    still = np.random.default_rng(0).normal(0, 0.4, (1, 17, 3))
    pose = (still + 0.1 * np.sin(time_of + still)).astype(np.float32)  # (T, 17, 3)
    clips = [WorldClip("sway", "1", "train", True, pose)]
    data = WildDataset(clips, 50.0, Normaliser("box", 3, 25.0, height=1.64), 45, 1, 0, device=device)
    items = np.arange(windows)
    return lambda: data[items], windows


def rate(call: Callable[[], object], windows: int, rounds: int, device: torch.device) -> tuple[float, float]:
    """Windows a second, and the most MiB that PyTorch held on the GPU (on a CPU: nan)."""
    cuda = device.type == "cuda"
    wait = functools.partial(torch.cuda.synchronize, device) if cuda else lambda: None
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(3):  # compiling, and recording CUDA graphs
        call()
    best = float("inf")
    for _ in range(rounds):
        wait()
        started = time.perf_counter()
        call()
        wait()
        best = min(best, time.perf_counter() - started)
    return windows / best, torch.cuda.max_memory_allocated(device) / 2**20 if cuda else float("nan")


def main() -> None:
    """Time everything that the minutes allow, and print the table."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="(default: %(default)s)")
    parser.add_argument("--gpu", default="0", help="number of the CUDA device (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="small sizes, which say nothing about speed")
    parser.add_argument("--rounds", type=number(int, 1), default=10, help="timed calls (default: %(default)s)")
    parser.add_argument(
        "--minutes", type=number(float, 0), default=7.5, help="begin nothing after (default: %(default)s)"
    )
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        raise InputError("no GPU is here that this PyTorch can use; run it where one is, or try --device cpu --quick")
    if args.device == "cpu" and not args.quick:
        raise InputError("--device cpu shows that the program works, not how fast a GPU is; add --quick")
    device = choose_compute(args.device, args.gpu, "fp32").device
    print(torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU: these are no speeds of a GPU")
    print(f"{'model':20}{'work':11}{'format':8}{'':10}{'windows/s':>11}{'MiB':>9}")
    started, left_out = time.monotonic(), 0
    for case in cases(args.quick):
        if time.monotonic() - started > 60 * args.minutes:
            left_out += 1
            continue
        torch.compiler.reset()
        compute = choose_compute(args.device, args.gpu, case.precision)
        speed, mebibytes = rate(*caller(case, compute, args.quick), args.rounds, device)
        form = "compiled" if case.compiled else "eager"
        print(f"{case.model.name:20}{case.work:11}{case.precision:8}{form:10}{speed:11.1f}{mebibytes:9.0f}", flush=True)
    speed, mebibytes = rate(*sampler(device, args.quick), args.rounds, device)
    print(f"{'wild sampler':20}{'drawing':11}{'fp32':8}{'eager':10}{speed:11.1f}{mebibytes:9.0f}")
    if left_out:
        print(f"{left_out} rows were left out: {args.minutes:g} minutes were over")


if __name__ == "__main__":
    exit_on_input_error(main)
