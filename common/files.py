"""Files: written so that nothing that existed is lost, and that what a killed process leaves goes at the next start;
fit to be read.

A file is written under its own name in a temporary folder beside its place, and then renamed. That folder, and the
folder of a run that is under way, are locked; the system takes a lock back when its process ends, however it ends.
Where a system or a file system has no such locks, everything works but for this: nothing is swept, and two runs in one
folder are not noticed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # a module's name has no other way to be optional

from common.errors import InputError

TEMPORARY = ".hot-partial-"
"""What the names of temporary folders begin with; eight letters or digits follow."""
RUN_LOCK = "run.lock"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors that nothing but writing meets."""

_locks: set[int] = set()
"""The open files that this process holds locks by."""


def _let_go() -> None:
    """Close in a forked process what it inherited: a loader process that outlives a killed run must not keep its
    lock.
    """
    for handle in _locks:
        os.close(handle)
    _locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path of the same name; when the block ends without an error, that file is moved to `path`.

    Missing parent folders are made. Raises InputError where the folder cannot be written or the disk is full; an error
    of the block that is about something else, such as a file that it reads, passes through.
    """
    path, other = Path(path), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary_folder(path.parent) as folder:
            try:
                yield folder / path.name
            except OSError as error:
                about = [name for name in (error.filename, error.filename2) if name is not None]
                if not (any(os.path.dirname(name) == str(folder) for name in about) if about else error.errno in FULL):
                    other = error
                raise
            (folder / path.name).replace(path)
    except OSError as error:
        if error is other:
            raise
        raise _unwritable(path, error) from error


def require_file(path: str | Path, advice: str) -> Path:
    """`path` as an ordinary file, to be opened for reading: a pipe, a socket or a device may never end.

    Raises InputError, whose sentence ends with `advice`, where it is none or not there.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {advice}") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', error)}); {advice}") from error
    if stat.S_ISDIR(mode):
        raise InputError(f"{path}: is a folder, not a file; {advice}")
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: is a pipe, a socket or a device, not a file; {advice}")
    return path


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` as UTF-8 by a temporary name and a rename."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_writable(path: str | Path) -> None:
    """Raise InputError now where writing `path` later would fail for want of a folder or permission."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the name of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


def sweep(folder: str | Path, name: str | None = None) -> None:
    """Remove the temporary folders that killed processes left in `folder`; those of a process that is alive stay.

    name: only what was to become the file of this name.
    """
    for leftover in Path(folder).glob(f"{TEMPORARY}{'?' * 8}"):
        with contextlib.suppress(OSError):  # taken by its owner, removed by another sweep, or not ours to remove
            handle = _lock(leftover, os.O_RDONLY)
            try:
                files = list(leftover.iterdir())
                if len(files) <= 1 and all(name in (None, file.name) and not file.is_dir() for file in files):
                    shutil.rmtree(leftover)
            finally:
                _unlock(handle)


@contextlib.contextmanager
def only_run(folder: str | Path) -> Iterator[None]:
    """Keep `folder`, which is made where it is missing, for this process until the block ends, and sweep it. A folder
    that was made for nothing goes again.

    Raises InputError where another process has it, it cannot be written, or it holds a file of the lock's name that is
    none.
    """
    path = Path(folder) / RUN_LOCK
    handle, made = None, not os.path.exists(folder)
    if os.path.lexists(path) and not re.fullmatch(r"(a )?process( \d+ on .*)?", _owner(path)):
        raise InputError(
            f"{path}: is not the lock that this program keeps there; give another folder, or move that file away"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _lock_file(path)
    except BlockingIOError:
        raise InputError(
            f"{folder}: another run is under way here ({_owner(path)}); wait until it ends, or give another folder"
        ) from None
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        sweep(folder)
        yield
    finally:
        path.unlink(missing_ok=True)
        _unlock(handle)
        if made:
            with contextlib.suppress(OSError):  # it is not empty
                path.parent.rmdir()


@contextlib.contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    folder, handle = _new_folder(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _unlock(handle)


def _new_folder(parent: Path) -> tuple[Path, int | None]:
    """A new temporary folder and the lock on it, None where there are no locks."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=parent))
        try:
            handle = _lock(folder, os.O_RDONLY)
        except (BlockingIOError, FileNotFoundError):
            continue  # a sweep was faster
        except OSError:
            return folder, None
        if folder.exists():
            return folder, handle
        _unlock(handle)


def _lock_file(path: Path) -> int | None:
    """Make `path` where it is missing, lock it and say in it who did -> the open file, None where there are no locks.

    Raises BlockingIOError where another process has it, and OSError where it cannot be written.
    """
    while True:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o666))
        try:
            handle = _lock(path, os.O_RDWR)
        except FileNotFoundError:
            continue  # its owner has just ended and removed it
        except BlockingIOError:
            raise
        except OSError:
            return None
        if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
            os.truncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
            return handle
        _unlock(handle)


def _owner(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="utf-8") or "a process"
    return "a process"


def _lock(path: Path, flags: int) -> int:
    """Open and lock a file or folder -> the open file. Raises BlockingIOError where another has it, OSError where that
    is not to be had.
    """
    if fcntl is None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    handle = os.open(path, flags)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    _locks.add(handle)
    return handle


def _unlock(handle: int | None) -> None:
    if handle in _locks:
        _locks.remove(handle)
        os.close(handle)


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be written ({error.strerror or error}); choose a folder that you may write to")
