"""BVH motion capture: any file as joints, channels and places. rigs.py makes the 17 joints of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.data.schema import shown
from common.errors import InputError
from dataset.mocap import chain, read_numbers, read_text

_MOTION = re.compile(r"\sMOTION\s+Frames\s*:\s*(\S+)\s+Frame\s*Time\s*:\s*(\S+)", re.IGNORECASE)
_JOINTS = ("ROOT", "JOINT", "END", "ENDSITE")


@dataclass(frozen=True)
class BvhJoint:
    """A joint of a BVH hierarchy: parent (-1: the root), offset (3,) in file units, and its channels, as ("position" or
    "rotation", axis) in the file's order."""

    name: str
    parent: int
    offset: np.ndarray
    channels: tuple[tuple[str, str], ...]


def read_bvh_file(path: str | Path) -> tuple[list[BvhJoint], np.ndarray, float]:
    """Parse a BVH file: its joints (parents first, end sites left out), its channels (T, C) as in the file, frames
    per second.

    Raises InputError where the file is missing, cut short or no BVH.
    """
    path = Path(path)
    text = read_text(path)
    motion = _MOTION.search(text)
    words = text[: motion.start()].replace("{", " { ").replace("}", " } ").split() if motion else []
    if motion is None or not words or words[0].upper() != "HIERARCHY":
        raise InputError(
            f"{path}: is no whole BVH file, of HIERARCHY, MOTION, Frames: and Frame Time:; download it again"
        )
    joints = _bvh_joints(path, words[1:])
    count, seconds = read_numbers(path, "Frames and Frame Time", motion.groups())
    if not 0.0005 <= seconds <= 1:
        raise InputError(
            f"{path}: Frame Time is {seconds:g} seconds, which is no frame rate of a motion capture; correct it"
        )
    values = read_numbers(path, "MOTION", text[motion.end() :].split())
    width = sum(len(joint.channels) for joint in joints)
    if not width:
        raise InputError(f"{path}: HIERARCHY has no CHANNELS, so that nothing moves; download the file again")
    if len(values) != count * width:
        raise InputError(
            f"{path}: MOTION holds {len(values)} numbers, not {count:g} frames of {width} channels; the file is cut "
            "short or damaged, download it again"
        )
    # Frame times are written with few digits: 0.00833333 means 120 Hz.
    return joints, values.reshape(int(count), width), round(1 / seconds, 2)  # (T, C)


def bvh_forward_kinematics(joints: list[BvhJoint], values: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Channels (T, C) -> where each joint is, (T, 3) in file units, and how it is turned, (T, 3, 3), both in world
    axes."""
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


def _bvh_joints(path: Path, words: Sequence[str]) -> list[BvhJoint]:
    """The words after HIERARCHY, braces apart -> joints, parents first. Keywords are known in capitals or not."""
    joints: list[BvhJoint] = []
    open_joints: list[int] = []  # -1 stands for an end site
    words = [*words, ""]  # so that a file cut short ends in a word that fits nothing
    i = 0
    while words[i]:
        word = words[i].upper()
        if word in _JOINTS and (not open_joints or open_joints[-1] >= 0):
            start = i + 1
            while words[i] not in ("{", "}", ""):
                i += 1
            if words[i] != "{":
                break
            name = " ".join(words[start:i])
            offset, channels, i = _offset_and_channels(path, shown(name), words, i + 1)
            if word in ("END", "ENDSITE"):
                open_joints.append(-1)
                continue
            if (word == "ROOT") != (not joints):
                raise InputError(
                    f"{path}: HIERARCHY has more than one ROOT, or none at its beginning; give a file of one skeleton"
                )
            joints.append(BvhJoint(name, open_joints[-1] if open_joints else -1, offset, channels))
            open_joints.append(len(joints) - 1)
        elif word == "}" and open_joints:
            open_joints.pop()
            i += 1
        else:
            break
    if words[i] or open_joints or not joints:
        near = " ".join(words[max(i - 3, 0) : i + 1])
        raise InputError(f"{path}: HIERARCHY is cut short or damaged near {shown(near)}; download the file again")
    return joints


def _offset_and_channels(
    path: Path, name: str, words: Sequence[str], i: int
) -> tuple[np.ndarray, tuple[tuple[str, str], ...], int]:
    """What stands behind the brace of a joint, from word i on -> offset, channels, and the word after them."""
    offset: np.ndarray | None = None
    channels: tuple[tuple[str, str], ...] = ()
    while words[i].upper() in ("OFFSET", "CHANNELS"):
        if words[i].upper() == "OFFSET":
            offset = read_numbers(path, f"joint {name}, OFFSET", words[i + 1 : i + 4], 3)
            i += 4
        else:
            count = int(words[i + 1]) if re.fullmatch("[0-9]", words[i + 1]) else -1
            channels = tuple(
                (channel[1:].lower(), channel[:1].lower()) for channel in words[i + 2 : i + 2 + max(count, 0)]
            )
            if len(channels) != count or not all(
                kind in ("position", "rotation") and axis in "xyz" for kind, axis in channels
            ):
                raise InputError(
                    f"{path}: joint {name}, CHANNELS is not a count and names Xposition ... Zrotation; download it "
                    "again"
                )
            i += 2 + count
    if offset is None:
        raise InputError(f"{path}: joint {name} has no OFFSET, the file is cut short or damaged; download it again")
    return offset, channels, i
