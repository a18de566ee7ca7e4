"""The command line of the entry scripts. Building the parser and reading it have no side effects."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

from common.errors import InputError, Parser


def boolean(text: str) -> bool:
    """true/false, 1/0, in any case."""
    try:
        return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false (1 nor 0)") from None


def number(
    kind: type, least: float, most: float = math.inf, above: bool = False, finite: bool = True
) -> Callable[[str], float]:
    """A type for numbers between `least` (itself left out if `above`) and `most`; infinity too unless `finite`."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (least < value if above else least <= value) or not value <= most or (finite and math.isinf(value)):
            limit = f"{'above' if above else 'at least'} {least}" + (f" and at most {most}" if most < math.inf else "")
            raise argparse.ArgumentTypeError(f"{text!r} is not a {'whole ' if kind is int else ''}number {limit}")
        return value

    return parse


def add_size_flags(group: argparse._ActionsContainer) -> None:
    """A flag for each size of the registered models; None where it is not given, so that the variant's own number
    holds.
    """
    from model.flags import size_flags  # here, since programs that only want a Parser load no PyTorch

    for size, flag in size_flags().items():
        kinds: dict[type, Callable[[str], object]] = {bool: boolean, str: str}
        kind = kinds.get(flag.kind) or number(flag.kind, flag.least)
        try:
            group.add_argument(f"--{size}", type=kind, metavar=flag.metavar, help=flag.help)
        except argparse.ArgumentError:
            raise InputError(
                f"a registered model has a size {size!r}, but --{size} is another flag; rename the size"
            ) from None


