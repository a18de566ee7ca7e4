"""Models are found by name in one explicit table."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from common.errors import InputError
from model.hourglass import Hourglass, PoseTransformer

PLAN = ("prune", "select", "recover")
"""The sizes of every model that are texts: its plan."""
SINGLE = ("token_num", "layer_index")
"""The sizes that say the one stage of a published plan; `prune` stands in for both."""

Size = int | float | str
Builder = Callable[..., PoseTransformer]

_BUILDERS: dict[str, Builder] = {}
_MEANINGS = {
    "frames": "frames of a window, odd",
    "channel": "width of the tokens",
    "d_hid": "hidden width of the MLPs",
    "depth": "layers",
    "heads": "attention heads",
    "token_num": "frames that are kept by the hourglass",
    "layer_index": "layer before which frames are pruned; the first is 0",
}


class _Built(NamedTuple):
    """What a builder builds, and whether it can do so on the meta device."""

    backbone: type[PoseTransformer]
    on_meta: bool


_BUILT: dict[Builder, _Built] = {}
"""Of the builders that register_variants made, and of others once it is asked for."""


def register_model(name: str, meanings: Mapping[str, str] | None = None) -> Callable[[Builder], Builder]:
    """Decorate a builder whose keyword arguments are the model's sizes; their defaults are the variant's own numbers.

    A size is a whole number, another number, True or False, or a text. meanings: of sizes that no other model has, for
    --help. Raises ValueError for a name that is taken, and for a size without a default of these kinds.
    """

    def register(builder: Builder) -> Builder:
        if name in _BUILDERS:
            raise ValueError(f"a model named {name} is registered already")
        for size, parameter in inspect.signature(builder).parameters.items():
            if not isinstance(parameter.default, Size) or parameter.kind is parameter.POSITIONAL_ONLY:
                raise ValueError(f"the builder of {name} needs a number or a text as the default of {size}")
        _BUILDERS[name] = builder
        for size, meaning in (meanings or {}).items():
            _MEANINGS.setdefault(size, meaning)
        return builder

    return register


class Variant(NamedTuple):
    """A row of a backbone's table. plan: the sizes of its plan. build: called in place of the backbone's class."""

    name: str
    plan: Mapping[str, Size]
    description: str
    build: Builder | None = None


ALL_FRAMES: Mapping[str, Size] = {"prune": "", "select": "uniform", "recover": "interpolation"}
"""The plan of a plain backbone, and how it prunes where `prune` is given."""


def schedule(prune: str) -> Mapping[str, Size]:
    """The plan of an H2OT variant: several stages."""
    return {**ALL_FRAMES, "prune": prune}


def one_stage(token_num: int, layer_index: int, recover: str) -> Mapping[str, Size]:
    """The plan of a HoT or TPC variant: `token_num` frames from layer `layer_index` on."""
    return {"token_num": token_num, "layer_index": layer_index, "prune": "", "select": "cluster", "recover": recover}


def register_variants(
    backbone: type[PoseTransformer],
    sizes: Mapping[str, Size],
    *variants: Variant,
    meanings: Mapping[str, str] | None = None,
) -> None:
    """Register the variants of a backbone. sizes: with the backbone's own numbers; `frames` is one of them.

    backbone: called with all sizes and `plan`, the Hourglass that a variant's plan and the sizes given say. meanings:
    as for `register_model`.
    """
    for variant in variants:
        builder = _builder(variant.build or backbone, {**sizes, **variant.plan}, variant)
        _BUILT[builder] = _Built(backbone, True)
        register_model(variant.name, meanings)(builder)


def _builder(build: Builder, own: Mapping[str, Size], variant: Variant) -> Builder:
    def builder(**given: Size) -> PoseTransformer:
        sizes: dict[str, Any] = {**own, **given}
        stages = ((sizes.pop("layer_index"), sizes.pop("token_num")),) if "token_num" in own else ()
        plan = Hourglass.read(sizes["frames"], **{size: sizes.pop(size) for size in PLAN}, own=stages)
        return build(plan=plan, **sizes)

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter(size, keyword, default=value, annotation=type(value)) for size, value in own.items()
    ]
    builder.__signature__ = inspect.Signature(parameters, return_annotation=PoseTransformer)  # type: ignore[attr-defined]
    builder.__name__ = builder.__qualname__ = variant.name.split(".")[-1]
    builder.__doc__ = variant.description
    return builder


def list_models() -> list[str]:
    """The names of all registered models, in the order of registration."""
    return list(_BUILDERS)


def model_sizes(name: str) -> dict[str, Size]:
    """The sizes of a registered model and the variant's own numbers. Raises InputError for an unknown name."""
    return {size: parameter.default for size, parameter in inspect.signature(model_builder(name)).parameters.items()}


