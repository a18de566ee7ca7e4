"""Clips of motion capture from any source on the 17 joints, at one frame rate, and cleaned by one rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from common.data.npz import open_npz
from common.data.schema import FLOAT, MOST_METRES, NUMBER, TEXT, WHOLE, Field
from common.errors import InputError
from common.geometry.skeleton import body_height
from dataset.asf_amc import read_asf_amc
from dataset.mocap import resample
from dataset.rigs import BVH_UNIT, read_bvh

CREDIT = (
    "the data used in this project was obtained from mocap.cs.cmu.edu; the database was created with funding from NSF "
    "EIA-0196217."
)
ACTIONS = {
    "01": "Playground", "02": "Various", "03": "Uneven terrain", "05": "Dance", "06": "Basketball", "07": "Walk",
    "08": "Walk",
    "09": "Run", "10": "Soccer", "11": "Soccer", "12": "Tai chi", "13": "Everyday", "14": "Everyday",
}  # fmt: skip
"""What CMU's people do."""
FPS = 50.0
AMC_FPS = 120.0

SHORTEST = 25  # frames
FASTEST = 14.0
"""No joint of a person moves faster against the hips, nor the hips themselves, metres per second."""
SETTLING, RINGING = 4, 2
"""So many frames at 50 Hz does resampling blend a T-pose, or a jump, into what comes after it, and a jump into what was
before.
"""
ARMS_OUT = 0.5
"""The cosine between the line of the shoulders and each arm and forearm, above which a first frame is a T-pose."""
TALL = (0.7, 2.6)
"""Metres from ankle to crown that a person may have."""


@dataclass(frozen=True)
class Clip:
    """A clip at 50 Hz: poses (T, 17, 3), metres, world with y up. subject: who moves. source: the kind of file or
    collection it came from. content: what is done. weight: how much more often it is to be drawn, None where the file
    does not say.
    """

    poses: np.ndarray
    subject: str
    source: str
    content: str = ""
    weight: float | None = None

    @property
    def own_bones(self) -> bool:
        """Whether the skeleton is true to the person: CMU's own files are, the others brought everyone onto one."""
        return self.source == "amc"


def read_clips(path: str | Path, amc_fps: float = AMC_FPS, bvh_unit: float = BVH_UNIT) -> dict[str, Clip]:
    """Every clip of a folder of .asf, .amc and .bvh files, or of an .npz of clips on the 17 joints, by name, sorted by
    name.

    amc_fps: the frame rate of .amc files. bvh_unit: metres in a unit of length of .bvh files; neither file tells.
    Raises InputError where something cannot be read, and where a person has not the size of one.
    """
    path = Path(path)
    if path.is_dir():
        clips = read_folder(path, amc_fps, bvh_unit)
    elif path.suffix == ".npz" and path.is_file():
        clips = read_ready(path)
    else:
        raise InputError(f"--input {path}: is neither a folder nor an .npz file; give the folder of the motion files")
    for name, clip in clips.items():
        check_size(f"{path}: clip {name}", clip.poses)
    return clips


def check_size(where: str, poses: np.ndarray) -> None:
    """Raise InputError where the person of poses (T, 17, 3) has not the size of one in metres."""
    tall = float(np.median(body_height(poses)))
    if not TALL[0] <= tall <= TALL[1]:
        raise InputError(
            f"{where}: the person is {tall:.3g} m from ankle to crown, not {TALL[0]} to {TALL[1]}; the file is in "
            "another unit of length than is taken for granted: metres in .npz, CMU's unit in .asf, centimetres in "
            ".bvh; bring it to that, or see --bvh_unit"
        )


def read_folder(folder: str | Path, amc_fps: float = AMC_FPS, bvh_unit: float = BVH_UNIT) -> dict[str, Clip]:
    """Every clip under `folder` by its name, sorted by name.

    Where a clip is there as .amc and as .bvh, the .amc is read: it is true to the person's own bones. Raises InputError
    where there is no such folder or no clip in it, where a clip is there twice, and where a file cannot be used.
    """
    folder = Path(folder)
    files = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in (".asf", ".amc", ".bvh") and path.is_file()
    )
    found: dict[str, dict[str, Path]] = {".asf": {}, ".amc": {}, ".bvh": {}}
    for path in files:
        other = found[path.suffix.lower()].setdefault(clip_name(path.stem), path)
        if other != path:
            raise InputError(f"{path}: the same clip or skeleton is also there as {other}; leave one of the two out")
    chosen = dict(sorted((found[".bvh"] | found[".amc"]).items()))
    if not chosen:
        raise InputError(f"{folder}: holds no .amc or .bvh file; give --input the folder of the motion files")
    clips = {}
    for name, path in tqdm(chosen.items(), desc="reading", unit="clip", disable=None):
        if path.suffix.lower() == ".bvh":
            poses, fps = read_bvh(path, bvh_unit)
        else:
            asf = found[".asf"].get(subject_of(name))
            if asf is None:
                raise InputError(
                    f"{path}: its skeleton {subject_of(name)}.asf is not under {folder}; download that file too"
                )
            poses, fps = read_asf_amc(asf, path), amc_fps
        clips[name] = Clip(resample(poses, fps, FPS), subject_of(name), path.suffix.lower()[1:])
    return clips


