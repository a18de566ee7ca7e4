"""BVH: one person's bones and how they turn, for Blender, Maya, Unreal and others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from common.files import replacing
from common.geometry.rigid import RIG
from demo.motion.person import Person, end_offsets

UNITS = {"cm": 100.0, "m": 1.0}
"""How many of a unit are in a metre."""
ROTATIONS = "Zrotation Xrotation Yrotation"


def write_bvh(path: str | Path, person: Person, unit: str = "cm") -> None:
    """Write a person's motion, all frames of the film. Raises InputError where `path` cannot be written."""
    motion, scale = person.in_every_frame(), UNITS[unit]
    frames = len(motion.root)
    turns = Rotation.from_matrix(motion.turns.reshape(-1, 3, 3))
    angles = _steady(turns.as_euler("ZXY", degrees=True).reshape(frames, -1, 3))  # (T, N, 3)
    channels = np.concatenate([motion.root * scale, angles.reshape(frames, -1)], axis=1)  # (T, 3 + N * 3)
    with replacing(path) as temporary, open(temporary, "w", encoding="ascii", newline="\n") as file:
        file.write("\n".join(["HIERARCHY", *_hierarchy(motion.offsets * scale)]))
        file.write(f"\nMOTION\nFrames: {frames}\nFrame Time: {1 / person.fps:.9f}\n")
        np.savetxt(file, channels, fmt="%.5f")


def _hierarchy(offsets: np.ndarray, joint: int = 0, indent: str = "") -> list[str]:
    """The lines of a joint and all below it, for offsets (N, 3) in the file's unit."""
    children = [child for child, parent in RIG.bones if parent == joint]
    places = "" if joint else "Xposition Yposition Zposition "
    lines = [
        f"{'JOINT' if joint else 'ROOT'} {RIG.names[joint]}",
        "{",
        f"\tOFFSET {_numbers(offsets[joint])}",
        f"\tCHANNELS {3 if joint else 6} {places}{ROTATIONS}",
    ]
    for child in children:
        lines += _hierarchy(offsets, child, "\t")
    if not children:
        lines += ["\tEnd Site", "\t{", f"\t\tOFFSET {_numbers(end_offsets(offsets)[joint])}", "\t}"]
    return [indent + line for line in [*lines, "}"]]


def _steady(angles: np.ndarray) -> np.ndarray:
    """Angles (T, N, 3) about z, x, y in degrees -> the same turns, by angles that are near those of the frame before,
    so that programs may interpolate.
    """
    other = angles * (1, -1, 1) + 180  # the same turn by other angles
    steady = angles.copy()
    for frame in range(1, len(angles)):
        before = steady[frame - 1]
        steps = np.stack([angles[frame], other[frame]]) - before  # (2, N, 3)
        steps = (steps + 180) % 360 - 180
        nearer = np.abs(steps).sum(axis=-1).argmin(axis=0)  # (N,)
        steady[frame] = before + steps[nearer, np.arange(len(before))]
    return steady


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.6f}" for value in values + 0.0)  # no -0
