"""BVH motion capture: any file as joints, channels and places. rigs.py makes the 17 joints of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import InputError
from dataset.mocap import chain, read_numbers, read_text


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
    head, motion, body = read_text(path).partition("MOTION")
    if not head.lstrip().startswith("HIERARCHY") or not motion:
        raise InputError(f"{path}: has no HIERARCHY followed by MOTION, so it is no whole BVH file; download it again")
    joints = _bvh_joints(path, head.split()[1:])
    words = body.split(maxsplit=5)
    if len(words) < 6 or words[0] != "Frames:" or words[2:4] != ["Frame", "Time:"]:
        raise InputError(f"{path}: MOTION does not begin with Frames: and Frame Time: and then numbers; download the file again")
    count, seconds = read_numbers(path, "Frames and Frame Time", (words[1], words[4]))
    if not 0.0005 <= seconds <= 1:
        raise InputError(f"{path}: Frame Time is {words[4]} seconds, which is no frame rate of a motion capture; correct it")
    values = read_numbers(path, "MOTION", words[5].split())
    width = sum(len(joint.channels) for joint in joints)
    if len(values) != count * width:
        raise InputError(
            f"{path}: MOTION holds {len(values)} numbers, not {count:g} frames of {width} channels; "
            "the file is cut short or damaged, download it again"
        )
    # Frame times are written with few digits: 0.00833333 means 120 Hz.
    return joints, values.reshape(int(count), width), round(1 / seconds, 2)  # (T, C)


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
            offset = read_numbers(path, f"joint {name}, OFFSET", offset, 3)
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
