"""Parameters, GFLOPs and frames per second of the registered models: `python -m model.complexity`.

GFLOPs follow from the definition of a model and its plan, not from what the code happens to execute. The paper's count is
2 x the multiply-accumulates (MACs) of linear and convolution layers; "with products" adds the products inside attention
(QK^T and AV) and graph convolution (x x^T and A V). A linear layer on queries shared by all joints counts once per joint.
"""

from __future__ import annotations

import functools
import time
from typing import NamedTuple

import torch

from common.arguments import Parser, add_plan_flags, number
from common.compute import choose_compute
from common.errors import exit_on_input_error
from model import Hourglass, PoseTransformer, create_model, list_models
from model.mhformer import HYPOTHESES, MHFormer
from model.mixste import MixSTE
from model.motionagformer import MotionAGFormer
from model.motionbert import MotionBERT
from model.registry import PLAN


class Macs(NamedTuple):
    """Multiply-accumulates of one window: in linear and convolution layers, and in products of activations."""

    linear: int = 0
    products: int = 0

    def __add__(self, other: Macs) -> Macs:
        return Macs(self.linear + other.linear, self.products + other.products)

    def __mul__(self, times: int) -> Macs:
        return Macs(self.linear * times, self.products * times)


def attention_macs(rows: int, length: int, channel: int) -> Macs:
    """Self-attention over `rows` sequences of `length` tokens: q, k, v and projection; QK^T and AV."""
    return Macs(rows * length * 4 * channel**2, rows * 2 * length**2 * channel)


def mlp_macs(tokens: int, channel: int, hidden: int) -> Macs:
    """Two linear layers over every token."""
    return Macs(tokens * 2 * channel * hidden)


def block_macs(rows: int, length: int, channel: int, hidden: int) -> Macs:
    """A transformer block: attention and MLP."""
    return attention_macs(rows, length, channel) + mlp_macs(rows * length, channel, hidden)


def graph_macs(rows: int, length: int, channel: int, built: bool) -> Macs:
    """A graph convolution: U and V; A V, and x x^T where the graph is built from the tokens."""
    return Macs(rows * length * 2 * channel**2, rows * length**2 * channel * (2 if built else 1))


@functools.singledispatch
def stage_macs(model: PoseTransformer, frames: int, layer: int) -> Macs:
    """One layer that sees `frames` frames."""
    raise TypeError(f"no complexity is defined for {type(model).__name__}")


@stage_macs.register
def _(model: MixSTE, frames: int, layer: int) -> Macs:
    sizes = (model.channel, model.hidden)
    return block_macs(frames, model.joints, *sizes) + block_macs(model.joints, frames, *sizes)


@stage_macs.register
def _(model: MHFormer, frames: int, layer: int) -> Macs:
    wide = len(HYPOTHESES) * model.channel
    return attention_macs(len(HYPOTHESES), frames, model.channel) + mlp_macs(frames, wide, model.hidden)


@stage_macs.register
def _(model: MotionBERT, frames: int, layer: int) -> Macs:
    sizes = (model.channel, model.hidden)
    stream = block_macs(frames, model.joints, *sizes) + block_macs(model.joints, frames, *sizes)
    return stream * 2 + Macs(frames * model.joints * 4 * model.channel)


@stage_macs.register
def _(model: MotionAGFormer, frames: int, layer: int) -> Macs:
    channel, joints, tokens = model.channel, model.joints, frames * model.joints
    attention = attention_macs(frames, joints, channel) + attention_macs(joints, frames, channel)
    graph = graph_macs(frames, joints, channel, built=False) + graph_macs(joints, frames, channel, built=True)
    return attention + graph + mlp_macs(tokens, channel, model.hidden) * 4 + Macs(tokens * 4 * channel)


@functools.singledispatch
def ends_macs(model: PoseTransformer, frames: int) -> Macs:
    """Embedding of all frames and regression of the `frames` frames that come out."""
    per_joint = model.channel * 3
    if isinstance(model, MotionBERT | MotionAGFormer):
        per_joint = model.channel * model.representation + model.representation * 3
    return Macs(model.joints * (model.frames * model.in_channels * model.channel + frames * per_joint))


@ends_macs.register
def _(model: MHFormer, frames: int) -> Macs:
    coordinates, wide = model.joints * model.in_channels, len(HYPOTHESES) * model.channel
    encoder = block_macs(1, coordinates, model.frames, 2 * model.frames) * len(model.Transformer_encoder_1.blocks)
    embedding = Macs(model.frames * coordinates * model.channel)
    return (encoder + embedding) * len(HYPOTHESES) + Macs(frames * wide * 3 * model.joints)


def count_macs(model: PoseTransformer) -> Macs:
    """Multiply-accumulates of one window through `model`, its plan included."""
    total = Macs()
    for layer in range(model.depth):
        total += stage_macs(model, model.plan.frames_at(layer, model.frames), layer)
    left = model.plan.frames_at(model.depth, model.frames)
    if model.plan.learned:
        rows = len(HYPOTHESES) if isinstance(model, MHFormer) else model.joints
        linear = (2 * model.frames + 2 * left) * model.channel**2  # q and projection of all frames, k and v of the kept
        total += Macs(linear, 2 * model.frames * left * model.channel) * rows
        left = model.frames
    return total + ends_macs(model, left)


def gflops(model: PoseTransformer) -> tuple[float, float]:
    """GFLOPs of one window: the paper's count, and with products."""
    macs = count_macs(model)
    return 2 * macs.linear / 1e9, 2 * (macs.linear + macs.products) / 1e9


def count_parameters(model: torch.nn.Module) -> int:
    """How many learned numbers the model has."""
    return sum(parameter.numel() for parameter in model.parameters())


@torch.inference_mode()
def frames_per_second(model: PoseTransformer, device: torch.device, seconds: float = 3.0) -> float:
    """Frames of input that one forward pass at batch 1 handles per second: the fastest of the calls that fit the time."""
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


def plan_text(plan: Hourglass) -> str:
    """A plan as the flags say it: --prune, --select and --recover in a row; "-" for the plain backbone."""
    stages = ",".join(f"{layer}:{keep}" for layer, keep in plan.stages)
    return f"{stages} {plan.select} {plan.recover}" if stages else "-"


def main() -> None:
    parser = Parser(prog="python -m model.complexity", description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", help="one model only (default: all)")
    parser.add_argument("--device", default="cpu", choices=("auto", "cpu", "cuda", "mps"), help="where speed is measured (default: cpu)")
    parser.add_argument("--seconds", type=number(float, 0), default=3.0, help="time to measure each model; 0 leaves it out (default: 3)")
    add_plan_flags(parser)
    args = parser.parse_args()
    plan = {size: value for size in PLAN if (value := getattr(args, size)) is not None}
    compute = choose_compute(args.device, "0", "fp32")
    models = (create_model(name, **plan) for name in ([args.model] if args.model else list_models()))
    for row, model in enumerate(models):
        if row == 0:
            speed = f" {'frames/s':>9}" if args.seconds > 0 else ""
            print(f"{'model':34} {'F':>4} {'plan':38} {'parameters':>11} {'GFLOPs':>7} {'with products':>13}{speed}")
        counted = "{:7.2f} {:13.2f}".format(*gflops(model))
        speed = f" {frames_per_second(model, compute.device, args.seconds):9.0f}" if args.seconds > 0 else ""
        print(f"{model.name:34} {model.frames:4} {plan_text(model.plan):38} {count_parameters(model):11,} {counted}{speed}", flush=True)


if __name__ == "__main__":
    exit_on_input_error(main)
