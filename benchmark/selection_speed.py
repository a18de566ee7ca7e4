"""What choosing the frames costs beside the rest of a forward pass, at the full size of every model, on one thread of
the CPU.

    python benchmark/selection_speed.py

Every backbone runs its H2OT variant's schedule with each selector, one window at a time. Timed within the same pass:
the whole pass, and what the selection adds to it, both in time of the processor, which other programs do not lengthen
much. That is what finds the frames (their features, the choice) and, where attention is asked for its scores, how much
longer it takes than the attention that a plan without scores would run there: that one runs on the same tensors too,
before the other and after it in turns, and its own time is taken out of the pass. The difference between two whole
passes says the same, but with their noise, which is as large as what is sought. Shown: milliseconds of the pass and of
its selection, and their ratio, each the median over the rounds; and the ratio to a pass of the same backbone that
prunes nothing, measured in turns with the other. The aim is under 3 %.
"""

from __future__ import annotations

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import statistics
import time
from collections.abc import Callable
from unittest.mock import patch

import torch
from torch import Tensor

from common.arguments import Parser, number
from common.errors import exit_on_input_error
from model import PoseTransformer, create_model, layers, list_models
from model.pruning import SELECTORS

# What a model does for its selection is in these two places and nowhere else.
SELECT, ATTEND_AND_SCORE = PoseTransformer.select, layers.attend_and_score


class Clock:
    """Adds up the seconds that selecting adds to a pass, and those that comparing takes, which are no part of it."""

    def __init__(self) -> None:
        self.selecting = self.comparing = 0.0
        self.calls = 0

    def select(self, *args: object) -> Tensor:
        frames, took = timed(SELECT, *args)
        self.selecting += took
        return frames

    def attend_and_score(self, *args: object) -> tuple[Tensor, Tensor]:
        self.calls += 1
        order = (ATTEND_AND_SCORE, layers.attend)[:: 1 if self.calls % 2 else -1]
        results = {function: timed(function, *args) for function in order}
        (result, took), (_, fused) = results[ATTEND_AND_SCORE], results[layers.attend]
        self.selecting += took - fused
        self.comparing += fused
        return result


def timed(function: Callable, *args: object) -> tuple[object, float]:
    """What the function returns, and the seconds it takes."""
    start = time.process_time()
    result = function(*args)
    return result, time.process_time() - start


@torch.inference_mode()
def measure(model: PoseTransformer, plain: PoseTransformer, rounds: int) -> tuple[float, float, float, float]:
    """Seconds of a pass, seconds of its selection, their ratio, and the ratio to a pass of `plain`: medians after a
    warm-up.
    """
    model.eval()
    plain.eval()
    x = torch.randn(1, model.frames, model.joints, model.in_channels, generator=torch.Generator().manual_seed(0))
    rows, clock = [], Clock()
    with (
        patch.object(PoseTransformer, "select", lambda *args: clock.select(*args)),
        patch.object(layers, "attend_and_score", clock.attend_and_score),
    ):
        for _ in range(rounds + 1):
            clock.selecting = clock.comparing = 0.0
            _, total = timed(model, x)
            total -= clock.comparing
            _, whole = timed(plain, x)
            rows.append((total, clock.selecting, clock.selecting / total, clock.selecting / whole))
    return tuple(statistics.median(column) for column in zip(*rows[1:], strict=True))


def main() -> None:
    parser = Parser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", help="one model only (default: the H2OT variants)")
    parser.add_argument("--select", choices=tuple(SELECTORS), help="one selector only (default: all)")
    parser.add_argument("--rounds", type=number(int, 1), default=5, help="passes that are timed (default: 5)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'model':36} {'select':>10} {'pass, ms':>9} {'selection, ms':>13} {'ratio':>7} {'to the plain':>12}")
    for name in [args.model] if args.model else [name for name in list_models() if ".h2ot_" in name]:
        backbone = name.split(".")[0]
        plain = create_model(f"{backbone}.{backbone}")
        for select in [args.select] if args.select else SELECTORS:
            total, selection, ratio, to_plain = measure(create_model(name, select=select), plain, args.rounds)
            print(
                f"{name:36} {select:>10} {1e3 * total:9.1f} {1e3 * selection:13.2f} {ratio:7.2%} {to_plain:12.2%}",
                flush=True,
            )


if __name__ == "__main__":
    exit_on_input_error(main)
