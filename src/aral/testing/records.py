"""Records of runs in memory, for tests of comparisons and reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aral.benchmarking import DataRecord, RoundRecord, RunRecord
from aral.types import Selection


def run_record(
    method: str,
    seed: int,
    accuracies: Sequence[float | None],
    labelled: Sequence[int] = (10, 20, 30),
    first_ids: Sequence[int] | None = None,
) -> RunRecord:
    """A run with one accuracy for each round.

    Args:
        method: ``learner+acquisition``.
        seed: the seed.
        accuracies: test accuracy of each round, in [0, 1]; None for a round without.
        labelled: numbers of labels, one for each round.
        first_ids: images of the first query; None: not recorded.
    """
    rounds = tuple(
        RoundRecord(
            round=number,
            labelled=count,
            stage=None,
            numbers={} if accuracy is None else {"accuracy": accuracy},
            losses={},
            confusion=None,
            selection=None if first_ids is None or number else _query(first_ids),
            answers={},
        )
        for number, (accuracy, count) in enumerate(zip(accuracies, labelled, strict=True))
    )
    return RunRecord(
        name=f"{method}-{seed}",
        folder=Path("nowhere"),
        data=DataRecord("shapes"),
        method=method,
        seed=seed,
        budget=None,
        rounds=rounds,
        events=(),
        settings=None,
    )


def runs_with_gains(
    gains: Sequence[float],
    method: str = "supervised+badge",
    baseline: str = "supervised+random",
    accuracies: Sequence[float] = (0.5, 0.625, 0.75),
) -> list[RunRecord]:
    """For each gain a seed with two runs; in all rounds the method is better than the baseline by the gain.

    Args:
        gains: added to the baseline's accuracies, one for each seed.
        method: the method.
        baseline: the baseline.
        accuracies: of the baseline, one for each round.
    """
    return [
        run
        for seed, gain in enumerate(gains)
        for run in (
            run_record(baseline, seed, accuracies),
            run_record(method, seed, [value + gain for value in accuracies]),
        )
    ]


def _query(ids: Sequence[int]) -> Selection:
    return Selection(np.array(ids), np.arange(len(ids), dtype=np.float64), "random", ("",) * len(ids))
