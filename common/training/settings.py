"""What one call of an entry script is to do: its flags, read once and resolved in one place."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from common.arguments import Parser, build_parser
from common.data.datasets import default_keypoints
from common.errors import InputError
from common.files import only_run
from common.training.recipes import RECIPES, Recipe
from common.training.run_file import Run, read_run, run_file
from model.flags import size_flags
from model.registry import Size

FREE_ON_RESUME = {
    "resume", "nepoch", "device", "gpu", "workers", "results", "save_every", "root_path", "test", "train",
    "checkpoint_activations",
}  # fmt: skip
"""Flags that may differ when a run is resumed: they do not change what it computes, or say how far it goes."""


@dataclass(frozen=True)
class Settings:
    """The flags of `build_parser`, which says what each means.

    default_model: the model where --model and a checkpoint name none. sizes: of the model, those that are given
    or that the run to resume has.
    """

    default_model: str
    sizes: Mapping[str, Size]

    model: str | None
    n_joints: int | None
    out_joints: int | None
    out_channels: int
    out_all: bool

    recipe: str
    motion: str
    without: str
    dataset: str
    keypoints: str
    root_path: str
    actions: str
    stride: int
    subset: float
    downsample: int
    crop_uv: int
    data_augmentation: bool
    reverse_augmentation: bool
    workers: int | None

    train: bool
    nepoch: int
    batch_size: int
    lr: float
    lr_decay: float
    lr_decay_large: float
    lr_decay_epoch: int
    seed: int
    resume: str | None
    save_every: float

    test: bool
    test_augmentation: bool
    results: str | None

    previous_dir: str
    checkpoint: str
    previous_best: float
    previous_name: str
    allow_unexpected: bool

    device: str
    gpu: str
    precision: str
    compile: bool
    checkpoint_activations: bool

    @property
    def flags(self) -> dict[str, object]:
        """All flags by name, with the sizes (None: the model's own), as the file of a run and configs.txt hold them."""
        names = [field.name for field in fields(self) if field.name not in ("default_model", "sizes")]
        return {**{name: getattr(self, name) for name in names}, **dict.fromkeys(size_flags()), **self.sizes}


@dataclass(frozen=True)
class Call:
    """A call of an entry script. resumed: the run that it goes on with."""

    settings: Settings
    recipe: Recipe
    resumed: Run | None


def resolve(
    recipe: Recipe, default_model: str, argv: Sequence[str] | None, locks: contextlib.ExitStack | None = None
) -> Call:
    """Read the command line `argv` (None: this process's own).

    A flag that is not given is that of the run to resume, else the recipe's default, else the parser's. recipe: of the
    entry script, unless --recipe names another. locks: hold the folder of a run to resume.
    Raises InputError for flags that do not go together, and for a run that cannot be resumed.
    """
    parser = build_parser(default_model)
    given, own = _given(parser, argv)
    resumed = _read_resumed(given, own, parser, locks) if given.get("resume") else None
    saved = resumed.arguments if resumed else {}
    recipe = RECIPES.get({**own, **saved, **given}["recipe"], recipe)
    if resumed:
        resumed.check_recipe(recipe)
        _check_resumed(given, saved, recipe)
    flags = {**own, **(saved if resumed else recipe.defaults), **given}
    flags["test"] = flags["test"] or not flags["train"]
    flags["keypoints"] = flags["keypoints"] or default_keypoints(flags["dataset"])
    flags["seed"] = recipe.seed if flags["seed"] is None else flags["seed"]
    if flags["out_channels"] != 3:
        raise InputError(f"--out_channels is {flags['out_channels']}; it must be 3")
    sizes = {size: value for size in size_flags() if (value := flags.pop(size)) is not None}
    return Call(Settings(default_model, sizes, **flags), recipe, resumed)


def _given(parser: Parser, argv: Sequence[str] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The flags that a command line gives, and the parser's own value of every flag."""
    own = vars(parser.parse_args([]))
    missing = object()
    found = parser.parse_args(argv, argparse.Namespace(**dict.fromkeys(own, missing)))
    return {name: value for name, value in vars(found).items() if value is not missing}, own


def _read_resumed(
    given: Mapping[str, Any], own: Mapping[str, Any], parser: Parser, locks: contextlib.ExitStack | None
) -> Run:
    if given.get("test", own["test"]) or not given.get("train", own["train"]):
        raise InputError(
            "--resume goes on with training; to test its weights, give --test and --previous_dir with its folder"
        )
    if locks is not None and run_file(given["resume"]).is_file():
        locks.enter_context(only_run(run_file(given["resume"]).parent))
    return read_run(given["resume"], parser)


def _check_resumed(given: Mapping[str, Any], saved: Mapping[str, object], recipe: Recipe) -> None:
    """Raise InputError where a flag is another than the run's, and would change what it computes."""
    # A learning rate that falls along a curve depends on where it is to end.
    free = FREE_ON_RESUME - ({"nepoch"} if recipe.warm_up is not None else set())
    for name, value in given.items():
        if name not in free and value != saved.get(name, value):
            raise InputError(
                f"--{name} is {value}, but the run to resume has {saved[name]}; leave the flag out or start a new run"
            )
