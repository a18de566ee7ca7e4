"""Texts and JSON of other tools, read within limits."""

from __future__ import annotations

import json
import re
from pathlib import Path

from common.errors import InputError
from common.files import require_file

LARGEST = 2**30
"""Bytes of a file; an hour of four people takes a third of it."""
MOST_FILES = 1_000_000
"""Files of a folder that holds one for each frame."""
GIVE = "give a file or a folder of keypoints, as demo/README.md says"


def read_text(path: Path) -> str:
    """The text of a file in UTF-8. Raises InputError where it cannot be read, or is too large."""
    path = require_file(path, GIVE)
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path}: has {path.stat().st_size / 1e9:.1f} GB, more than is read; give a shorter clip")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no text ({error.reason} at byte {error.start}); {GIVE}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); {GIVE}") from error


def read_json(path: Path) -> object:
    """What a JSON file holds. Raises InputError where it is damaged."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        what = str(error) if isinstance(error, json.JSONDecodeError) else "numbers or nesting beyond all limits"
        raise InputError(f"{path}: is no JSON, it is damaged or cut short ({what}); write it again") from error


def files_of(folder: Path, suffix: str) -> list[Path]:
    """The files of a folder that end so, frame2 before frame10. Raises InputError where the folder cannot be read."""
    try:
        files = [path for path in folder.iterdir() if path.suffix.lower() == suffix and path.name[0] not in "._"]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror or error}); {GIVE}") from error
    if len(files) > MOST_FILES:
        raise InputError(f"{folder}: holds {len(files)} {suffix} files, more than a video has frames; {GIVE}")
    return sorted(files, key=lambda path: (natural(path.name), path.name))


def natural(name: str) -> list[str | int]:
    """The key under which frame2 stands before frame10."""
    parts = re.split(r"([0-9]{1,18})", name.lower())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)]


def number_in(name: str) -> int | None:
    """The last number in a name, of a picture say; None: there is none."""
    found = re.findall(r"[0-9]{1,18}", re.sub(r"(\.[a-z]+[0-9]?)+$", "", name.lower()))
    return int(found[-1]) if found else None


def frame_of_file(path: Path) -> str:
    """The name of the frame that a file is of: its own, without what OpenPose adds."""
    return path.stem.removesuffix("_keypoints")
