"""CMU motion capture -> the project's motion formats, in two files beside each other.

    python dataset/prepare_cmu.py --input FOLDER

data_cmu.npz (common/motion_file.py): seen by the four Human3.6M cameras, with true and detector-like pixels.
motion_cmu.npz (common/world_motion.py): the clips whole and in the world, for training that draws its own cameras.

FOLDER holds files of mocap.cs.cmu.edu (SUBJECT.asf and SUBJECT_TRIAL.amc) and, or, SUBJECT_TRIAL.bvh of the "Daz" conversion.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from common.arguments import Parser, number
from common.camera import h36m_cameras, project, world_to_camera
from common.detector_noise import detector_like, named_generator
from common.errors import InputError, exit_on_input_error
from common.motion_file import write_motion_file
from common.npz import open_npz
from common.world_motion import WorldClip, write_world_motion

CREDIT = "the data used in this project was obtained from mocap.cs.cmu.edu; the database was created with funding from NSF EIA-0196217."
SOURCE = f"CMU motion capture on 17 joints, seen by simulated Human3.6M cameras: {CREDIT}"
WORLD_SOURCE = f"CMU motion capture on 17 joints: {CREDIT}"
FPS = 50.0
AMC_FPS = 120.0
ACTIONS = {
    "01": "Playground", "02": "Various", "03": "Uneven terrain", "05": "Dance", "06": "Basketball", "07": "Walk", "08": "Walk",
    "09": "Run", "10": "Soccer", "11": "Soccer", "12": "Tai chi", "13": "Everyday", "14": "Everyday",
}  # fmt: skip
TEST_SUBJECTS = ("03", "09", "11", "12", "14")
SETUPS = {"train": ("S1", "S5", "S6", "S7", "S8"), "test": ("S9", "S11")}

STUDIO_RADIUS = 2.5  # metres: the root stays this near to the studio's origin
SHORTEST = 25  # frames
SETTLING = 3  # frames at 50 Hz: so long the BVH conversion takes from its T-pose to the motion

INCH = 0.0254
BVH_UNIT = 0.01

# The end points of these bones, in ASF/AMC, and these joints, in BVH, are joints of ours as they stand.
ASF_LIMBS = {
    1: "rhipjoint", 2: "rfemur", 3: "rtibia", 4: "lhipjoint", 5: "lfemur", 6: "ltibia",
    11: "lclavicle", 12: "lhumerus", 13: "lradius", 14: "rclavicle", 15: "rhumerus", 16: "rradius",
}  # fmt: skip
ASF_TRUNK = ("lowerback", "upperback", "lowerneck", "upperneck", "head")
BVH_LIMBS = {
    1: "rThigh", 2: "rShin", 3: "rFoot", 4: "lThigh", 5: "lShin", 6: "lFoot",
    11: "lShldr", 12: "lForeArm", 13: "lHand", 14: "rShldr", 15: "rForeArm", 16: "rHand",
}  # fmt: skip
BVH_TRUNK = ("abdomen", "chest", "neck", "head")
# From the BVH head joint, in the axes of the skull (x left, y up, z forward), metres.
BVH_NOSE = np.array([0.0, 0.04, 0.035])
BVH_CROWN = np.array([0.0, 0.155, 0.01])
# The skull's axes against the head joint's: angles about z, x, y in degrees, fitted to CMU clips on these 17 joints.
BVH_SKULL = (-9.77, 34.18, 14.08)


# Reading ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clip:
    """A clip at 50 Hz: poses (T, 17, 3), metres, world with y up; source is the kind of file it came from, "amc" or "bvh"."""

    poses: np.ndarray
    source: str


@dataclass(frozen=True)
class Bone:
    """A bone of an ASF skeleton: its vector in the rest pose (metres, world axes), its own axes as a rotation (3, 3), its
    parent's name, and the rotation axes ("x", "y", "z") that an AMC file gives angles for, first applied first."""

    parent: str
    vector: np.ndarray
    axes: np.ndarray
    dof: str


