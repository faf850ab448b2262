"""Ctrl+C, SIGTERM and SIGHUP ask a command to stop at the next safe point; a second Ctrl+C stops at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_received: list[int] = []
"""Signals since the last block began; like signal handlers, one list per process."""


@contextmanager
def stopping_on_signals() -> Iterator[Callable[[], bool]]:
    """Handle signals within the block; yields a function that tells whether one has been received."""
    _received.clear()

    def note(number: int, frame: FrameType | None) -> None:
        if _received and number == signal.SIGINT:
            raise KeyboardInterrupt
        _received.append(number)

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield lambda: bool(_received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code_of_signal() -> int:
    """128 plus the number of the first signal that was received, as shells do; 0 if none was."""
    return 128 + _received[0] if _received else 0
