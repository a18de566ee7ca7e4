"""Which motion files a run writes (--export), and writing them into its folder of results."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common.errors import InputError
from demo.export import write_csv
from demo.motion.angles import write_angles
from demo.motion.bvh import write_bvh
from demo.motion.markers import C3D_FRAMES, write_c3d, write_trc
from demo.motion.person import LEAST_SECONDS, Person, people_in_space
from demo.poses import Poses

if TYPE_CHECKING:
    from demo.results import Results

FILES = {
    "bvh": "person{}.bvh",
    "glb": "people.glb",
    "trc": "person{}.trc",
    "c3d": "person{}.c3d",
    "csv": "poses.csv",
    "angles": "person{}_angles.csv",
}
"""The formats, and their files; with {}: one for each person, by the number that poses.csv gives them."""
PACKAGES = {"glb": "pygltflib", "c3d": "ezc3d"}
"""What a format needs that the demo does without."""


def choose_formats(wanted: str | None) -> list[str]:
    """The formats of --export, such as "bvh,glb"; None: all whose package is installed.

    Raises InputError where one is not known, or its package is not installed.
    """
    if wanted is None:
        return [name for name in FILES if _installed(name)]
    names = [name.strip().lower() for name in wanted.split(",")]
    for name in names:
        if name not in FILES:
            raise InputError(f"--export: {name!r} is no format; give some of {','.join(FILES)}")
        if not _installed(name):
            raise InputError(
                f"--export: {name} needs the package {PACKAGES[name]}, which is not installed; install it by "
                f"pip install {PACKAGES[name]}, or leave {name} out"
            )
    return list(dict.fromkeys(names))


def file_names(formats: Sequence[str], people: int) -> list[str]:
    """The files that a run with at most so many people may write."""
    numbers = {name: range(people) if "{}" in FILES[name] else range(1) for name in formats}
    return [FILES[name].format(number) for name in formats for number in numbers[name]]


def write_motion(results: Results, formats: Sequence[str], poses: Poses, offsets: np.ndarray, unit: str) -> None:
    """Write the files of these formats, and print how far the constant bones are from the poses.

    offsets (P, T, 3): the people's places in space, see people_in_space. unit: of the .bvh, cm or m. People whose poses
    are too few have no file of their own and are not in the .glb, which is said.
    """
    if "csv" in formats:
        with results.writing(FILES["csv"]) as path:
            write_csv(path, poses)
    if not set(formats) - {"csv"}:
        return
    writers: dict[str, Callable[[Path, Person], None]]
    writers = {"bvh": partial(write_bvh, unit=unit), "trc": write_trc, "c3d": write_c3d, "angles": write_angles}
    if "c3d" in formats and poses.valid.shape[1] > C3D_FRAMES:
        print(f"no .c3d: it holds {C3D_FRAMES} frames at most, and the video has {poses.valid.shape[1]}; use the .trc")
        formats = [name for name in formats if name != "c3d"]
    people, short = people_in_space(poses, offsets)
    for number in short:
        print(f"person {number}: poses for less than {LEAST_SECONDS:g} second, too few for a file of the motion")
    for person in people:
        print(f"person {person.number}: constant bones, {1000 * person.deviation:.1f} mm from the poses in the mean")
        for name in [name for name in formats if name in writers]:
            with results.writing(FILES[name].format(person.number)) as path:
                writers[name](path, person)
    if "glb" in formats and people:
        from demo.motion.glb import write_glb  # here: its package is not installed everywhere

        with results.writing(FILES["glb"]) as path:
            write_glb(path, people)


def _installed(name: str) -> bool:
    """Whether a format's package is."""
    return name not in PACKAGES or importlib.util.find_spec(PACKAGES[name]) is not None
