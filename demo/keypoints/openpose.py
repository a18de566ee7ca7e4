"""OpenPose: a JSON file for every frame; Sports2D and Pose2Sim write the same.

{"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": [x, y, score, ...]}, ...]}
"""

from __future__ import annotations

from demo.keypoints.clip import Person, read_identity, read_points

KEYS = ("pose_keypoints_2d", "pose_keypoints")


def people_of(document: object, where: str) -> list[Person] | None:
    """The people of a frame; None: it is not OpenPose's. Raises InputError where it is damaged."""
    if not isinstance(document, dict) or not isinstance(document.get("people"), list):
        return None
    people = []
    for number, person in enumerate(document["people"]):
        key = next((key for key in KEYS if isinstance(person, dict) and key in person), None)
        if key is None:
            return None
        if person[key]:  # without a body where only a face or hands were found
            points = read_points(f"{where}: field {key} of person {number}", person[key])
            people.append(Person(points, read_identity(person.get("person_id"))))
    return people
