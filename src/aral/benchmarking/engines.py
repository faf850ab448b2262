"""Where the units of a grid run: the engine by name, and what it sets aside for each unit."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aral.benchmarking.jobs import Engine
from aral.benchmarking.ray_engine import RayTasks, check_ray
from aral.benchmarking.remote import RemoteEngine, UnitResources
from aral.benchmarking.slurm_engine import MOST_JOBS, SlurmJobs, check_slurm, parsed
from aral.benchmarking.spec import RunSpec
from aral.benchmarking.workers import LocalEngine
from aral.errors import BadInput, unknown_name

LOCAL, RAY, SLURM = "local", "ray", "slurm"
NAMES = (LOCAL, RAY, SLURM)


@dataclass(frozen=True)
class EngineSettings:
    """Where units run; nothing here changes a result.

    Attributes:
        name: ``local``: processes of this machine; ``ray``: tasks of a Ray cluster; ``slurm``: jobs of SLURM.
        address: of a running Ray cluster; None: ``RAY_ADDRESS``, and without it a new cluster of this machine.
        slurm: options of sbatch as ``KEY=VALUE``; ``cluster=local`` runs the jobs on this machine.
    """

    name: str = LOCAL
    address: str | None = None
    slurm: tuple[str, ...] = ()

    @property
    def is_local(self) -> bool:
        """Whether units are processes of this machine, as many at once as fit."""
        return self.name == LOCAL

    def check(self) -> None:
        """Refuse what cannot work before the data are read.

        Raises:
            BadInput: the engine does not exist or is not installed, an option belongs to another engine, or the
                cluster does not answer.
        """
        if self.name not in NAMES:
            raise unknown_name("engine", self.name, NAMES)
        for option, given, engine in (("--address", self.address, RAY), ("--slurm", self.slurm, SLURM)):
            if given and self.name != engine:
                raise BadInput(
                    f"{option} is an option of --engine {engine}, and the engine is {self.name}.",
                    f"Add --engine {engine}, or leave out {option}.",
                )
        if self.name == RAY:
            check_ray(self._cluster)
        elif self.name == SLURM:
            check_slurm(self.slurm)

    def jobs_at_once(self, units: int) -> int:
        """Units that are given to the scheduler of a cluster at once, unless the user says how many."""
        return max(1, units if self.name == RAY else min(units, MOST_JOBS))

    def opener(self, work: str, unit: UnitResources, logs: Path) -> Callable[[], Engine]:
        """What makes the engine.

        Args:
            work: what a worker does, as ``module:function``.
            unit: what each unit needs.
            logs: the folder of logs of the grid.
        """
        if self.name == RAY:
            return lambda: RemoteEngine(RayTasks(self._cluster, unit), logs, work, unit.threads)
        if self.name == SLURM:
            return lambda: RemoteEngine(SlurmJobs(self.slurm, unit, logs), logs, work, unit.threads)
        return lambda: LocalEngine(work, unit.threads)

    @property
    def _cluster(self) -> str | None:
        address = self.address or os.environ.get("RAY_ADDRESS") or LOCAL
        return None if address == LOCAL else address

    def __str__(self) -> str:
        if self.name == RAY:
            where = f"the cluster {self._cluster}" if self._cluster else "a cluster of this machine"
            return f"ray, {where}"
        if self.name == SLURM:
            return "slurm, on this machine" if parsed(self.slurm).get("cluster") == LOCAL else "slurm"
        return self.name


def resources_of(specs: Sequence[RunSpec], threads: int, most_bytes: int) -> UnitResources:
    """What each unit of a grid needs: its threads, the memory of the largest, and a graphics card if one uses it."""
    return UnitResources(threads, most_bytes, int(any(spec.device == "cuda" for spec in specs)))