@dataclass(frozen=True)
class AsfSkeleton:
    """The bones of an ASF file, parents first; metres per unit of length; the root's channels ("TX" ... "RZ") in the file's
    order, and its rotation axes, first applied first."""

    bones: dict[str, Bone]
    unit: float
    root_channels: tuple[str, ...]
    root_axes: str


def rotation(axis: str, degrees: np.ndarray) -> np.ndarray:
    """Rotations about "x", "y" or "z" by angles (...) in degrees -> matrices (..., 3, 3)."""
    angle = np.radians(np.asarray(degrees, dtype=np.float64))
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.zeros((*angle.shape, 3, 3))
    matrix[..., range(3), range(3)] = 1
    matrix[..., first, first] = matrix[..., second, second] = np.cos(angle)
    matrix[..., second, first] = np.sin(angle)
    matrix[..., first, second] = -np.sin(angle)
    return matrix


def chain(axes: str, degrees: np.ndarray) -> np.ndarray:
    """The product R_axes[0] R_axes[1] ... of rotations by angles (..., len(axes)) in degrees -> (..., 3, 3).

    The last axis is applied to a point first: Euler angles about moving axes, as BVH lists its channels.
    """
    degrees = np.asarray(degrees, dtype=np.float64)
    product = np.broadcast_to(np.eye(3), (*degrees.shape[:-1], 3, 3))
    for i, axis in enumerate(axes):
        product = product @ rotation(axis, degrees[..., i])
    return product


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
        raise InputError(f"{path}: root order is {' '.join(channels)!r}, not TX TY TZ RX RY RZ in some order; download the file again")
    for field in ("position", "orientation"):
        if np.any(_numbers(path, f"root {field}", root.get(field, ()), 3)):
            raise InputError(f"{path}: root {field} is not 0 0 0, which no CMU skeleton has; leave this subject out")
    described = _asf_bones(path, sections["bonedata"], unit, degree)
    bones: dict[str, Bone] = {}
    for parent, *children in sections["hierarchy"]:
        if children and parent != "root" and parent not in bones:
            raise InputError(f"{path}: hierarchy names the children of {parent!r} before {parent!r} itself; download the file again")
        for name in children:
            if name not in described or name in bones:
                raise InputError(f"{path}: hierarchy names bone {name!r}, which is not in bonedata exactly once; download the file again")
            bones[name] = Bone(parent, *described[name])
    missing = [name for name in (*ASF_LIMBS.values(), *ASF_TRUNK) if name not in bones]
    if missing:
        raise InputError(f"{path}: hierarchy lacks bone {missing[0]!r}; download the whole file again")
    return AsfSkeleton(bones, unit, channels, _axes(path, "root axis", "".join(root.get("axis", ()))))


def read_amc(path: str | Path, skeleton: AsfSkeleton) -> dict[str, np.ndarray]:
    """Read the motion (.amc) of an ASF skeleton: bone -> (T, its degrees of freedom), as in the file (degrees; root in units).

    Raises InputError where a frame lacks a bone or holds one that does not fit the skeleton.
    """
    path = Path(path)
    width = {name: len(bone.dof) for name, bone in skeleton.bones.items() if bone.dof} | {"root": len(skeleton.root_channels)}
    frames: list[dict[str, list[str]]] = []
    for row, line in enumerate(_text(path).splitlines(), 1):
        words = line.split()
        if not words or words[0][0] in "#:":
            if words and words[0].upper() == ":RADIANS":
                raise InputError(f"{path}: line {row}: angles in radians are not supported; convert the file to :DEGREES")
        elif len(words) == 1 and words[0].isdigit():
            frames.append({})
        elif not frames or len(words) - 1 != width.get(words[0]):
            raise InputError(f"{path}: line {row}: {line.strip()[:40]!r} does not fit the skeleton; download .amc and .asf again")
        else:
            frames[-1][words[0]] = words[1:]
    if not frames:
        raise InputError(f"{path}: holds no frames; download it again")
    for row, frame in enumerate(frames, 1):
        missing = width.keys() - frame.keys()
        if missing:
            raise InputError(f"{path}: frame {row} lacks {min(missing)!r}, the file is cut short or damaged; download it again")
    return {name: _numbers(path, name, [frame[name] for frame in frames]) for name in width}


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


