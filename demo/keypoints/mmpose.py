"""MMPose: the people of every frame, by its inferencer or by its demo (--save-predictions).

    [{"frame_id": 0, "instances": [{"keypoints": [[x, y], ...], "keypoint_scores": [...], "track_id": 1}, ...]}, ...]
    {"meta_info": {"keypoint_id2name": {"0": "nose", ...}, ...}, "instance_info": [as above]}

Of a folder of images, the inferencer writes the instances of each into a file of its own.
"""

from __future__ import annotations

from common.errors import InputError
from demo.convert import Conversion, layout_of, layout_of_names
from demo.keypoints.clip import Clip, Frames, Person, add_person, read_identity, read_points


def read_clip(document: object, where: str) -> Clip | None:
    """The clip; None: it is not MMPose's. Raises InputError where it is damaged."""
    meta = document.get("meta_info") if isinstance(document, dict) else None
    rows = document.get("instance_info") if isinstance(document, dict) else document
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) and "instances" in row for row in rows):
        return None
    frames: Frames = {}
    for number, row in enumerate(rows):
        key = row.get("frame_id", number)
        if isinstance(key, bool) or not isinstance(key, int):
            raise InputError(f"{where}: field frame_id of entry {number} is no whole number; write it again")
        people = people_of(row["instances"], f"{where}: frame {key}")
        if people is None:
            raise InputError(f"{where}: field instances of frame {key} is no list of people; write it again")
        frames.setdefault(key, [])
        for person in people:
            add_person(frames, where, key, person)
    return Clip("MMPose", frames, complete=True, conversion=_conversion(meta, where))


def people_of(document: object, where: str) -> list[Person] | None:
    """The people of a frame; None: it is not MMPose's. Raises InputError where it is damaged."""
    if not isinstance(document, list):
        return None
    people = []
    for number, person in enumerate(document):
        if not isinstance(person, dict) or not {"keypoints", "keypoint_scores"} <= set(person):
            return None
        name = f"{where}: field keypoints of person {number}"
        points, scores = person["keypoints"], person["keypoint_scores"]
        if not isinstance(points, list) or not isinstance(scores, list) or len(points) != len(scores):
            raise InputError(f"{name} and field keypoint_scores are not of the same joints; write the file again")
        if not all(isinstance(point, list) and len(point) >= 2 for point in points):
            raise InputError(f"{name} is not x and y of every joint; write the file again")
        rows = [[*point[:2], score] for point, score in zip(points, scores, strict=True)]
        people.append(Person(read_points(name, rows), read_identity(person.get("track_id"))))
    return people


def _conversion(meta: object, where: str) -> Conversion | None:
    """The table of the joints that the file names, where it does, in an order that no layout has."""
    names = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if isinstance(names, dict):
        names = [names.get(str(number)) for number in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return None
    known = layout_of(len(names))
    own = layout_of_names(names, f"{where}: field keypoint_id2name")
    return None if known and known.parts == own.parts else own