def build_parser(default_model: str, prog: str | None = None) -> Parser:
    """The flags of all entry scripts. default_model: what --model is when it is not given."""
    parser = Parser(
        prog=prog,
        allow_abbrev=False,
        description="Train a video pose transformer, with or without an hourglass, or test one with --test: 2D joint "
        "positions of F frames in, 3D poses out.",
        epilog="Sizes that are not given are the model's own; those of a checkpoint of ours are taken from the file.",
    )

    group = models = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        help=f"name of a registered model, as `python -m model.complexity` lists them (default: {default_model})",
    )
    group.add_argument(
        "--n_joints", type=number(int, 1), help="joints of the input; must be those of the data (default: 17)"
    )
    group.add_argument(
        "--out_joints", type=number(int, 1), help="joints of the output; must be those of the input (default: 17)"
    )
    group.add_argument(
        "--out_channels", type=number(int, 1), default=3, help="axes of the output; must be 3 (default: 3)"
    )
    group.add_argument(
        "--out_all",
        type=boolean,
        default=True,
        help="1: train and score all frames of a window; 0: its centre (default: 1)",
    )

    group = parser.add_argument_group("data")
    group.add_argument(
        "--recipe",
        default="published",
        choices=("published", "wild"),
        help="published: as the paper trains on --dataset; wild: on --motion, seen by cameras and detectors drawn "
        "anew, for anyone's video; other defaults: --dataset wild --batch_size 16 --lr 1e-3 --stride 4 --nepoch 12 "
        "(default: published)",
    )
    group.add_argument(
        "--motion",
        default="cmu",
        help="NAME of the world motion file motion_NAME.npz that --recipe wild trains on (default: cmu)",
    )
    group.add_argument(
        "--without",
        default="",
        metavar="NAMES",
        help="parts of what --recipe wild draws to leave out, separated by commas; common/wild/options.py names them "
        "(default: none)",
    )
    group.add_argument(
        "--dataset",
        default="h36m",
        help="h36m, 3dhp for MPI-INF-3DHP, wild for wild_test.npz, or NAME for data_NAME.npz in our own format "
        "(default: h36m)",
    )
    group.add_argument(
        "--keypoints",
        help="which 2D poses (default: cpn_ft_h36m_dbb for h36m, gt for 3dhp, noisy for others; gt is the truth)",
    )
    group.add_argument("--root_path", default="./dataset/", help="folder of the data files (default: ./dataset/)")
    group.add_argument("--actions", default="*", help="action names separated by commas, or '*' for all (default: '*')")
    group.add_argument(
        "--stride",
        type=number(int, 1),
        default=243,
        help="frames between the windows of training; testing uses 1 for 1 and for 3dhp, else --frames (default: 243)",
    )
    group.add_argument(
        "--subset",
        type=number(float, 0, 1, above=True),
        default=1.0,
        help="part of every sequence that is used (default: 1)",
    )
    group.add_argument("--downsample", type=number(int, 1), default=1, help="use every so many frames (default: 1)")
    group.add_argument(
        "--crop_uv", type=int, default=0, help="0: 2D is normalised by the picture's width; other: pixels (default: 0)"
    )
    group.add_argument(
        "--data_augmentation",
        type=boolean,
        default=True,
        help="train on every window and its mirror image (default: 1)",
    )
    group.add_argument(
        "--reverse_augmentation",
        type=boolean,
        default=False,
        help="train on windows played backwards too (default: false)",
    )
    group.add_argument(
        "--workers",
        type=number(int, 0),
        help="loader processes; 0: the run loads by itself, and --recipe wild draws on its CUDA device (default: 8 "
        "with an accelerator; 0 on a CPU, where that is faster)",
    )

    group = parser.add_argument_group("training")
    group.add_argument("--train", type=boolean, default=True, help="0: the same as --test (default: 1)")
    group.add_argument("--nepoch", type=number(int, 1), default=160, help="epochs (default: 160)")
    group.add_argument(
        "--batch_size", type=number(int, 1), default=4, help="windows of a batch, in testing too (default: 4)"
    )
    group.add_argument(
        "--lr", type=number(float, 0, above=True), default=4e-5, help="learning rate of the first epoch (default: 4e-5)"
    )
    group.add_argument(
        "-lrd",
        "--lr_decay",
        type=number(float, 0, above=True),
        default=0.99,
        help="factor after an epoch (default: 0.99)",
    )
    group.add_argument(
        "--lr_decay_large",
        type=number(float, 0, above=True),
        default=0.5,
        help="factor after every --lr_decay_epoch-th epoch instead (default: 0.5)",
    )
    group.add_argument("--lr_decay_epoch", type=number(int, 1), default=200, help="see --lr_decay_large (default: 200)")
    group.add_argument(
        "--seed",
        type=number(int, 0),
        help="fixes weights, order and dropout (default: the recipe's: 1126 MixSTE, 1 MHFormer)",
    )
    group.add_argument(
        "--resume",
        metavar="PATH",
        help="go on with a run: its folder or last.pt; flags not given are those of that run",
    )
    group.add_argument(
        "--save_every",
        type=number(float, 0),
        default=300.0,
        metavar="SECONDS",
        help="save last.pt within an epoch this often (default: 300)",
    )

    group = parser.add_argument_group("testing")
    group.add_argument("--test", action="store_true", help="test the weights of --previous_dir, do not train")
    group.add_argument(
        "--test_augmentation",
        type=boolean,
        default=True,
        help="mean of the plain and the mirrored pass (default: true)",
    )
    group.add_argument("--results", metavar="FILE.json", help="write what was measured to this file")

    group = parser.add_argument_group("checkpoints")
    group.add_argument(
        "--previous_dir",
        default="",
        help="checkpoint to test or to start from: a .pth file, or a folder, of which the best is taken",
    )
    group.add_argument("--checkpoint", default="", help="folder to write to (default: checkpoint/MMDD_HHMM_SS_FRAMES)")
    group.add_argument(
        "--previous_best",
        type=number(float, 0, finite=False),
        default=math.inf,
        help="MPJPE (mm) that an epoch must beat to be saved (default: inf)",
    )
    group.add_argument(
        "--previous_name", default="", help="checkpoint file of --previous_best, which the next better one replaces"
    )
    group.add_argument(
        "--allow_unexpected", action="store_true", help="ignore names in a checkpoint that the model does not have"
    )

    group = parser.add_argument_group("machine")
    group.add_argument(
        "--device",
        default="auto",
        choices=("auto", "cpu", "cuda", "mps"),
        help="auto takes CUDA where there is one, else the CPU (default: auto)",
    )
    group.add_argument("--gpu", default="0", help="number of the CUDA device (default: 0)")
    group.add_argument(
        "--precision",
        default="fp32",
        choices=("fp32", "tf32", "bf16", "fp16"),
        help="number format of the model (default: fp32)",
    )
    group.add_argument(
        "--compile",
        type=boolean,
        default=False,
        help="1: train with torch.compile, which needs a C++ compiler (default: 0)",
    )
    group.add_argument(
        "--checkpoint_activations",
        type=boolean,
        default=False,
        help="1: train in less memory, by computing each layer again in the backward pass (default: 0)",
    )
    add_size_flags(models)
    return parser
