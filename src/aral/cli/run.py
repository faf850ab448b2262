"""``aral run`` and ``aral resume``: one run on a data set with known labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from aral import benchmarking, data, reports
from aral.cli.options import (
    AsJson,
    Budget,
    DataRoot,
    Download,
    Features,
    Labels,
    QuerySize,
    RepresentationOption,
    SetOption,
    Steps,
    TestFeatures,
    TestLabels,
    TestShare,
    Threads,
    TrackerFolder,
    TrackerOption,
    default_representation,
    own_data,
    short_settings,
    whole_path,
)
from aral.cli.printing import say
from aral.cli.screen import ReadingLines, Screen
from aral.cli.stopping import stopping_on_signals
from aral.errors import BadInput
from aral.loop import Observer, Observers
from aral.parallel import ALONE, Group, joined
from aral.representations.settings import GIVEN

RUNS = Path("runs")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("run")(run_command)
    app.command("resume")(resume_command)


def run_command(
    dataset: Annotated[
        str | None, typer.Argument(help="digits, mnist, …, a folder of images, or an .npz file.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(help="Learner and acquisition: graph-ssl, aral, supervised+random, …; see aral list."),
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    budget: Budget = None,
    query_size: QuerySize = None,
    first_query: Annotated[
        str | None,
        typer.Option(help="Acquisition before any label, such as centroids, typiclust or random."),
    ] = None,
    steps: Steps = None,
    representation: RepresentationOption = None,
    features: Features = None,
    labels: Labels = None,
    test_share: TestShare = None,
    test_features: TestFeatures = None,
    test_labels: TestLabels = None,
    pool_size: Annotated[int | None, typer.Option(help="Use only this many images of the pool.")] = None,
    test_size: Annotated[int | None, typer.Option(help="Use only this many test images.")] = None,
    threads: Threads = None,
    setting: SetOption = None,
    folder: Annotated[Path | None, typer.Option(help="Run folder. Default: runs/NAME.")] = None,
    data_root: DataRoot = None,
    download: Download = False,
    tracker: TrackerOption = None,
    tracker_folder: TrackerFolder = None,
    as_json: AsJson = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved settings and about how long it takes; stop.")
    ] = False,
) -> None:
    """Run active learning on a data set with known labels, from the first query to the report.

    Run the same command to continue a run that was stopped or killed. Several processes train one run together:
    torchrun --nproc-per-node 2 -m aral run …
    """
    with leading(data_root) as group:
        if group is None:
            return
        trackers = reports.check_trackers(tracker) if tracker else ()
        arrays, of_files = own_data(dataset, features, labels, test_share, test_features, test_labels)
        if (dataset is None) == (arrays is None):
            raise BadInput(
                "Give either a data set or --features with --labels.",
                "Try: aral run digits --method supervised",
            )
        settings = [*of_files, *short_settings(budget, query_size, steps, representation)]
        if first_query is not None:
            settings.append(f"rounds.first_query={json.dumps(first_query)}")
        settings += setting or []
        chosen = benchmarking.Method.parse(method)
        sizes = {
            "seed": seed,
            "threads": threads,
            "pool_size": pool_size,
            "test_size": test_size,
            "arrays": arrays,
        }
        data_name = whole_path(dataset or "")

        def folder_of(name: str) -> Path:
            return folder or RUNS / name

        def recorded(settled: benchmarking.Settled) -> str:
            with suppress(BadInput):
                spec = benchmarking.resolve(data_name, chosen, settled.settings, None, **sizes)
                spec = benchmarking.read_spec(folder_of(spec.folder_name))
                if spec.representation.backbone == settled.backbone:
                    return spec.representation_chosen
            return ""

        if arrays is not None:
            settled = benchmarking.Settled(tuple(settings), GIVEN)
        else:
            settled = benchmarking.settle_representation(
                data_name,
                [chosen],
                settings,
                default=default_representation(data_name),
                pool_size=pool_size,
                root=data_root,
                download=download,
                recorded=recorded,
                progress=ReadingLines(Console(stderr=True)),
            )
        spec, target = spec_and_folder(
            folder_of, data_name, chosen, settled.settings, representation_chosen=settled.reason, **sizes
        )
        if chosen_text := benchmarking.auto_text([spec]):
            say(chosen_text, err=True)
        if dry_run:
            unit = benchmarking.Unit(spec.folder_name, spec)
            estimate = benchmarking.estimate_time([unit], lambda _: target, 1, data_root)
            table = json.loads(spec.model_dump_json())
            say(estimate.in_words(), err=True)
            say(json.dumps({"settings": table, "time": asdict(estimate)} if as_json else table, indent=2))
            return
        loaded = load_data(spec, data_root, download)
        run_and_report(spec, loaded, target, as_json, trackers, tracker_folder, group)


def spec_and_folder(
    folder_of: Callable[[str], Path],
    dataset: str,
    method: benchmarking.Method,
    settings: Sequence[str] = (),
    **fields: int | str | data.FeatureArrays | None,
) -> tuple[benchmarking.RunSpec, Path]:
    """A run and its folder; precision and threads that were measured when the run was started stay.

    Args:
        folder_of: the folder by the run's name.
        dataset: name of a data set, or a folder of class folders.
        method: learner and acquisition.
        settings: single settings.
        fields: of the specification; None for the preset's.
    """
    spec = benchmarking.resolve(dataset, method, settings, None, **fields)
    target = folder_of(spec.folder_name)
    recorded = benchmarking.recorded_hardware(target)
    if recorded is not None:
        spec = benchmarking.resolve(dataset, method, settings, recorded, **fields)
    return spec, target


def resume_command(
    folder: Annotated[Path, typer.Argument(help="The run folder.")],
    data_root: DataRoot = None,
    tracker: TrackerOption = None,
    tracker_folder: TrackerFolder = None,
    as_json: AsJson = False,
) -> None:
    """Continue a run that was stopped or killed."""
    with leading(data_root) as group:
        if group is None:
            return
        trackers = reports.check_trackers(tracker) if tracker else ()
        spec = benchmarking.read_spec(folder)
        loaded = load_data(spec, data_root)
        run_and_report(spec, loaded, folder, as_json, trackers, tracker_folder, group)


@contextmanager
def leading(data_root: Path | None) -> Iterator[Group | None]:
    """The group of this process as ``torchrun`` describes it; ``None``, once the run has ended, if another leads.

    Args:
        data_root: the folder with data sets.
    """
    with joined() as group:
        if group.rank:
            with stopping_on_signals() as stopping:
                benchmarking.follow_run(group, data_root, stopping)
        yield None if group.rank else group


def load_data(spec: benchmarking.RunSpec, data_root: Path | None, download: bool = False) -> data.DataSet:
    """The data of a run; lines on the terminal while images are read."""
    return benchmarking.load_data(spec, data_root, download, ReadingLines(Console(stderr=True)))


def run_and_report(
    spec: benchmarking.RunSpec,
    dataset: data.DataSet,
    folder: Path,
    as_json: bool,
    trackers: Sequence[reports.TrackerName] = (),
    tracker_folder: Path | None = None,
    group: Group = ALONE,
) -> None:
    """Run with progress on the terminal, then write the report and print where it is."""
    console = Console(stderr=True)
    with _tracking(spec, dataset, folder, trackers, tracker_folder or folder.parent) as observers:
        with_progress(spec, dataset, folder, console, *observers, group=group)
    record = benchmarking.read_run(folder)
    page = reports.write_report(record)
    if as_json:
        say(json.dumps(reports.as_json(record), indent=2))
        return
    say(reports.side_by_side([record]))
    say(f"Report: {page}")


@contextmanager
def _tracking(
    spec: benchmarking.RunSpec,
    dataset: data.DataSet,
    folder: Path,
    trackers: Sequence[reports.TrackerName],
    base: Path,
) -> Iterator[list[reports.TrackingObserver]]:
    """An observer for each tracker; all are closed at the end of the block."""
    title = f"{dataset.name} ({dataset.note})" if dataset.note else dataset.name
    about = f"{spec.method} on {title}, seed {spec.seed}"
    tracked = reports.TrackedRun(folder.resolve().name, about, benchmarking.used_settings(spec))
    observers = [
        reports.TrackingObserver(
            name, tracked, folder, base, dataset.class_names, lambda sentence: say(sentence, err=True)
        )
        for name in trackers
    ]
    finished = False
    try:
        yield observers
        finished = True
    finally:
        for each in observers:
            each.close(finished)


def with_progress(
    spec: benchmarking.RunSpec,
    dataset: data.DataSet,
    folder: Path,
    console: Console,
    *observers: Observer,
    group: Group = ALONE,
) -> None:
    """Run and show progress; Ctrl+C stops after the next training step with everything saved."""
    with (
        stopping_on_signals() as stopping,
        Screen(console, f"{dataset.name} {spec.method}", spec.round_count()) as screen,
    ):
        seen = Observers(screen, *observers)
        benchmarking.run(spec, dataset, folder, seen, stopping, embedded=True, group=group)
