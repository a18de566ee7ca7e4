"""Acclaim motion capture, as mocap.cs.cmu.edu publishes it: SUBJECT.asf and SUBJECT_TRIAL.amc -> the 17 joints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.data.schema import shown
from common.errors import InputError
from dataset.mocap import chain, read_numbers, read_text

INCH = 0.0254
# The end points of these bones are joints of ours as they stand.
ASF_LIMBS = {
    1: "rhipjoint", 2: "rfemur", 3: "rtibia", 4: "lhipjoint", 5: "lfemur", 6: "ltibia",
    11: "lclavicle", 12: "lhumerus", 13: "lradius", 14: "rclavicle", 15: "rhumerus", 16: "rradius",
}  # fmt: skip
ASF_TRUNK = ("lowerback", "upperback", "lowerneck", "upperneck", "head")


@dataclass(frozen=True)
class Bone:
    """A bone of an ASF skeleton: its vector in the rest pose (metres, world axes), its own axes as a rotation (3, 3),
    its parent's name, and the rotation axes ("x", "y", "z") that an AMC file gives angles for, first applied first.
    """

    parent: str
    vector: np.ndarray
    axes: np.ndarray
    dof: str


@dataclass(frozen=True)
class AsfSkeleton:
    """The bones of an ASF file, parents first; metres per unit of length; the root's channels ("TX" ... "RZ") in the
    file's order, and its rotation axes, first applied first.
    """

    bones: dict[str, Bone]
    unit: float
    root_channels: tuple[str, ...]
    root_axes: str


def read_asf(path: str | Path) -> AsfSkeleton:
    """Read an Acclaim skeleton (.asf): lengths in inches / 0.45, as CMU writes them, become metres.

    Raises InputError where the file cannot be read or is not such a skeleton.
    """
    path = Path(path)
    sections = _asf_sections(path)
    unit, degree = _asf_units(path, sections)
    root = {words[0]: words[1:] for words in sections["root"]}
    channels = tuple(word.upper() for word in root.get("order", ()))
    if sorted(channels) != ["RX", "RY", "RZ", "TX", "TY", "TZ"]:
        raise InputError(
            f"{path}: root order is {shown(' '.join(channels))}, not TX TY TZ RX RY RZ in some order; download the "
            "file again"
        )
    for field in ("position", "orientation"):
        if np.any(read_numbers(path, f"root {field}", root.get(field, ()), 3)):
            raise InputError(f"{path}: root {field} is not 0 0 0, which no CMU skeleton has; leave this subject out")
    described = _asf_bones(path, sections["bonedata"], unit, degree)
    bones: dict[str, Bone] = {}
    for parent, *children in sections["hierarchy"]:
        if children and parent != "root" and parent not in bones:
            raise InputError(
                f"{path}: hierarchy names the children of {shown(parent)} before that bone itself; download the file "
                "again"
            )
        for name in children:
            if name not in described or name in bones:
                raise InputError(
                    f"{path}: hierarchy names bone {shown(name)}, not exactly once in bonedata; download the file again"
                )
            bones[name] = Bone(parent, *described[name])
    missing = [name for name in (*ASF_LIMBS.values(), *ASF_TRUNK) if name not in bones]
    if missing:
        raise InputError(f"{path}: hierarchy lacks bone {missing[0]!r}; download the whole file again")
    return AsfSkeleton(bones, unit, channels, _axes(path, "root axis", "".join(root.get("axis", ()))))


def read_amc(path: str | Path, skeleton: AsfSkeleton) -> dict[str, np.ndarray]:
    """Read the motion (.amc) of an ASF skeleton: bone -> (T, its degrees of freedom), as in the file (degrees; root in
    units).

    Raises InputError where a frame lacks a bone or holds one that does not fit the skeleton.
    """
    path = Path(path)
    width = {name: len(bone.dof) for name, bone in skeleton.bones.items() if bone.dof} | {
        "root": len(skeleton.root_channels)
    }
    frames: list[dict[str, list[str]]] = []
    for row, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split()
        if not words or words[0][0] in "#:":
            if words and words[0].upper() == ":RADIANS":
                raise InputError(
                    f"{path}: line {row}: angles in radians are not supported; convert the file to :DEGREES"
                )
        elif len(words) == 1 and words[0].isdigit():
            frames.append({})
        elif not frames or len(words) - 1 != width.get(words[0]):
            raise InputError(
                f"{path}: line {row}: {shown(line.strip(), 40)} does not fit the skeleton; download .amc and .asf again"
            )
        else:
            frames[-1][words[0]] = words[1:]
    if not frames:
        raise InputError(f"{path}: holds no frames; download it again")
    for row, frame in enumerate(frames, 1):
        missing = width.keys() - frame.keys()
        if missing:
            raise InputError(
                f"{path}: frame {row} lacks {shown(min(missing))}, the file is cut short or damaged; download it again"
            )
    return {name: read_numbers(path, name, [frame[name] for frame in frames]) for name in width}


def read_asf_amc(asf: str | Path, amc: str | Path) -> np.ndarray:
    """CMU's own files -> the 17 joints (T, 17, 3), metres, world with y up, at the file's frame rate (120 Hz).

    Raises InputError where either file is missing, damaged, or does not fit the other.
    """
    skeleton = read_asf(asf)
    motion = read_amc(amc, skeleton)
    root = {channel: motion["root"][:, i] for i, channel in enumerate(skeleton.root_channels)}
    place = np.stack([root["TX"], root["TY"], root["TZ"]], axis=-1) * skeleton.unit  # (T, 3)
    angles = np.stack([root[f"R{axis.upper()}"] for axis in skeleton.root_axes], axis=-1)  # (T, 3)
    turned = {"root": chain(skeleton.root_axes[::-1], angles[:, ::-1])}  # (T, 3, 3) each
    ends = {"root": place}
    for name, bone in skeleton.bones.items():
        turn = turned[bone.parent]
        if bone.dof:
            turn = turn @ bone.axes @ chain(bone.dof[::-1], motion[name][:, ::-1]) @ bone.axes.T
        turned[name] = turn
        ends[name] = ends[bone.parent] + turn @ bone.vector  # (T, 3)

    joints = np.empty((len(place), 17, 3))
    for joint, name in ASF_LIMBS.items():
        joints[:, joint] = ends[name]
    joints[:, 0] = (joints[:, 1] + joints[:, 4]) / 2
    joints[:, 7] = (ends["lowerback"] + ends["upperback"]) / 2
    joints[:, 8] = (ends["lowerneck"] + (joints[:, 11] + joints[:, 14]) / 2) / 2
    joints[:, 9] = (ends["upperneck"] + ends["head"]) / 2
    joints[:, 10] = ends["head"] + (ends["head"] - ends["upperneck"]) / 2
    return joints


def _axes(path: Path, field: str, text: str) -> str:
    axes = text.lower()
    if sorted(axes) != ["x", "y", "z"]:
        raise InputError(f"{path}: {field} {shown(text)} is no order of X, Y and Z; download the file again")
    return axes


def _asf_sections(path: Path) -> dict[str, list[list[str]]]:
    """The lines of each :section, split into words; comments, and begin and end of the hierarchy, left out."""
    sections: dict[str, list[list[str]]] = {}
    lines: list[list[str]] = []
    for line in read_text(path).splitlines():
        words = line.split("#")[0].split()
        if words and words[0].startswith(":"):
            lines = sections.setdefault(words[0][1:].lower(), [])
        elif words:
            lines.append(words)
    for name in ("units", "root", "bonedata", "hierarchy"):
        if name not in sections:
            raise InputError(
                f"{path}: section :{name} is missing, the file is cut short or no ASF skeleton; download it again"
            )
    sections["hierarchy"] = [words for words in sections["hierarchy"] if words not in (["begin"], ["end"])]
    return sections


def _asf_units(path: Path, sections: dict[str, list[list[str]]]) -> tuple[float, float]:
    """Metres per unit of length, degrees per unit of angle."""
    units = {words[0]: words[1:] for words in sections["units"]}
    (length,) = read_numbers(path, "units length", units.get("length", ()), 1)
    if not length > 0:
        raise InputError(f"{path}: units length is {length:g}, not above 0; download the file again")
    angle = units.get("angle", ["deg"])
    if angle not in (["deg"], ["rad"]):
        raise InputError(f"{path}: units angle is {shown(' '.join(angle))}, not deg or rad; download the file again")
    return INCH / length, 1.0 if angle == ["deg"] else 180 / np.pi


def _asf_bones(
    path: Path, lines: list[list[str]], unit: float, degree: float
) -> dict[str, tuple[np.ndarray, np.ndarray, str]]:
    """name -> (vector, axes, dof) of every begin ... end block."""
    bones = {}
    block: dict[str, list[str]] = {}
    for key, *values in lines:
        if key == "begin":
            block = {}
        elif key != "end":
            block.setdefault(key, values)
        else:
            name = " ".join(block.get("name", ["without a name"]))
            direction = read_numbers(path, f"bone {shown(name)}, direction", block.get("direction", ()), 3)
            length = read_numbers(path, f"bone {shown(name)}, length", block.get("length", ()), 1)
            axis = block.get("axis", [])
            angles = read_numbers(path, f"bone {shown(name)}, axis", axis[:3], 3) * degree
            order = _axes(path, f"bone {shown(name)}, axis", "".join(axis[3:]))
            dof = [word.lower() for word in block.get("dof", [])]
            if not set(dof) <= {"rx", "ry", "rz"}:
                raise InputError(
                    f"{path}: bone {shown(name)}, dof {shown(' '.join(dof))} has more than rx, ry, rz; leave this "
                    "subject out"
                )
            # The three numbers are about x, y and z; the order says which of them is applied first, so it is the last
            # factor.
            axes = chain(order[::-1], angles[["xyz".index(a) for a in order[::-1]]])  # (3, 3)
            bones[name] = (direction * length * unit, axes, "".join(word[1] for word in dof))
    return bones
