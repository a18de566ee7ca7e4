"""Parameters, GFLOPs and frames per second of the registered models: `python -m model.complexity`.

GFLOPs follow from the formulas of a backbone and its plan, not from what the code happens to execute; a backbone
without formulas is counted by PyTorch while it runs once. The paper's count is 2 x the multiply-accumulates (MACs) of
linear and convolution layers; "with products" adds the products inside attention (QK^T and AV) and graph convolution (x
x^T and A V). A linear layer on queries shared by all joints counts once per joint.
"""

from __future__ import annotations

import time

import torch

from common.errors import InputError, Parser, exit_on_input_error
from model import Hourglass, PoseTransformer, create_model, list_models
from model.flags import PLAN_FLAGS
from model.macs import Macs


def count_macs(model: PoseTransformer) -> Macs:
    """Multiply-accumulates of one window through `model`, its plan included."""
    return model.macs()


def gflops(model: PoseTransformer) -> tuple[float, float]:
    """GFLOPs of one window: the paper's count, and with products."""
    macs = count_macs(model)
    return 2 * macs.linear / 1e9, 2 * (macs.linear + macs.products) / 1e9


def count_parameters(model: torch.nn.Module) -> int:
    """How many learned numbers the model has."""
    return sum(parameter.numel() for parameter in model.parameters())


@torch.inference_mode()
def frames_per_second(model: PoseTransformer, device: torch.device, seconds: float = 3.0) -> float:
    """Frames of input that one forward pass at batch 1 handles per second: the fastest of the calls that fit the
    time.
    """
    model = model.to(device).eval()
    x = torch.zeros(1, model.frames, model.joints, model.in_channels, device=device)
    best, until = float("inf"), None
    while until is None or time.perf_counter() < until:
        start = time.perf_counter()
        model(x).pose.sum().item()  # .item() waits for the device
        if until is None:
            until = time.perf_counter() + seconds  # the first call warms up
            continue
        best = min(best, time.perf_counter() - start)
    if best == float("inf"):  # one call took all the time
        start = time.perf_counter()
        model(x).pose.sum().item()
        best = time.perf_counter() - start
    return model.frames / best


def find_device(name: str) -> torch.device:
    """The device of this name; auto: CUDA where there is one, else the CPU. Raises InputError where this machine has
    none.
    """
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = "cuda" if here["cuda"] else "cpu"
    if not here[name]:
        raise InputError(f"--device is {name}, but this machine or this PyTorch has none; use --device auto or cpu")
    return torch.device(name)


def plan_text(plan: Hourglass) -> str:
    """A plan as the flags say it: --prune, --select and --recover in a row; "-" for the plain backbone."""
    stages = ",".join(f"{layer}:{keep}" for layer, keep in plan.stages)
    return f"{stages} {plan.select} {plan.recover}" if stages else "-"


def main() -> None:
    parser = Parser(prog="python -m model.complexity", description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", help="one model only (default: all)")
    parser.add_argument(
        "--device", default="cpu", choices=("auto", "cpu", "cuda", "mps"), help="where speed is measured (default: cpu)"
    )
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="time to measure each model; 0 leaves it out (default: 3)"
    )
    for size, flag in PLAN_FLAGS.items():
        parser.add_argument(f"--{size}", metavar=flag.metavar, help=flag.help)
    args = parser.parse_args()
    plan = {size: value for size in PLAN_FLAGS if (value := getattr(args, size)) is not None}
    if not 0 <= args.seconds < float("inf"):
        raise InputError(f"--seconds is {args.seconds}; it must be a number, 0 or more")
    device = find_device(args.device)
    models = (create_model(name, **plan) for name in ([args.model] if args.model else list_models()))
    for row, model in enumerate(models):
        if row == 0:
            speed = f" {'frames/s':>9}" if args.seconds > 0 else ""
            print(f"{'model':34} {'F':>4} {'plan':38} {'parameters':>11} {'GFLOPs':>7} {'with products':>13}{speed}")
        counted = "{:7.2f} {:13.2f}".format(*gflops(model))
        speed = f" {frames_per_second(model, device, args.seconds):9.0f}" if args.seconds > 0 else ""
        print(
            f"{model.name:34} {model.frames:4} {plan_text(model.plan):38} {count_parameters(model):11,} "
            f"{counted}{speed}",
            flush=True,
        )


if __name__ == "__main__":
    exit_on_input_error(main)
