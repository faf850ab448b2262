"""Ctrl+C and SIGTERM ask a run to stop at the next safe point; a second Ctrl+C stops at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_asked: list[int] = []
"""Signals of the newest block; like their handlers, they belong to the whole process."""


@contextmanager
def stopping_on_signals() -> Iterator[Callable[[], bool]]:
    """Within the block, gives a function that says whether a signal has asked to stop."""
    _asked.clear()

    def note(number: int, frame: FrameType | None) -> None:
        if _asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        _asked.append(number)

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield lambda: bool(_asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code_of_signal() -> int:
    """128 and the number of the signal that has asked to stop, as shells have it; 0 when none has."""
    return 128 + _asked[0] if _asked else 0
