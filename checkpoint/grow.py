"""Weights of a small model -> the start of a larger one that gives the same poses.

    python checkpoint/grow.py checkpoint/wild_h2ot_mhformer.pth LARGE.pth --depth 5 --d_hid 768

New layers and new hidden units add nothing at first (Net2Net, Chen et al., ICLR 2016).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from common.arguments import Parser, number
from common.errors import InputError, exit_on_input_error
from common.inference.checkpoint import load_weights, read_checkpoint, save_checkpoint
from model import PoseTransformer, create_model
from model.layers import Attention, CrossAttention, Mlp


@torch.no_grad()
def grow(small: PoseTransformer, **sizes: int) -> PoseTransformer:
    """A model with these sizes larger than those of `small`, that gives the same poses.

    depth: layers are added before the last one. d_hid: hidden units are added to each MLP. Raises InputError for other
    sizes and for smaller numbers.
    """
    for size, value in sizes.items():
        if size not in ("depth", "d_hid"):
            raise InputError(f"{size} cannot grow; only depth and d_hid can")
        own = small.sizes.get(size)
        if not isinstance(own, int) or value < own:
            raise InputError(f"{size} is {value}; the weights have {own}, and it can only grow")
    large = create_model(small.name, **{**small.sizes, **sizes})
    old = small.state_dict()
    silent = {}  # the last linear layer of each residual branch
    for name, module in large.named_modules():
        if isinstance(module, Attention | CrossAttention):
            silent[f"{name}.proj"] = module.proj
        elif isinstance(module, Mlp):
            silent[f"{name}.fc2"] = module.fc2
    for name, value in large.state_dict().items():
        layer = silent.get(name.rpartition(".")[0])
        if name not in old:
            if layer is not None:
                value.zero_()
        elif value.shape == old[name].shape:
            value.copy_(old[name])
        else:
            if layer is not None:
                value.zero_()  # what new hidden units say
            value[tuple(map(slice, old[name].shape))] = old[name]
    x = torch.linspace(-1, 1, small.frames * small.joints * small.in_channels)
    x = x.view(1, small.frames, small.joints, small.in_channels)
    if not torch.allclose(large.eval()(x).pose, small.eval()(x).pose, atol=1e-5):
        raise InputError(
            f"more layers change the poses of {small.name}, which normalises between them; leave depth out"
        )
    return large


def main() -> None:
    """Read a checkpoint, grow it, write it."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("small", help="a checkpoint file of ours, or the folder of a run")
    parser.add_argument("large", help="the file to write")
    parser.add_argument("--depth", type=number(int, 1), help="layers (default: as many as now)")
    parser.add_argument("--d_hid", type=number(int, 1), help="hidden width of the MLPs (default: as now)")
    args = parser.parse_args()
    checkpoint = read_checkpoint(args.small)
    if checkpoint.name is None:
        raise InputError(f"{checkpoint.path}: does not say which model it holds; give a file that the training wrote")
    small = create_model(checkpoint.name, **checkpoint.sizes)
    load_weights(small, checkpoint)
    large = grow(small, **{size: value for size in ("depth", "d_hid") if (value := getattr(args, size)) is not None})
    save_checkpoint(args.large, large, checkpoint.normaliser)
    print(f"{checkpoint.path} {small.sizes} -> {args.large} {large.sizes}")


if __name__ == "__main__":
    exit_on_input_error(main)
