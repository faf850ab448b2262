"""How long a run or a grid will take on this machine: by units that were run before, else by a few training steps."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from aral.acquisition import is_user_defined, make_acquisition
from aral.benchmarking.grid import Unit
from aral.benchmarking.hardware import processors
from aral.benchmarking.methods import make_learner
from aral.benchmarking.records import RunRecord, read_run
from aral.benchmarking.runs import load_data
from aral.benchmarking.spec import RunSpec, is_own_file
from aral.data import NAMES, DataSet
from aral.errors import AralError
from aral.learners import Learner
from aral.loop import Stage
from aral.plural import counted, rough_duration
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet

STEPS = 4
"""Training steps that are timed, after one that is not."""

ENOUGH_SECONDS = 2.0
"""No further step is timed after these."""

IMAGES = 500
"""Of the pool, with which steps and predictions are timed."""

CLASSES = 10
"""Of images that are not read for the estimate."""

_STREAM = Stream.root(0).child("time estimate")


@dataclass(frozen=True)
class TimeEstimate:
    """About how long units take, one after the other and on several processes.

    Attributes:
        seconds: of all units that are not finished, one after the other; None if no method could be timed.
        wall_seconds: the same divided by the number of units at once.
        workers: units at once.
        by_method: seconds of a whole run of each method that could be timed.
        basis: what was timed, in words.
        unknown: methods that could not be timed, with the reason; they are not in ``seconds``.
    """

    seconds: float | None
    wall_seconds: float | None
    workers: int
    by_method: dict[str, float]
    basis: str
    unknown: dict[str, str]

    def in_words(self) -> str:
        """One line for the terminal."""
        if self.wall_seconds is None:
            reason = next(iter(self.unknown.values()), "nothing is left to run")
            return f"Time: not known ({reason})"
        at_once = f", {counted(self.workers, 'unit')} at once" if self.workers > 1 else ""
        without = f", without {', '.join(self.unknown)}" if self.unknown else ""
        return f"Time: about {rough_duration(self.wall_seconds)}{at_once}{without}, by {self.basis}."


def estimate_time(
    units: Sequence[Unit],
    folder_of: Callable[[Unit], Path],
    workers: int | None = None,
    root: Path | None = None,
) -> TimeEstimate:
    """Time of units from what the machine did before, or does now.

    A method of which a round was run in the folders is timed by its rounds. Otherwise a learner is made and a few
    training steps and predictions are timed, with the data where they are quickly there (named sets but ImageNet,
    arrays), else with random numbers of their size. What else the machine does meanwhile counts. Reading images,
    features of a backbone, and acquisitions beyond their predictions are not included.

    Args:
        units: to run.
        folder_of: the run folder of each.
        workers: units at once; None: as many as there are processors for.
        root: the folder with data sets.
    """
    records = {unit.name: _record(folder_of(unit)) for unit in units}
    by_method, basis, unknown = _by_records(units, records), set(), {}
    if by_method:
        basis.add("earlier rounds")
    data: dict[str, DataSet] = {}
    for unit in units:
        method = str(unit.spec.method)
        if method in by_method or method in unknown:
            continue
        try:
            by_method[method] = _timed(unit.spec, root, data)
            basis.add("a few training steps at the present load")
        except AralError as error:
            unknown[method] = error.problem.partition("\n")[0].removesuffix(" Searched:")
    left = [
        by_method[str(unit.spec.method)] * (1 - _done(unit.spec, records[unit.name]))
        for unit in units
        if str(unit.spec.method) in by_method
    ]
    at_once = max(1, min(workers or processors() // units[0].spec.threads, len(units)))
    seconds = sum(left) if left else None
    wall = None if seconds is None else max(seconds / at_once, max(left))
    words = " and ".join(sorted(basis)) or "nothing"
    return TimeEstimate(seconds, wall, at_once, by_method, words, unknown)


def _record(folder: Path) -> RunRecord | None:
    try:
        return read_run(folder)
    except AralError:  # not begun, or damaged
        return None


def _by_records(units: Iterable[Unit], records: dict[str, RunRecord | None]) -> dict[str, float]:
    """Seconds of a whole run of each method with a finished round, by the mean of its rounds."""
    found: dict[str, list[float]] = defaultdict(list)
    for unit in units:
        record = records[unit.name]
        rounds = [each for each in record.rounds if each.stage is Stage.EVALUATED] if record else []
        if record and rounds:
            mean = sum(each.seconds for each in rounds) / len(rounds)
            found[str(unit.spec.method)].append(record.pretraining_seconds + mean * unit.spec.round_count())
    return {method: sum(each) / len(each) for method, each in found.items()}


def _done(spec: RunSpec, record: RunRecord | None) -> float:
    """The share of the rounds that is finished."""
    done = sum(each.stage is Stage.EVALUATED for each in record.rounds) if record else 0
    return min(1.0, done / spec.round_count())


def _timed(spec: RunSpec, root: Path | None, known: dict[str, DataSet]) -> float:
    """Seconds of a whole run of one method."""
    if spec.data not in known:
        known[spec.data] = _data(spec, root)
    data = known[spec.data]
    threads = torch.get_num_threads()
    torch.set_num_threads(spec.threads)
    try:
        return _seconds(spec, data)
    finally:
        torch.set_num_threads(threads)


def _data(spec: RunSpec, root: Path | None) -> DataSet:
    """The data, where they are quickly there, or random numbers of their size."""
    chosen = spec.representation
    quick = (
        spec.arrays is not None or (spec.data in NAMES and spec.data != "imagenet") or is_own_file(spec.data)
    )
    if quick and (chosen.is_pixels or spec.arrays is not None):
        return load_data(spec, root)
    draw = _STREAM.numpy()
    if chosen.is_pixels:
        pixels = torch.from_numpy(draw.integers(0, 256, (IMAGES, 3, spec.side, spec.side), dtype=np.uint8))
    else:
        size = (IMAGES, chosen.components or 1000, 1, 1)
        pixels = torch.from_numpy(draw.standard_normal(size, dtype=np.float32))
    classes = np.arange(IMAGES, dtype=np.int64) % CLASSES
    images = ImageSet.of(pixels)
    names = tuple(str(number) for number in range(CLASSES))
    return DataSet("random numbers", images, classes, LabelledSet(images, classes, CLASSES), names)


def _seconds(spec: RunSpec, data: DataSet) -> float:
    pool_size, test_size = len(data.pool), len(data.test)
    data = data.limited(min(IMAGES, pool_size), 1, _STREAM)
    learner = make_learner(spec.learner, data.pool, data.class_count, _STREAM, spec.device)
    learner.set_pool(data.pool, _STREAM)
    total = 0.0
    if learner.pretraining_steps:
        learner.start_pretraining(_STREAM)
        total += learner.pretraining_steps * _step_seconds(learner, learner.pretraining_steps)
    count = min(max(spec.rounds.query_size, data.class_count), len(data.pool) // 2)
    ids = np.sort(np.argsort(_STREAM.uniform(data.pool.ids))[:count]).astype(np.int64)
    labelled = LabelledSet(data.pool.subset(ids), data.pool_classes[ids], data.class_count)
    learner.set_labels(labelled)
    learner.start_round(0, labelled, data.pool.without(ids), _STREAM)
    round_seconds = learner.steps_per_round * _step_seconds(learner, learner.steps_per_round)
    if not is_user_defined(spec.acquisition):
        needs = make_acquisition(spec.acquisition).needs
        started = time.perf_counter()
        learner.predict(data.pool, needs, _STREAM)
        a_query = (time.perf_counter() - started) / len(data.pool) * (pool_size + test_size)
        round_seconds += a_query
    return total + spec.round_count(pool_size) * round_seconds


def _step_seconds(learner: Learner, most: int) -> float:
    """Mean seconds of a step; the first, in which memory is allocated, counts only if it is the only one."""
    started, seconds = time.perf_counter(), []
    for index in range(min(most, STEPS + 1)):
        before = time.perf_counter()
        learner.step(index)
        seconds.append(time.perf_counter() - before)
        if time.perf_counter() - started > ENOUGH_SECONDS:
            break
    kept = seconds[1:] or seconds
    return sum(kept) / len(kept)