@dataclass(frozen=True)
class BvhJoint:
    """A joint of a BVH hierarchy: parent (-1: the root), offset (3,) in file units, and its channels, as ("position" or
    "rotation", axis) in the file's order."""

    name: str
    parent: int
    offset: np.ndarray
    channels: tuple[tuple[str, str], ...]


def read_bvh_file(path: str | Path) -> tuple[list[BvhJoint], np.ndarray, float]:
    """Parse a BVH file: its joints (parents first, end sites left out), its channels (T, C) as in the file, frames per second.

    Raises InputError where the file is missing, cut short or no BVH.
    """
    path = Path(path)
    head, motion, body = _text(path).partition("MOTION")
    if not head.lstrip().startswith("HIERARCHY") or not motion:
        raise InputError(f"{path}: has no HIERARCHY followed by MOTION, so it is no whole BVH file; download it again")
    joints = _bvh_joints(path, head.split()[1:])
    words = body.split(maxsplit=5)
    if len(words) < 6 or words[0] != "Frames:" or words[2:4] != ["Frame", "Time:"]:
        raise InputError(f"{path}: MOTION does not begin with Frames: and Frame Time: and then numbers; download the file again")
    count, seconds = _numbers(path, "Frames and Frame Time", (words[1], words[4]))
    if not 0.0005 <= seconds <= 1:
        raise InputError(f"{path}: Frame Time is {words[4]} seconds, which is no frame rate of a motion capture; correct it")
    values = _numbers(path, "MOTION", words[5].split())
    width = sum(len(joint.channels) for joint in joints)
    if len(values) != count * width:
        raise InputError(
            f"{path}: MOTION holds {len(values)} numbers, not {count:g} frames of {width} channels; "
            "the file is cut short or damaged, download it again"
        )
    # Frame times are written with few digits: 0.00833333 means 120 Hz.
    return joints, values.reshape(int(count), width), round(1 / seconds, 2)  # (T, C)


def read_bvh(path: str | Path) -> tuple[np.ndarray, float]:
    """A clip of the "Daz" BVH conversion -> its 17 joints (T, 17, 3), metres, world with y up, and its frames per second.

    The first frame, a T-pose, is dropped. Raises InputError where the file is missing, damaged, or lacks a joint.
    """
    path = Path(path)
    joints, values, fps = read_bvh_file(path)
    missing = {*BVH_LIMBS.values(), *BVH_TRUNK} - {joint.name for joint in joints}
    if missing:
        raise InputError(f'{path}: has no joint {min(missing)!r}; give a file with the joint names of the "Daz" BVH conversion')
    if len(values) < 2:
        raise InputError(f"{path}: holds no frame after the T-pose; leave it out")
    place, turn = bvh_forward_kinematics(joints, values[1:])
    number = {joint.name: i for i, joint in enumerate(joints)}
    abdomen, chest, neck, head = (place[number[name]] * BVH_UNIT for name in BVH_TRUNK)

    poses = np.empty((len(head), 17, 3))
    for joint, name in BVH_LIMBS.items():
        poses[:, joint] = place[number[name]] * BVH_UNIT
    poses[:, 0] = (poses[:, 1] + poses[:, 4]) / 2
    poses[:, 7] = (abdomen + chest) / 2
    poses[:, 8] = (neck + (poses[:, 11] + poses[:, 14]) / 2) / 2
    skull = turn[number["head"]] @ chain("zxy", BVH_SKULL)  # (T, 3, 3)
    poses[:, 9] = head + skull @ BVH_NOSE
    poses[:, 10] = head + skull @ BVH_CROWN
    return poses, fps


