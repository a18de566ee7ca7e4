"""MediaPipe's 33 landmarks, as JSON: the package has no format of its own, so the usual ways to write them are read.

A landmark is {"x", "y", "visibility"}; a person is a list of 33 of them, or {"landmark" | "landmarks" |
"pose_landmarks" | "poseLandmarks": such a list}; a frame is a person, a list of people, or null; a clip is a list of
frames, or {"frames": such a list}.
"""

from __future__ import annotations

from demo.convert import BLAZEPOSE_33
from demo.keypoints.clip import Clip, Person, frames_of_rows, read_points

KEYS = ("landmark", "landmarks", "pose_landmarks", "poseLandmarks")
SCORES = ("visibility", "presence", "score")


def read_clip(document: object, where: str) -> Clip | None:
    """The clip; None: it is not of MediaPipe's landmarks. Raises InputError where it is damaged."""
    rows = document.get("frames") if isinstance(document, dict) else document
    if not isinstance(rows, list) or _is_person(rows):
        return None
    frames = frames_of_rows(rows, where, people_of)
    return Clip("MediaPipe", frames, True, 0, BLAZEPOSE_33) if frames and any(frames.values()) else None


def people_of(document: object, where: str) -> list[Person] | None:
    """The people of a frame; None: it is not of MediaPipe's landmarks. Raises InputError where it is damaged."""
    document = _inside(document)
    if not document:
        return [] if document is None or document == [] else None
    if not isinstance(document, list):
        return None
    people = [document] if _is_person(document) else [_inside(person) for person in document]
    found = []
    for number, person in enumerate(people):
        if not _is_person(person):
            return None
        assert isinstance(person, list)  # it is a person
        rows = [
            [point["x"], point["y"], next((point[name] for name in SCORES if point.get(name) is not None), 1)]
            for point in person
        ]
        found.append(Person(read_points(f"{where}: the landmarks of person {number}", rows)))
    return found


def _inside(value: object) -> object:
    """What a table of landmarks holds; anything else as it is."""
    while isinstance(value, dict) and (key := next((key for key in KEYS if key in value), None)):
        value = value[key]
    return value


def _is_person(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == BLAZEPOSE_33.sources
        and all(isinstance(point, dict) and {"x", "y"} <= set(point) for point in value)
    )
