"""viewer.html: one page that plays the motion in a browser, without a network. viewer.template.html is its program."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from pathlib import Path

import numpy as np

from common.files import write_text
from common.geometry.skeleton import H36M
from demo.figure import CELL, JOINT_RADIUS, LIGHT_TONES, LOW_SCORE, NEAR, SOLE, VIEW_ANGLE, figure_colours
from demo.poses import Poses
from demo.scene import Scene3D

FOLDER = Path(__file__).resolve().parent
TEMPLATE = FOLDER / "viewer.template.html"
THREE = FOLDER / "vendor" / "three"
LIBRARY = {"core": "three.core.min.js", "three": "three.module.min.js", "controls": "OrbitControls.js"}
"""The files of three.js, under the names that they have in the template."""
MOST_METRES, MOST_PIXELS = 20.0, 16_000.0
"""What is farther off is moved to here, so that one wild number does not make the steps of all others coarse: 20 m are
0.6 mm a step.
"""


def write_viewer(path: str | Path, poses: Poses, offsets: np.ndarray, title: str) -> None:
    """Write one page that shows the motion without a network: 3D to turn around, and the 2D keypoints beside it.

    A pose that was bridged (not valid) is shown faded. offsets (P, T, 3): metres from each person's root-relative pose
    to the person's place, as of `place_people`. title: any text. The same input gives the same bytes. Raises InputError
    where `path` cannot be written.
    """
    meta, motion = pack_motion(poses, offsets)
    meta |= describe_figures(len(offsets)) | describe_scene(poses, offsets)
    meta |= {"title": title, "fps": float(poses.fps), "size": [int(side) for side in poses.size]}
    filling = {
        "TITLE": html.escape(title),
        # A "</script>" in a name would end the element that holds the text.
        "META": json.dumps(meta, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "MOTION": _compressed(motion),
        "LICENCE": html.escape((THREE / "LICENSE").read_text(encoding="utf-8").strip(), quote=False),
    }
    filling |= {name.upper(): _compressed((THREE / file).read_bytes()) for name, file in LIBRARY.items()}
    template = TEMPLATE.read_text(encoding="utf-8")
    # All at once, so that no text that is filled in is searched for names again.
    write_text(path, re.sub(r"@@([A-Z]+)@@", lambda found: filling[found[1]], template))


def describe_figures(people: int) -> dict[str, object]:
    """How the page draws people: as figure.py says, for `people` people."""
    return {
        "joints": H36M.names,
        "bones": H36M.bones,
        "sides": H36M.sides,
        "radius": JOINT_RADIUS.tolist(),
        "colours": [figure_colours(person) for person in range(people)],
        "lowScore": LOW_SCORE,
    }


def describe_scene(poses: Poses, offsets: np.ndarray) -> dict[str, object]:
    """The ground and the first view of the page: those of the video's 3D panel."""
    scene = Scene3D.around((1000, 1000), poses.poses_3d + offsets[:, :, None], poses.posed)
    return {
        "centre": scene.centre,
        "distance": scene.distance,
        "azimuth": scene.azimuth,
        "elevation": scene.elevation,
        "fieldOfView": VIEW_ANGLE,
        "near": NEAR,
        "sole": SOLE,
        "cell": CELL,
        "tones": dict(zip(("air", "ground", "line"), LIGHT_TONES, strict=True)),
    }


def pack_motion(poses: Poses, offsets: np.ndarray) -> tuple[dict[str, object], bytes]:
    """The motion as whole numbers for viewer.html -> (what they mean, their bytes). offsets: as `write_viewer` takes
    them.

    The bytes are planes of T numbers, one plane after the other. First those of 16 bits, all low bytes of a plane
    before its high ones, each number the change since the frame before: 51 planes per person (joint by joint x, y, z)
    in units of `metre`, the ground under each person likewise, and 34 planes per person (joint by joint x, y) in units
    of `pixel`. Then those of 8 bits: 17 planes per person of scores in 1/255, and one per person of what there is: 0
    nothing, 1 a bridged pose, 2 a pose. `across` is where each person stands along x.
    """
    posed, keypoints = poses.posed, poses.known_keypoints.astype(np.float64)
    people, frames = posed.shape
    pose = np.clip(np.where(posed[..., None, None], poses.poses_3d, 0), -MOST_METRES, MOST_METRES)
    pose = _repeat_last(pose.astype(np.float64), posed).reshape(people, frames, -1)  # (P, T, 51)
    ground = np.clip(-offsets[..., 1].astype(np.float64), -MOST_METRES, MOST_METRES)  # (P, T)
    pixels = np.clip(keypoints[..., :2], -MOST_PIXELS, MOST_PIXELS).reshape(people, frames, -1)  # (P, T, 34)
    metre = max(np.abs(pose).max(), np.abs(ground).max(), 1e-3) / 32767
    pixel = max(np.abs(pixels).max(), 1) / 32767
    planes = [
        np.rint(pose.transpose(0, 2, 1) / metre).reshape(-1, frames),  # (51 P, T)
        np.rint(ground / metre),
        np.rint(pixels.transpose(0, 2, 1) / pixel).reshape(-1, frames),  # (34 P, T)
    ]
    score = np.rint(255 * np.clip(keypoints[..., 2], 0, 1)).astype(np.uint8)  # (P, T, 17)
    score[(keypoints[..., 2] > 0) & (score == 0)] = 1  # 0 means: not found
    state = (posed * (1 + np.asarray(poses.valid, bool))).astype(np.uint8)  # (P, T)
    meta = {"people": people, "frames": frames, "metre": metre, "pixel": pixel, "across": offsets[:, 0, 0].tolist()}
    parts = (_changes(np.concatenate(planes)), score.transpose(0, 2, 1), state)
    return meta, b"".join(part.tobytes() for part in parts)


def _changes(planes: np.ndarray) -> np.ndarray:
    """Whole numbers (N, T) -> uint8 (N, 2, T): the low and the high bytes of each one's change since the frame before,
    modulo 2^16. These compress well.
    """
    change = np.diff(planes.astype(np.int64), axis=1, prepend=0).astype(np.uint16)
    return np.stack([change & 255, change >> 8], axis=1).astype(np.uint8)


def _repeat_last(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Values (P, T, ...) in which unknown frames repeat the last known one (P, T): jumps would take room."""
    last = np.maximum.accumulate(np.where(known, np.arange(known.shape[1]), 0), axis=1)  # (P, T)
    return values[np.arange(len(values))[:, None], last]


def _compressed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode("ascii")
