"""What choosing the frames costs beside the rest of a forward pass, at the full size of every model, on one thread of the CPU.

    python benchmark/selection_speed.py

Every backbone runs its H2OT variant's schedule with each selector, one window at a time. Timed within the same pass: the whole
pass, and what the selection does in it (features of the frames, attention received, choice), both in time of the
processor, which other programs do not lengthen much. Shown: milliseconds of the pass and of its selection, and their ratio, each
the median over the rounds. The aim is a ratio under 3 %.
"""

from __future__ import annotations

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from common.arguments import Parser, number
from common.errors import exit_on_input_error
from model import PoseTransformer, create_model, layers, list_models
from model.pruning import SELECTORS


class Clock:
    """Adds up the seconds spent inside the functions that it wraps."""

    seconds = 0.0

    def wrap(self, function: Callable) -> Callable:
        def timed(*args: object, **kwargs: object) -> object:
            start = time.process_time()
            result = function(*args, **kwargs)
            self.seconds += time.process_time() - start
            return result

        return timed


@contextmanager
def selection_timed(clock: Clock) -> Iterator[None]:
    """Let `clock` run while a model selects. What it does for that is in these two places and nowhere else."""
    places = ((PoseTransformer, "select"), (layers, "attention_received"))
    before = [getattr(owner, name) for owner, name in places]
    for (owner, name), function in zip(places, before, strict=True):
        setattr(owner, name, clock.wrap(function))
    try:
        yield
    finally:
        for (owner, name), function in zip(places, before, strict=True):
            setattr(owner, name, function)


@torch.inference_mode()
def measure(model: PoseTransformer, rounds: int) -> tuple[float, float, float]:
    """Seconds of a pass, seconds of its selection, and their ratio: medians over `rounds` after one pass to warm up."""
    model.eval()
    x = torch.randn(1, model.frames, model.joints, model.in_channels, generator=torch.Generator().manual_seed(0))
    rows = []
    for _ in range(rounds + 1):
        clock = Clock()
        with selection_timed(clock):
            start = time.process_time()
            model(x)
            total = time.process_time() - start
        rows.append((total, clock.seconds, clock.seconds / total))
    total, selection, ratio = (statistics.median(column) for column in zip(*rows[1:], strict=True))
    return total, selection, ratio


def main() -> None:
    parser = Parser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", help="one model only (default: the H2OT variants)")
    parser.add_argument("--select", choices=tuple(SELECTORS), help="one selector only (default: all)")
    parser.add_argument("--rounds", type=number(int, 1), default=5, help="passes that are timed (default: 5)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'model':36} {'select':>10} {'pass, ms':>9} {'selection, ms':>13} {'ratio':>7}")
    for name in [args.model] if args.model else [name for name in list_models() if ".h2ot_" in name]:
        for select in [args.select] if args.select else SELECTORS:
            total, selection, ratio = measure(create_model(name, select=select), args.rounds)
            print(f"{name:36} {select:>10} {1e3 * total:9.1f} {1e3 * selection:13.2f} {ratio:7.2%}", flush=True)


if __name__ == "__main__":
    exit_on_input_error(main)
