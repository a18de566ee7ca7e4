"""A training run on disk: last.pt, from which it goes on exactly, read only where every field is what we write.

Names in it are names only: whatever it says, going on reads and writes nothing outside the folder that it lies in.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from common.arguments import Parser
from common.data.schema import shown
from common.errors import InputError
from common.geometry.normalise import Normaliser
from common.inference.checkpoint import BEST, LAST, Checkpoint, checkpoint_in, load_state, load_weights, save_checkpoint
from common.inference.compute import Compute
from common.inference.torch_file import described, read_torch_file
from common.training.recipes import Recipe
from model import PoseTransformer
from model.flags import size_flags

OF_ONE_CALL = {"resume", "test", "train", "results", "allow_unexpected", "workers"}
"""Flags that say what one call does, not what the run is: they are not part of it."""
_FIELDS = ("model", "name", "sizes", "normaliser", "optimizer", "scaler", "progress", "arguments", "rng")
_CUDA_STATE = 16  # bytes


@dataclass
class Progress:
    """How far a training run is. epoch: the one under way, from 1; step: its batches done; loss, windows: their sums.

    best: the lowest MPJPE (mm) so far; best_name: the path of its checkpoint, empty where there is none.
    """

    lr: float
    best: float
    best_name: str
    epoch: int = 1
    step: int = 0
    loss: float = 0.0
    windows: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


_WHOLE = {"epoch": 1, "step": 0, "windows": 0}
"""Whole numbers of the progress, and the least that each may be."""
_ROW = {"epoch", "lr", "loss", "mpjpe", "p_mpjpe"}
_FAR = 1e12
"""Above every loss, and every error in mm."""


@dataclass(frozen=True)
class Run:
    """A run as it was read. arguments: the flags that it was started with. recipe: `Recipe.settings`, None in older
    files.

    optimizer, scaler and mean are checked by `restore`.
    """

    file: Path
    checkpoint: Checkpoint
    arguments: dict[str, object]
    progress: Progress
    random: dict[str, Any]
    optimizer: object
    scaler: object
    mean: object
    recipe: Mapping[str, object] | None

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self.file.parent

    def check_recipe(self, recipe: Recipe) -> None:
        """Raise InputError where the file says that the run is trained by another recipe."""
        saved, own = self.recipe or {}, recipe.settings()
        name = saved.get("name", recipe.name)
        if not _same(name, recipe.name):
            raise InputError(
                f"{self.file}: is trained by the recipe {described(name)}, not {recipe.name}; go on with the entry "
                "script that began it"
            )
        other = [key for key in own if saved and not _same(saved.get(key), own[key])]
        if other:
            raise InputError(
                f"{self.file}: is trained with {other[0]} {described(saved.get(other[0]))}, but the recipe "
                f"{recipe.name} has {own[other[0]]}; go on with the version that began it, or start a new run with "
                "--previous_dir"
            )

    def restore(
        self,
        model: PoseTransformer,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        mean: AveragedModel | None,
        recipe: Recipe,
        compute: Compute,
    ) -> None:
        """Put back into what was built by the run's arguments what `write_run` wrote, random numbers included."""
        if self.recipe is None:
            print(f"remark: {self.file} does not say its recipe; its optimizer must be that of {recipe.name}")
        load_weights(model, self.checkpoint)
        optimizer.load_state_dict(_optimizer_state(self.file, optimizer, recipe, self.optimizer))
        scaler.load_state_dict(_scaler_state(self.file, scaler, self.scaler))
        if mean is not None:
            if not isinstance(self.mean, Mapping) or not all(isinstance(value, Tensor) for value in self.mean.values()):
                raise _wrong(self.file, "mean", "is not the mean of weights")
            load_state(mean, self.file, "the mean over the steps", self.mean)
        torch.set_rng_state(self.random["cpu"])
        if compute.device.type == "cuda":
            torch.cuda.set_rng_state_all(self.random["cuda"][: torch.cuda.device_count()])


def write_run(
    folder: Path,
    model: PoseTransformer,
    normaliser: Normaliser,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    mean: AveragedModel | None,
    progress: Progress,
    flags: Mapping[str, object],
    recipe: Recipe,
    random: dict[str, Any],
    **more: object,
) -> None:
    """Write everything that going on exactly from here takes. flags: of the run. random: `random_state` now."""
    arguments = {key: value for key, value in flags.items() if key not in OF_ONE_CALL}
    save_checkpoint(
        folder / LAST,
        model,
        normaliser,
        optimizer=optimizer.state_dict(),
        scaler=scaler.state_dict(),
        progress={**asdict(progress), "best_name": Path(progress.best_name).name},
        arguments={**arguments, "model": model.name, **{size: model.sizes.get(size) for size in size_flags()}},
        recipe=recipe.settings(),
        rng=random,
        mean=None if mean is None else mean.state_dict(),
        **more,
    )


