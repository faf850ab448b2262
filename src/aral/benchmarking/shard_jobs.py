"""Jobs on the shards of a pool, and the features that all of them read.

The command is the coordinator (:func:`aral.benchmarking.jobs.execute`); jobs run on the engines of a grid
(:mod:`aral.benchmarking.engines`). Requests and results are files in the folder of features, which all machines share;
nothing is pickled. :func:`extract` computes the features of one shard; a finished shard is never computed again. Jobs
that read features, such as those of a query, take several shards at once.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from aral.benchmarking.capacity import PROCESS_BYTES, free_bytes, worker_count
from aral.benchmarking.engines import EngineSettings
from aral.benchmarking.hardware import processors
from aral.benchmarking.jobs import GridObserver, Job, Report, State, execute, log_path
from aral.benchmarking.remote import UnitResources
from aral.data.shards import Shard
from aral.errors import BadInput, RunFailed, Stopped
from aral.lock import FolderLock
from aral.plural import counted
from aral.representations import (
    Absent,
    Backbone,
    FeaturesFolder,
    RepresentationSettings,
    ShardFeatures,
    make_backbone,
)

IMAGES_A_JOB = 100_000
"""About so many images with features are read by one job; it takes seconds, and its start may too."""

EXTRACTION_BYTES = 800 << 20
"""Beside process and weights: a decoded image of the largest size, activations, images that are read ahead."""

EXTRACT = "aral.benchmarking.shard_jobs:extract"
"""What a worker does that computes features."""

JOBS = "jobs"
"""Folder of logs and results of jobs, beside the features."""


@dataclass(frozen=True)
class ShardResources:
    """Where to compute; nothing here changes a result.

    Attributes:
        features: folder of features, shared by all machines; None: in the user's cache folder.
        workers: jobs at once; None: as many as cores and memory allow, on a cluster all that it takes.
        engine: what starts them.
    """

    features: Path | None = None
    workers: int | None = None
    engine: EngineSettings = field(default_factory=EngineSettings)


class ShardJobs:
    """The jobs of one command; use it in a ``with`` block, in which no other command uses the folder of features.

    Args:
        folder: of the features.
        resources: workers and engine.
        observer: is told of the progress of the jobs.
        stopping: asked a few times a second; true stops them.

    Raises:
        BadInput: another command uses the folder.
    """

    def __init__(
        self,
        folder: FeaturesFolder,
        resources: ShardResources,
        observer: GridObserver,
        stopping: Callable[[], bool],
    ) -> None:
        self.folder = folder
        self.path = folder.path / JOBS
        self._resources, self._observer, self._stopping = resources, observer, stopping
        self._lock = FolderLock(folder.path, noun="The folder of features")

    def __enter__(self) -> ShardJobs:
        """Remove what earlier commands left."""
        self.folder.remove_unfinished()
        shutil.rmtree(self.path, ignore_errors=True)
        (self.path / "logs").mkdir(mode=0o700, parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def compute_features(self, shards: Sequence[Shard], say: Callable[[str], None]) -> None:
        """The features that are not there yet."""
        jobs = []
        missing: Counter[Absent] = Counter()
        for number, shard in enumerate(shards):
            name = f"{number:05d}-{self.folder.name_of(shard)}"
            request = {
                "shard": shard.as_json(),
                "representation": _settings_of(self.folder.backbone).model_dump(mode="json"),
                "backbone": self.folder.backbone.key,
                "folder": str(self.folder.path.parent),
            }
            jobs.append(self._job(name, request, shard.bytes))
            found = self.folder.find(shard)
            if isinstance(found, Absent):
                missing[found] += 1
            else:
                jobs[-1].state = State.DONE
        for why, count in missing.items():
            if why is not Absent.NEW:
                say(f"{counted(count, 'shard has', 'shards have')} features that are {why}.")
        if missing:
            weights = sum(each.numel() for each in self.folder.backbone.trunk.parameters())
            unit = UnitResources(1, PROCESS_BYTES + EXTRACTION_BYTES + 8 * weights, 0)
            self._execute(jobs, EXTRACT, unit)
            self.folder.remove_unfinished()  # of workers that were killed

    def execute_in_groups(
        self,
        work: str,
        name: str,
        parts: Sequence[Mapping[str, Any]],
        request: Mapping[str, Any],
        bytes_an_image: int,
    ) -> None:
        """Run jobs that read features, each those of some shards.

        Args:
            work: ``module:function``; a step is an image.
            name: of the jobs, to which a number is appended.
            parts: what each shard has of its own in the request, as ``parts``; its images are ``count``.
            request: the rest, the same for all jobs.
            bytes_an_image: memory.

        Raises:
            BadInput: a job failed because of what it was given.
            RunFailed: a job failed.
            Stopped: ``stopping`` returned true.
        """
        groups: list[list[Mapping[str, Any]]] = []
        images = IMAGES_A_JOB
        for part in parts:
            if images >= IMAGES_A_JOB:
                groups.append([])
                images = 0
            images += part["count"]
            groups[-1].append(part)
        steps = [sum(part["count"] for part in group) for group in groups]
        jobs = [
            self._job(f"{name}-{number:05d}", {**request, "parts": group}, steps[number])
            for number, group in enumerate(groups)
        ]
        self._execute(jobs, work, UnitResources(1, PROCESS_BYTES + bytes_an_image * max(steps), 0))

    def _job(self, name: str, request: Mapping[str, Any], steps: int) -> Job:
        return Job(name, {**request, "log": str(log_path(self.path, name))}, 1, max(1, steps))

    def _execute(self, jobs: Sequence[Job], work: str, unit: UnitResources) -> None:
        """Run the jobs that are not done; refuse to go on without their results."""
        engine = self._resources.engine
        self._observer.planned(list(jobs))
        unfinished = [job for job in jobs if job.state is not State.DONE]
        if engine.is_local:
            workers = worker_count(len(unfinished), unit.threads, unit.bytes, processors(), free_bytes())
        else:
            workers = engine.jobs_at_once(len(unfinished))
            self._observer.engine(f"Engine: {engine}; each job takes {unit}")
        opener = engine.opener(work, unit, self.path / "logs")
        execute(unfinished, self._resources.workers or workers, opener, self._observer, self._stopping)
        failed = [job for job in jobs if job.state is State.FAILED]
        if failed:
            problem, _, hint = failed[0].failure.problem.partition("\n")
            more = f" {counted(len(failed) - 1, 'more job')} failed." if len(failed) > 1 else ""
            kind = BadInput if all(job.failure.code == BadInput.exit_code for job in failed) else RunFailed
            raise kind(problem + more, hint or "Run the same command again.")
        if any(job.state is not State.DONE for job in jobs):
            done = sum(job.state is State.DONE for job in jobs)
            raise Stopped(
                f"Stopped: {done} of {counted(len(jobs), 'job')} done; features of finished shards are kept.",
                "Run the same command to continue.",
            )


def written_features(folder: FeaturesFolder, shard: Shard) -> ShardFeatures:
    """The features of a shard after :meth:`ShardJobs.compute_features`.

    Raises:
        RunFailed: they are not there.
    """
    found = folder.find(shard)
    if isinstance(found, Absent):
        raise RunFailed(
            f"The features of {shard.address} are {found}, although a job has just written them to {folder.path}.",
            "All machines must share this folder: --features FOLDER",
        )
    return found


def _settings_of(backbone: Backbone) -> RepresentationSettings:
    """By which another machine makes the same backbone."""
    framing = backbone.framing
    return RepresentationSettings(backbone=backbone.name, side=framing.side, fit=framing.fit)


# What workers do


def extract(request: Mapping[str, Any], report: Report, stopping: Callable[[], bool]) -> None:
    """Compute the features of one shard.

    Args:
        request: ``shard``; ``representation``, its settings; ``backbone``, the key of the coordinator's; ``folder``
            of features.
        report: sends the bytes that were read as steps.
        stopping: asked after some images.

    Raises:
        BadInput: the shard cannot be used, or this machine has another backbone of this name.
        RunFailed: the shard could not be read.
        Stopped: ``stopping`` returned true.
    """
    backbone = make_backbone(RepresentationSettings.model_validate(request["representation"]))
    if backbone.key != request["backbone"]:
        raise BadInput(
            f"The weights of '{backbone.name}' on this machine are others than on the machine of the command.",
            "Install the same versions on all machines.",
        )
    report({"round": 0, "stage": "features"})
    shard = Shard.of_json(request["shard"])
    FeaturesFolder(Path(request["folder"]), backbone).compute(
        shard, lambda read: report({"round": 0, "step": read}), stopping, workers=1
    )
