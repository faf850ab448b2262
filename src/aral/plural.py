"""Counts with singular or plural nouns, for messages."""

from __future__ import annotations


def counted(count: int, one: str, many: str = "") -> str:
    """A count with its noun: ``1 image``, ``2 images``, ``0 images``.

    Args:
        count: how many.
        one: the words after 1; may include the verb, as in ``image is``.
        many: the words after any other number; the default is ``one`` with an s.
    """
    return f"{count} {one if count == 1 else many or f'{one}s'}"
