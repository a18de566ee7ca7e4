"""A training run -> the weights that come with the repository: the run's best, in half precision.

python checkpoint/export.py checkpoint/MMDD_HHMM_SS_FRAMES checkpoint/wild_mhformer.pth
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.arguments import Parser
from common.errors import InputError, exit_on_input_error
from common.inference.checkpoint import load_weights, read_checkpoint, save_checkpoint
from model import create_model


def main() -> None:
    """Read a checkpoint, check that it is a whole model, write it in float16."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="a checkpoint file of ours, or the folder of a run")
    parser.add_argument("output", help="the file to write")
    args = parser.parse_args()
    checkpoint = read_checkpoint(args.run)
    if checkpoint.name is None:
        raise InputError(f"{checkpoint.path}: does not say which model it holds; give a file that the training wrote")
    model = create_model(checkpoint.name, **checkpoint.sizes)
    load_weights(model, checkpoint)
    save_checkpoint(args.output, model.half(), checkpoint.normaliser)
    print(f"{checkpoint.path} -> {args.output}: {checkpoint.name}, {Path(args.output).stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    exit_on_input_error(main)
