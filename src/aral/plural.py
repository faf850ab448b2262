"""Numbers in messages: counts with singular or plural nouns, rough durations."""

from __future__ import annotations


def counted(count: int, one: str, many: str = "") -> str:
    """A count with its noun: ``1 image``, ``2 images``, ``0 images``.

    Args:
        count: how many.
        one: the words after 1; may include the verb, as in ``image is``.
        many: the words after any other number; the default is ``one`` with an s.
    """
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def rough_duration(seconds: float) -> str:
    """A duration in one unit, for estimates: ``5 s``, ``10 min``, ``2.0 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
