"""How fast a model trains on the CPU in each number format, whether its loss stays the same, and how fast windows are
loaded.

    python benchmark/train_speed.py

Poses: a synthetic set in the Human3.6M layout (dataset/prepare_toy.py), written to a temporary folder, with clips as
long as Human3.6M's. Three number formats: float32; eager bf16, which is torch.autocast around the model with PyTorch's
own GELU, dropout and unfused optimizer; and ours, which is what --precision bf16 does here. Speed: each round times one
training step (forward, backward, optimizer) of every format in turn; shown are the medians over the rounds, and of the
ratios within a round. Loss: bf16 is really used there, also where this CPU has to emulate it and --precision bf16 would
not. OMP_NUM_THREADS sets the threads.
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
from torch import nn

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
from model.layers import Dropout, Gelu

CPU = torch.device("cpu")
FRAMES = 81


@dataclass(frozen=True)
class Format:
    """A number format, and whether the layers and the optimizer are PyTorch's own."""

    name: str
    compute: Compute
    eager: bool = False


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
FLOAT32 = Format("float32", Compute(CPU))
EAGER = Format("eager bf16", Compute(CPU, "bf16"), eager=True)
BF16 = Format("bf16", Compute(CPU, "bf16"))


def trainer(model: Model, form: Format, lr: float, seed: int) -> Callable[[Batch], float]:
    """A function that takes one training step on a batch and returns its loss."""
    torch.manual_seed(seed)
    network = create_model(model.name, **model.sizes)
    optimizer = model.recipe.optimizer(network.parameters(), lr)
    if form.eager:
        use_pytorch_layers(network)
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


def use_pytorch_layers(network: nn.Module) -> None:
    """Put PyTorch's GELU and dropout in the place of ours."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, Gelu):
                setattr(parent, name, nn.GELU())
            elif isinstance(child, Dropout):
                setattr(parent, name, nn.Dropout(child.p))


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


def speed_row(model: Model, formats: list[Format], data: Data, rounds: int) -> str:
    """Frames per second of each format, and the ratio of the last to the eager one."""
    batches = endless(windows(data, FRAMES, FRAMES, True), model.batch, seed=0)
    steps = [trainer(model, form, 1e-4, seed=0) for form in formats]
    rates = np.zeros((rounds + 1, len(formats)))
    for turn in range(rounds + 1):  # the first one warms up
        batch = next(batches)
        for column, step in enumerate(steps):
            started = time.perf_counter()
            step(batch)
            rates[turn, column] = model.batch * FRAMES / (time.perf_counter() - started)
    ratio = np.median(rates[1:, formats.index(formats[-1])] / rates[1:, formats.index(EAGER)])
    return f"{model.title:24}" + "".join(f"{rate:>17,.0f}" for rate in np.median(rates[1:], axis=0)) + f"{ratio:>14.2f}"


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

    formats = [FLOAT32, EAGER, ours]
    print(
        f"\nTraining, frames/s, {torch.get_num_threads()} threads, {FRAMES} frames a window, median of {args.rounds} "
        "rounds"
    )
    print(f"{'':24}" + "".join(f"{form.name:>17}" for form in formats) + f"{'ours / eager':>14}")
    for model in MODELS:
        print(speed_row(model, formats, data, args.rounds), flush=True)

    print(f"\nLoss after {args.steps} steps, {SMALL.title}: mean and standard deviation over {args.seeds} seeds")
    table = {
        form.name: np.array([losses_of(form, data, args.steps, seed) for seed in range(args.seeds)])
        for form in (FLOAT32, EAGER, BF16)
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
