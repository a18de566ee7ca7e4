"""Weights on disk: saved whole, read without running what a file says, loaded strictly or refused with reasons.

A file of ours holds {"model": state dict, "name", "sizes", "normaliser", ...}: enough to rebuild the model from it
alone. Files of others may be a plain state dict, or hold one under a usual key, and their names may say that the model
was wrapped.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from common.data.schema import listed, shown
from common.errors import InputError
from common.files import replacing
from common.geometry.normalise import Normaliser
from common.inference.torch_file import read_torch_file
from model import PoseTransformer, create_model, list_models, model_sizes
from model.hourglass import kept_in
from model.registry import PLAN, SINGLE, Size, meta_device, model_class

SHIPPED = Path(__file__).resolve().parents[2] / "checkpoint"
DEFAULT = "mhformer.h2ot_mhformer"
"""The model whose in-the-wild weights are used where nothing is named."""

BEST = re.compile(r"model_(\d+)_(\d+)\.pth")
LAST = "last.pt"
WEIGHTS = ("model_pos", "model", "model_state_dict", "state_dict", "net")
"""Under which of these keys the weights are, where they are not the whole file; the first one counts."""
_MOST = 5000
"""The most tensors that a state dict may have; the largest of our models has about a thousand."""
_LARGEST = 1_000_000
"""The largest size that a file may say: models make lists that are as long."""


@dataclass(frozen=True)
class Checkpoint:
    """Weights as read from `path`. name, sizes, normaliser: None where the file does not say (the published ones)."""

    path: Path
    weights: dict[str, Tensor]
    name: str | None = None
    sizes: dict[str, int | str] | None = None
    normaliser: Normaliser | None = None


def save_checkpoint(path: str | Path, model: PoseTransformer, normaliser: Normaliser, **extra: object) -> None:
    """Write the weights of `model` and what it takes to rebuild it; `extra`: plain values and tensors beside them.

    Equal content gives equal bytes, and the zip file that they are carries the checksums that `read_checkpoint` checks.
    """
    content = {
        "model": model.state_dict(),
        "name": model.name,
        "sizes": model.sizes,
        "normaliser": asdict(normaliser),
        **extra,
    }
    with replacing(path) as temporary:
        try:
            with temporary.open("wb") as file:  # of a path, torch.save would write the temporary name into the file
                torch.save(_unshared(content), file)
        except RuntimeError as error:  # torch's writer reports a full disk so
            raise InputError(f"{path}: cannot be written whole; free some space or choose another folder") from error


def _unshared(value: object) -> object:
    """A copy in which no two containers are one object, and equal texts are: pickle writes down which are the same."""
    if isinstance(value, Mapping):
        return {_unshared(key): _unshared(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_unshared, value))
    return sys.intern(value) if isinstance(value, str) else value


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint file, or the best one of a folder (`find_checkpoint`)."""
    path = find_checkpoint(path)
    return checkpoint_in(path, read_torch_file(path))


def checkpoint_in(path: Path, content: object) -> Checkpoint:
    """The weights in what `read_torch_file` read from `path`; a model that is named with them has just these."""
    weights: object = content
    for key in WEIGHTS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            weights = content[key]
            break
    if (
        not isinstance(weights, Mapping)
        or not weights
        or not all(isinstance(value, Tensor) for value in weights.values())
    ):
        wanted = f"names with tensors, plain or under {', '.join(WEIGHTS[:-1])} or {WEIGHTS[-1]}"
        raise InputError(f"{path}: holds no state dict ({wanted}); is it a checkpoint?")
    if not all(isinstance(name, str) for name in weights):
        raise InputError(f"{path}: the names of its weights are not all texts; is it a checkpoint?")
    if len(weights) > _MOST:
        raise InputError(f"{path}: its weights are {len(weights)} tensors, more than {_MOST}; is it a checkpoint?")
    if not isinstance(content, Mapping) or not {"name", "sizes", "normaliser"} <= set(content):
        bare = {_bare(name): value for name, value in weights.items()}
        if len(bare) < len(weights):
            raise InputError(f"{path}: two of its names are one without a wrapper's prefix; save the model unwrapped")
        return Checkpoint(path, bare)
    try:
        normaliser = Normaliser(**content["normaliser"])
    except (TypeError, ValueError) as error:
        what = f"is not one that this version knows ({shown(str(error), 200)[1:-1]})"
        raise InputError(f"{path}: field normaliser {what}; use a newer version") from error
    name, sizes = content["name"], content["sizes"]
    if not isinstance(name, str) or not isinstance(sizes, Mapping) or not all(isinstance(size, str) for size in sizes):
        raise InputError(f"{path}: field name or sizes is not one that this version knows; use a newer version")
    if name not in list_models():
        raise InputError(
            f"{path}: holds {shown(name)[1:-1]}, which is not registered; import the file that registers it "
            "(register_model), or use a newer version"
        )
    _check_sizes(path, weights, name, sizes)
    return Checkpoint(path, dict(weights), name, dict(sizes), normaliser)


