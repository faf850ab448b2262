"""Today's names of methods in rows that were kept under earlier ones.

Files in benchmarks/results are never rewritten. Rows or files written since the methods were renamed have the key
``names``; in all others, what is now ``graph-ssl`` is called ``aral``, and the paper's method ``aral-paper`` or
``aral-released``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES = 2
"""Value of the key ``names`` in new rows and files."""

LEARNERS = {
    "aral": "graph-ssl",
    "aral-released": "aral:released",
    "aral-paper": "aral",
    "aral-no-active": "aral:released,no-sampler",
    "aral-no-encoder": "aral:released,no-encoder",
    "aral-paper-no-active": "aral:no-sampler",
    "aral-paper-no-encoder": "aral:no-encoder",
    "generated-only": "aral:generated-only",
    "consistency": "fixmatch",
}
ACQUISITIONS = {"typical-groups": "typical-clusters"}


def current_name(method: str, *kept: Mapping[str, Any]) -> str:
    """The name that a method of a row has today.

    Args:
        method: as it stands in the row, ``learner`` or ``learner+acquisition``.
        kept: the row, its file, or both; one of them has the key ``names`` if the name is today's.
    """
    if any("names" in each for each in kept):
        return method
    learner, plus, acquisition = method.partition("+")
    return LEARNERS.get(learner, learner) + plus + ACQUISITIONS.get(acquisition, acquisition)
