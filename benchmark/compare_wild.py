"""Which kind of model learns most in a given time on one CPU core (recipe `wild`), and what HoT costs at equal steps.

    OMP_NUM_THREADS=1 python benchmark/compare_wild.py

needs dataset/motion_cmu.npz and dataset/wild_test.npz (dataset/README.md). First a model of each kind trains for the
same CPU time; then MHFormer and HoT w. MHFormer for the same steps, with three seeds each. Every training is a process
of its own, whose scores stay in benchmark/results/wild/NAME.json: what is there is not trained again. Prints both
tables and draws P-MPJPE against GFLOPs.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import statistics
import time

from matplotlib.figure import Figure

from benchmark.wild_rows import (
    BATCH,
    FRAMES,
    RESULTS,
    ROOT,
    SEEDS,
    Kind,
    all_windows,
    build,
    mean_and_spread,
    row_name,
    table,
    train,
)
from common.arguments import Parser, number
from common.errors import exit_on_input_error
from common.files import replacing
from common.training.recipes import WILD
from common.wild import WildDataset

KINDS = {
    "mixste": Kind("MixSTE", "main_mixste.py", "mixste.mixste", {"channel": 64, "d_hid": 128, "depth": 4}),
    "hot_mixste": Kind(
        "HoT w. MixSTE",
        "main_mixste.py",
        "mixste.hot_mixste",
        {"channel": 64, "depth": 4, "token_num": 15, "layer_index": 1},
    ),
    "mhformer": Kind("MHFormer", "main_mhformer.py", "mhformer.mhformer", {"channel": 192, "d_hid": 384}),
    "hot_mhformer": Kind(
        "HoT w. MHFormer",
        "main_mhformer.py",
        "mhformer.hot_mhformer",
        {"channel": 192, "d_hid": 384, "token_num": 20, "layer_index": 0},
    ),
    "hot_motionbert": Kind(
        "HoT w. MotionBERT",
        "main_mixste.py",
        "motionbert.hot_motionbert",
        {"channel": 64, "depth": 3, "token_num": 15, "layer_index": 1},
    ),
}
PAIR = ("mhformer", "hot_mhformer")


def seconds_per_step(kind: Kind, data: WildDataset, steps: int = 8) -> float:
    """CPU seconds of one training step, its batch included: the median of `steps`, after one that does not count."""
    model, taken = build(kind).train(), []
    optimizer = WILD.optimizer(model.parameters(), 1e-4)
    for step in range(steps + 1):
        started = time.process_time()
        batch = data[list(range(step * BATCH, (step + 1) * BATCH))]
        optimizer.zero_grad()
        WILD.loss(model(batch.pose_2d).pose, batch.pose_3d).backward()
        optimizer.step()
        taken.append(time.process_time() - started)
    return statistics.median(taken[1:])


def summary(rows: dict[str, list[dict]]) -> str:
    """Mean and standard deviation over the seeds of each kind, and HoT against plain."""
    lines, means = [], {}
    for name, runs in rows.items():
        found = mean_and_spread(runs)
        means |= {(name, metric): mean for metric, (mean, _) in found.items()}
        cells = [f"{metric} {mean:.2f} +- {spread:.2f}" for metric, (mean, spread) in found.items()]
        lines.append(f"{KINDS[name].label:18} {len(runs)} seeds, {runs[0]['steps']} steps: {', '.join(cells)}")
    plain, hot = rows
    shares = [f"{metric} {means[hot, metric] / means[plain, metric] - 1:+.1%}" for metric in ("mpjpe", "p_mpjpe")]
    lines.append(
        f"HoT against plain: {', '.join(shares)} at {rows[hot][0]['gflops'] / rows[plain][0]['gflops']:.0%} of the "
        "GFLOPs"
    )
    return "\n".join(lines)


def draw(rows: list[dict], title: str) -> Figure:
    """P-MPJPE against GFLOPs of a window."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        hot = row["label"].startswith("HoT")
        axes.plot(row["gflops"], row["p_mpjpe"], marker="o" if hot else "s", linestyle="", color="C0" if hot else "C1")
        axes.annotate(
            row["label"],
            (row["gflops"], row["p_mpjpe"]),
            xytext=(0, 9 if hot else -18),
            textcoords="offset points",
            ha="center",
        )
    axes.set(xlabel=f"GFLOPs of a window of {FRAMES} frames", ylabel="P-MPJPE, mm", title=title)
    axes.margins(x=0.2, y=0.15)
    axes.grid(alpha=0.3)
    return figure


def main() -> None:
    """Train what is missing, print the tables, draw the figure."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--minutes", type=number(float, 0, above=True), default=6.0, help="of training, each (default: 6)"
    )
    parser.add_argument(
        "--root_path",
        default=str(ROOT / "dataset"),
        help="folder of the data files (default: dataset/ of this repository)",
    )
    parser.add_argument(
        "--output", default=str(ROOT / "figure" / "wild_kinds.png"), help="figure (default: figure/wild_kinds.png)"
    )
    args = parser.parse_args()
    root = Path(args.root_path)
    data = all_windows(root)
    rows = {}
    for name, kind in KINDS.items():
        # One epoch, whose length the stride between windows sets.
        path, stride = RESULTS / f"{name}.json", None
        if not path.exists():
            stride = max(1, round(len(data) * seconds_per_step(kind, data) / BATCH / (60 * args.minutes)))
        rows[name] = train(name, kind, data, stride, SEEDS[0], root)
    stride = rows[PAIR[0]]["stride"]
    pair = {name: [] for name in PAIR}
    for name, runs in pair.items():
        for seed in SEEDS:
            same = seed == SEEDS[0] and rows[name]["stride"] == stride
            runs.append(rows[name] if same else train(row_name(name, seed), KINDS[name], data, stride, seed, root))
    print(
        table(list(rows.values())),
        "",
        table([run for runs in pair.values() for run in runs]),
        "",
        summary(pair),
        sep="\n",
    )
    with replacing(args.output) as temporary:
        draw(list(rows.values()), f"{args.minutes:g} minutes of training each, wild_test").savefig(temporary, dpi=110)


if __name__ == "__main__":
    exit_on_input_error(main)