def bvh_forward_kinematics(joints: list[BvhJoint], values: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Channels (T, C) -> where each joint is, (T, 3) in file units, and how it is turned, (T, 3, 3), both in world axes."""
    place: list[np.ndarray] = []
    turn: list[np.ndarray] = []
    column = 0
    for joint in joints:
        offset = np.tile(joint.offset, (len(values), 1))  # (T, 3)
        axes, angles = "", []
        for kind, axis in joint.channels:
            if kind == "position":
                offset[:, "xyz".index(axis)] = values[:, column]
            else:
                axes += axis
                angles.append(values[:, column])
            column += 1
        local = chain(axes, np.stack(angles, axis=-1)) if angles else np.eye(3)
        if joint.parent >= 0:
            offset = place[joint.parent] + (turn[joint.parent] @ offset[..., None])[..., 0]  # (T, 3)
            local = turn[joint.parent] @ local  # (T, 3, 3)
        place.append(offset)
        turn.append(np.broadcast_to(local, (len(values), 3, 3)))
    return place, turn


def resample(poses: np.ndarray, fps: float, target_fps: float) -> np.ndarray:
    """(T, ...) at `fps` -> (T', ...) at `target_fps`, first frame to last, by the not-a-knot cubic spline through the frames."""
    last = len(poses) - 1
    if last == 0 or fps == target_fps:
        return poses
    time = np.arange(int(last / fps * target_fps + 1e-6) + 1) * (fps / target_fps)  # (T',) in frames of the source
    left = np.minimum(time.astype(int), last - 1)
    b = (time - left).reshape(-1, *[1] * (poses.ndim - 1))  # (T', 1, ...), how far on the way to the frame after
    a = 1 - b
    bend = second_derivatives(poses)
    return a * poses[left] + b * poses[left + 1] + ((a**3 - a) * bend[left] + (b**3 - b) * bend[left + 1]) / 6


def second_derivatives(values: np.ndarray) -> np.ndarray:
    """The second derivatives, per frame squared, of the not-a-knot cubic spline at its frames: (T, ...) -> (T, ...)."""
    bend = np.zeros_like(values)
    last = len(values) - 1
    if last < 2:
        return bend
    # bend[i-1] + 4 bend[i] + bend[i+1] = right[i] within; not-a-knot, bend[0] = 2 bend[1] - bend[2], leaves 6 bend[1] = right[1].
    right = 6 * (values[2:] - 2 * values[1:-1] + values[:-2])
    bend[1], bend[-2] = right[0] / 6, right[-1] / 6
    pivot = np.zeros(last)  # Gauss: down from frame 2, then up again
    for i in range(2, last - 1):
        pivot[i] = 1 / (4 - pivot[i - 1])
        bend[i] = (right[i - 1] - bend[i - 1]) * pivot[i]
    for i in range(last - 2, 1, -1):
        bend[i] -= pivot[i] * bend[i + 1]
    bend[0] = 2 * bend[1] - bend[2]
    bend[-1] = 2 * bend[-2] - bend[-3]
    return bend


def read_folder(folder: str | Path, amc_fps: float = AMC_FPS) -> dict[str, Clip]:
    """Every clip under `folder` by its name, sorted by name.

    Where a clip is there as .amc and as .bvh, the .amc is read: it is true to the person's own bones. Raises InputError where
    there is no such folder or no clip in it, where a clip is there twice, and where a file cannot be used.
    """
    folder = Path(folder)
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".asf", ".amc", ".bvh") and path.is_file())
    found: dict[str, dict[str, Path]] = {".asf": {}, ".amc": {}, ".bvh": {}}
    for path in files:
        other = found[path.suffix.lower()].setdefault(clip_name(path.stem), path)
        if other != path:
            raise InputError(f"{path}: the same clip or skeleton is also there as {other}; leave one of the two out")
    chosen = dict(sorted((found[".bvh"] | found[".amc"]).items()))
    if not chosen:
        raise InputError(f"{folder}: holds no .amc or .bvh file; give --input the folder of the CMU motion files")
    clips = {}
    for name, path in tqdm(chosen.items(), desc="reading", unit="clip", disable=None):
        if path.suffix.lower() == ".bvh":
            poses, fps = read_bvh(path)
        else:
            asf = found[".asf"].get(subject_of(name))
            if asf is None:
                raise InputError(f"{path}: its skeleton {subject_of(name)}.asf is not under {folder}; download that file too")
            poses, fps = read_asf_amc(asf, path), amc_fps
        clips[name] = Clip(resample(poses, fps, FPS), path.suffix.lower()[1:])
    return clips


