"""What a comparison finds, as typed rows.

Accuracies, areas and their differences are shares of the test images, in [0, 1] and [−1, 1]; a difference is
method minus baseline of one seed, because runs of one seed start from the same first labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from aral.reports.labels import LabelsNeeded
from aral.reports.statistics import Interval, PairedTest
from aral.reports.tables import CurvePoint

MARGIN = 0.005
"""Half a point: a smaller difference of accuracy is not worth having."""


class Verdict(Enum):
    """The answer to "better than the baseline?"."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference worth having"
    CANNOT_TELL = "cannot tell"


class Measure(Enum):
    """What of a learning curve is compared; the area is the main one, settled before any run."""

    AREA = "area"
    FINAL = "final accuracy"


@dataclass(frozen=True)
class VerdictRow:
    """One method against its baseline in one measure.

    Attributes:
        method: the method.
        baseline: what it is compared with.
        measure: what is compared.
        seeds: the seeds that both have, ascending.
        span: smallest and largest number of labels that all these runs cover; None without such a range.
        test: the paired differences; None if there are none.
        corrected_t_p: p-value of the t-test, corrected after Holm over the methods; None below three seeds.
        corrected_flip_p: that of the sign-flip test.
        verdict: the answer.
        seeds_needed: seeds that would settle it; None if it is settled, if there are fewer than three, or
            if more than a thousand were needed.
        other_starts: seeds whose two runs did not start from the same first labels.
    """

    method: str
    baseline: str
    measure: Measure
    seeds: tuple[int, ...]
    span: tuple[int, int] | None
    test: PairedTest | None
    corrected_t_p: float | None
    corrected_flip_p: float | None
    verdict: Verdict
    seeds_needed: int | None
    other_starts: tuple[int, ...]


@dataclass(frozen=True)
class TargetRow:
    """Labels that the mean curves of a method and its baseline need for a target accuracy.

    Attributes:
        method: the method.
        baseline: what it is compared with.
        target: the accuracy, in [0, 1].
        seeds: how many seeds both have; the curves are means over these.
        needed: labels the method needs.
        baseline_needed: labels the baseline needs.
        saved: labels saved against the baseline, as far as known.
        runs_reaching: how many single runs of the method reach the target.
        baseline_runs_reaching: how many of the baseline's do.
    """

    method: str
    baseline: str
    target: float
    seeds: int
    needed: LabelsNeeded
    baseline_needed: LabelsNeeded
    saved: Interval
    runs_reaching: int
    baseline_runs_reaching: int


@dataclass(frozen=True)
class RunRow:
    """Figures of one run: labels of its first and last round, area between them, accuracy at the end."""

    run: str
    method: str
    seed: int
    first: int
    last: int
    area: float
    final: float


@dataclass(frozen=True)
class Wins:
    """The pairwise penalty matrix.

    Attributes:
        methods: names of the rows and of the columns.
        shares: entry i, j is the share of the numbers of labels at which method i is significantly better
            than method j; None where they cannot be compared.
    """

    methods: tuple[str, ...]
    shares: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Verdicts:
    """All that a comparison says beside its curves.

    Attributes:
        rows: one a method and measure, methods in order of appearance, the area first.
        targets: one a method and target accuracy.
        unjudged: methods that have no baseline here and are none themselves.
        points: mean curves with their intervals.
        runs: one a run that has an accuracy.
        wins: the pairwise penalty matrix.
    """

    rows: tuple[VerdictRow, ...]
    targets: tuple[TargetRow, ...]
    unjudged: tuple[str, ...]
    points: tuple[CurvePoint, ...]
    runs: tuple[RunRow, ...]
    wins: Wins