def size_meaning(size: str) -> str:
    """What a size says, in words."""
    return _MEANINGS.get(size, f"{size} of the model")


def model_builder(name: str) -> Builder:
    """The function that was registered as `name`. Raises InputError for an unknown name."""
    if name not in _BUILDERS:
        near = difflib.get_close_matches(name, _BUILDERS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        known = ", ".join(_BUILDERS)
        raise InputError(
            f"unknown model {name!r}; {hint}The models are {known}; one of your own is known once its file is imported"
        )
    return _BUILDERS[name]


def create_model(name: str, **sizes: Size) -> PoseTransformer:
    """Build a registered model; a size that is not given is the variant's own.

    The plan is given by sizes too: prune ("LAYER:FRAMES,...", or token_num and layer_index), select and recover. The
    `sizes` of the model are what it takes to build it again; those that are without effect in its plan are left out.

    Raises InputError for an unknown name, a size that the model does not have, or sizes that do not fit together.
    """
    own = model_sizes(name)
    for size, value in sizes.items():
        if size not in own:
            raise InputError(f"{name} has no size {size!r}; its sizes are {', '.join(own)}")
        _check_size(size, value, own[size])
    model = _BUILDERS[name](**sizes)
    prune = sizes.get("prune", own.get("prune"))
    unused = SINGLE if prune else PLAN[:1] if model.plan.stages else PLAN
    if useless := [size for size in unused if size in sizes]:
        why = (
            f"prune is {prune!r} and says it all; leave out one of them"
            if prune
            else f"{name} keeps all frames; give prune as well"
        )
        raise InputError(f"{useless[0]} is {sizes[useless[0]]!r}, but {why}")
    model.name, model.sizes = name, {size: value for size, value in {**own, **sizes}.items() if size not in unused}
    return model


def model_class(name: str) -> type[PoseTransformer]:
    """The class of a registered model. Raises InputError for an unknown name."""
    return _probe(name).backbone


def meta_device(name: str) -> contextlib.AbstractContextManager:
    """Inside, a model named `name` takes no memory for its weights: their names and shapes are there, on PyTorch's meta
    device.

    No change where its builder reads values of tensors, such as torch.linspace(...).tolist(): that device has none.
    """
    return torch.device("meta") if _probe(name).on_meta else contextlib.nullcontext()


def _probe(name: str) -> _Built:
    builder = model_builder(name)
    if builder not in _BUILT:
        try:
            with torch.device("meta"):
                _BUILT[builder] = _Built(type(create_model(name)), True)
        except (RuntimeError, TypeError):  # one that is no fault of the meta device comes again
            _BUILT[builder] = _Built(type(create_model(name)), False)
    return _BUILT[builder]


def _check_size(size: str, value: object, own: Size) -> None:
    """Raise InputError where a value is not of the kind of the variant's own."""
    if size in PLAN or isinstance(own, str):
        if not isinstance(value, str) or not value:
            raise InputError(f"{size} is {value!r}; it must be a text that is not empty")
    elif isinstance(own, bool):
        if not isinstance(value, bool):
            raise InputError(f"{size} is {value!r}; it must be True or False")
    elif isinstance(own, float):
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise InputError(f"{size} is {value!r}; it must be a number")
    elif not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InputError(f"{size} is {value!r}; it must be a whole number, 0 or more")
