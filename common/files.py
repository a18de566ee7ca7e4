"""Writing files so that nothing that existed is lost: a temporary name first, then a rename. And what may be read."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from common.errors import InputError


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends without an error it is renamed to `path`.

    Missing parent folders are made. Raises InputError where the folder cannot be written or the disk is full.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes private files; this one is an ordinary result
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); choose a folder that you may write to") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


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
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); choose a folder that you may write to") from error