def read_ready(path: str | Path) -> dict[str, Clip]:
    """Clips that are already on the 17 joints at 50 Hz, metres, world with y up, by their names, sorted by name.

    The .npz holds clips (N,), source (N,) "amc" or "bvh", lengths (N,), root (total, 3) and relative (total, 16, 3), joints 1 to
    16 minus the root. Raises InputError where it is missing, damaged, or its fields do not fit together.
    """
    path = Path(path)
    names_of_fields = ("clips", "source", "lengths", "root", "relative")
    with open_npz(path, make="give a file that is there", layout=f"give an .npz with {', '.join(names_of_fields)}") as field:
        fields = {name: field(name) for name in names_of_fields}
    names, source, lengths, root, relative = fields.values()
    if names.ndim != 1 or names.dtype.kind != "U" or lengths.shape != names.shape or lengths.dtype.kind not in "iu" or np.any(lengths < 1):
        raise InputError(f"{path}: fields clips and lengths are not one name and one count of frames per clip; make the file again")
    if source.shape != names.shape or not np.isin(source, ("amc", "bvh")).all():
        raise InputError(f"{path}: field source is not amc or bvh for each clip; make the file again")
    total = int(lengths.sum())
    for name, shape in (("root", (total, 3)), ("relative", (total, 16, 3))):
        if fields[name].shape != shape or fields[name].dtype.kind != "f":
            raise InputError(f"{path}: field {name} is {fields[name].dtype} {fields[name].shape}, not floats {shape}; make the file again")
        if not np.isfinite(fields[name]).all():
            row = int(np.argwhere(~np.isfinite(fields[name]))[0, 0])
            raise InputError(f"{path}: field {name}, row {row} is not a finite number; repair or leave out this clip")
    root = root.astype(np.float64)[:, None]  # (total, 1, 3)
    poses = np.concatenate([root, root + relative], axis=1)  # (total, 17, 3)
    parts = np.split(poses, np.cumsum(lengths)[:-1])
    clips = {clip_name(str(name)): Clip(part, str(kind)) for name, part, kind in zip(names, parts, source, strict=True)}
    if not clips or len(clips) != len(names):
        raise InputError(f"{path}: field clips is empty or names a clip twice; make the file again")
    return dict(sorted(clips.items()))


def clip_name(stem: str) -> str:
    """The name of a clip, or of a subject's skeleton, with the subject in two digits: "3_02" -> "03_02"."""
    subject, separator, trial = stem.partition("_")
    return (subject.zfill(2) if subject.isdigit() else subject) + separator + trial


def subject_of(name: str) -> str:
    """The subject of a clip: "03_02" -> "03"."""
    return name.partition("_")[0]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="latin-1")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); give a file that is there") from error


