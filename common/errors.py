"""The one error that becomes a sentence for the user."""

from __future__ import annotations

import sys
from collections.abc import Callable


class InputError(Exception):
    """Something that the user gave (a flag, a file, a field) cannot be used.

    The message is one sentence: the file and field, what is wrong, what to do. Entry points print it on stderr and exit
    with code 2; every other exception is a bug and keeps its traceback.
    """


def exit_on_input_error(main: Callable[[], object]) -> None:
    """Run `main` as an entry point: an InputError is printed on stderr and ends the program with exit code 2."""
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
