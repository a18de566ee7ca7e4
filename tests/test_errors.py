"""How programs end: bad input, signals, closed pipes and terminals that cannot print a name are no tracebacks; bugs
are.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.errors import InputError
from common.files import RUN_LOCK, only_run, replacing

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and pipes of POSIX")


def heed_signals() -> None:
    """For a new process: programs that a shell starts in the background or by nohup, as these tests may be, ignore
    signals.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def start(body: str, **options: object) -> subprocess.Popen:
    """A program whose main() has this body."""
    lines = [
        "import os, sys, tempfile, time",
        "from common.errors import InputError, exit_on_input_error",
        "def main():",
    ]
    lines += [f"    {line}" for line in body.splitlines()] + ["exit_on_input_error(main)"]
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": ROOT, "preexec_fn": heed_signals} | options
    return subprocess.Popen([sys.executable, "-c", "\n".join(lines)], **settings)


def run(body: str, **options: object) -> tuple[int, bytes, bytes]:
    """Exit code, standard output and standard error."""
    process = start(body, **options)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_only_bad_input_is_a_sentence() -> None:
    assert run("print('done')") == (0, b"done\n", b"")
    assert run("raise InputError('a.npz: is empty')") == (2, b"", b"error: a.npz: is empty\n")
    assert run("raise SystemExit(7)") == (7, b"", b"")
    code, _, err = run("raise ZeroDivisionError('a bug')")
    assert code == 1
    assert err.startswith(b"Traceback")
    assert err.endswith(b"ZeroDivisionError: a bug\n")


def test_a_sentence_is_one_line_whatever_the_name() -> None:
    code, _, err = run(r"raise InputError('a\nb\x1b[31m\udce9.npz: is empty')")
    assert (code, err) == (2, rb"error: a\nb\x1b[31m\udce9.npz: is empty" + b"\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_a_sentence_and_leaves_no_temporary_file(number: signal.Signals, tmp_path: Path) -> None:
    body = (
        f"with tempfile.NamedTemporaryFile(dir={str(tmp_path)!r}):\n    print('ready', flush=True)\n    time.sleep(60)"
    )
    process = start(body)
    assert process.stdout.readline() == b"ready\n"
    assert len(list(tmp_path.iterdir())) == 1
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert err.startswith(b"stopped by ")
    assert err.count(b"\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    process = start("print('ready', flush=True)\nprint(sys.stdin.read())", stdin=subprocess.PIPE,
                    preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))  # fmt: skip
    assert process.stdout.readline() == b"ready\n"  # as under nohup
    process.send_signal(signal.SIGHUP)
    time.sleep(0.1)
    out, err = process.communicate(b"went on", timeout=20)
    assert (process.returncode, out, err) == (0, b"went on\n", b"")


def test_a_helper_process_says_nothing() -> None:
    body = (
        "child = os.fork()\nif not child:\n    time.sleep(60)\n"
        "time.sleep(0.2)\nos.kill(child, 15)\nprint(os.waitpid(child, 0)[1] >> 8)"
    )
    assert run(body) == (0, b"143\n", b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "body", ["print('x' * 10**6)", "for i in range(10**4): print(i, flush=True)", "print('x')\nraise SystemExit(0)"]
)
def test_a_closed_pipe_is_no_traceback(body: str, unbuffered: str) -> None:
    reading, writing = os.pipe()
    process = start(body, stdout=writing, env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
    os.close(writing)
    os.close(reading)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (128 + signal.SIGPIPE, b"")


def test_another_broken_pipe_is_a_bug() -> None:
    code, _, err = run("raise BrokenPipeError(32, 'a loader process is gone')")
    assert code == 1
    assert b"Traceback" in err
    assert err.endswith(b"a loader process is gone\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_under_the_output_is_a_sentence() -> None:
    with open("/dev/full", "w") as full:
        code, _, err = run("print('x')", stdout=full)
    assert (code, err) == (2, b"error: standard output cannot be written (No space left on device)\n")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8", "ascii:strict", "utf-8:strict"])
def test_any_name_can_be_printed(encoding: str) -> None:
    code, out, err = run(r"print('\u1e9e\udce9 \u6771 is written')", env=os.environ | {"PYTHONIOENCODING": encoding})
    assert (code, err) == (0, b"")
    assert b"\\udce9" in out
    assert out.endswith(b" is written\n")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (PermissionError(errno.EACCES, "Permission denied", "{temporary}"), True),
        (OSError(errno.EIO, "Input/output error"), False),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "source.npz"), False),
        (OSError(errno.ENOSPC, "No space left on device", "/tmp/elsewhere"), False),
    ],
)
def test_an_error_of_reading_is_not_one_of_writing(error: OSError, told: bool, tmp_path: Path) -> None:
    def write() -> None:
        with replacing(tmp_path / "a.npz") as temporary:
            if error.filename == "{temporary}":
                error.filename = str(temporary)
            raise error

    with pytest.raises(InputError if told else type(error)) as caught:
        write()
    assert ("a.npz: cannot be written" in str(caught.value)) == told
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_called_like_the_lock_of_a_folder_stays(tmp_path: Path) -> None:
    (tmp_path / RUN_LOCK).write_text("mine")
    with pytest.raises(InputError, match="is not the lock that this program keeps there"), only_run(tmp_path):
        pass
    assert (tmp_path / RUN_LOCK).read_text() == "mine"
    for left in ("", "process 7 on host"):  # by one that was killed
        (tmp_path / RUN_LOCK).write_text(left)
        with only_run(tmp_path):
            pass