def _numbers(path: Path, field: str, words: object, count: int | None = None) -> np.ndarray:
    try:
        values = np.array(words, dtype=np.float64)
    except ValueError as error:
        raise InputError(f"{path}: {field} is not all numbers ({error}); download the file again") from None
    if count is not None and values.shape != (count,):
        raise InputError(f"{path}: {field} is not {count} numbers; download the file again")
    if not np.isfinite(values).all():
        raise InputError(f"{path}: {field} holds a value that is not finite; repair or leave out this file")
    return values


def _axes(path: Path, field: str, text: str) -> str:
    axes = text.lower()
    if sorted(axes) != ["x", "y", "z"]:
        raise InputError(f"{path}: {field} {text!r} is no order of X, Y and Z; download the file again")
    return axes


def _asf_sections(path: Path) -> dict[str, list[list[str]]]:
    """The lines of each :section, split into words; comments, and begin and end of the hierarchy, left out."""
    sections: dict[str, list[list[str]]] = {}
    lines: list[list[str]] = []
    for line in _text(path).splitlines():
        words = line.split("#")[0].split()
        if words and words[0].startswith(":"):
            lines = sections.setdefault(words[0][1:].lower(), [])
        elif words:
            lines.append(words)
    for name in ("units", "root", "bonedata", "hierarchy"):
        if name not in sections:
            raise InputError(f"{path}: section :{name} is missing, the file is cut short or no ASF skeleton; download it again")
    sections["hierarchy"] = [words for words in sections["hierarchy"] if words not in (["begin"], ["end"])]
    return sections


def _asf_units(path: Path, sections: dict[str, list[list[str]]]) -> tuple[float, float]:
    """Metres per unit of length, degrees per unit of angle."""
    units = {words[0]: words[1:] for words in sections["units"]}
    (length,) = _numbers(path, "units length", units.get("length", ()), 1)
    if not length > 0:
        raise InputError(f"{path}: units length is {length:g}, not above 0; download the file again")
    angle = units.get("angle", ["deg"])
    if angle not in (["deg"], ["rad"]):
        raise InputError(f"{path}: units angle is {' '.join(angle)!r}, not deg or rad; download the file again")
    return INCH / length, 1.0 if angle == ["deg"] else 180 / np.pi


def _asf_bones(path: Path, lines: list[list[str]], unit: float, degree: float) -> dict[str, tuple[np.ndarray, np.ndarray, str]]:
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
            direction = _numbers(path, f"bone {name}, direction", block.get("direction", ()), 3)
            length = _numbers(path, f"bone {name}, length", block.get("length", ()), 1)
            axis = block.get("axis", [])
            angles = _numbers(path, f"bone {name}, axis", axis[:3], 3) * degree
            order = _axes(path, f"bone {name}, axis", "".join(axis[3:]))
            dof = [word.lower() for word in block.get("dof", [])]
            if not set(dof) <= {"rx", "ry", "rz"}:
                raise InputError(f"{path}: bone {name}, dof {' '.join(dof)!r} has more than rx, ry, rz; leave this subject out")
            # The three numbers are about x, y and z; the order says which of them is applied first, so it is the last factor.
            axes = chain(order[::-1], angles[["xyz".index(a) for a in order[::-1]]])  # (3, 3)
            bones[name] = (direction * length * unit, axes, "".join(word[1] for word in dof))
    return bones


