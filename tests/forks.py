"""Forked processes, for tests of locks, kills and crashes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable


def forked(work: Callable[[], object]) -> int:
    """Run ``work`` in a forked process and give its number; the process ends with 0, or with 1 on an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of fork beside threads; the child starts none
        child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def status_of(work: Callable[[], object]) -> int:
    """Wait status of a forked process that ran ``work``, as :func:`os.waitpid` gives it."""
    return os.waitpid(forked(work), 0)[1]
