"""Every metric of the methods of a comparison at the end of their runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aral.benchmarking.records import METRICS, RECALL, RoundRecord, RunRecord


@dataclass(frozen=True)
class EndRow:
    """One metric of a method in the last evaluated round of its runs.

    Attributes:
        method: the method.
        metric: one of :data:`aral.benchmarking.METRICS`, or ``recall of CLASS``.
        mean: over the seeds, in [0, 1].
        deviation: sample standard deviation over the seeds; None for a single seed.
        seeds: how many runs have it.
        labelled: the smallest and the largest number of labels of these runs in that round.
    """

    method: str
    metric: str
    mean: float
    deviation: float | None
    seeds: int
    labelled: tuple[int, int]


def end_rows(records: Sequence[RunRecord]) -> tuple[EndRow, ...]:
    """Metrics of the last evaluated rounds: methods in order of appearance, recalls after the others."""
    ends: dict[str, list[RoundRecord]] = defaultdict(list)
    for record in records:
        if record.last_evaluated is not None:
            ends[record.method].append(record.last_evaluated)
    recalls = dict.fromkeys(
        f"{RECALL}{name}" for rounds in ends.values() for each in rounds for name in each.recalls
    )
    return tuple(
        _end_row(method, metric, found)
        for method, rounds in ends.items()
        for metric in (*METRICS, *recalls)
        if (found := [each for each in rounds if each.metric(metric) is not None])
    )


def _end_row(method: str, metric: str, rounds: Sequence[RoundRecord]) -> EndRow:
    values = np.array([each.metric(metric) for each in rounds], dtype=np.float64)
    labelled = [each.labelled for each in rounds]
    deviation = float(values.std(ddof=1)) if values.size > 1 else None
    return EndRow(
        method, metric, float(values.mean()), deviation, values.size, (min(labelled), max(labelled))
    )
