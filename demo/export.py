"""Motion files of the demo: poses.npz (to be read again), .csv and .json (for other programs) and viewer.html (to be
looked at).

Everywhere: P people, T frames, 17 joints as in common/geometry/skeleton.py. 3D is in metres and camera axes (x right, y
down, z forward), relative to joint 0 (Hip); 2D is in pixels (x right, y down) with a score, <= 0 where a joint was not
found.

poses.npz, plain arrays:

| array | shape | what |
|---|---|---|
| format | () | "hot-poses 1" |
| poses_3d | (P, T, 17, 3) | float32, metres; NaN in frames that have no pose |
| keypoints_2d | (P, T, 17, 3) | float32, x and y in pixels, score |
| valid | (P, T) | bool: the person was seen in this frame; a pose without it was bridged from the frames around |
| fps | () | frames per second |
| size | (2,) | width and height of the picture in pixels |
| joints, parents | (17,) | names, and the joint that each hangs on, -1 for the root |
| model, checkpoint | () | name of the model and sha256 of its weights in hex digits; "" where not known |
| axes, units | () | the sentences above |

.csv: one row per person and frame, columns person, frame, time_s, valid (0 or 1), then per joint NAME_x_m, NAME_y_m,
NAME_z_m (empty in frames that have no pose), then per joint NAME_x_px, NAME_y_px, NAME_score.

.json: {"format": "hot-poses-json 1", "fps", "size": [width, height], "frames", "joints", "parents", "axes", "units",
"model", "checkpoint", "people": [{"valid": [0 or 1, T times], "poses_3d": [T times 17 x [x, y, z], or null],
"keypoints_2d": [T times 17 x [x, y, score]]}]}. Both have metres to 0.001 mm, pixels to 0.01 and scores to 0.001.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.data.npz import open_npz
from common.data.schema import FLOAT, FPS, MOST_METRES, MOST_PIXELS, TEXT, TRUTH, WHOLE, Field
from common.errors import InputError
from common.files import replacing, write_text
from common.geometry.skeleton import H36M
from demo.render import JOINT_RADIUS, LEFT, PEOPLE, RIGHT, Scene3D, place_people

FORMAT, JSON_FORMAT = "hot-poses 1", "hot-poses-json 1"
AXES = (
    "3D: camera axes, x right, y down, z forward, relative to joint 0 (Hip); "
    "2D: x right, y down from the upper left corner"
)
UNITS = "3D: metres; 2D: pixels, and a score that is 0 or less where a joint was not found"
METRES, PIXELS, SCORE = "%.6f", "%.2f", "%.3f"
SCHEMA = {
    "format": Field(TEXT, choices=(FORMAT,)),
    "poses_3d": Field(FLOAT, ("people", "frames", H36M.joints, 3), finite=False),
    "keypoints_2d": Field(FLOAT, ("people", "frames", H36M.joints, 3), finite=False),
    "valid": Field(TRUTH, ("people", "frames")),
    "fps": FPS,
    "size": Field(WHOLE, (2,), 1, 1e6),
    "joints": Field(TEXT, (H36M.joints,)),
    "model": Field(TEXT),
    "checkpoint": Field(TEXT),
}

HERE = Path(__file__).resolve().parent
TEMPLATE = HERE / "viewer.template.html"
LIBRARY = {"core": "three.core.min.js", "three": "three.module.min.js", "controls": "OrbitControls.js"}


@dataclass(frozen=True)
class Poses:
    """What the demo found in a video, as in poses.npz (see above).

    poses_3d (P, T, 17, 3) metres, NaN in frames without a pose; keypoints_2d (P, T, 17, 3) pixels and score; valid (P,
    T) bool; size: (width, height) in pixels. model, checkpoint: name, and sha256 of the weights; "" where not known.
    """

    poses_3d: np.ndarray
    keypoints_2d: np.ndarray
    valid: np.ndarray
    fps: float
    size: tuple[int, int]
    model: str = ""
    checkpoint: str = ""

    @property
    def posed(self) -> np.ndarray:
        """(P, T) bool: frames that have a pose, be the person seen in them or the pose bridged."""
        return has_pose(self.poses_3d)


def has_pose(poses_3d: np.ndarray) -> np.ndarray:
    """(P, T) bool: the poses (P, T, 17, 3) that are finite."""
    return np.isfinite(poses_3d).all(axis=(-2, -1))


def hash_file(path: str | Path) -> str:
    """sha256 of a file's bytes, 64 hex digits. Raises InputError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); give a file that is there") from error


# ---- poses.npz ----


def write_poses(path: str | Path, poses: Poses) -> None:
    """Write poses.npz; the same poses give the same bytes. Raises InputError where `path` cannot be written."""
    posed = poses.posed[..., None, None]
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file,
            format=FORMAT,
            poses_3d=np.where(posed, poses.poses_3d, np.nan).astype(np.float32),
            keypoints_2d=_known(poses.keypoints_2d),
            valid=np.asarray(poses.valid, bool),
            fps=float(poses.fps),
            size=np.array(poses.size, np.int64),
            joints=np.array(H36M.names),
            parents=np.array(H36M.parents, np.int64),
            model=poses.model,
            checkpoint=poses.checkpoint,
            axes=AXES,
            units=UNITS,
        )


