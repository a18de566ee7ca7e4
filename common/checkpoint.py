"""Weights and runs on disk: saved whole, read without running anything that a file says, loaded strictly or refused with reasons.

A file of ours holds {"model": state dict, "name", "sizes", "normaliser", ...}: enough to rebuild the model from it alone. Files of
others may be a plain state dict, or hold one under "model_pos", "model" or "state_dict", with or without "module." before the names.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from common.errors import InputError
from common.files import replacing
from common.normalise import Normaliser
from model import PoseTransformer, list_models, model_sizes
from model.hourglass import kept_in
from model.registry import create_on_meta, model_class

SHIPPED = Path(__file__).resolve().parent.parent / "checkpoint"
DEFAULT = "mhformer.h2ot_mhformer"
"""The model whose in-the-wild weights are used where nothing is named."""

BEST = re.compile(r"model_(\d+)_(\d+)\.pth")
LAST = "last.pt"


@dataclass(frozen=True)
class Checkpoint:
    """Weights as read from `path`. name, sizes, normaliser: None where the file does not say (the published ones)."""

    path: Path
    weights: dict[str, Tensor]
    name: str | None = None
    sizes: dict[str, int | str] | None = None
    normaliser: Normaliser | None = None


def save_checkpoint(path: str | Path, model: PoseTransformer, normaliser: Normaliser, **extra: object) -> None:
    """Write the weights of `model` and what it takes to rebuild it; `extra`: plain numbers, strings and tensors beside them."""
    content = {"model": model.state_dict(), "name": model.name, "sizes": model.sizes, "normaliser": asdict(normaliser), **extra}
    with replacing(path) as temporary:
        try:
            torch.save(content, temporary)
        except RuntimeError as error:  # torch's writer reports a full disk so
            raise InputError(f"{path}: cannot be written ({error}); free some space or choose another folder") from error


def read_file(path: str | Path) -> object:
    """What torch.save wrote to `path`, tensors and plain values only. Raises InputError where that is not what it holds."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give a checkpoint file or the folder that holds it") from None
    except pickle.UnpicklingError as error:
        reason = _first_line(error)
        raise InputError(
            f"{path}: refused, it is damaged or holds more than weights, which could run code ({reason}); get it from its source again"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: cannot be read as a checkpoint, it is damaged or truncated ({_first_line(error)}); copy it again"
        ) from error


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint file, or the best one of a folder (`find_checkpoint`)."""
    path = find_checkpoint(path)
    content = read_file(path)
    weights = content
    for key in ("model_pos", "model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            weights = content[key]
            break
    if not isinstance(weights, Mapping) or not weights or not all(isinstance(value, Tensor) for value in weights.values()):
        raise InputError(
            f"{path}: holds no state dict (names with tensors, plain or under model_pos, model or state_dict); is it a checkpoint?"
        )
    weights = {name.removeprefix("module."): value for name, value in weights.items()}
    if not {"name", "sizes", "normaliser"} <= set(content):
        return Checkpoint(path, weights)
    try:
        normaliser = Normaliser(**content["normaliser"])
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: field normaliser is not one that this version knows ({error}); use a newer version") from error
    name, sizes = content["name"], content["sizes"]
    if name not in list_models() or not isinstance(sizes, Mapping):
        raise InputError(f"{path}: the fields name ({name!r}) and sizes say no model that this version knows; use a newer version")
    return Checkpoint(path, weights, name, dict(sizes), normaliser)


def shipped_checkpoint(name: str = DEFAULT) -> Path:
    """The in-the-wild weights of model `name` that come with this repository: checkpoint/wild_VARIANT.pth.

    Raises InputError where there are none.
    """
    path = SHIPPED / f"wild_{name.split('.')[-1]}.pth"
    if not path.is_file():
        have = ", ".join(sorted(file.name for file in SHIPPED.glob("wild_*.pth"))) or "none"
        raise InputError(f"{path}: no weights of {name} come along (there are: {have}); give a checkpoint, or one of these models")
    return path


def find_checkpoint(path: str | Path) -> Path:
    """`path` itself if it is a file. Of a folder: the model_EPOCH_N.pth with the lowest N, else the first .pth in the alphabet."""
    path = Path(path)
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.pth"))
    if not files:
        raise InputError(f"{path}: the folder holds no .pth file; give the folder of a checkpoint")
    ours = [(int(match[2]), file) for file in files if (match := BEST.fullmatch(file.name))]
    return min(ours)[1] if ours else files[0]


def load_weights(model: PoseTransformer, checkpoint: Checkpoint, allow_unexpected: bool = False) -> None:
    """Copy the weights into `model`: every parameter must be there in its shape.

    Raises InputError that lists what does not fit and names the registered models and sizes that the file does fit.
    Names that the model does not have are refused too, unless allow_unexpected.
    """
    wanted, given = _shapes(model), {name: tuple(value.shape) for name, value in checkpoint.weights.items()}
    problems = {
        "missing": [name for name in wanted if name not in given],
        "of another shape": [
            f"{name} {given[name]}, not {wanted[name]}" for name in wanted if given.get(name, wanted[name]) != wanted[name]
        ],
        "unexpected": [] if allow_unexpected else [name for name in given if name not in wanted],
    }
    if any(problems.values()):
        listed = "; ".join(f"{kind}: {_some(names)}" for kind, names in problems.items() if names)
        fits = identify(given)
        advice = f"it fits {'; or '.join(fits)}" if fits else "no registered model fits it"
        raise InputError(f"{checkpoint.path}: these are no weights of {describe(model)} ({listed}); {advice}")
    broken = [name for name in wanted if not checkpoint.weights[name].isfinite().all()]
    if broken:
        raise InputError(f"{checkpoint.path}: {_some(broken)} hold values that are not finite; use another checkpoint")
    model.load_state_dict({name: value for name, value in checkpoint.weights.items() if name in wanted})


def describe(model: PoseTransformer) -> str:
    """The model's name and sizes in words."""
    return f"{model.name} with {', '.join(f'{size} {value}' for size, value in model.sizes.items())}"


def identify(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """The registered models, with sizes, whose parameters have exactly these names and shapes.

    A size that the shapes do not show (where frames are pruned, attention heads) is not listed.
    """
    fitting = []
    for name in list_models():
        backbone, known = model_class(name), model_sizes(name)
        shown = backbone.sizes_in(shapes)
        own = {size: shown[size] for size in known if size in shown}
        plan = {} if "prune" in own else _some_plan(known, max(1, backbone.first_stage), kept_in(shapes) or [1])
        try:
            fits = _shapes(create_on_meta(name, **{**plan, **own})) == dict(shapes)
        except InputError:
            continue
        if fits:
            fitting.append(f"{name} with {', '.join(f'{size} {value}' for size, value in own.items()) or 'sizes of its own'}")
    return fitting


def _some_plan(known: Mapping[str, object], first: int, counts: list[int]) -> dict[str, int | str]:
    """The sizes of a plan with these numbers of frames, from layer `first` on: where it prunes does not show in the weights."""
    if "token_num" in known and len(counts) == 1:
        return {"token_num": counts[0], "layer_index": first}
    if "token_num" in known or known.get("prune"):
        return {"prune": ",".join(f"{layer}:{keep}" for layer, keep in enumerate(counts, start=first))}
    return {}


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _some(names: list[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
