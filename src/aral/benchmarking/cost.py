"""About how many seconds a run takes, where that was measured, and how many seeds are compared by default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aral.benchmarking.grid import Unit
from aral.benchmarking.methods import Method
from aral.benchmarking.spec import RunSpec, resolve
from aral.plural import counted

SEEDS = 5
"""Compared by default."""

SEEDS_IF_CHEAP = 10
"""Compared by default if every run takes less than :data:`CHEAP_SECONDS`."""

CHEAP_SECONDS = 60.0


@dataclass(frozen=True)
class RunSeconds:
    """Processor seconds of a run with a preset's settings, on one thread.

    Attributes:
        start: once, with pretraining and the first query.
        round: of each round: query, training and evaluation.
    """

    start: float
    round: float


MEASURED: Mapping[tuple[str, str], RunSeconds] = {
    ("digits", "supervised"): RunSeconds(start=3.9, round=1.8),
    ("digits", "graph-ssl"): RunSeconds(start=26.2, round=6.3),
}
"""By data set and learner; measured by benchmarks/run_seconds.py. Runs of the other presets take minutes to hours."""


@dataclass(frozen=True)
class DefaultSeeds:
    """How many seeds are compared, and why.

    Attributes:
        count: number of seeds.
        reason: one sentence for the terminal.
    """

    count: int
    reason: str


def estimated_seconds(spec: RunSpec) -> float | None:
    """Seconds of a run by the measured ones, with its own number of rounds and of training steps.

    Other strategies are taken to query as fast as the learner's usual one, and variants of a learner to train as fast.

    Returns:
        None if its data set and learner were not measured, or if other settings of the learner are not the preset's.
    """
    measured = MEASURED.get((spec.data, spec.learner.name))
    if measured is None:
        return None
    preset = resolve(spec.data, Method(spec.learner.title, spec.acquisition)).learner
    own_steps, steps = spec.learner.training.steps, preset.training.steps
    training = spec.learner.training.model_copy(update={"steps": steps})
    if spec.learner.model_copy(update={"training": training}) != preset:
        return None
    return measured.start + spec.round_count() * measured.round * own_steps / steps


def default_seeds(units: Iterable[Unit]) -> DefaultSeeds:
    """Ten where every run is known to take less than a minute, else five.

    The number follows from the specification alone, so a command that resumes a grid compares the same seeds.

    Args:
        units: of one seed, a unit for each method.
    """
    seconds = {unit.spec.method: estimated_seconds(unit.spec) for unit in units}
    unknown = [str(method) for method, each in seconds.items() if each is None]
    known = {method: each for method, each in seconds.items() if each is not None}
    if unknown:
        reason = f"the seconds of a run of {unknown[0]} with these settings were not measured"
        return DefaultSeeds(SEEDS, f"{SEEDS} seeds by default: {reason}.")
    slowest = max(known, key=lambda method: known[method])
    cheap = known[slowest] < CHEAP_SECONDS
    count = SEEDS_IF_CHEAP if cheap else SEEDS
    bound = f"{'less' if cheap else 'more'} than a minute"
    reason = f"a run of {slowest} takes about {known[slowest]:.0f} s of one processor core, {bound}"
    return DefaultSeeds(count, f"{counted(count, 'seed')} by default: {reason}.")
