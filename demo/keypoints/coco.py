"""Lists of people of many pictures: COCO's results and AlphaPose's alphapose-results.json.

    [{"image_id": 0 | "0.jpg", "category_id": 1, "keypoints": [x, y, score, ...], "score": 0.9, "idx": 1}, ...]

COCO's annotations as well, which also tell the size: {"images": [{"id", "file_name", "width", "height"}],
"annotations": [...]}; their third number says whether a joint is hidden, not how sure it is.
"""

from __future__ import annotations

from common.errors import InputError
from demo.keypoints.clip import Clip, Frames, Person, add_person, read_identity, read_points

IDENTITIES = ("track_id", "idx")


def read_clip(document: object, where: str) -> Clip | None:
    """The clip; None: it is not of such a tool. Raises InputError where it is damaged."""
    images, people = {}, document
    if isinstance(document, dict) and isinstance(document.get("annotations"), list):
        people, images = document["annotations"], _images(document.get("images"), where)
    if not isinstance(people, list) or not people:
        return None
    if not all(isinstance(person, dict) and {"image_id", "keypoints"} <= set(person) for person in people):
        return None
    frames: Frames = {}
    for number, person in enumerate(people):
        image = person["image_id"]
        if isinstance(image, bool) or not isinstance(image, int | str):
            raise InputError(f"{where}: field image_id of entry {number} is no number and no name; write it again")
        points = read_points(f"{where}: field keypoints of entry {number}", person["keypoints"])
        identity = next((read_identity(person[key]) for key in IDENTITIES if key in person), None)
        add_person(frames, where, image, Person(points, identity))
    sizes = {size for _, size in images.values()}
    return Clip(
        tool="AlphaPose" if all(isinstance(key, str) for key in frames) else "COCO results",
        frames={**{key: [] for key in images}, **frames},
        complete=bool(images),
        first=0 if all(isinstance(key, str) for key in frames) else None,
        size=sizes.pop() if len(sizes) == 1 else None,
        names={key: name for key, (name, _) in images.items()},
    )


def _images(images: object, where: str) -> dict[int | str, tuple[str, tuple[int, int]]]:
    """Name and size of each image, by its id."""
    if not isinstance(images, list):
        return {}
    found = {}
    for number, image in enumerate(images):
        try:
            about = str(image["file_name"]), (int(image["width"]), int(image["height"]))
            if min(about[1]) < 1 or not isinstance(image["id"], int | str):
                raise ValueError
        except (TypeError, KeyError, ValueError, OverflowError):
            raise InputError(
                f"{where}: entry {number} of field images has no id, file_name, width and height; write it again"
            ) from None
        found[image["id"]] = about
    return found
