"""Power and family-wise error rate of the rule of verdicts, by simulation.

    python benchmarks/verdict_power.py
    python benchmarks/verdict_power.py --repetitions 200 --out verdict-power.json

A run's score is a seed effect plus a normal residual. The verdicts are those of the code that `aral compare` uses, at
the corrected significance level of 0.05. Each case gives three shares of the repetitions: by the rule; by the paired
t-test of each method alone; and by the pooled deviation without the F test and without the cautious degrees of freedom.
Rows that are kept already are not computed again. The tables of docs/verdicts.md are printed at the end.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from aral import Stream
from aral.benchmarking.statistics import SIGNIFICANCE, holm, t_test
from aral.benchmarking.two_way import Scores, corrected, pair_test, two_way
from kept_rows import KeptRows

DEVIATION = 2.4
"""Residual deviation of a run in percentage points: that of the areas in mnist-grid.json."""

SEED_EFFECT = 1.0
"""Deviation of what all runs of a seed share, in units of the residual deviation."""

RATIO = 4.0
"""How many times the deviation of the others an uneven method has."""

RULES = ("rule", "paired", "pooled only")

SCENARIOS = {
    "equal": "equal deviations",
    "uneven method": "one method with four times the deviation",
    "uneven baseline": "the baseline with four times the deviation",
    "two uneven": "the baseline and one method with four times the deviation",
    "spread": "deviations spread evenly over a factor of four, the baseline's the largest",
    "correlated seeds": "seeds that all methods share strongly: four times the residual deviation",
    "learner seeds": "seed effects of their own for each of two learners, as large as the residual",
    "missing runs": "equal deviations, the last seed of two or three methods missing",
}
"""In each of them no method differs from the baseline, so every verdict of a difference is false."""


@dataclass(frozen=True)
class Case:
    """One simulated experiment.

    Attributes:
        scenario: how the scores are distributed.
        methods: compared with the baseline; the baseline is one more.
        seeds: of each method.
        difference: of the first method, in percentage points; the others are equal to the baseline.
    """

    scenario: str
    methods: int
    seeds: int
    difference: float = 0.0


POWER = (
    Case("equal", 11, 3, -13.0),
    Case("equal", 11, 5, -6.0),
    Case("equal", 11, 10, -6.0),
    Case("uneven method", 11, 3, -13.0),
    Case("uneven method", 11, 5, -6.0),
)
FALSE = tuple(
    Case(scenario, methods, seeds)
    for scenario in SCENARIOS
    for methods in (3, 11)
    for seeds in (3, 5, 9)
    if scenario != "missing runs" or seeds > 3
)


def scores_of(case: Case, draw: np.random.Generator) -> dict[str, dict[int, float]]:
    """Scores of one repetition by method and seed; the baseline is the method "0"."""
    shape = (case.methods + 1, case.seeds)
    deviations = np.ones(shape[0])
    if case.scenario in ("uneven method", "two uneven"):
        deviations[-1] = RATIO
    if case.scenario in ("uneven baseline", "two uneven"):
        deviations[0] = RATIO
    if case.scenario == "spread":
        deviations = np.geomspace(RATIO, 1.0, shape[0])
    effect = 4.0 if case.scenario == "correlated seeds" else SEED_EFFECT
    values = deviations[:, None] * draw.normal(size=shape) + effect * draw.normal(size=case.seeds)
    if case.scenario == "learner seeds":
        values += draw.normal(size=(2, case.seeds))[np.arange(shape[0]) % 2]
    values *= DEVIATION
    values[1] += case.difference
    missing = range(1, min(4, case.methods)) if case.scenario == "missing runs" else ()
    return {
        str(row): {
            seed: float(value)
            for seed, value in enumerate(values[row])
            if row not in missing or seed < case.seeds - 1
        }
        for row in range(shape[0])
    }


def found(scores: Scores) -> dict[str, list[bool]]:
    """Whether each method is found to differ from the baseline, by each of the three rules."""
    layout = two_way(scores)
    tests = [test for name in list(scores)[1:] if (test := pair_test(scores, layout, name, "0"))]
    values = np.array(
        [list(by_seed.values()) for by_seed in scores.values() if len(by_seed) == len(scores["0"])]
    )
    residuals = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    degrees = float((values.shape[0] - 1) * (values.shape[1] - 1))
    deviation = math.sqrt(2 * float((residuals**2).sum()) / degrees)
    plain = [t_test(test.paired.mean, deviation, test.paired.count, degrees).p for test in tests]
    p_values = {
        "rule": corrected([test.deciding for test in tests]),
        "paired": corrected([test.paired.t_test for test in tests]),
        "pooled only": holm(plain),
    }
    return {rule: [p < SIGNIFICANCE for p in values] for rule, values in p_values.items()}


def simulate(case: Case, repetitions: int, seed: int) -> dict[str, float]:
    """For each rule the share of repetitions in which it finds the difference, or, without one, any."""
    draw = Stream.root(seed).child(repr(asdict(case))).numpy()
    counts = dict.fromkeys(RULES, 0)
    for _ in range(repetitions):
        for rule, differs in found(scores_of(case, draw)).items():
            counts[rule] += differs[0] if case.difference else any(differs)
    return {rule: round(count / repetitions, 4) for rule, count in counts.items()}


def power_table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: how often a true difference is found, in %."""
    lines = [
        "| deviations | seeds | difference, points | verdict | paired t-test alone | pooled without protection |"
    ]
    lines.append("|---|---|---|---|---|---|")
    for row in rows:
        if row["difference"]:
            shares = (f"{100 * row[rule]:.0f} %" for rule in RULES)
            words = "equal" if row["scenario"] == "equal" else "another method's four times as large"
            lines.append(f"| {words} | {row['seeds']} | −{-row['difference']:g} | {' | '.join(shares)} |")
    return "\n".join(lines)


def false_table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: in each scenario the highest family-wise error rate of the rules over numbers of methods and seeds."""
    lines = ["| scores | verdicts | paired t-tests alone | pooled without protection |"]
    lines.append("|---|---|---|---|")
    for scenario, words in SCENARIOS.items():
        own = [row for row in rows if row["scenario"] == scenario and not row["difference"]]
        if own:
            shares = (f"{max(row[rule] for row in own):.3f}" for rule in RULES)
            lines.append(f"| {words} | {' | '.join(shares)} |")
    return "\n".join(lines)


def main() -> None:
    """Simulate the cases that are not kept yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="verdict_power", help="name of the file of rows, or a path of one")
    arguments = parser.parse_args()
    kept = KeptRows(arguments.out)
    for case in (*POWER, *FALSE):
        key = {**asdict(case), "seed": arguments.seed, "repetitions": arguments.repetitions}
        if not kept.has(key):
            kept.keep(key, simulate(case, arguments.repetitions, arguments.seed))
    print(power_table(kept.rows), false_table(kept.rows), sep="\n\n")


if __name__ == "__main__":
    main()