def _bvh_joints(path: Path, words: list[str]) -> list[BvhJoint]:
    """The words after HIERARCHY -> joints, parents first."""
    joints: list[BvhJoint] = []
    open_joints: list[int] = []  # -1 stands for an end site
    words = [*words, *[""] * 8]  # so that a file cut short ends in words that fit nothing
    i = 0
    while words[i]:
        word = words[i]
        if word in ("ROOT", "JOINT", "End"):
            name, brace, offset_word, *offset = words[i + 1 : i + 7]
            if brace != "{" or offset_word != "OFFSET" or (word == "ROOT") != (not joints):
                break
            offset = _numbers(path, f"joint {name}, OFFSET", offset, 3)
            i += 7
            if word == "End":
                open_joints.append(-1)
                continue
            channels: tuple[tuple[str, str], ...] = ()
            if words[i] == "CHANNELS" and words[i + 1].isdigit():
                count = int(words[i + 1])
                channels = tuple((channel[1:].lower(), channel[:1].lower()) for channel in words[i + 2 : i + 2 + count])
                i += 2 + count
                if len(channels) != count or not all(kind in ("position", "rotation") and axis in "xyz" for kind, axis in channels):
                    raise InputError(f"{path}: joint {name}, CHANNELS is not {count} of Xposition ... Zrotation; download the file again")
            joints.append(BvhJoint(name, open_joints[-1] if open_joints else -1, offset, channels))
            open_joints.append(len(joints) - 1)
        elif word == "}" and open_joints:
            open_joints.pop()
            i += 1
        else:
            break
    if words[i] or open_joints or not joints:
        near = " ".join(words[max(i - 3, 0) : i + 1])
        raise InputError(f"{path}: HIERARCHY is cut short or damaged near {near!r}; download the file again")
    return joints


# Writing ---------------------------------------------------------------------------------------------------------------------


def z_up(poses: np.ndarray) -> np.ndarray:
    """World with y up (..., 3) -> world with z up, as Human3.6M has it: a quarter turn about x, right-handed both."""
    return np.stack([poses[..., 0], -poses[..., 2], poses[..., 1]], axis=-1)  # (..., 3)


def studio_pieces(poses: np.ndarray) -> list[np.ndarray]:
    """A clip (T, 17, 3), z up, metres -> consecutive pieces of (nearly) one length that fit into the studio.

    The clip's lowest foot is at z = 0 and each piece is centred on the origin: its root stays within STUDIO_RADIUS. Nothing is
    scaled. As few pieces as do; those under SHORTEST frames are left out.
    """
    if len(poses) < SHORTEST:
        return []
    poses = poses - [0, 0, poses[:, (3, 6), 2].min()]
    for count in range(1, len(poses) + 1):
        pieces = [piece - _floor_centre(piece) for piece in np.array_split(poses, count)]
        if all(np.linalg.norm(piece[:, 0, :2], axis=-1).max() <= STUDIO_RADIUS for piece in pieces):
            break
    return [piece for piece in pieces if len(piece) >= SHORTEST]


def settled(clip: Clip) -> np.ndarray:
    """The poses (T, 17, 3) of a clip, without the frames in which a BVH clip leaves its T-pose."""
    return clip.poses[SETTLING:] if clip.source == "bvh" else clip.poses


def split_of(subject: str) -> str:
    """The split of all clips of a subject, "train" or "test"."""
    return "test" if subject in TEST_SUBJECTS else "train"


def world_clips(clips: Mapping[str, Clip]) -> list[WorldClip]:
    """Clips -> what `write_world_motion` takes, sorted by name: whole, where they were captured; those under SHORTEST left out.

    AMC clips have the person's own bones; the BVH conversion brought everyone onto one skeleton.
    """
    world = []
    for name, clip in sorted(clips.items()):
        pose, subject = settled(clip).astype(np.float32), subject_of(name)
        if len(pose) >= SHORTEST:
            world.append(WorldClip(name, subject, split_of(subject), clip.source == "amc", pose))
    return world


