"""The sizes of the registered models as flags of a command line."""

from __future__ import annotations

from typing import NamedTuple

from model.registry import list_models, model_sizes, size_meaning


class SizeFlag(NamedTuple):
    """A size as a flag. kind: int, float, bool or str. least: the smallest number that makes sense."""

    kind: type
    help: str
    metavar: str | None = None
    least: int = 0


PLAN_FLAGS = {
    "prune": SizeFlag(
        str,
        "the stages of a plan, in place of --token_num and --layer_index: before layer LAYER (the first is 0) keep "
        "FRAMES frames, "
        "e.g. 1:121,3:81,5:27 (default: the model's own)",
        "LAYER:FRAMES,...",
    ),
    "select": SizeFlag(
        str,
        "which frames stay: cluster (TPC: those that stand for the others), attention (TPA: those that receive the "
        "most), motion "
        "(TPMo: those that move the most) or uniform (TPS: evenly spaced) (default: the model's own; for a plain one "
        "uniform)",
        "NAME",
    ),
    "recover": SizeFlag(
        str,
        "how the others come back: attention (TRA: learned, on tokens), interpolation (TRI: of poses, linear in time), "
        "nearest (the "
        "nearest pose) or none (kept frames only) (default: the model's own; for a plain one interpolation)",
        "NAME",
    ),
}
"""The flags that say a plan; each overrides that part of the model's own."""
LEAST = {"frames": 3, "channel": 1, "d_hid": 1, "depth": 1, "heads": 1, "token_num": 1}


def size_flags() -> dict[str, SizeFlag]:
    """A flag for each size of any registered model, but `joints` and `in_channels`, which follow from the data."""
    values: dict[str, list] = {}  # what the models have of each size
    for name in list_models():
        for size, value in model_sizes(name).items():
            values.setdefault(size, []).append(value)
    flags = {size: SizeFlag(type(own[0]), _help(size, own), least=LEAST.get(size, 0)) for size, own in values.items()}
    return {size: flag for size, flag in {**flags, **PLAN_FLAGS}.items() if size not in ("joints", "in_channels")}


def _help(size: str, own: list) -> str:
    *others, last = map(str, sorted(set(own)))
    numbers = f"{', '.join(others)} or {last}" if others else last
    return f"{size_meaning(size).replace('%', '%%')} (default: the model's own, {numbers})"
