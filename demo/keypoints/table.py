"""Tables with the names of the joints, a row for every frame: TRC of Sports2D and Pose2Sim, CSV of DeepLabCut."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.data.schema import FPS, listed, shown
from common.errors import InputError
from demo.convert import layout_of_names
from demo.keypoints.clip import Clip, Frames, Person, add_person, read_points
from demo.keypoints.text import read_text

METRES = 20.0
"""Numbers of a TRC that are no further from 0 than this are metres: nobody is so small in pixels."""
HEADERS = ("scorer", "individuals", "bodyparts", "coords")
COLUMNS = ("x", "y", "likelihood")
SINGLE = "single"
"""DeepLabCut's word for marks that belong to no person."""


def read_trc(files: Sequence[Path]) -> Clip:
    """The clip of TRC files in pixels, one for each person. Raises InputError where one is damaged, or not of 2D."""
    frames: Frames = {}
    rates, names = set(), None
    for path in files:
        lines = [line.split("\t") for line in read_text(path).splitlines()]
        head = next((number for number, line in enumerate(lines) if line[0].strip() == "Frame#"), None)
        if head is None:
            raise InputError(f"{path}: has no line Frame# with the names of the joints; write it again")
        own = [name.strip() for name in lines[head][2:] if name.strip()]
        if names not in (None, own):
            raise InputError(f"{path}: has other joints than {files[0]}; give files of one run")
        names = own
        about = dict(zip(*lines[1:3], strict=False)) if head > 2 else {}
        rates.add(_number(f"{path}: field DataRate", about.get("DataRate", "")))
        body = [line for line in lines[head + 1 :] if line[0].strip()]
        values = np.array(  # (T, 3 J)
            [_row(f"{path}: frame {shown(line[0])}", line[2:], 3 * len(names)) for line in body]
        ).reshape(len(body), len(names), 3)
        if np.nanmax(np.abs(values[..., 2]), initial=0) > 0:
            raise InputError(f"{path}: is of 3D (Z is not 0); give 2D in pixels, as Sports2D's NAME_px_person00.trc")
        if np.nanmax(np.abs(values), initial=0) <= METRES:
            raise InputError(f"{path}: is in metres; give the one in pixels, as Sports2D's NAME_px_person00.trc")
        for line, points in zip(body, values, strict=True):
            where = f"{path}: frame {shown(line[0])}"
            frame = int(_number(where, line[0]))
            frames.setdefault(frame, [])
            add_person(frames, where, frame, Person(_found(where, points[:, :2]), path.stem))
    rate = rates.pop()
    if rates or not (FPS.least or 0) <= rate <= (FPS.most or 0):
        raise InputError(f"{files[0]}: field DataRate is no frame rate, or not that of the other files; correct it")
    conversion = layout_of_names(names or [], f"{files[0]}: line Frame#")
    return Clip("TRC", frames, complete=True, conversion=conversion, in_pixels=True, fps=rate)


def read_deeplabcut(path: Path) -> Clip:
    """The clip of a CSV of DeepLabCut. Raises InputError where it is damaged."""
    try:
        rows = list(csv.reader(read_text(path).splitlines()))
    except csv.Error as error:
        raise InputError(f"{path}: is no CSV ({error}); write it again") from error
    head = {row[0]: row for row in rows[: len(HEADERS)] if row and row[0] in HEADERS}
    missing = [name for name in HEADERS if name not in head and name != "individuals"]
    if missing:
        raise InputError(f"{path}: has no line {missing[0]}; give the CSV that DeepLabCut writes")
    width = len(head["coords"])
    if len({len(row) for row in head.values()}) > 1:
        raise InputError(f"{path}: its first {len(head)} lines are not equally long; write it again")
    parts, coordinates = head["bodyparts"], head["coords"]
    people = head.get("individuals", [""] * width)
    places: dict[str, dict[str, dict[str, int]]] = {}  # person, part, coordinate -> column
    for column in range(1, width):
        if coordinates[column] in COLUMNS and people[column] != SINGLE:
            places.setdefault(people[column], {}).setdefault(parts[column], {})[coordinates[column]] = column
    names = list(next(iter(places.values()), {}))
    for person, joints in places.items():
        if list(joints) != names or not all({"x", "y"} <= set(columns) for columns in joints.values()):
            raise InputError(
                f"{path}: the columns of {shown(person)} are not x and y of {listed(names)}; write it again"
            )
    frames: Frames = {}
    for number, row in enumerate(rows[len(head) :]):
        if not any(row):
            continue
        where = f"{path}: line {number + len(head) + 1}"
        values = _row(
            where, row[1:], width - 1, [index - 1 for index in range(1, width) if coordinates[index] in COLUMNS]
        )
        frame = row[0] if not row[0].isdigit() or len(row[0]) > 18 else int(row[0])
        frames.setdefault(frame, [])
        for identity, joints in places.items():
            points = np.array([[values[c[n] - 1] for n in COLUMNS if n in c] for c in joints.values()])  # (J, 2 or 3)
            add_person(frames, where, frame, Person(_found(where, points), identity or "person"))
    conversion = layout_of_names(names, f"{path}: line bodyparts")
    return Clip("DeepLabCut", frames, complete=True, conversion=conversion, in_pixels=True)


def _found(where: str, points: np.ndarray) -> np.ndarray:
    """Points (J, 2 or 3) -> (J, 3), of which those with an empty number, or at 0, 0, were not found."""
    missing = np.isnan(points).any(axis=1) | (points[:, :2] == 0).all(axis=1)  # (J,)
    return read_points(where, np.where(missing[:, None], 0, points))


def _row(where: str, words: Sequence[str], count: int, used: Sequence[int] | None = None) -> np.ndarray:
    """The `count` numbers of a row, NaN where a word is empty; used: only these are numbers."""
    words = [*words, *[""] * (count - len(words))] if len(words) < count and not any(words) else words
    while len(words) > count and not words[-1].strip():
        words = words[:-1]
    if len(words) != count:
        raise InputError(
            f"{where} has {len(words)} numbers, not {count}; the file is cut short or damaged: write it again"
        )
    values = np.full(count, np.nan)
    for index in range(count) if used is None else used:
        if words[index].strip():
            values[index] = _number(where, words[index], missing=True)
    return values


def _number(where: str, word: str, missing: bool = False) -> float:
    """A number; missing: whether nan stands for one that is not there."""
    try:
        value = float(word)
    except ValueError:
        value = np.inf
    if not np.isfinite(value) and not (missing and np.isnan(value)):
        raise InputError(f"{where} has {shown(word)} where a finite number must be; correct it")
    return value
