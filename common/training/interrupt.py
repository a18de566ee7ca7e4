"""Signals that would end a training wait until the batch or the save that is under way is done."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class Stopped(Exception):
    """The run was told to stop by a signal; raised between two batches."""


class Signals:
    """The last signal that came while `noted`; 0: none."""

    def __init__(self) -> None:
        self.number = 0

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Inside, signals that would end the process are noted only, however many come."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        # Windows has no SIGHUP, and under nohup it is ignored.
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        previous = {number: signal.signal(number, self._note) for number in numbers}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _note(self, number: int, _: object) -> None:
        self.number = number

    def until_one(self, items: Iterable[Item]) -> Iterator[Item]:
        """Pass batches, or clips, on. Raises Stopped before the next one once a signal has come."""
        for item in items:
            if self.number:
                raise Stopped
            yield item
        if self.number:
            raise Stopped
