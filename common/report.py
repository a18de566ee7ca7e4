"""Scores as a table and a run as curves. Pure: text and figures are returned, not shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from common.engine import Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ONCE_COLUMNS = {"mpjpe": "MPJPE", "p_mpjpe": "P-MPJPE", "n_mpjpe": "N-MPJPE", "mpjve": "MPJVE", "acceleration": "Accel"}


def score_table(scores: Scores, title: str, published: float | None = None) -> str:
    """The per-action table in mm: the published protocol on the left, every real frame once on the right.

    published: the paper's mean MPJPE for the same command, shown below ours.
    """
    table, once = scores.published, scores.once
    windows, frames = table["mpjpe"].counts, once["mpjpe"].counts
    width = max(len("mean of actions"), *(len(action) for action in windows))
    left = f"{'windows':>8} {'MPJPE':>8} {'P-MPJPE':>8}"
    right = f"{'frames':>8} " + " ".join(f"{name:>8}" for name in ONCE_COLUMNS.values())
    lines = [
        title,
        f"left: published protocol ({scores.scored}); right: each real frame counted exactly once.",
        "mm; MPJVE mm/frame; Accel mm/frame^2",
        f"{'action':{width}} {left}   {right}",
    ]
    for action in windows:
        ours = " ".join(f"{table[name].actions[action]:8.2f}" for name in ("mpjpe", "p_mpjpe"))
        real = " ".join(_cell(once[name].actions.get(action)) for name in ONCE_COLUMNS)
        lines.append(f"{action:{width}} {windows[action]:8} {ours}   {frames.get(action, 0):8} {real}")
    ours = " ".join(_cell(table[name].mean) for name in ("mpjpe", "p_mpjpe"))
    real = " ".join(_cell(once[name].mean) for name in ONCE_COLUMNS)
    lines.append(f"{'mean of actions':{width}} {sum(windows.values()):8} {ours}   {sum(frames.values()):8} {real}")
    if published is not None:
        lines.append(f"{'paper':{width}} {'':8} {published:8.1f}")
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return f"{'-':>8}" if value is None else f"{value:8.2f}"


def curves(history: Sequence[dict[str, float]], title: str) -> Figure:
    """Training loss and test errors by epoch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    left.plot(epochs, [row["loss"] for row in history], marker="o", markersize=3)
    left.set(xlabel="epoch", ylabel="training loss")
    for name, label in (("mpjpe", "MPJPE"), ("p_mpjpe", "P-MPJPE")):
        right.plot(epochs, [row[name] for row in history], marker="o", markersize=3, label=label)
    right.set(xlabel="epoch", ylabel="test error, mm")
    right.legend()
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    return figure
