"""Shards on the command line: which are meant, what they are, the progress of their jobs, and what came of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from aral.annotation.classifier import Classifier
from aral.annotation.sharded_predictions import ShardsPredicted, predict_shards
from aral.benchmarking import GridObserver, Job, State
from aral.benchmarking.shard_jobs import ShardResources
from aral.benchmarking.sharded_selection import ShardQuery, ShardSelection, select_from_shards
from aral.cli.grid_screen import Pace
from aral.cli.printing import printable, say
from aral.cli.stopping import stopping_on_signals
from aral.data.folder_layout import image_files
from aral.data.scan import scan
from aral.data.shards import ENDINGS, NAMES, ROWS, Kind, Shard, find_shards, open_shards
from aral.errors import BadInput
from aral.plural import counted, rough_duration

HEADER = ("key", "shard", "row", "rank", "score", "reason")
LINE_SECONDS = 5.0


def image_folder(pool: Sequence[str]) -> Path | None:
    """The one folder of images that is meant, or None where shards are.

    Raises:
        BadInput: a folder holds both.
    """
    if len(pool) != 1 or "://" in pool[0]:
        return None
    folder = Path(pool[0])
    if not folder.is_dir():
        looks_like_shards = any(letter in pool[0] for letter in "*?[") or pool[0].lower().endswith(ENDINGS)
        return None if looks_like_shards or folder.exists() else folder
    files = scan(folder).files
    shards = [name for name in files if name.lower().endswith(ENDINGS)]
    if not shards:
        return folder
    images = image_files(folder, [name for name in files if not name.lower().endswith(ENDINGS)])
    if images:
        raise BadInput(
            f"The folder {folder} holds images, such as {images[0]}, and shards, such as {shards[0]}.",
            f"Name the pool: a folder of images only, or the shards: '{folder}/*{Path(shards[0]).suffix}'",
        )
    return None


@dataclass(frozen=True)
class ShardOptions:
    """Options of commands that read shards.

    Attributes:
        image: the column of the images, in tars their extension.
        keys: the column of the keys.
        resources: where to compute.
    """

    image: str | None
    keys: str | None
    resources: ShardResources

    def refuse_beside(self, folder: Path) -> None:
        """Refuse them beside a folder of images."""
        resources, engine = self.resources, self.resources.engine
        options = {
            "--image-column": self.image,
            "--keys": self.keys,
            "--features": resources.features,
            "--workers": resources.workers,
            "--engine": None if engine.is_local else engine.name,
            "--address": engine.address,
            "--slurm": engine.slurm or None,
        }
        given = [name for name, value in options.items() if value is not None]
        if given:
            raise BadInput(
                f"{', '.join(given)} {'is' if len(given) == 1 else 'are'} for shards, and {folder} is a folder of "
                "images.",
                f"Leave out {', '.join(given)}, or give shards.",
            )


def select_shards(
    pool: Sequence[str], query: ShardQuery, options: ShardOptions, download: bool
) -> ShardSelection:
    """Select from shards, with progress on the screen; Ctrl+C stops with everything saved."""
    shards = _opened(pool, options)
    with stopping_on_signals() as stopping, ShardScreen(Console(stderr=True)) as screen:
        return select_from_shards(
            shards,
            query,
            options.resources,
            download=download,
            observer=screen,
            say=screen.line,
            stopping=stopping,
        )


def predict_images_of_shards(
    classifier: Classifier, pool: Sequence[str], target: Path, options: ShardOptions, download: bool
) -> ShardsPredicted:
    """Classify the images of shards, with progress on the screen; Ctrl+C stops with everything saved."""
    shards = _opened(pool, options)
    with stopping_on_signals() as stopping, ShardScreen(Console(stderr=True)) as screen:
        return predict_shards(
            classifier,
            shards,
            target,
            options.resources,
            download=download,
            observer=screen,
            say=screen.line,
            stopping=stopping,
        )


def _opened(pool: Sequence[str], options: ShardOptions) -> tuple[Shard, ...]:
    """The shards that are meant; says what they are, and what is not read."""
    options.resources.engine.check()
    found = find_shards(pool)
    if found.repeated:
        say(f"{counted(found.repeated, 'shard is', 'shards are')} named twice and read once.", err=True)
    if found.other_files:
        kinds = ", ".join(f"{count} of {kind or 'no extension'}" for kind, count in found.other_files.items())
        say(f"Files beside the shards that are not read: {kinds}.", err=True)
    printed = time.monotonic()

    def opened(done: int) -> None:
        nonlocal printed
        if time.monotonic() - printed > LINE_SECONDS:
            printed = time.monotonic()
            say(f"{done} of {counted(len(found.addresses), 'shard')} opened.", err=True)

    shards = open_shards(found.addresses, options.image, options.keys, opened)
    for text, count in Counter(map(_description, shards)).items():
        say(f"{counted(count, 'shard')}: {text}", err=True)
    if not options.resources.engine.is_local and options.resources.features is None:
        say(
            "Features are kept in the cache folder of this user: all machines must share it, or give "
            "--features FOLDER.",
            err=True,
        )
    return shards


def _description(shard: Shard) -> str:
    """What is read of a shard, the same for all that are alike."""
    keys = {ROWS: "numbers of rows", NAMES: "names of members"}.get(shard.keys, f"column {shard.keys}")
    if shard.kind is Kind.PARQUET:
        others = f"; columns that are not read: {', '.join(shard.not_read)}" if shard.not_read else ""
        return f"{shard.kind}, images in column {shard.image}, keys: {keys}{others}."
    images = f"members .{shard.image}" if shard.image else "one image member a sample"
    return f"{shard.kind}, {images}, keys: {keys}."


def rows_of(selection: ShardSelection) -> list[tuple[Any, ...]]:
    """The table of the selected images, in the order of :data:`HEADER`."""
    return [(each.key, each.shard, each.row, each.rank, each.score, each.reason) for each in selection.images]


def unreadable_of(selection: ShardSelection) -> list[dict[str, str]]:
    """The images that could not be decoded, for JSON."""
    return [
        {"key": bad.path, "shard": shard, "reason": bad.reason, "detail": bad.detail}
        for shard, bad in selection.unreadable
    ]


class ShardScreen(GridObserver):
    """Shows the progress of all jobs in one bar with the time left; where there is no terminal in a line now and then.

    Args:
        console: where to write.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pace = Pace()
        self._title, self._printed = "", time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task: TaskID = self._bar.add_task("", total=1, left="", visible=False)

    def __enter__(self) -> ShardScreen:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def line(self, text: str) -> None:
        """Print a sentence above the bar."""
        self._console.print(printable(text), highlight=False, markup=False, soft_wrap=True)

    def engine(self, description: str) -> None:
        """Print it."""
        self.line(description)

    def planned(self, jobs: list[Job]) -> None:
        """The jobs of one kind, before the first starts."""
        self._pace.plan(jobs)
        self._title, self._printed = "jobs", time.monotonic()
        self._update()

    def changed(self, job: Job, news: str) -> None:
        """Move the bar; print how a job failed, and that it is started again."""
        self._pace.changed(job, news)
        self._title = job.progress.stage or self._title
        if news == "ended" and job.state is State.FAILED:
            self.line(f"{job.name}: {job.failure.problem}")
        elif news not in ("started", "stage", "step", "ended"):
            self.line(f"{job.name}: {news}")
        self._update()

    def _update(self) -> None:
        jobs = self._pace.planned
        done, total = sum(job.steps_done for job in jobs), sum(job.steps for job in jobs)
        seconds = self._pace.seconds_left()
        left = "" if not seconds else f"about {rough_duration(seconds)} left"
        text = f"{self._title}: {self._pace.ended()} of {len(jobs)}"
        self._bar.update(self._task, description=text, completed=done, total=total, left=left, visible=True)
        if not self._console.is_terminal and time.monotonic() - self._printed > LINE_SECONDS:
            self._printed = time.monotonic()
            self.line(", ".join(filter(None, [text, f"{100 * done // max(1, total)} %", left])))