def random_state(compute: Compute) -> dict[str, Any]:
    """The state of PyTorch's random numbers."""
    return {
        "cpu": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if compute.device.type == "cuda" else [],
    }


def run_file(path: str | Path) -> Path:
    """The last.pt of a run: that of a folder, or the file itself."""
    return Path(path) / LAST if Path(path).is_dir() else Path(path)


def read_run(path: str | Path, parser: Parser) -> Run:
    """Read a run: its folder, or its last.pt. parser: that of the entry script, whose checks the saved flags must pass.

    Raises InputError that names the field where one is missing or not what `write_run` writes.
    """
    file = run_file(path)
    content = read_torch_file(file)
    missing = [name for name in _FIELDS if not isinstance(content, dict) or name not in content]
    if not isinstance(content, dict) or missing:
        lacks = f"is no run that can be resumed (it lacks {', '.join(missing)})"
        raise InputError(f"{file}: {lacks}; give the {LAST} of a run, or use --previous_dir")
    checkpoint = checkpoint_in(file, content)
    assert checkpoint.sizes is not None  # it has a name, sizes and a normaliser
    sizes = {size: checkpoint.sizes.get(size) for size in size_flags()}
    arguments = {
        **sizes,
        **_arguments(file, content["arguments"], parser),
    }  # of a file from before a size was a flag, too
    own = {"model": checkpoint.name, **sizes}
    joints = checkpoint.sizes.get("joints")
    other = [name for name, value in own.items() if arguments.get(name) != value]
    other += [name for name in ("n_joints", "out_joints") if arguments.get(name) not in (None, joints)]
    if other:
        raise _wrong(file, f"arguments: {', '.join(other)}", "is not that of the model in the file")
    recipe = content.get("recipe")
    if recipe is not None and not isinstance(recipe, Mapping):
        raise _wrong(file, "recipe", "is no recipe")
    progress, random = _progress(file, content["progress"]), _random(file, content["rng"])
    state = content["optimizer"], content["scaler"], content.get("mean")
    return Run(file, checkpoint, arguments, progress, random, *state, recipe)


def _wrong(file: Path, where: str, what: str) -> InputError:
    return InputError(f"{file}: field {where} {what}; take an older copy of the file, or start a new run")


def _arguments(file: Path, saved: object, parser: Parser) -> dict[str, object]:
    """The saved flags, after the checks that typed ones go through."""
    if not isinstance(saved, Mapping):
        raise _wrong(file, "arguments", "holds no flags")
    known = vars(parser.parse_args([]))
    flags = {key: value for key, value in saved.items() if key not in OF_ONE_CALL}
    for key, value in flags.items():
        if key not in known:
            raise _wrong(file, f"arguments: {described(key)}", "is no flag of this version")
        if not isinstance(value, str | int | float | None) or (isinstance(value, int) and value.bit_length() > 64):
            raise _wrong(file, f"arguments: {key}", f"is {described(value)}, which is no value of this flag")
        if isinstance(value, str) and any(unicodedata.category(character) == "Cc" for character in value):
            raise _wrong(file, f"arguments: {key}", "holds control characters")
    try:
        parsed = vars(parser.parse_args([f"--{key}={value}" for key, value in flags.items() if value is not None]))
    except InputError as error:
        raise _wrong(file, "arguments:", shown(str(error), 300)[1:-1]) from error
    for key, value in flags.items():
        if parsed[key] != value:
            raise _wrong(file, f"arguments: {key}", f"is {described(value)}, which is no value of this flag")
    return {key: parsed[key] for key in flags}