def _bare(name: str) -> str:
    """A parameter's name without what torch.compile (_orig_mod.) and parallel training (module.) add, in any order."""
    name = re.sub(r"(^|\.)(_orig_mod\.)+", r"\1", name)
    return re.sub(r"^(module\.)+", "", name)


def _check_sizes(path: Path, weights: Mapping[str, Tensor], name: str, sizes: Mapping[str, Any]) -> None:
    """Raise InputError unless name and sizes are those of the weights, before any of them takes memory."""
    if not all(
        isinstance(size, str) or (isinstance(size, int | float) and abs(size) <= _LARGEST) for size in sizes.values()
    ):
        raise InputError(f"{path}: field sizes holds more than texts and numbers up to {_LARGEST}; get the file anew")
    try:
        with meta_device(name), no_more_parameters_than(len(weights)):
            model = create_model(name, **sizes)
    except InputError as error:
        reason = shown(str(error), 300)[1:-1]
        raise InputError(f"{path}: its fields name and sizes are of no model ({reason}); get the file anew") from error
    _check_fit(path, model, describe(model), weights, allow_unexpected=True)


@contextlib.contextmanager
def no_more_parameters_than(most: int) -> Iterator[None]:
    """Raise InputError as soon as the models that are built in the block have far more parameters than that.

    Not at once, since a builder may replace layers that it has made.
    """
    count = 0

    def register(*_: object) -> None:
        nonlocal count
        count += 1
        if count > 4 * most:
            raise InputError(f"the model has more than the {most} parameters of the file")

    hook = register_module_parameter_registration_hook(register)
    try:
        yield
    finally:
        hook.remove()


def shipped_checkpoint(name: str = DEFAULT) -> Path:
    """The in-the-wild weights of model `name` that come with this repository: checkpoint/wild_VARIANT.pth.

    Raises InputError where there are none.
    """
    path = SHIPPED / f"wild_{name.split('.')[-1]}.pth"
    if not path.is_file():
        have = ", ".join(sorted(file.name for file in SHIPPED.glob("wild_*.pth"))) or "none"
        raise InputError(
            f"{path}: no weights of {name} come along (there are: {have}); give a checkpoint, or one of these models"
        )
    return path


