"""Writes a model with its weights for other runtimes, and checks the file against PyTorch: `python -m model.export`.

    python -m model.export --checkpoint checkpoint/wild_h2ot_mhformer.pth --format onnx

The input is pose_2d (B, F, J, channels), normalised 2D poses of any number B of windows. The outputs are pose (B, F, J,
3), metres in camera space; kept_1 (B, K) ..., the frames that each stage of pruning kept; and, where only kept frames
have a pose, frames (B, K), the frame numbers of its rows.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from common.arguments import add_size_flags
from common.errors import InputError, Parser, exit_on_input_error
from common.inference.checkpoint import load_weights, read_checkpoint, shipped_checkpoint, sizes_with
from common.inference.export import BATCHES, FORMATS, TOLERANCE, write_exported
from model import create_model
from model.flags import size_flags


def main() -> None:
    """Read the weights, write the file, check it, and say so."""
    parser = Parser(
        prog="python -m model.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="name of a registered model (default: the checkpoint's)")
    parser.add_argument(
        "--checkpoint", help="a .pth file, or a folder, of which the best is taken (default: those that come along)"
    )
    parser.add_argument("--format", required=True, choices=tuple(FORMATS), help="format of the file")
    parser.add_argument("--output", metavar="FILE", help="the file to write (default: MODEL.onnx, .xml or .pt2 here)")
    parser.add_argument("--allow_unexpected", action="store_true", help="ignore weights that the model does not have")
    add_size_flags(parser)
    args = parser.parse_args()
    given = {size: getattr(args, size) for size in size_flags() if getattr(args, size) is not None}
    checkpoint = read_checkpoint(args.checkpoint or shipped_checkpoint(*([args.model] if args.model else [])))
    name = args.model or checkpoint.name
    if not name:
        raise InputError(f"{checkpoint.path}: does not say which model it holds; give --model, and its sizes")
    model = create_model(name, **sizes_with(checkpoint, name, given)).eval()
    load_weights(model, checkpoint, args.allow_unexpected)
    path = Path(args.output or name.split(".")[-1] + FORMATS[args.format].suffix)
    about = {"model": name, "sizes": json.dumps(model.sizes)}
    if checkpoint.normaliser:
        about["normaliser"] = json.dumps(asdict(checkpoint.normaliser))
    apart = write_exported(model, path, args.format, about)
    print(f"{checkpoint.path} -> {path}: {name}, {path.stat().st_size / 2**20:.1f} MiB")
    print(
        f"checked against PyTorch with {', '.join(map(str, BATCHES))} windows at a time: kept frames equal, poses "
        f"within {1000 * apart:.1g} mm (allowed: {1000 * TOLERANCE:g} mm)"
    )


if __name__ == "__main__":
    exit_on_input_error(main)