def _progress(file: Path, saved: object) -> Progress:
    names = [each.name for each in fields(Progress)]
    if not isinstance(saved, Mapping) or set(saved) != set(names):
        raise _wrong(file, "progress", f"does not hold {', '.join(names)}")
    for name, least in _WHOLE.items():
        if type(saved[name]) is not int or not least <= saved[name] < 2**48:
            raise _wrong(file, f"progress: {name}", f"is not a whole number of at least {least}")
    for name in ("lr", "loss"):
        if not _finite(saved[name]) or saved[name] < 0:
            raise _wrong(file, f"progress: {name}", "is not a number of at least 0")
    if not isinstance(saved["best"], int | float) or math.isnan(saved["best"]):
        raise _wrong(file, "progress: best", "is not a number")
    if not isinstance(saved["best_name"], str):
        raise _wrong(file, "progress: best_name", "is not a text")
    if (saved["step"] == 0) != (saved["windows"] == 0):
        raise _wrong(file, "progress: windows", "does not go with field step")
    rows = saved["history"]
    whole = isinstance(rows, list) and all(isinstance(row, dict) and set(row) == _ROW for row in rows)
    if not whole or len(rows) > saved["epoch"]:
        raise _wrong(file, "progress: history", "is not a row for every epoch that is done")
    for row in rows:
        numbers = (row["lr"], row["loss"], row["mpjpe"], row["p_mpjpe"])
        done = type(row["epoch"]) is int and 1 <= row["epoch"] <= saved["epoch"]
        if not done or not all(_finite(value) and 0 <= value < _FAR for value in numbers):
            raise _wrong(file, "progress: history", "holds values that are no losses and errors of its epochs")
    name = Path(saved["best_name"]).name
    return Progress(**{**saved, "best_name": str(file.parent / name) if BEST.fullmatch(name) else ""})


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _random(file: Path, saved: object) -> dict[str, Any]:
    cpu, cuda = (saved.get("cpu"), saved.get("cuda")) if isinstance(saved, Mapping) else (None, None)
    if not _is_state(cpu, torch.get_rng_state().numel()):
        raise _wrong(file, "rng: cpu", "is no state of PyTorch's random numbers")
    if not isinstance(cuda, list) or not all(_is_state(state, _CUDA_STATE) for state in cuda):
        raise _wrong(file, "rng: cuda", "is no list of states of CUDA's random numbers")
    try:
        torch.Generator().set_state(cpu)
    except RuntimeError as error:
        raise _wrong(file, "rng: cpu", "is no state of PyTorch's random numbers") from error
    return {"cpu": cpu, "cuda": cuda}


def _is_state(value: object, length: int) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor) and value.dtype == torch.uint8 and value.shape == (length,)


def _optimizer_state(file: Path, optimizer: torch.optim.Optimizer, recipe: Recipe, saved: object) -> dict[str, object]:
    """The saved state, if it is one of this very optimizer; all that it may say of its groups is the learning rate."""
    groups, state = (saved.get("param_groups"), saved.get("state")) if isinstance(saved, Mapping) else (None, None)
    own = optimizer.state_dict()["param_groups"]
    if (
        not isinstance(groups, list)
        or not all(isinstance(group, Mapping) for group in groups)
        or len(groups) != len(own)
    ):
        raise _wrong(file, "optimizer: param_groups", "is not that of this run's optimizer")
    for group, mine in zip(groups, own, strict=True):
        other = [key for key in mine if key != "lr" and not _same(group.get(key, mine[key]), mine[key])]
        if other or not _finite(group.get("lr")):
            raise InputError(
                f"{file}: its optimizer ({', '.join(other) or 'lr'}) is not that of the recipe {recipe.name}; go on "
                "with the entry script that began the run, or take an older copy of the file"
            )
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    kept = _kept(recipe)
    if not isinstance(state, Mapping) or any(type(key) is not int or not 0 <= key < len(parameters) for key in state):
        raise _wrong(file, "optimizer: state", "is not a state of the model's parameters")
    for number, values in state.items():
        if not isinstance(values, Mapping) or set(values) != set(kept):
            raise _wrong(file, f"optimizer: state {number}", f"does not hold {', '.join(kept)}")
        for name, value in values.items():
            shape = tuple(parameters[number].shape) if kept[name] else ()
            real = isinstance(value, Tensor) and value.is_floating_point() and value.isfinite().all()
            if not real or value.shape != shape:
                where = f"optimizer: state {number}: {name}"
                raise _wrong(file, where, f"is no tensor of finite numbers of the shape {shape}")
    return {
        "state": state,
        "param_groups": [{**mine, "lr": group["lr"]} for group, mine in zip(groups, own, strict=True)],
    }


def _kept(recipe: Recipe) -> dict[str, bool]:
    """What the recipe's optimizer keeps for a parameter, and whether in its shape (else one number): seen by a step."""
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.zeros(2)
    optimizer = recipe.optimizer([parameter], 1.0)
    optimizer.step()
    return {name: value.shape == parameter.shape for name, value in optimizer.state[parameter].items()}


def _scaler_state(file: Path, scaler: torch.amp.GradScaler, saved: object) -> dict[str, object]:
    own = scaler.state_dict()  # empty unless --precision is fp16
    free = ("scale", "_growth_tracker")
    if (
        not isinstance(saved, Mapping)
        or set(saved) != set(own)
        or not all(_same(saved[key], own[key]) for key in own if key not in free)
    ):
        raise _wrong(file, "scaler", "is not that of this run's --precision")
    if own and not (_finite(saved["scale"]) and saved["scale"] > 0 and type(saved["_growth_tracker"]) is int):
        raise _wrong(file, "scaler: scale", "is not a number above 0")
    return dict(saved)


def _same(saved: object, own: object) -> bool:
    """Whether a value of a file is equal to one of ours, with the same types all the way down."""
    if type(saved) is not type(own):
        return False
    if isinstance(own, list | tuple) and isinstance(saved, list | tuple):
        return len(saved) == len(own) and all(map(_same, saved, own))
    return saved == own