def find_checkpoint(path: str | Path) -> Path:
    """`path` itself if it is a file. Of a folder: the model_EPOCH_N.pth with the lowest N, else the first .pth in the
    alphabet.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    # Those with a dot in front are not whole yet.
    files = sorted(file for file in path.glob("[!.]*.pth") if file.is_file())
    if not files:
        raise InputError(f"{path}: the folder holds no .pth file; give the folder of a checkpoint")
    ours = [(int(match[2]), file) for file in files if (match := BEST.fullmatch(file.name))]
    return min(ours)[1] if ours else files[0]


def sizes_with(checkpoint: Checkpoint, name: str, given: Mapping[str, Size]) -> dict[str, Size]:
    """The sizes of a model `name` for these weights: those `given`, then those of the checkpoint where it says its own.

    Raises InputError where the weights are of another backbone.
    """
    if not checkpoint.name or checkpoint.sizes is None:
        return dict(given)
    if checkpoint.name.split(".")[0] != name.split(".")[0]:
        raise InputError(
            f"{checkpoint.path}: holds {checkpoint.name}, not {name}; leave out --model or give another checkpoint"
        )
    known = model_sizes(name)
    # Weights of another plan on the same backbone go on with this one's, if the learned parts are the same.
    replaced = (*PLAN, *SINGLE) if checkpoint.name != name else SINGLE if "prune" in given else ()
    own = {size: value for size, value in checkpoint.sizes.items() if size in known and size not in replaced}
    return {**own, **given}


def load_weights(model: PoseTransformer, checkpoint: Checkpoint, allow_unexpected: bool = False) -> None:
    """Copy the weights into `model`: every parameter must be there in its shape.

    Raises InputError that lists what does not fit and names the registered models and sizes that the file does fit.
    Names that the model does not have are refused too, unless allow_unexpected.
    """
    load_state(model, checkpoint.path, describe(model), checkpoint.weights, allow_unexpected)


def load_state(
    model: nn.Module, path: Path, what: str, state: Mapping[str, Tensor], allow_unexpected: bool = False
) -> None:
    """`load_weights` for any module. what: what it is, for messages."""
    _check_fit(path, model, what, state, allow_unexpected)
    own = model.state_dict()
    broken = [name for name, value in own.items() if not state[name].to(value.dtype).isfinite().all()]
    if broken:
        raise InputError(f"{path}: {listed(broken, 4)} hold values that are not finite; use another checkpoint")
    model.load_state_dict({name: state[name] for name in own})


def _check_fit(path: Path, model: nn.Module, what: str, state: Mapping[str, Tensor], allow_unexpected: bool) -> None:
    """Raise InputError unless `state` has every parameter of `model` in its shape, and numbers of its kind."""
    own = model.state_dict()
    wanted, given = _shapes(model), {name: tuple(value.shape) for name, value in state.items()}
    shared = [name for name in wanted if name in given]
    misshapen = [name for name in shared if given[name] != wanted[name]]
    unlike = [name for name in shared if state[name].is_floating_point() != own[name].is_floating_point()]
    problems = {
        "missing": [name for name in wanted if name not in given],
        "of another shape": [f"{name} {given[name]}, not {wanted[name]}" for name in misshapen],
        "of another kind": [f"{name} {state[name].dtype}, not {own[name].dtype}" for name in unlike],
        "unexpected": [] if allow_unexpected else [name for name in given if name not in wanted],
    }
    if any(problems.values()):
        found = "; ".join(f"{kind}: {listed(names, 4)}" for kind, names in problems.items() if names)
        fits = identify(given)
        advice = f"it fits {'; or '.join(fits)}" if fits else "no registered model fits it"
        raise InputError(f"{path}: these are no weights of {what} ({found}); {advice}")


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
        shown_sizes = backbone.sizes_in(shapes)
        own = {size: shown_sizes[size] for size in known if size in shown_sizes}
        plan = {} if "prune" in own else _some_plan(known, max(1, backbone.first_stage), kept_in(shapes) or [1])
        try:
            with meta_device(name), no_more_parameters_than(len(shapes)):
                fits = _shapes(create_model(name, **{**plan, **own})) == dict(shapes)
        except InputError:
            continue
        if fits:
            fitting.append(
                f"{name} with {', '.join(f'{size} {value}' for size, value in own.items()) or 'sizes of its own'}"
            )
    return fitting


def _some_plan(known: Mapping[str, object], first: int, counts: list[int]) -> dict[str, int | str]:
    """The sizes of a plan with these numbers of frames, from layer `first` on: where it prunes does not show in the
    weights.
    """
    if "token_num" in known and len(counts) == 1:
        return {"token_num": counts[0], "layer_index": first}
    if "token_num" in known or known.get("prune"):
        return {"prune": ",".join(f"{layer}:{keep}" for layer, keep in enumerate(counts, start=first))}
    return {}


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}
