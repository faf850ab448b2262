"""Rows and files that an import leaves out, and how they are listed on one screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from aral.plural import counted

MOST_REASONS, MOST_NAMED = 6, 3
"""Reasons, and rows of each, that are listed; the others are counted."""

MOST_CHARACTERS = 100


@dataclass(frozen=True)
class Rejected:
    """A row or file that is not imported.

    Attributes:
        path: of the image, as the source has it.
        reason: why, as part of a sentence; the same for all rows of a kind.
        detail: what only this row has, such as its label or its line; may be empty.
    """

    path: str
    reason: str
    detail: str = ""


def reason_counts(rejected: Sequence[Rejected]) -> dict[str, int]:
    """How many rows there are of each reason, the most frequent first."""
    return dict(Counter(each.reason for each in rejected).most_common())


def rejection_lines(rejected: Sequence[Rejected]) -> list[str]:
    """A sentence for each of the most frequent reasons: how many rows, the first by name, the number of the rest."""
    reasons = list(reason_counts(rejected).items())
    lines = []
    for reason, count in reasons[:MOST_REASONS]:
        named = [_named(each) for each in rejected if each.reason == reason][:MOST_NAMED]
        rest = f" and {count - len(named)} more" if count > len(named) else ""
        lines.append(
            f"{counted(count, 'row was', 'rows were')} not imported, because {reason}: {', '.join(named)}{rest}"
        )
    left = reasons[MOST_REASONS:]
    if left:
        rows = counted(sum(count for _, count in left), "more row was", "more rows were")
        lines.append(f"{rows} not imported, for {counted(len(left), 'other reason')} (--json lists all).")
    return lines


def _named(rejected: Rejected) -> str:
    detail = f" ({_short(rejected.detail)})" if rejected.detail else ""
    return f"{_short(repr(rejected.path))}{detail}"


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"
