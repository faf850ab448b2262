"""How many units can run on this machine at once, by its cores and its memory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from aral.benchmarking.methods import make_learner_without_weights
from aral.benchmarking.spec import RunSpec
from aral.data import DataSet
from aral.representations.components import MOST_BYTES

PROCESS_BYTES = 400 << 20
"""Memory of a worker before its run: mostly libraries, part of which it shares with its parent."""

FLOAT_COPIES = 2
"""Images as float32 while the first query computes principal components, of :data:`MOST_BYTES` at most."""

COPIES_OF_WEIGHTS = 6
"""Weights, gradients, two moments of Adam, and a checkpoint with its serialised form."""


def parameter_count(spec: RunSpec, data: DataSet) -> int:
    """Weights of the learner's networks and their averages; nothing is allocated."""
    return make_learner_without_weights(spec.learner, data.pool.shape, data.class_count).weight_count


def bytes_needed(spec: RunSpec, data: DataSet) -> int:
    """A generous estimate of the memory of one unit.

    Process + the images as they are and twice as float32, up to a limit + 24 bytes for each weight + activations: 64
    float32 values for each pixel value of a scoring batch.
    """
    images = (data.pool.pixels, data.test.images.pixels)
    as_they_are = sum(each.numel() * each.element_size() for each in images)
    floats = FLOAT_COPIES * min(MOST_BYTES, 4 * sum(each.numel() for each in images))
    channels, height, width = data.pool.shape
    activations = 64 * 4 * spec.learner.prediction.batch * channels * height * width
    weights = 4 * COPIES_OF_WEIGHTS * parameter_count(spec, data)
    return PROCESS_BYTES + as_they_are + floats + weights + activations


def most_bytes_needed(specs: Iterable[RunSpec], data: DataSet) -> int:
    """The memory of the largest unit; units that differ in nothing but seed and acquisition are counted once."""
    alike = {spec.model_copy(update={"seed": 0, "acquisition": ""}).model_dump_json(): spec for spec in specs}
    return max(bytes_needed(spec, data) for spec in alike.values())


def free_bytes(meminfo: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Memory that is available without swapping, within a container's limit; None if it is unknown."""
    found = []
    if meminfo.is_file():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        found += [int(lines["MemAvailable"].split()[0]) << 10] if "MemAvailable" in lines else []
    limit, used = group / "memory.max", group / "memory.current"
    if limit.is_file() and used.is_file() and limit.read_text().strip().isdigit():
        # The kernel frees cached files before it refuses memory.
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        found.append(int(limit.read_text()) - int(used.read_text()) + int(stat.get("inactive_file", 0)))
    return min(found) if found else None


def worker_count(units: int, threads: int, bytes_each: int, cores: int, free: int | None) -> int:
    """How many units to run at once: no more threads than cores, no more memory than is free, at least one.

    Args:
        units: number of units.
        threads: of each.
        bytes_each: memory of each, in bytes.
        cores: processors.
        free: free memory, in bytes; None: unknown, memory sets no limit.
    """
    by_memory = units if free is None else free // max(1, bytes_each)
    return max(1, min(units, cores // threads, by_memory))
