"""Scores as a table and a run as curves. Pure: text and figures are returned, not shown."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from common.evaluation.evaluate import Scores
from common.evaluation.metrics import ErrorTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = {
    "mpjpe": "MPJPE", "pck": "PCK", "auc": "AUC", "p_mpjpe": "P-MPJPE", "n_mpjpe": "N-MPJPE", "mpjve": "MPJVE",
    "acceleration": "Accel",
}  # fmt: skip
"""The columns of what may be scored; a table has those that were."""
LEFT = ("mpjpe", "pck", "auc", "p_mpjpe")


def score_table(scores: Scores, title: str, published: float | None = None) -> str:
    """The per-action table in mm: the published protocol on the left, every real frame once on the right.

    published: the paper's mean MPJPE for the same command, shown below ours.
    """
    lifted = scores.published is scores.once
    mean = f"mean of {scores.mean}"
    columns = [name for name in COLUMNS if name in scores.once]
    right = _rows(scores.once, "frames", columns, mean)
    left = {} if lifted else _rows(scores.published, "windows", [name for name in columns if name in LEFT], mean)
    width = max(map(len, left or right))
    nothing = " ".join([f"{0:8}"] + [_cell(None)] * len(columns))  # an action all of whose windows are padding
    lines = [
        title,
        scores.scored
        if lifted
        else f"left: published protocol ({scores.scored}); right: each real frame counted exactly once.",
    ]
    lines.append("mm; MPJVE mm/frame; Accel mm/frame^2" + ("; PCK and AUC %" if "pck" in columns else ""))
    lines += [
        f"{row:{width}} " + (f"{left[row]}   " if left else "") + right.get(row, nothing) for row in left or right
    ]
    if published is not None:
        lines.append(f"{'paper':{width}} {'':8} {published:8.1f}")
    return "\n".join(lines)


def _rows(tables: dict[str, ErrorTable], counted: str, columns: Collection[str], mean: str) -> dict[str, str]:
    """The cells of each row, by its first cell: a head, the actions, their mean."""
    counts = tables["mpjpe"].counts
    rows = {"action": " ".join([f"{counted:>8}"] + [f"{COLUMNS[name]:>8}" for name in columns])}
    for action, count in counts.items():
        rows[action] = " ".join([f"{count:8}"] + [_cell(tables[name].actions.get(action)) for name in columns])
    rows[mean] = " ".join([f"{sum(counts.values()):8}"] + [_cell(tables[name].mean) for name in columns])
    return rows


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
