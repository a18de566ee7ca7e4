"""How fast a model trains on the CPU in each number format, whether its loss stays the same, and how fast windows are
loaded.

    python benchmark/train_speed.py

Poses: a synthetic set in the Human3.6M layout (dataset/prepare_toy.py), written to a temporary folder, with clips as
long as Human3.6M's. Each number format is that of ours and of the plain model beside it: benchmark/reference.py, with
an unfused optimizer, and torch.autocast around it for bf16. Speed: each round times one training step (forward,
backward, optimizer) of every format in turn; shown are the medians over the rounds, and of the ratios within a round.
Loss: bf16 is really used there, also where this CPU has to emulate it and --precision bf16 would not. OMP_NUM_THREADS
sets the threads.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from benchmark.reference import plain_model
from common.arguments import Parser, number
from common.data.datasets import Data, default_keypoints, read_sequences
from common.data.pose_dataset import Batch, BatchOrder, PoseDataset, loader
from common.errors import exit_on_input_error
from common.geometry.normalise import Normaliser
from common.inference.compute import Compute, choose_compute
from common.training.engine import train_one_epoch
from common.training.recipes import MHFORMER, MIXSTE, Recipe
from dataset.prepare_toy import write
from model import create_model

CPU = torch.device("cpu")
FRAMES = 81


@dataclass(frozen=True)
class Format:
    """A number format, and whether model and optimizer are the plain ones."""

    name: str
    compute: Compute
    plain: bool = False


@dataclass(frozen=True)
class Model:
    """A model to time: title in the table, registered name, sizes, recipe and windows of a batch."""

    title: str
    name: str
    sizes: dict[str, int]
    recipe: Recipe
    batch: int


MODELS = (
    Model(
        "HoT w. MixSTE 64",
        "mixste.hot_mixste",
        {"frames": FRAMES, "channel": 64, "token_num": 27, "layer_index": 3},
        MIXSTE,
        4,
    ),
    Model("MHFormer 128", "mhformer.mhformer", {"frames": FRAMES, "channel": 128, "d_hid": 256}, MHFORMER, 16),
    Model("MHFormer 256", "mhformer.mhformer", {"frames": FRAMES, "channel": 256, "d_hid": 512}, MHFORMER, 16),
)
SMALL = Model(
    "HoT w. MixSTE 32, 27 frames, 4 layers",
    "mixste.hot_mixste",
    {"frames": 27, "channel": 32, "token_num": 9, "layer_index": 1, "depth": 4},
    MIXSTE,
    8,
)
PLAIN = Format("plain float32", Compute(CPU), plain=True)
FLOAT32 = Format("float32", Compute(CPU))
PLAIN_BF16 = Format("plain bf16", Compute(CPU, "bf16"), plain=True)
BF16 = Format("bf16", Compute(CPU, "bf16"))


def trainer(model: Model, form: Format, lr: float, seed: int) -> Callable[[Batch], float]:
    """A function that takes one training step on a batch and returns its loss."""
    torch.manual_seed(seed)
    ours = create_model(model.name, **model.sizes)
    network = plain_model(ours) if form.plain else ours
    assert network is not None  # all models here have a plain counterpart
    optimizer = model.recipe.optimizer(network.parameters(), lr)
    if form.plain:
        for group in optimizer.param_groups:
            group["fused"] = False
    scaler = torch.amp.GradScaler("cpu", enabled=False)

    def step(batch: Batch) -> float:
        losses: list[float] = []
        train_one_epoch(
            network, [batch], model.recipe, optimizer, form.compute, scaler, False, lambda loss, _: losses.append(loss)
        )
        return losses[0]

    return step


def windows(data: Data, frames: int, stride: int, flipped: bool) -> PoseDataset:
    """The windows of the training split."""
    return PoseDataset(data.sequences, data.skeleton, Normaliser(), frames, stride, flipped=flipped)


def endless(dataset: PoseDataset, batch_size: int, seed: int) -> Iterator[Batch]:
    """Full batches in random order, epoch after epoch."""
    epoch = 0
    while True:
        batches = loader(dataset, BatchOrder(len(dataset), batch_size, seed, epoch), 0, CPU)
        yield from (batch for batch in batches if len(batch.start) == batch_size)
        epoch += 1


def speeds(model: Model, formats: list[Format], data: Data, rounds: int) -> dict[str, float]:
    """Frames per second of each format, by its name, and "ratio float32" and "ratio bf16" of ours to the plain one."""
    batches = endless(windows(data, FRAMES, FRAMES, True), model.batch, seed=0)
    steps = [trainer(model, form, 1e-4, seed=0) for form in formats]
    rates = np.zeros((rounds + 1, len(formats)))
    for turn in range(rounds + 1):  # the first one warms up
        batch = next(batches)
        for column, step in enumerate(steps):
            started = time.perf_counter()
            step(batch)
            rates[turn, column] = model.batch * FRAMES / (time.perf_counter() - started)
    found = dict(zip((form.name for form in formats), np.median(rates[1:], axis=0).tolist(), strict=True))
    for name, ours, plain in (("ratio float32", 1, 0), ("ratio bf16", 3, 2)):
        found[name] = float(np.median(rates[1:, ours] / rates[1:, plain]))
    return found


def losses_of(form: Format, data: Data, steps: int, seed: int) -> float:
    """The mean loss over the last tenth of `steps` steps of the small model."""
    step = trainer(SMALL, form, 1e-3, seed)
    batches = endless(windows(data, SMALL.sizes["frames"], SMALL.sizes["frames"], True), SMALL.batch, seed)
    losses = [step(next(batches)) for _ in range(steps)]
    return statistics.mean(losses[-max(1, steps // 10) :])


def loading_rate(data: Data, flipped: bool, count: int) -> float:
    """Windows per second of 351 frames, stride 1, in random order and in batches of 256, the first two batches left
    out.
    """
    batches = endless(windows(data, 351, 1, flipped), 256, seed=0)
    for _ in range(2):
        next(batches)
    started = time.perf_counter()
    for _ in range(count):
        next(batches)
    return 256 * count / (time.perf_counter() - started)


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rounds", type=number(int, 1), default=5, help="timed steps of each model and format (default: %(default)s)"
    )
    parser.add_argument(
        "--steps", type=number(int, 1), default=40, help="steps of the comparison of losses (default: %(default)s)"
    )
    parser.add_argument(
        "--seeds", type=number(int, 2), default=3, help="seeds of the comparison of losses (default: %(default)s)"
    )
    parser.add_argument(
        "--batches", type=number(int, 1), default=40, help="batches of 256 windows to load (default: %(default)s)"
    )
    parser.add_argument(
        "--length",
        type=number(int, 351),
        default=2600,
        help="frames of a clip (default: %(default)s, Human3.6M's mean)",
    )
    args = parser.parse_args()
    ours = Format("--precision bf16", choose_compute("cpu", "0", "bf16"))
    with tempfile.TemporaryDirectory() as folder:
        write(folder, args.length, seed=0)
        data = read_sequences("h36m", folder, default_keypoints("h36m"), "train")

    formats = [PLAIN, FLOAT32, PLAIN_BF16, ours]
    print(
        f"\nTraining, frames/s, {torch.get_num_threads()} threads, {FRAMES} frames a window, median of {args.rounds} "
        "rounds"
    )
    for row, model in enumerate(MODELS):
        found = speeds(model, formats, data, args.rounds)
        if row == 0:
            print(f"{'':24}" + "".join(f"{name:>17}" for name in found))
        print(f"{model.title:24}" + "".join(f"{value:>17,.{2 * ('ratio' in name)}f}" for name, value in found.items()))

    print(f"\nLoss after {args.steps} steps, {SMALL.title}: mean and standard deviation over {args.seeds} seeds")
    table = {
        form.name: np.array([losses_of(form, data, args.steps, seed) for seed in range(args.seeds)])
        for form in (FLOAT32, PLAIN_BF16, BF16)
    }
    for name, losses in table.items():
        change = losses - table[FLOAT32.name]
        print(f"{name:24}{losses.mean():8.4f} ± {losses.std(ddof=1):.4f}", end="")
        print(
            ""
            if name == FLOAT32.name
            else f"   less float32 of the same seed: {change.mean():+.4f} ± {change.std(ddof=1):.4f}"
        )

    torch.set_num_threads(1)
    print("\nLoading, windows/s on one core, 351 frames, stride 1, batches of 256 in random order")
    for title, flipped in (("plain", False), ("with mirror images", True)):
        print(f"{title:24}{loading_rate(data, flipped, args.batches):>10,.0f}", flush=True)


if __name__ == "__main__":
    exit_on_input_error(main)
