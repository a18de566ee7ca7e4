"""How a program ends: one sentence for what the user gave wrongly or stopped, and a traceback for bugs only."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn, TextIO


class InputError(Exception):
    """Something that the user gave (a flag, a file, a field) cannot be used.

    The message is one sentence: the file and field, what is wrong, what to do. Entry points print it on stderr and exit
    with code 2; every other exception is a bug and keeps its traceback.
    """


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are InputErrors."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


class Terminated(BaseException):
    """The program was told to end by the signal `number`; raised in the main thread, so that temporary files go on the
    way out.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def exit_on_input_error(main: Callable[[], object]) -> None:
    """Run `main` as an entry point.

    An InputError is printed on stderr and ends the program with exit code 2. Ctrl-C, SIGTERM and SIGHUP end it with one
    sentence and 128 + the signal's number, after every `finally` and `with` block that is open. If nobody reads
    standard output any more (`| head`), the program ends without a word, as if by SIGPIPE. A character that standard
    output cannot encode is shown as an escape sequence.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            with _signals_raised():
                main()
        except InputError as error:
            print(f"error: {_on_one_line(str(error))}", file=sys.stderr)
            raise SystemExit(2) from None
        except KeyboardInterrupt:
            atexit.register(
                signal.signal, signal.SIGINT, signal.SIG_IGN
            )  # a second one would meet Python's own clearing up
            print("stopped by Ctrl-C", file=sys.stderr)
            raise SystemExit(128 + signal.SIGINT) from None
        except Terminated as end:
            print(f"stopped by {signal.Signals(end.number).name}", file=sys.stderr)
            raise SystemExit(128 + end.number) from None
        finally:
            print(end="", flush=True)  # now, where an error can still be dealt with
    except OSError as error:
        if error.errno != _write_error(sys.stdout) and error.errno != _write_error(sys.stderr):
            raise
        if isinstance(error, BrokenPipeError):
            raise SystemExit(128 + 13) from None  # SIGPIPE, which Windows does not have
        print(f"error: standard output cannot be written ({error.strerror})", file=sys.stderr)
        raise SystemExit(2) from None


@contextlib.contextmanager
def _signals_raised() -> Iterator[None]:
    """Raise Terminated where a signal would end the process on the spot; one that is ignored or handled already stays
    so.
    """
    process = os.getpid()

    def end(number: int, _: FrameType | None) -> None:
        if os.getpid() != process:  # a helper process that was forked off: it has nothing to say
            os._exit(128 + number)
        raise Terminated(number)

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has no SIGHUP
    numbers = [
        number for number in map(signal.Signals.__getitem__, names) if signal.getsignal(number) == signal.SIG_DFL
    ]
    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _on_one_line(text: str) -> str:
    """The text with everything that does not print, such as a line break in the name of a file, as an escape
    sequence.
    """
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def _write_error(stream: TextIO | None) -> int | None:
    """The number of the error that a line break meets on its way out, None if it gets there. A stream with an error is
    dropped.
    """
    try:
        print(file=stream, flush=True)
    except OSError as error:
        assert stream is not None  # printing to nothing meets no error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        return error.errno
    return None