NEEDED = {
    "clips": Field(TEXT, ("clip",)),
    "source": Field(TEXT, ("clip",)),
    "lengths": Field(WHOLE, ("clip",), least=1),
    "root": Field(FLOAT, ("total", 3), -MOST_METRES, MOST_METRES),
    "relative": Field(FLOAT, ("total", 16, 3), -MOST_METRES, MOST_METRES),
}
"""Clips that are already on the 17 joints, one after the other; relative: joints 1 to 16 minus the root."""
OPTIONAL = {
    "subject": Field(TEXT, ("clip",)),
    "content": Field(TEXT, ("clip",)),
    "weight": Field(NUMBER, ("clip",), 0, 1e6),
}


def read_ready(path: str | Path) -> dict[str, Clip]:
    """Clips that are already on the 17 joints at 50 Hz, metres, world with y up, by their names, sorted by name.

    The .npz holds what NEEDED says, and may hold what OPTIONAL says. Raises InputError where it is missing, damaged, or
    its fields do not fit together.
    """
    path = Path(path)
    layout = f"give an .npz with {', '.join(NEEDED)}"
    with open_npz(path, NEEDED | OPTIONAL, make="give a file that is there", layout=layout) as field:
        names = field.axes.names["clip"] = field("clips").tolist()
        source, lengths = field("source").tolist(), field("lengths").tolist()
        more = {name: field(name).tolist() for name in OPTIONAL if name in field}
        field.fix_axis("total", sum(lengths), "as field lengths adds up")
        root, relative = field("root"), field("relative")
    root = root.astype(np.float64)[:, None]  # (total, 1, 3)
    poses = np.concatenate([root, root + relative], axis=1)  # (total, 17, 3)
    clips = {}
    for i, part in enumerate(np.split(poses, np.cumsum(lengths)[:-1])):
        name = clip_name(names[i])
        about = {column: values[i] for column, values in more.items()}
        clips[name] = Clip(part, source=source[i], **{"subject": subject_of(name), **about})
    if len(clips) != len(names):
        raise InputError(f"{path}: field clips names a clip twice; make the file again")
    return dict(sorted(clips.items()))


def clip_name(stem: str) -> str:
    """The name of a clip, or of a subject's skeleton, with the subject in two digits: "3_02" -> "03_02"."""
    subject, separator, trial = stem.partition("_")
    return (subject.zfill(2) if subject.isdigit() else subject) + separator + trial


def subject_of(name: str) -> str:
    """The subject of a clip: "03_02" -> "03"."""
    return name.partition("_")[0]


def cleaned(clips: Mapping[str, Clip]) -> dict[str, Clip]:
    """Clips without T-poses at their start and without jumps: a clip that jumps is split there into NAME.1, NAME.2 and
    so on.

    Pieces of less than SHORTEST frames are left out.
    """
    pieces = {}
    for name, clip in clips.items():
        parts = [clip.poses[part] for part in smooth_parts(clip.poses)]
        for number, poses in enumerate(parts, start=1):
            pieces[name if len(parts) == 1 else f"{name}.{number}"] = replace(clip, poses=poses)
    return pieces


def smooth_parts(poses: np.ndarray) -> Iterator[slice]:
    """The parts of a clip (T, 17, 3) at 50 Hz that a person may have moved through, of SHORTEST frames or more."""
    first = SETTLING if starts_in_t_pose(poses) else 0
    moved = np.diff(np.concatenate([poses[:, :1], poses[:, 1:] - poses[:, :1]], axis=1), axis=0)  # (T - 1, 17, 3)
    jumps = np.flatnonzero(
        (np.linalg.norm(moved, axis=-1) * FPS > FASTEST).any(axis=1)
    )  # (n,): between this frame and the next
    for jump in (*jumps.tolist(), None):
        part = slice(first, len(poses) if jump is None else jump + 1 - RINGING)
        if part.stop - part.start >= SHORTEST:
            yield part
        first = first if jump is None else max(first, jump + 1 + RINGING)


def starts_in_t_pose(poses: np.ndarray) -> bool:
    """Whether in the first frame of (T, 17, 3) both arms point away from the body, along the line of the shoulders."""
    frame = poses[0]
    across = frame[11] - frame[14]
    arms = np.array(
        [frame[12] - frame[11], frame[13] - frame[12], frame[14] - frame[15], frame[15] - frame[16]]
    )  # (4, 3)
    lengths = np.linalg.norm(arms, axis=-1) * np.linalg.norm(across)
    return bool(np.all(arms @ across > ARMS_OUT * lengths))
