"""What each part of what `--recipe wild` draws brings: trained without it, for the same steps, against trained with
everything.

    OMP_NUM_THREADS=1 python benchmark/wild_parts.py --motion NAME --other studio=FOLDER

needs dataset/motion_NAME.npz and dataset/wild_test.npz (dataset/README.md), and in every FOLDER another wild_test.npz
to test on. Every training is a process of its own, whose scores stay in benchmark/results/wild/part_NAME.json: what is
there is not trained again.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmark.wild_rows import BATCH, METRICS, ROOT, SEEDS, Kind, all_windows, train
from common.arguments import Parser, number
from common.errors import InputError, exit_on_input_error
from common.wild import PARTS

KIND = Kind("MHFormer", "main_mhformer.py", "mhformer.mhformer", {"channel": 192, "d_hid": 384})


def table(rows: dict[str, dict]) -> str:
    """One line per training, the change against everything beside each number."""
    sets = ["wild_test", *next(iter(rows.values())).get("others", {})]
    lines = [" " * 22 + "".join(f"{f'{name}: {metric}':>26}" for name in sets for metric in METRICS)]
    first: list[float] = []
    for label, row in rows.items():
        found = [row if name == "wild_test" else row["others"][name] for name in sets]
        numbers = [scores[metric] for scores in found for metric in METRICS]
        first = first or numbers
        lines.append(
            f"{label:22}"
            + "".join(f"{value:17.2f} ({value - own:+6.2f})" for value, own in zip(numbers, first, strict=True))
        )
    return "\n".join(lines)


def main() -> None:
    """Train what is missing and print the table."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--root_path",
        default=str(ROOT / "dataset"),
        help="folder of the data files (default: dataset/ of this repository)",
    )
    parser.add_argument("--motion", default="cmu", help="NAME of the world motion file motion_NAME.npz (default: cmu)")
    parser.add_argument(
        "--other", action="append", default=[], metavar="NAME=FOLDER", help="another test set; may be repeated"
    )
    parser.add_argument(
        "--steps",
        type=number(int, 1),
        default=1600,
        help="steps of 16 windows of every training (default: %(default)s)",
    )
    parser.add_argument(
        "--parts", nargs="+", default=list(PARTS), metavar="PART", help=f"of {', '.join(PARTS)} (default: all)"
    )
    args = parser.parse_args()
    others = dict(other.partition("=")[::2] for other in args.other)
    if not all(others.values()):
        raise InputError(f"--other is {args.other[0]!r}; give NAME=FOLDER")
    if unknown := sorted(set(args.parts) - set(PARTS)):
        raise InputError(f"--parts names {', '.join(unknown)}; it may name {', '.join(PARTS)}")
    root = Path(args.root_path)
    data = all_windows(root, args.motion)
    stride = max(1, round(len(data) / (args.steps * BATCH)))
    rows = {}
    for without in ("", *args.parts, ",".join(PARTS)):
        label = f"without {without}" if without in PARTS else "without all of these" if without else "everything"
        name = f"part_{label.replace(' ', '_')}"
        folders = {other: Path(folder) for other, folder in others.items()}
        rows[label] = train(name, KIND, data, stride, SEEDS[0], root, folders, motion=args.motion, without=without)
        print(table(rows), flush=True)


if __name__ == "__main__":
    exit_on_input_error(main)
