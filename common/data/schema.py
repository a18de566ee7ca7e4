"""What the arrays of a file must be, declared field by field: kind, axes, range. One place checks it, whatever the
file."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from common.errors import InputError


class Kind(NamedTuple):
    """Kinds of numpy dtype, how a sentence names many of them and one, and how many bytes a number may have."""

    codes: str
    many: str
    one: str
    widths: tuple[int, ...] = (1, 2, 4, 8)  # not the wider floats of some machines


TEXT = Kind("U", "texts", "one text")
TRUTH = Kind("b", "bool", "bool")
WHOLE = Kind("iu", "whole numbers", "one whole number")
FLOAT = Kind("f", "floats", "one float")
FLOAT32 = Kind("f", "float32", "one float32", (4,))
NUMBER = Kind("fiu", "numbers", "one number")

Axis = int | str | tuple[int, ...]

MOST_PIXELS, MOST_METRES = 1e7, 1e5
"""No coordinate is further from zero; what is comes from a damaged file, or overflows further on."""


@dataclass(frozen=True)
class Field:
    """One field: its kind, and its axes, each a size, a choice of sizes or a name.

    Axes of one name have one size in all fields of a file, 1 or more. least, most: the range of numbers; most: of a
    text, the number of characters. choices: of a text, what it may be. finite: False where the reader itself looks
    at the numbers.
    """

    kind: Kind
    shape: tuple[Axis, ...] = ()
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    finite: bool = True


_CONTROL = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\u2028\\u2029]"
)  # control characters, halves of characters, ends of lines
LABEL, SENTENCE = 200, 4000
"""Characters of the longest name, and of the longest text."""
FPS = Field(NUMBER, least=0.01, most=1e5)
SIZE = Field(NUMBER, (2,), least=1, most=1e6)
"""Width and height of a picture in pixels."""
SOURCE = Field(TEXT, most=SENTENCE)


class Axes(dict[str, tuple[int, str]]):
    """The sizes of named axes, each with a few words that say where it comes from; `names`: what the entries along
    one are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, list[str]] = {}


def check_header(where: str, dtype: np.dtype, shape: tuple[int, ...], field: Field, axes: Axes, advice: str) -> None:
    """Raise InputError where an array of this type and shape is not what `field` says; sizes that are new go into
    `axes`.

    where: file and field; advice: what to do; the sentence begins and ends with them.
    """
    kind_fits = dtype.kind in field.kind.codes and (dtype.kind == "U" or dtype.itemsize in field.kind.widths)
    if (
        not kind_fits
        or len(shape) != len(field.shape)
        or not all(_fits(*pair, axes) for pair in zip(shape, field.shape, strict=True))
    ):
        raise InputError(f"{where} is {_described(dtype, shape)}, not {_wanted(field, axes)}; {advice}")
    for size, axis in zip(shape, field.shape, strict=True):
        if isinstance(axis, str):
            axes.setdefault(axis, (size, f"as {where.rsplit(': ', 1)[-1]} has them"))


def check_values(where: str, values: np.ndarray, field: Field, axes: Axes, advice: str) -> None:
    """Raise InputError where `values`, whose kind and shape are checked, hold anything that `field` does not admit."""
    if field.kind is TEXT:
        _check_text(where, values, field, axes, advice)
    elif field.kind is TRUTH:
        if np.any(values.view(np.uint8) > 1):
            raise InputError(f"{where} holds bytes that are neither true nor false; {advice}")
    else:
        low = -math.inf if field.least is None else field.least
        high = math.inf if field.most is None else field.most
        ends = float(values.min()), float(values.max())  # NaN where one value is
        if field.finite and not (all(map(math.isfinite, ends)) and low <= ends[0] and ends[1] <= high):
            wide = values.astype(np.float64)
            place = np.argwhere(~((wide >= low) & (wide <= high) & np.isfinite(wide)))[0].tolist()
            value = values[tuple(place)]
            number = f"{value:g}" if values.dtype.kind == "f" else str(value)
            raise InputError(f"{where}{_entry(place, field, axes)} is {number}, not {_range(field)}; {advice}")


def shown(text: object, most: int = 60) -> str:
    """A text from a file, fit for a sentence: in quotes, on one line, no longer than `most` and without control
    characters."""
    text = str(text)
    return repr(text if len(text) <= most else text[: most - 3] + "...")


def listed(texts: Sequence[object], most: int = 20) -> str:
    """Texts from a file, separated by commas, fit for a sentence."""
    more = [f"and {len(texts) - most} more"] if len(texts) > most else []
    return ", ".join([*(shown(text)[1:-1] for text in texts[:most]), *more]) or "nothing"


def _fits(size: int, axis: Axis, axes: Axes) -> bool:
    if isinstance(axis, str):
        return size == axes[axis][0] if axis in axes else size >= 1
    return size in axis if isinstance(axis, tuple) else size == axis


def _described(dtype: np.dtype, shape: tuple[int, ...]) -> str:
    kind = "pickled objects" if dtype.kind == "O" else "text" if dtype.kind == "U" else str(dtype)
    return f"{kind} {shape if len(shape) <= 8 else f'of {len(shape)} axes'}"


def _wanted(field: Field, axes: Axes) -> str:
    if not field.shape:
        return field.kind.one
    sizes = [
        str(axes[axis][0])
        if isinstance(axis, str) and axis in axes
        else " or ".join(map(str, axis))
        if isinstance(axis, tuple)
        else str(axis)
        for axis in field.shape
    ]
    known = dict.fromkeys(axes[axis][1] for axis in field.shape if isinstance(axis, str) and axis in axes)
    return f"{field.kind.many} ({', '.join(sizes)}{',' * (len(sizes) == 1)})" + "".join(
        f" {reason}" for reason in known
    )


def _check_text(where: str, values: np.ndarray, field: Field, axes: Axes, advice: str) -> None:
    codes = np.ascontiguousarray(values, values.dtype.newbyteorder("=")).reshape(-1).view(np.uint32)
    if codes.max(initial=0) > sys.maxunicode:
        raise InputError(f"{where} holds characters that do not exist; {advice}")
    for number, text in enumerate(values.ravel().tolist()):
        problem = text_problem(text, LABEL if field.most is None else int(field.most))
        if not problem and field.choices and text not in field.choices:
            problem = f"{shown(text)}, not {' or '.join(map(repr, field.choices))}"
        if problem:
            place = [int(i) for i in np.unravel_index(number, values.shape)] if values.ndim else []
            raise InputError(f"{where}{_entry(place, field, axes)} is {problem}; {advice}")


def text_problem(text: str, most: int = LABEL) -> str:
    """What a text from a file is that may not stand in a line of output, in words; "" where nothing is wrong with
    it."""
    if len(text) > most:
        return f"a text of {len(text)} characters, more than {most}"
    return f"{shown(text)}, with characters that cannot be printed" if _CONTROL.search(text) else ""


def _entry(place: list[int], field: Field, axes: Axes) -> str:
    """Where in a field, in words."""
    if not place:
        return ""
    names = axes.names.get(field.shape[0]) if isinstance(field.shape[0], str) else None
    if names:
        return f" of {field.shape[0]} {shown(names[place[0]])}"
    return f", entry {', '.join(map(str, place))}"


def _range(field: Field) -> str:
    if field.least is None and field.most is None:
        return "finite"
    if field.most is None:
        return f"{field.least:g} or more"
    if field.least is None:
        return f"{field.most:g} or less"
    return f"a number from {field.least:g} to {field.most:g}"
