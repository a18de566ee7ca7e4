"""The folder of a run's results. A file there is replaced only if this program wrote it, from the same source, and
nobody changed it since.

`written.json` in the folder says what this program wrote there:

    {"format": "hot-written 1", "source": the path of the video, "files": {"poses.csv": [sha256 in hex digits, ...],
    ...}}

A file with another content is somebody else's.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from common.errors import InputError
from common.files import only_run, replacing, write_text

RECORD, FORMAT = "written.json", "hot-written 1"
LONGEST_NAME = 200
"""Bytes of a result's name without its ending; file systems allow 255 with it."""


def name_after(source: str | Path) -> str:
    """The name of the results of a video, a folder or a file: its own name without the ending, in characters that every
    file name can hold.
    """
    path = Path(os.path.abspath(source))
    stem = path.name if os.path.isdir(path) else path.stem
    # Bytes that are not UTF-8 are not printable either.
    stem = "".join(letter if letter.isprintable() else "_" for letter in stem)
    while len(stem.encode()) > LONGEST_NAME:
        stem = stem[:-1]
    return stem if stem.strip(".") else "video"


def hash_file(path: str | Path) -> str:
    """sha256 of a file's bytes, 64 hex digits. Raises InputError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); give a file that is there") from error


@dataclass
class _Record:
    """The content of written.json. source: "" where nothing was written yet."""

    source: str = ""
    files: dict[str, list[str]] = field(default_factory=dict)


class Results:
    """The results of a run over `source` in `folder`; used by `with`, which makes the folder and keeps other runs out.

    names: the files that will be written. inputs: the files that are read. Where the block ends with an error before
    anything was written, a folder that was made for it is removed.

    written: the names of the files that this run wrote so far.

    Raises InputError, when the block begins, where one of the files would replace an input, results of another source,
    or a file that this program did not write or that was changed since, and where the folder cannot be written.
    """

    def __init__(
        self, folder: str | Path, source: str | Path, names: Iterable[str], inputs: Iterable[str | Path] = ()
    ) -> None:
        self.folder, self.names, self.inputs = Path(folder), tuple(names), tuple(inputs)
        self.written: list[str] = []
        self._record = _read_record(self.folder / RECORD)
        if Path(source).name in self._record.files and _same_file(Path(source).parent, self.folder):
            source = self._record.source  # the run starts from a file that an earlier run left in this folder
        self.source = os.path.realpath(source)

    def __enter__(self) -> Results:
        if os.path.lexists(self.folder) and not os.path.isdir(self.folder):
            raise InputError(f"{self.folder}: is not a folder; give the name of a folder by --output")
        for name in self.names:
            self._check(name)
        missing = [path for path in (self.folder, *self.folder.parents) if not os.path.exists(path)]
        with contextlib.ExitStack() as closing:
            closing.callback(_remove_empty, missing)
            closing.enter_context(only_run(self.folder))
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.close()

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Yield a temporary path for the file `name`; when the block ends without an error, it takes its place in the
        folder.
        """
        with replacing(self.folder / name) as temporary:
            yield temporary
            before = self._check(name)  # again: the work may have taken hours
            # The record is written before the file gets its name, so that no file is ever unknown. It keeps the hash of
            # the old file, which is there until then.
            self._record.source = self.source
            self._record.files[name] = [*before, hash_file(temporary)]
            content = {"format": FORMAT, "source": self.source, "files": self._record.files}
            write_text(self.folder / RECORD, json.dumps(content, indent=1) + "\n")
        self.written.append(name)

    def _check(self, name: str) -> list[str]:
        """The hash of the file, if there is one already. Raises InputError where it may not be replaced."""
        path = self.folder / name
        if any(_same_file(path, given) for given in self.inputs):
            self._refuse(path, "is read by this run and would be replaced by its results")
        if not os.path.lexists(path):
            return []
        if path.is_dir():
            self._refuse(path, "is a folder")
        found = None if path.is_symlink() or not path.is_file() else hash_file(path)
        if found is None or found not in self._record.files.get(name, ()):
            self._refuse(path, "was not written by this program, or was changed since, and would be replaced")
        if self._record.source != self.source and not _same_file(self._record.source, self.source):
            self._refuse(path, f"is a result of {self._record.source} and would be replaced")
        return [found]

    def _refuse(self, path: Path, why: str) -> NoReturn:
        raise InputError(f"{path}: {why}; give another folder by --output, or move that file away")


def _read_record(path: Path) -> _Record:
    """The content of a folder's written.json, empty where there is none. Raises InputError where it is not such a
    record.
    """
    if not os.path.lexists(path):
        return _Record()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _no_record(path) from error
    source, files = (content.get(key) for key in ("source", "files")) if isinstance(content, dict) else (None, None)
    if not (isinstance(source, str) and isinstance(files, dict) and content.get("format") == FORMAT):
        raise _no_record(path)
    if not all(isinstance(hashes, list) and all(isinstance(one, str) for one in hashes) for hashes in files.values()):
        raise _no_record(path)
    return _Record(source, files)


def _no_record(path: Path) -> InputError:
    return InputError(f"{path}: is not the record of results that this program keeps; give another folder by --output")


def _same_file(first: str | Path, second: str | Path) -> bool:
    """Whether both are one file or folder, by any of its names; it need not exist yet."""
    with contextlib.suppress(ValueError):  # a damaged record may hold what cannot be a name
        try:
            return os.path.samefile(first, second)
        except OSError:
            return os.path.realpath(first) == os.path.realpath(second)
    return False


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, the deepest first, as far as they are empty."""
    with contextlib.suppress(OSError):
        for folder in folders:
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()
