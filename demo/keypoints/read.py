"""Keypoints of other tools: what kind a file or folder is, by its content, and its people followed through the frames.

Every family of files has a module of its own beside this one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.data.schema import shown
from common.errors import InputError
from common.files import require_file
from demo.convert import LAYOUTS, Conversion, convert, layout_of
from demo.keypoints import coco, mediapipe, mmpose, openpose, table, ultralytics
from demo.keypoints.clip import Clip, Frames, Person, add_person
from demo.keypoints.text import GIVE, files_of, frame_of_file, natural, number_in, read_json, read_text
from demo.track import Tracker

FAMILIES = (coco, mmpose, ultralytics, mediapipe)
"""Those that have a whole clip in one JSON file; and, with openpose, those that have a file for each frame."""
KNOWN = "OpenPose, AlphaPose, MMPose, COCO results, ultralytics and MediaPipe"
SHARES = 2.0
"""Coordinates whose middle is no further from 0 than this are shares of the picture, not pixels."""
OUTSIDE = 0.5
"""Where more than this share of the joints is outside the picture, its size is not the true one."""
NEGATIVE = 0.1
"""Where more than this share of the shares is below 0, they are from -1 to 1."""
MOST_FRAMES = 1_000_000


class Film(NamedTuple):
    """What is known of the film that a file of keypoints is of. length: gives the number of frames, None where the film
    is not at hand; images: the names of its pictures, in order, where it is a folder of them.
    """

    fps: float
    size: tuple[int, int] | None = None
    length: Callable[[], int] | None = None
    images: tuple[str, ...] = ()


def is_own(path: str | Path) -> bool:
    """Whether a file is an .npz: of the demo itself, or of VideoPose3D."""
    path = Path(path)
    if path.is_dir():
        return False
    with open(require_file(path, GIVE), "rb") as file:
        return file.read(2) == b"PK" or path.suffix.lower() == ".npz"


def follow_file(path: str | Path, film: Film, layout: str | None = None) -> tuple[Tracker, float, tuple[int, int]]:
    """The people of a file or folder of another tool, followed; frames per second; (width, height) in pixels.

    layout: one of LAYOUTS, where the file does not tell. Raises InputError where the file is damaged, of an unknown
    tool, or does not tell enough.
    """
    path = Path(path)
    if layout is not None and layout not in LAYOUTS:
        raise InputError(f"--layout is {shown(layout)}; there is {', '.join(LAYOUTS)}")
    clip = read_clip(path)
    people = [person for frame in clip.frames.values() for person in frame]
    if not people:
        raise InputError(f"{path}: has nobody in any of its {len(clip.frames)} frames; give keypoints of people")
    conversion = _conversion(path, clip, people, layout)
    size = clip.size or film.size
    if size is None:
        raise InputError(f"{path}: does not tell the size of the picture; give --video, or --size as 1920x1080")
    scale = _scale(path, clip, people, size)
    fps = clip.fps or film.fps
    print(f"{path}: {clip.tool}, {conversion.sources} joints ({conversion.name}), {fps:g} frames/s", flush=True)
    frames = _in_order(path, clip, film)
    known = all(
        None not in (who := [person.identity for person in frame]) and len(set(who)) == len(who) for frame in frames
    )
    tracker = Tracker(fps)
    for frame in frames:
        points = np.zeros((0, conversion.sources, 3))
        if frame:
            points = np.stack([person.points for person in frame]) * scale  # (P, J, 3)
        tracker.add(convert(points, conversion), [person.identity for person in frame] if known else None)
    return tracker, fps, size


def read_clip(path: Path) -> Clip:
    """What a file or folder of another tool says. Raises InputError where it is damaged, or of an unknown tool."""
    if path.is_dir():
        return _read_folder(path)
    with open(require_file(path, GIVE), "rb") as file:
        start = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith((b"{", b"[")):
        return _read_json(path)
    if start.startswith(b"PathFileType"):
        return table.read_trc([path])
    if start.startswith((b"scorer,", b"individuals,", b"bodyparts,")):
        return table.read_deeplabcut(path)
    if start.startswith(b"\x89HDF"):
        raise InputError(
            f"{path}: is HDF5, which may hold pickled objects that could run code, and is not read; give the .csv that "
            "DeepLabCut writes with save_as_csv=True"
        )
    if not start:
        raise InputError(f"{path}: is empty; {GIVE}")
    read_text(path)  # tells what is no text
    if path.suffix.lower() == ".txt":
        return ultralytics.read_folder([path])
    raise InputError(f"{path}: is no keypoints file of a known tool; {GIVE}")


def _read_json(path: Path) -> Clip:
    document = read_json(path)
    where = str(path)
    for family in FAMILIES:
        clip = family.read_clip(document, where)
        if clip is not None:
            return clip
    for tool, people_of in _OF_A_FRAME.items():
        people = people_of(document, where)
        if people:
            return Clip(tool, _frame(where, people), complete=True)
    raise InputError(f"{path}: is JSON of an unknown tool, or of nobody; known are {KNOWN}")


_OF_A_FRAME = {
    "OpenPose": openpose.people_of,
    "MMPose": mmpose.people_of,
    "ultralytics": ultralytics.people_of,
    "MediaPipe": mediapipe.people_of,
}


def _read_folder(folder: Path) -> Clip:
    """A file for each frame (JSON, or the labels of ultralytics), or for each person (TRC)."""
    if files := files_of(folder, ".json"):
        return _read_frames(files)
    if files := files_of(folder, ".trc"):
        return table.read_trc([path for path in files if "_px" in path.stem] or files)
    if files := files_of(folder, ".txt"):
        return ultralytics.read_folder(files)
    raise InputError(f"{folder}: holds no .json, .trc or .txt files; {GIVE}")


def _read_frames(files: list[Path]) -> Clip:
    """A JSON file for each frame, all of one tool. Which one shows with the first frame that has people."""
    tools = list(_OF_A_FRAME)
    frames: Frames = {}
    for path in files:
        document = read_json(path)
        read = {tool: people for tool in tools if (people := _OF_A_FRAME[tool](document, str(path))) is not None}
        if not read:
            other = "" if len(tools) > 1 else f", not {tools[0]}'s as the files before it"
            raise InputError(f"{path}: is JSON of an unknown tool{other}; known are {KNOWN}")
        tools = list(read)
        frames |= _frame(str(path), read[tools[0]], frame_of_file(path))
    return Clip(tools[0], frames, complete=True)


def _frame(where: str, people: list[Person], key: int | str = 0) -> Frames:
    """One frame."""
    frames: Frames = {key: []}
    for person in people:
        add_person(frames, where, key, person)
    return frames


def _conversion(path: Path, clip: Clip, people: list[Person], layout: str | None) -> Conversion:
    """The table of the joints. Raises InputError where none fits."""
    counts = sorted({len(person.points) for person in people})
    if len(counts) > 1:
        raise InputError(f"{path}: has people of {counts[0]} and of {counts[1]} joints; give keypoints of one model")
    if layout is not None:
        if LAYOUTS[layout].sources != counts[0]:
            raise InputError(f"{path}: has {counts[0]} joints, which are not those of --layout {layout}; leave it out")
        return LAYOUTS[layout]
    table = clip.conversion or layout_of(counts[0])
    if table is None:
        raise InputError(f"{path}: has {counts[0]} joints, of which no layout is known; there is {', '.join(LAYOUTS)}")
    return table


def _scale(path: Path, clip: Clip, people: list[Person], size: tuple[int, int]) -> np.ndarray:
    """What points are multiplied by to become pixels and score (3,)."""
    points = np.concatenate([person.points[person.points[:, 2] > 0, :2] for person in people])  # (N, 2)
    if not len(points):
        raise InputError(f"{path}: all joints have score 0; give keypoints with scores")
    in_pixels = np.median(np.abs(points)) > SHARES if clip.in_pixels is None else clip.in_pixels
    if not in_pixels and (points < 0).any(axis=1).mean() > NEGATIVE:
        raise InputError(f"{path}: has coordinates from -1 to 1; write pixels (OpenPose: --keypoint_scale 0)")
    scale = np.array([1.0, 1.0, 1.0] if in_pixels else [*size, 1.0])
    places = points * scale[:2]
    if ((places < 0) | (places > size)).any(axis=1).mean() > OUTSIDE:
        raise InputError(
            f"{path}: most joints are outside of a picture of {size[0]}x{size[1]} pixels; give the video that they are "
            "of, or --size"
        )
    return scale


def _in_order(path: Path, clip: Clip, film: Film) -> list[list[Person]]:
    """The people of each frame of the film, from the first one on."""
    numbers = _numbers(clip, film)
    last = max(numbers.values())
    if last >= MOST_FRAMES:
        raise InputError(
            f"{path}: speaks of frame {last}, and a film has up to {MOST_FRAMES}; give keypoints of one film"
        )
    length = last + 1
    if film.length and not clip.complete:
        length = max(length, film.length())
    frames: list[list[Person]] = [[] for _ in range(length)]
    for key, number in numbers.items():
        frames[number] += clip.frames[key]
    return frames


def _numbers(clip: Clip, film: Film) -> dict[int | str, int]:
    """The number of each frame of a clip in the film, from 0."""
    names = {key: clip.names.get(key, key) for key in clip.frames}
    images = {name: number for number, name in enumerate(film.images)}
    images |= {Path(name).stem: number for name, number in images.items()}
    if images and all(isinstance(name, str) and Path(name).name in images for name in names.values()):
        return {key: images[Path(str(name)).name] for key, name in names.items()}
    found = {key: name if isinstance(name, int) else number_in(name) for key, name in names.items()}
    numbers = {key: number for key, number in found.items() if number is not None}
    if len(numbers) < len(names) or len(set(numbers.values())) < len(names) or min(numbers.values()) < 0:
        return {key: number for number, key in enumerate(sorted(names, key=lambda key: natural(str(names[key]))))}
    start = _first(clip, film, numbers)
    return {key: number - start for key, number in numbers.items()}


def _first(clip: Clip, film: Film, numbers: dict[int | str, int]) -> int:
    """The number that the first frame of the film has in a clip."""
    low, high = min(numbers.values()), max(numbers.values())
    if clip.first is not None and clip.first <= low:
        return clip.first
    if clip.complete or film.length is None:
        return low
    return 0 if high < film.length() else low  # of frames with people only
