"""Every way to prune and to recover, on equal terms (the ablations of HoT and H2OT, on free motion): MHFormer, recipe
`wild`.

    OMP_NUM_THREADS=1 python benchmark/ablation.py

needs dataset/motion_cmu.npz and dataset/wild_test.npz (dataset/README.md). All rows train the same steps of the same
windows; plain, HoT and H2OT with three seeds. Every training is a process of its own, whose scores stay in
benchmark/results/wild/NAME.json: what is there is not trained again, so that a run that is stopped goes on where it
was. Prints the table and draws MPJPE against GFLOPs.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import statistics

import torch
from matplotlib import colormaps
from matplotlib.figure import Figure

from benchmark.wild_rows import FRAMES, RESULTS, ROOT, SEEDS, Kind, all_windows, build, mean_and_spread, row_name, train
from common.arguments import Parser
from common.errors import exit_on_input_error
from common.files import replacing
from model.complexity import frames_per_second, plan_text

STRIDE = 4
"""Frames between the windows of the one epoch: 939 steps, about six minutes of one core that does nothing else."""


def mhformer(label: str, **plan: str) -> Kind:
    """MHFormer with a plan: prune, select, recover."""
    return Kind(label, "main_mhformer.py", "mhformer.mhformer", {"channel": 192, "d_hid": 384, **plan})


STRATEGIES = {
    "mhformer": mhformer("MHFormer, all frames"),
    "abl_hot": mhformer("HoT: TPC + TRA", prune="1:15", select="cluster", recover="attention"),
    "abl_h2ot": mhformer("H2OT: TPS + TRI, hierarchy", prune="1:15,2:8", select="uniform", recover="interpolation"),
    "abl_tpc": mhformer("TPC, centre frame only", prune="1:15", select="cluster", recover="none"),
    "abl_tpa_tra": mhformer("TPA + TRA", prune="1:15", select="attention", recover="attention"),
    "abl_tpmo_tra": mhformer("TPMo + TRA", prune="1:15", select="motion", recover="attention"),
    "abl_tps_tra": mhformer("TPS + TRA", prune="1:15", select="uniform", recover="attention"),
    "abl_tps_tri": mhformer("TPS + TRI", prune="1:15", select="uniform", recover="interpolation"),
}
PLANS = {
    "abl_hot_n0": mhformer("HoT, n = 0", prune="0:15", select="cluster", recover="attention"),
    "abl_hot_n2": mhformer("HoT, n = 2", prune="2:15", select="cluster", recover="attention"),
    "abl_hot_r5": mhformer("HoT, r = 5", prune="1:5", select="cluster", recover="attention"),
}
"""Where HoT prunes (n), and how many frames it keeps (r)."""
ROWS = STRATEGIES | PLANS
REPEATED = ("mhformer", "abl_hot", "abl_h2ot")
"""The rows with a spread: trained with every seed."""


def speeds(rounds: int = 3) -> dict[str, float]:
    """Frames/s of every row on one thread, in one run: each row's median over rounds that visit all rows in turn."""
    torch.set_num_threads(1)
    models = {name: build(kind) for name, kind in ROWS.items()}
    found = {name: [] for name in ROWS}
    for _ in range(rounds):
        for name, model in models.items():
            found[name].append(frames_per_second(model, torch.device("cpu"), seconds=0.5))
    return {name: statistics.median(rates) for name, rates in found.items()}


def table(rows: dict[str, list[dict]], rates: dict[str, float]) -> str:
    """One line per row, means over its seeds; where there are several, with their standard deviation."""
    lines = [
        f"{'':26} {'plan':34} {'seeds':>5} {'GFLOPs':>7} {'frames/s':>8} {'MPJPE':>12} {'P-MPJPE':>12} {'Accel':>12}"
    ]
    for name, runs in rows.items():
        cells = [
            f"{mean:.2f}" + (f" +- {spread:.2f}" if len(runs) > 1 else " " * 8)
            for mean, spread in mean_and_spread(runs).values()
        ]
        numbers = f"{len(runs):5} {runs[0]['gflops']:7.3f} {rates[name]:8.0f} " + " ".join(
            f"{cell:>12}" for cell in cells
        )
        lines.append(f"{ROWS[name].label:26} {plan_text(build(ROWS[name]).plan):34} {numbers}")
    return "\n".join(lines)


def draw(rows: dict[str, list[dict]]) -> Figure:
    """MPJPE and P-MPJPE against GFLOPs of a window, bars of one standard deviation where there are several seeds."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    figure.suptitle(
        f"{rows['mhformer'][0]['steps']} steps of the recipe wild each, wild_test; numbers: rows of the table"
    )
    for axes, metric, title in zip(
        figure.subplots(1, 2), ("mpjpe", "p_mpjpe"), ("MPJPE, mm", "P-MPJPE, mm"), strict=True
    ):
        for number, (name, runs) in enumerate(rows.items(), start=1):
            mean, spread = mean_and_spread(runs)[metric]
            bar = spread if len(runs) > 1 else None
            point = (runs[0]["gflops"], mean)
            axes.errorbar(
                *point,
                yerr=bar,
                fmt="o",
                capsize=4,
                label=f"{number} {ROWS[name].label}",
                color=colormaps["tab20"](number),
            )
            axes.annotate(str(number), point, xytext=(6, 4) if number % 8 else (-12, -12), textcoords="offset points")
        axes.margins(x=0.1)
        axes.set(xlabel=f"GFLOPs of a window of {FRAMES} frames", ylabel=title)
        axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize="small")
    return figure


def main() -> None:
    """Train what is missing, print the table, draw the figure."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--root_path",
        default=str(ROOT / "dataset"),
        help="folder of the data files (default: dataset/ of this repository)",
    )
    parser.add_argument(
        "--output", default=str(ROOT / "figure" / "ablation.png"), help="figure (default: figure/ablation.png)"
    )
    args = parser.parse_args()
    root = Path(args.root_path)
    wanted = [(name, SEEDS[0]) for name in STRATEGIES] + [(name, seed) for seed in SEEDS[1:] for name in REPEATED]
    wanted += [(name, SEEDS[0]) for name in PLANS]
    data = None
    rows = {name: [] for name in ROWS}
    for name, seed in wanted:
        if data is None and not (RESULTS / f"{row_name(name, seed)}.json").exists():
            data = all_windows(root)
        rows[name].append(train(row_name(name, seed), ROWS[name], data, STRIDE, seed, root))
    print(table(rows, speeds()))
    with replacing(args.output) as temporary:
        draw(rows).savefig(temporary, dpi=110)


if __name__ == "__main__":
    exit_on_input_error(main)
