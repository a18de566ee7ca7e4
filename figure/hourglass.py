"""Draws figure/hourglass.png: how many frames each layer of MixSTE, HoT and H2OT sees.

python figure/hourglass.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from model import PoseTransformer, create_model
from model.complexity import gflops

MODELS = {"mixste.mixste": "MixSTE", "mixste.hot_mixste": "HoT w. MixSTE", "mixste.h2ot_mixste": "H2OT w. MixSTE"}
FULL, FEW, PRUNE, RECOVER = "#9db8d9", "#2f6db3", "#c0392b", "#2e8b57"
RECOVERY = {"attention": "recover: cross-attention", "interpolation": "recover: interpolation"}


def draw(axes: Axes, model: PoseTransformer, title: str) -> None:
    """One column of layers, from the input at the top to the poses at the bottom; the width of a bar is its number of
    frames.
    """
    plan, row = model.plan, 0.0
    stages = dict(plan.stages)
    rows = [("2D poses", model.frames, FULL)]
    rows += [(f"layer {layer}", plan.frames_at(layer, model.frames), FEW) for layer in range(model.depth)]
    rows += [("3D poses", model.frames, FULL)]
    for name, frames, colour in rows:
        layer = int(name.split()[1]) if name.startswith("layer") else None
        if layer in stages:
            axes.text(0, row - 0.8, f"prune: keep {stages[layer]}", color=PRUNE, ha="center", va="center", fontsize=8)
            row -= 0.6
        if name == "3D poses" and plan.stages:
            axes.text(0, row - 0.8, RECOVERY[plan.recover], color=RECOVER, ha="center", va="center", fontsize=8)
            row -= 0.6
        row -= 1
        axes.barh(row, frames, height=0.72, left=-frames / 2, color=colour)
        axes.text(
            0,
            row,
            f"{name}, {frames}",
            color="black" if colour == FULL else "white",
            ha="center",
            va="center",
            fontsize=8,
        )
    axes.set_title(f"{title}\n{gflops(model)[0]:.1f} GFLOPs", fontsize=10)
    axes.set_xlim(-model.frames * 0.55, model.frames * 0.55)
    axes.set_ylim(-13.0, -0.2)
    axes.axis("off")


def main() -> None:
    """Draw the three models side by side."""
    figure, columns = plt.subplots(1, len(MODELS), figsize=(9, 4.2))
    for axes, (name, title) in zip(columns, MODELS.items(), strict=True):
        draw(axes, create_model(name), title)
    figure.tight_layout()
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    main()