def read_poses(path: str | Path) -> Poses:
    """Read what `write_poses` wrote. Raises InputError where the file is missing, damaged, or not as the table above
    says.
    """
    path = Path(path)
    layout = "see demo/export.py for the layout"
    with open_npz(path, SCHEMA, make="give a poses.npz that the demo wrote", layout=layout) as field:
        field("format")
        poses_3d, keypoints_2d, valid, size, joints = map(
            field, ("poses_3d", "keypoints_2d", "valid", "size", "joints")
        )
        fps, model, checkpoint = float(field("fps")), str(field("model")), str(field("checkpoint"))
    if tuple(joints.tolist()) != H36M.names:
        raise InputError(f"{path}: field joints names other joints than the {H36M.joints} of Human3.6M; {layout}")
    _check_finite(path, "keypoints_2d", keypoints_2d, MOST_PIXELS, np.ones(valid.shape, bool))
    _check_finite(path, "poses_3d", poses_3d, MOST_METRES, valid | ~np.isnan(poses_3d).all(axis=(2, 3)))
    width, height = map(int, size)
    return Poses(
        poses_3d.astype(np.float32), keypoints_2d.astype(np.float32), valid, fps, (width, height), model, checkpoint
    )


def _check_finite(path: Path, name: str, values: np.ndarray, most: float, where: np.ndarray) -> None:
    """Raise InputError, naming the first place, where `values` (P, T, 17, 3) are not finite in the frames `where` (P,
    T).
    """
    broken = np.argwhere(~(np.abs(values) <= most).all(axis=-1) & where[..., None])  # NaN as well
    if len(broken):
        person, frame, joint = broken[0]
        raise InputError(
            f"{path}: field {name} is not finite for person {person}, frame {frame}, joint {H36M.names[joint]}, or "
            f"beyond {most:g}; "
            "make the file again"
        )


def _known(keypoints_2d: np.ndarray) -> np.ndarray:
    """Keypoints (P, T, 17, 3) as float32; those that are not finite become 0 with score 0."""
    finite = np.isfinite(keypoints_2d).all(axis=-1, keepdims=True)
    return np.where(finite, keypoints_2d, 0).astype(np.float32)


# ---- for other programs ----


def csv_columns() -> list[str]:
    """The header of the .csv."""
    metres = [f"{name}_{axis}_m" for name in H36M.names for axis in "xyz"]
    pixels = [f"{name}_{what}" for name in H36M.names for what in ("x_px", "y_px", "score")]
    return ["person", "frame", "time_s", "valid", *metres, *pixels]


def write_csv(path: str | Path, poses: Poses) -> None:
    """Write the .csv described above. Raises InputError where `path` cannot be written."""
    posed, keypoints = poses.posed, _known(poses.keypoints_2d)
    metres = ",".join([METRES] * 3 * H36M.joints)
    pixels = ",".join([PIXELS, PIXELS, SCORE] * H36M.joints)
    nothing = "," * (3 * H36M.joints - 1)
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        file.write(",".join(csv_columns()) + "\n")
        for person, frame in np.ndindex(posed.shape):
            pose = metres % tuple(poses.poses_3d[person, frame].ravel().tolist()) if posed[person, frame] else nothing
            seen = pixels % tuple(keypoints[person, frame].ravel().tolist())
            file.write(f"{person},{frame},{frame / poses.fps:.6f},{int(poses.valid[person, frame])},{pose},{seen}\n")


