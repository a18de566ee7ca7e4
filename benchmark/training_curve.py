"""Accuracy against minutes trained, of the runs that weights come from, one after the other.

    python benchmark/training_curve.py checkpoint/first=68 checkpoint/second=125

reads the train.log of each run, whose epochs took the same time each, and draws figure/training.png.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np
from matplotlib.figure import Figure

from common.errors import InputError, Parser, exit_on_input_error
from common.files import replacing, require_file

ROW = re.compile(r"epoch (\d+), lr \S+, loss (\S+), MPJPE (\S+) mm, P-MPJPE (\S+) mm")


def read_run(text: str) -> tuple[np.ndarray, np.ndarray]:
    """FOLDER=MINUTES -> the minutes after which each epoch ended (E,), and MPJPE and P-MPJPE then (E, 2), mm.

    Raises InputError where the text is no such pair or the folder holds no log of a run.
    """
    folder, _, minutes = text.rpartition("=")
    if not folder or not re.fullmatch(r"\d+(\.\d+)?", minutes) or float(minutes) <= 0:
        raise InputError(f"{text!r} is no FOLDER=MINUTES; give the folder of a run and how many minutes it took")
    log = require_file(Path(folder) / "train.log", "give the folder of a run")
    rows = [match.groups() for line in log.read_text().splitlines() if (match := ROW.fullmatch(line))]
    if not rows:
        raise InputError(f"{log}: holds no epoch; give the folder of a run of this program")
    errors = np.array([[float(mpjpe), float(p_mpjpe)] for _, _, mpjpe, p_mpjpe in rows])
    return float(minutes) * np.arange(1, len(rows) + 1) / len(rows), errors


def draw(runs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Figure:
    """MPJPE and P-MPJPE on the test set against minutes; each run begins where the one before it ended."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, column, name in zip(figure.subplots(1, 2), (0, 1), ("MPJPE", "P-MPJPE"), strict=True):
        start = 0.0
        for number, (minutes, errors) in enumerate(runs, start=1):
            axes.plot(start + minutes, errors[:, column], marker="o", markersize=3, label=f"run {number}")
            start += minutes[-1]
        axes.set(xlabel="minutes of training, one core", ylabel=f"{name}, wild_test, mm")
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def main() -> None:
    """Read the runs, draw, write."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="FOLDER=MINUTES", help="a run, and how many minutes it took")
    default = ROOT / "figure" / "training.png"
    parser.add_argument("--output", default=str(default), help="the picture to write (default: figure/training.png)")
    args = parser.parse_args()
    figure = draw([read_run(text) for text in args.runs])
    with replacing(args.output) as temporary:
        figure.savefig(temporary, dpi=100)
    print(args.output)


if __name__ == "__main__":
    exit_on_input_error(main)
