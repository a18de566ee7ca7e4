"""ultralytics: a text for every frame with people (save_txt), or JSON (results.to_json()).

NAME_7.txt, of the 7th frame: class, box (4), x y score of 17 joints, and perhaps how sure the box is, and who it is; a
line for each person, in shares of the picture.

    [{"name": "person", "track_id": 1, "box": {...}, "keypoints": {"x": [...], "y": [...], "visible": [...]}}, ...]

is one frame; a list of such lists is a clip.
"""

from __future__ import annotations

from pathlib import Path

from common.errors import InputError
from demo.keypoints.clip import Clip, Frames, Person, add_person, frames_of_rows, read_identity, read_points
from demo.keypoints.text import frame_of_file, read_text

BOX, JOINTS = 5, 17
"""Numbers before the joints of a line (class and box), and its joints."""
FORMS = {BOX + JOINTS * columns + extra: (columns, extra) for columns in (3, 2) for extra in (0, 1, 2)}
"""By how many numbers a line has: numbers of a joint, and numbers after the joints."""


def read_clip(document: object, where: str) -> Clip | None:
    """The clip of a list of frames; None: it is not ultralytics'. Raises InputError where it is damaged."""
    if not isinstance(document, list) or not document or not all(isinstance(row, list) for row in document):
        return None
    frames = frames_of_rows(document, where, people_of)
    return Clip("ultralytics", frames, complete=True, first=0) if frames and any(document) else None


def people_of(document: object, where: str) -> list[Person] | None:
    """The people of a frame; None: it is not ultralytics'. Raises InputError where it is damaged."""
    if not isinstance(document, list):
        return None
    people = []
    for number, person in enumerate(document):
        points = person.get("keypoints") if isinstance(person, dict) else None
        if not isinstance(points, dict) or not {"x", "y"} <= set(points):
            return None
        columns = [points[name] for name in ("x", "y", "visible") if name in points]
        name = f"{where}: field keypoints of person {number}"
        if not all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
            raise InputError(f"{name} has not as many y or visible as x; write the file again")
        rows = [list(row) for row in zip(*columns, strict=True)]
        people.append(Person(read_points(name, rows), read_identity(person.get("track_id"))))
    return people


def read_folder(files: list[Path]) -> Clip:
    """The clip of a folder of labels. Raises InputError where a file is none of keypoints."""
    frames: Frames = {}
    extras = set()
    for path in files:
        for number, line in enumerate(read_text(path).splitlines(), 1):
            if not line.strip():
                continue
            where = f"{path}: line {number}"
            try:
                numbers = [float(word) for word in line.split()]
            except ValueError:
                raise InputError(f"{where} is not numbers; give the labels that ultralytics writes") from None
            if len(numbers) not in FORMS:
                raise InputError(
                    f"{where} has {len(numbers)} numbers, not class, box and {JOINTS} joints; give the labels of a "
                    "pose model of ultralytics"
                )
            columns, extra = FORMS[len(numbers)]
            points = read_points(where, numbers[BOX : BOX + JOINTS * columns], columns)
            last = numbers[-1] if extra else None
            extras.add((extra, last is not None and last.is_integer() and last >= 1))
            add_person(frames, str(path), frame_of_file(path), Person(points, read_identity(last)))
        frames.setdefault(frame_of_file(path), [])
    if any(extra == 1 and not whole for extra, whole in extras):  # the one number is how sure the box is, not who it is
        frames = {key: [person._replace(identity=None) for person in people] for key, people in frames.items()}
    return Clip("ultralytics", frames, first=1, in_pixels=False)