def write_json(path: str | Path, poses: Poses) -> None:
    """Write the .json described above. Raises InputError where `path` cannot be written."""
    posed, keypoints = poses.posed, _known(poses.keypoints_2d)
    people = []
    for person in range(len(posed)):
        pose = np.round(
            np.where(posed[person, :, None, None], poses.poses_3d[person], 0).astype(np.float64), 6
        ).tolist()
        seen = keypoints[person].astype(np.float64)
        seen = np.concatenate([np.round(seen[..., :2], 2), np.round(seen[..., 2:], 3)], axis=-1)
        people.append(
            {
                "valid": np.asarray(poses.valid[person], int).tolist(),
                "poses_3d": [frame if there else None for frame, there in zip(pose, posed[person], strict=True)],
                "keypoints_2d": seen.tolist(),
            }
        )
    content = {
        "format": JSON_FORMAT,
        "fps": float(poses.fps),
        "size": [int(side) for side in poses.size],
        "frames": posed.shape[1],
        "joints": H36M.names,
        "parents": H36M.parents,
        "axes": AXES,
        "units": UNITS,
        "model": poses.model,
        "checkpoint": poses.checkpoint,
        "people": people,
    }
    write_text(path, json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n")


# ---- viewer.html ----


def write_viewer(
    path: str | Path,
    poses_3d: np.ndarray,
    keypoints_2d: np.ndarray,
    valid: np.ndarray,
    fps: float,
    size: tuple[int, int],
    title: str,
    fix_z: bool = False,
) -> None:
    """Write one page that shows the motion without a network: 3D to turn around, and the 2D keypoints beside it.

    poses_3d (P, T, 17, 3) metres, NaN in frames without a pose; keypoints_2d (P, T, 17, 3) pixels and score; valid (P,
    T): a pose that is there without it is shown faded. size: (width, height) of the picture. title: any text. fix_z: as
    in `render.ground_height`. The same input gives the same bytes. Raises InputError where `path` cannot be written.
    """
    meta, motion = pack_motion(poses_3d, keypoints_2d, valid, fps, fix_z)
    offsets = place_people(poses_3d, has_pose(poses_3d), fps, keypoints_2d, fix_z)
    scene = Scene3D.around((1000, 1000), poses_3d + offsets[:, :, None], has_pose(poses_3d))
    meta |= {
        "title": title,
        "fps": float(fps),
        "size": [int(side) for side in size],
        "joints": H36M.names,
        "parents": H36M.parents,
        "sides": ["right" if j in H36M.right else "left" if j in H36M.left else "middle" for j in range(H36M.joints)],
        "radius": JOINT_RADIUS.tolist(),
        "colours": {"right": RIGHT, "left": LEFT, "people": PEOPLE},
        "centre": scene.centre,
        "distance": scene.distance,
        "azimuth": scene.azimuth,
        "elevation": scene.elevation,
    }
    filling = {
        "TITLE": html.escape(title),
        # A "</script>" in a name would end the element that holds the text.
        "META": json.dumps(meta, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "MOTION": _packed(motion),
        "LICENCE": html.escape(
            (HERE / "vendor" / "three" / "LICENSE").read_text(encoding="utf-8").strip(), quote=False
        ),
    }
    for name, file in LIBRARY.items():
        filling[name.upper()] = _packed((HERE / "vendor" / "three" / file).read_bytes())
    page = TEMPLATE.read_text(encoding="utf-8")
    write_text(
        path, re.sub(r"@@([A-Z]+)@@", lambda found: filling[found[1]], page)
    )  # in one go: what is filled in is not read again


def pack_motion(
    poses_3d: np.ndarray, keypoints_2d: np.ndarray, valid: np.ndarray, fps: float, fix_z: bool = False
) -> tuple[dict[str, object], bytes]:
    """The motion as whole numbers for viewer.html -> (what they mean, their bytes).

    The bytes are planes of T numbers, one plane after the other. First those of 16 bits, all low bytes of a plane
    before its high ones, each number the change since the frame before: 51 planes per person (joint by joint x, y, z)
    in units of `metre`, the ground under each person likewise, and 34 planes per person (joint by joint x, y) in units
    of `pixel`. Then those of 8 bits: 17 planes per person of scores in 1/255, and one per person of what there is: 0
    nothing, 1 a bridged pose, 2 a pose. `across` is where each person stands along x.
    """
    people, frames = poses_3d.shape[:2]
    posed, keypoints = has_pose(poses_3d), _known(keypoints_2d).astype(np.float64)
    offsets = place_people(poses_3d, posed, fps, keypoints_2d, fix_z)
    # Limits, so that one wild number does not make the steps of all others coarse: 20 m are 0.6 mm a step.
    pose = np.clip(np.where(posed[..., None, None], poses_3d, 0), -20.0, 20.0)
    pose = _held(pose.astype(np.float64), posed).reshape(people, frames, -1)
    ground = np.clip(-offsets[..., 1].astype(np.float64), -20.0, 20.0)
    pixels = np.clip(keypoints[..., :2], -16_000.0, 16_000.0).reshape(people, frames, -1)
    metre = max(np.abs(pose).max(), np.abs(ground).max(), 1e-3) / 32767
    pixel = max(np.abs(pixels).max(), 1) / 32767
    planes = [
        np.rint(pose.transpose(0, 2, 1) / metre).reshape(-1, frames),
        np.rint(ground / metre),
        np.rint(pixels.transpose(0, 2, 1) / pixel).reshape(-1, frames),
    ]
    change = np.diff(np.concatenate(planes).astype(np.int64), axis=1, prepend=0).astype(np.uint16)  # modulo 2^16
    halves = np.stack([change & 255, change >> 8], axis=1).astype(np.uint8)
    score = np.rint(255 * np.clip(keypoints[..., 2], 0, 1)).astype(np.uint8).transpose(0, 2, 1)
    score[(keypoints[..., 2] > 0).transpose(0, 2, 1) & (score == 0)] = 1  # 0 means: not found
    state = (posed * (1 + np.asarray(valid, bool))).astype(np.uint8)
    meta = {"people": people, "frames": frames, "metre": metre, "pixel": pixel, "across": offsets[:, 0, 0].tolist()}
    return meta, b"".join(part.tobytes() for part in (halves, score, state))


def _held(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Values (P, T, ...) whose missing frames repeat the last one that is there: no jumps that would take room."""
    last = np.maximum.accumulate(np.where(there, np.arange(there.shape[1]), 0), axis=1)  # (P, T)
    return values[np.arange(len(values))[:, None], last]


def _packed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode("ascii")
