"""The shipped weights by PyTorch, ONNX Runtime and OpenVINO: windows a second, lifting, and how long a start takes.

    python benchmark/backends.py
    python benchmark/backends.py --models    # instead, exports every registered model, small, in every format

A window gets a plain and a mirrored pass, as in the demo. Rounds time each backend in turn; shown are medians.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import argparse
import statistics
import tempfile
import time

import numpy as np
import torch

from common.arguments import Parser, number
from common.errors import exit_on_input_error
from common.inference.checkpoint import shipped_checkpoint
from common.inference.export import BACKENDS, FORMATS, write_exported
from common.inference.lifting import Lifter
from model import create_model, list_models, model_sizes

SMALL = {"frames": 27, "channel": 16, "d_hid": 32, "depth": 3, "token_num": 9, "layer_index": 1}
CLIP = 450
"""Frames of the clip that is lifted, as many seconds as the weights' 25 a second make 18 of."""


def small_sizes(name: str) -> dict[str, int | str]:
    """Small sizes of a registered model; of a model that prunes in several stages, two of them."""
    own = model_sizes(name)
    stages = {"prune": "1:15,2:9"} if own["prune"] else {}
    return {**{size: value for size, value in SMALL.items() if size in own}, **stages}


def check_models() -> None:
    """Export every registered model in every format; `write_exported` compares each with PyTorch."""
    with tempfile.TemporaryDirectory() as folder:
        for name in list_models():
            torch.manual_seed(0)
            model = create_model(name, **small_sizes(name)).eval()
            for parameter in model.parameters():
                if not parameter.any():
                    torch.nn.init.normal_(parameter, std=0.5)
            apart = {
                form: write_exported(model, Path(folder) / f"model{FORMATS[form].suffix}", form, {}) for form in FORMATS
            }
            print(f"{name:36}" + "".join(f"  {form} {1000 * mm:.1g} mm" for form, mm in apart.items()), flush=True)


def main() -> None:
    """Time everything and print the table."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", action="store_true", help="export every registered model in place of timing")
    parser.add_argument("--rounds", type=number(int, 1), default=15, help="timed calls of each (default: %(default)s)")
    args = parser.parse_args()
    if args.models:
        check_models()
        return
    clip = np.random.default_rng(0).normal(0, 3, (CLIP, 17, 2)).cumsum(axis=0) + 500
    print(f"{torch.get_num_threads()} threads; frames/s of a clip of {CLIP} frames; mm: from PyTorch's poses")
    print(
        f"{'weights':24}{'backend':14}{'start, s':>10}{'windows/s: 1':>14}{'8 at a time':>13}{'frames/s':>10}{'mm':>10}"
    )
    for name in ("mhformer.h2ot_mhformer", "mhformer.mhformer"):
        lifters, starts = {}, {}
        for backend in BACKENDS:
            started = time.perf_counter()
            lifters[backend] = Lifter.from_checkpoint(shipped_checkpoint(name), backend=backend)
            starts[backend] = time.perf_counter() - started
        model = lifters["torch"].model.eval()  # a lifter puts it back into training mode after each clip
        windows = torch.randn(8, model.frames, model.joints, model.in_channels)
        seconds: dict[tuple[str, int], list[float]] = {
            (backend, part): [] for backend in BACKENDS for part in (0, 1, 8)
        }
        poses = {}
        for turn in range(args.rounds + 1):  # the first one warms up
            for (backend, part), times in seconds.items():
                started = time.perf_counter()
                with torch.inference_mode():
                    if part:
                        lifters[backend]._predict(windows[:part])
                    else:
                        poses[backend] = lifters[backend](clip, (1000, 1000), fps=25.0)
                if turn:
                    times.append(time.perf_counter() - started)
        for backend in BACKENDS:
            lift, one, eight = (statistics.median(seconds[backend, part]) for part in (0, 1, 8))
            apart = 1000 * np.abs(poses[backend] - poses["torch"]).max()
            print(
                f"{name.split('.')[-1]:24}{backend:14}{starts[backend]:10.1f}{1 / one:14.1f}{8 / eight:13.1f}"
                f"{CLIP / lift:10.0f}{apart:10.1g}",
                flush=True,
            )


if __name__ == "__main__":
    exit_on_input_error(main)
