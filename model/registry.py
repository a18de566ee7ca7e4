"""Models are found by name in one explicit table."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING

from common.errors import InputError

if TYPE_CHECKING:
    from model.hourglass import PoseTransformer

PLAN = ("prune", "select", "recover")
"""The sizes of every model that are texts: its plan."""
SINGLE = ("token_num", "layer_index")
"""The sizes that say the one stage of a published plan; `prune` stands in for both."""

_BUILDERS: dict[str, Callable[..., PoseTransformer]] = {}


def register_model(name: str) -> Callable[[Callable[..., PoseTransformer]], Callable[..., PoseTransformer]]:
    """Decorate a builder whose keyword arguments are the model's sizes; their defaults are the variant's own numbers."""

    def register(builder: Callable[..., PoseTransformer]) -> Callable[..., PoseTransformer]:
        if name in _BUILDERS:
            raise ValueError(f"a model named {name} is registered already")
        _BUILDERS[name] = builder
        return builder

    return register


def list_models() -> list[str]:
    """The names of all registered models, in the order of registration."""
    return list(_BUILDERS)


def model_sizes(name: str) -> dict[str, int | str]:
    """The sizes of a registered model and the variant's own numbers. Raises InputError for an unknown name."""
    return {size: parameter.default for size, parameter in inspect.signature(model_builder(name)).parameters.items()}


def model_builder(name: str) -> Callable[..., PoseTransformer]:
    """The function that was registered as `name`. Raises InputError for an unknown name."""
    if name not in _BUILDERS:
        near = difflib.get_close_matches(name, _BUILDERS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise InputError(f"unknown model {name!r}; {hint}The models are {', '.join(_BUILDERS)}")
    return _BUILDERS[name]


def create_model(name: str, **sizes: int | str) -> PoseTransformer:
    """Build a registered model; a size that is not given is the variant's own.

    The plan is given by sizes too: prune ("LAYER:FRAMES,...", or token_num and layer_index), select and recover. The `sizes` of the
    model are what it takes to build it again; those that are without effect in its plan are left out.

    Raises InputError for an unknown name, a size that the model does not have, or sizes that do not fit together.
    """
    own = model_sizes(name)
    for size, value in sizes.items():
        if size not in own:
            raise InputError(f"{name} has no size {size!r}; its sizes are {', '.join(own)}")
        if size in PLAN:
            if not isinstance(value, str) or not value:
                raise InputError(f"{size} is {value!r}; it must be a text that is not empty")
            continue
        least = 0 if size in ("frames", "channel", "token_num", "layer_index") else 1  # the models say more of these four themselves
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InputError(f"{size} is {value!r}; it must be a whole number, {least} or more")
    model = _BUILDERS[name](**sizes)
    prune = sizes.get("prune", own.get("prune"))
    unused = SINGLE if prune else PLAN[:1] if model.plan.stages else PLAN
    if useless := [size for size in unused if size in sizes]:
        why = f"prune is {prune!r} and says it all; leave out one of them" if prune else f"{name} keeps all frames; give prune as well"
        raise InputError(f"{useless[0]} is {sizes[useless[0]]!r}, but {why}")
    model.name, model.sizes = name, {size: value for size, value in {**own, **sizes}.items() if size not in unused}
    return model