def build_sequences(clips: Mapping[str, Clip], seed: int) -> dict[str, list]:
    """Clips -> the lists that `write_motion_file` takes, one entry per piece and camera; pose_2d under "gt" and "noisy".

    The set-ups of the cameras take turns over the sorted clips of a split.
    """
    columns: dict[str, list] = {name: [] for name in ("subject", "action", "camera", "split", "size", "pose_3d", "gt", "noisy")}
    turn = {"train": 0, "test": 0}
    for name in tqdm(sorted(clips), desc="projecting", unit="clip", disable=None):
        subject = subject_of(name)
        split = split_of(subject)
        setup = SETUPS[split][turn[split] % len(SETUPS[split])]
        turn[split] += 1
        for cut, piece in enumerate(studio_pieces(z_up(settled(clips[name])))):
            for camera in h36m_cameras(setup):
                pose_3d = world_to_camera(piece, camera).astype(np.float32)
                truth = project(pose_3d.astype(np.float64), camera)
                row = {
                    "subject": subject,
                    "action": ACTIONS.get(subject, subject),
                    "camera": camera.name,
                    "split": split,
                    "size": camera.size,
                    "pose_3d": pose_3d,
                    "gt": truth.astype(np.float32),
                    "noisy": detector_like(truth, named_generator(seed, name, str(cut), camera.name), FPS),
                }
                for column, value in row.items():
                    columns[column].append(value)
    return columns


def _floor_centre(poses: np.ndarray) -> np.ndarray:
    """The middle of the root's way over the floor: (T, 17, 3), z up -> (3,) with z = 0."""
    root = poses[:, 0, :2]
    return np.append((root.min(axis=0) + root.max(axis=0)) / 2, 0)


def world_path(output: str | Path) -> Path:
    """Where the clips in the world go, beside the motion file: data_cmu.npz -> motion_cmu.npz, cmu.npz -> motion_cmu.npz."""
    output = Path(output)
    return output.with_name("motion_" + output.name.removeprefix("data_"))


def build_parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--input", required=True, metavar="PATH",
        help="folder searched, with its subfolders, for .asf, .amc and .bvh files; or an .npz of clips already on the 17 joints",
    )  # fmt: skip
    parser.add_argument(
        "--output", default=str(Path(__file__).resolve().parent / "data_cmu.npz"), metavar="FILE",
        help="the motion file to write (default: dataset/data_cmu.npz of this repository); the clips in the world go beside it, "
        "under its name with motion_ for data_",
    )  # fmt: skip
    parser.add_argument(
        "--amc_fps",
        type=number(float, 0, above=True),
        default=AMC_FPS,
        help="frame rate of .amc files, which do not tell (default: %(default)g)",
    )
    parser.add_argument("--seed", type=number(int, 0), default=0, help="of the simulated detector's errors (default: %(default)s)")
    return parser


def main() -> None:
    """Read the clips, see them through the cameras, write both files and say what was written."""
    args = build_parser().parse_args()
    path = Path(args.input)
    if path.is_dir():
        clips = read_folder(path, args.amc_fps)
    elif path.suffix == ".npz" and path.is_file():
        clips = read_ready(path)
    else:
        raise InputError(f"--input {path}: is neither a folder nor an .npz file; give the folder of the CMU motion files")
    columns = build_sequences(clips, args.seed)
    if not columns["pose_3d"]:
        raise InputError(f"--input {path}: no clip has {SHORTEST} frames at {FPS:g} Hz; give longer clips")
    keypoints = {name: columns.pop(name) for name in ("gt", "noisy")}
    write_motion_file(args.output, source=SOURCE, fps=FPS, pose_2d=keypoints, **columns)
    for split in SETUPS:
        lengths = [len(pose) for pose, of in zip(columns["pose_3d"], columns["split"], strict=True) if of == split]
        print(f"{split}: {len(lengths)} sequences, {sum(lengths)} frames, {sum(lengths) / FPS / 60:.1f} minutes")
    print(f"{len(clips)} clips, 4 cameras, {FPS:g} Hz: {args.output}")
    world = world_clips(clips)
    write_world_motion(world_path(args.output), source=WORLD_SOURCE, fps=FPS, clips=world)
    minutes = sum(map(len, world)) / FPS / 60
    print(f"in the world: {len(world)} clips, {minutes:.1f} minutes, {FPS:g} Hz: {world_path(args.output)}")


if __name__ == "__main__":
    exit_on_input_error(main)
