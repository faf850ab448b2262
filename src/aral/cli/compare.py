"""``aral compare``: methods and seeds side by side, as a grid of resumable units."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from aral import benchmarking, reports
from aral.cli.grid_report import as_table, check_result, print_comparison, report_grid, track_units
from aral.cli.options import (
    Accuracy,
    Address,
    AsJson,
    Baseline,
    Budget,
    DataRoot,
    Download,
    EngineName,
    Features,
    Labels,
    Metric,
    QuerySize,
    RepresentationOption,
    SetOption,
    SlurmOption,
    Steps,
    TestFeatures,
    TestLabels,
    TestShare,
    TrackerFolder,
    TrackerOption,
    Workers,
    baseline_of,
    check_metric,
    default_representation,
    features_suffix,
    own_data,
    short_settings,
    targets_of,
    whole_path,
)
from aral.cli.printing import say
from aral.cli.screen import ReadingLines
from aral.cli.stopping import stopping_on_signals
from aral.errors import BadInput
from aral.plural import counted
from aral.representations.settings import GIVEN, PIXELS

RUNS = Path("runs")
METHODS = "auto+random,auto"
"""One learner with random queries and with its own acquisition: only the queries differ."""

CsvFile = Annotated[
    Path | None,
    typer.Option("--csv", help="Also write the mean learning curves with s.d. and interval to this file."),
]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("compare")(compare_command)


def compare_command(
    dataset: Annotated[
        str | None, typer.Argument(help="digits, mnist, …, a folder of images, or an .npz file.")
    ] = None,
    methods: Annotated[
        str | None, typer.Option(help=f"Comma-separated; see aral list. Default: {METHODS}.")
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            help="How many, or a list such as 0,5,7. Default: 10 if a run takes less than a minute, otherwise 5."
        ),
    ] = None,
    folder: Annotated[Path | None, typer.Option(help="Where runs and report go. Default: runs/NAME.")] = None,
    budget: Budget = None,
    query_size: QuerySize = None,
    steps: Steps = None,
    representation: RepresentationOption = None,
    features: Features = None,
    labels: Labels = None,
    test_share: TestShare = None,
    test_features: TestFeatures = None,
    test_labels: TestLabels = None,
    setting: SetOption = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            help="A setting and its values, such as learner.training.steps=500,1000: each value is a method, "
            "or each combination if the option is repeated."
        ),
    ] = None,
    workers: Workers = None,
    engine: EngineName = "local",
    address: Address = None,
    slurm: SlurmOption = None,
    threads: Annotated[
        int | None, typer.Option(help="Processor threads of each unit; they affect the result. Default: 1.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Also train on all labels, as the upper line.")
    ] = False,
    full_learner: Annotated[
        str | None, typer.Option(help="The learner of --full. Default: that of the first method.")
    ] = None,
    baseline: Baseline = None,
    accuracy: Accuracy = None,
    metric: Metric = "accuracy",
    grid: Annotated[Path | None, typer.Option(help="Read the grid from a TOML file.")] = None,
    allow_unequal: Annotated[
        bool, typer.Option("--allow-unequal", help="Compare under unequal settings; reports note it.")
    ] = False,
    data_root: DataRoot = None,
    download: Download = False,
    csv_file: CsvFile = None,
    tracker: TrackerOption = None,
    tracker_folder: TrackerFolder = None,
    as_json: AsJson = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the grid as TOML and about how long it takes; stop.")
    ] = False,
) -> None:
    """Compare methods over seeds under equal conditions; the same command resumes after a stop or a kill.

    Trackers are given the finished runs at the end.
    """
    trackers = reports.check_trackers(tracker) if tracker else ()
    check_metric(metric)
    engine_settings = benchmarking.EngineSettings(engine, address, tuple(slurm or ()))
    if not dry_run:
        engine_settings.check()
    arrays, of_files = own_data(dataset, features, labels, test_share, test_features, test_labels)
    if [dataset, grid, arrays].count(None) != 2:
        raise BadInput(
            "Give either a data set, --features with --labels, or a grid.",
            "Try: aral compare digits --methods graph-ssl+random,graph-ssl --seeds 3",
        )
    if grid is not None:
        _refuse_beside_a_grid(
            {
                "--methods": methods,
                "--seeds": seeds,
                "--budget": budget,
                "--query-size": query_size,
                "--steps": steps,
                "--representation": representation,
                "--set": setting,
                "--vary": vary,
                "--threads": threads,
                "--full": full or None,
                "--full-learner": full_learner,
            }
        )
        read, seeds_reason = benchmarking.read_grid(grid), ""
        spec, _ = _settled(read, PIXELS, lambda backbone: folder or RUNS / read.name, data_root, download)
    else:
        dataset = whole_path(dataset or "")
        title = arrays.folder_name if arrays is not None else benchmarking.data_title(dataset)
        name = f"compare-{title}"
        spec = benchmarking.GridSpec(
            name=name,
            data=dataset if arrays is None else arrays.name,
            arrays=arrays,
            methods=tuple(name.strip() for name in (methods or METHODS).split(",")),
            seeds=seeds_of(seeds or "1"),
            settings=(
                *of_files,
                *short_settings(budget, query_size, steps, representation),
                *(setting or ()),
            ),
            vary=tuple(vary or ()),
            threads=1 if threads is None else threads,
            full=benchmarking.FullTraining(learner=full_learner) if full else None,
        )
        spec, backbone = _settled(
            spec,
            default_representation(spec.data),
            lambda backbone: folder or RUNS / f"{name}{features_suffix(backbone)}",
            data_root,
            download,
        )
        spec = spec.model_copy(update={"name": f"{name}{features_suffix(backbone)}"})
        spec, seeds_reason = _with_default_seeds(spec) if seeds is None else (spec, "")
    if allow_unequal:
        spec = benchmarking.grid_of(spec.model_dump() | {"allow_unequal": True})
    (made, refused), targets = benchmarking.expanded(spec), targets_of(accuracy)
    baseline = baseline_of(baseline, (str(unit.spec.method) for unit in made))
    if chosen_text := benchmarking.auto_text(unit.spec for unit in made):
        say(chosen_text, err=True)
    if dry_run:
        benchmarking.check_pairings(made)
        target = folder or RUNS / spec.name
        estimate = benchmarking.estimate_time(made, lambda unit: target / unit.name, workers, data_root)
        _say_plan(spec, made, refused, seeds_reason, estimate, as_json)
        return
    if refused:
        say("\n".join(f"Not compared: {each}" for each in refused), err=True)
    if seeds_reason:
        say(seeds_reason, err=True)
    _warn_if_too_few_seeds(spec)
    resources = benchmarking.Resources(workers, data_root, download, engine=engine_settings)
    result = grid_on_screen(spec, folder or RUNS / spec.name, resources)
    comparison, page = report_grid(result, baseline, targets, csv_file, metric)
    track_units(result, trackers, tracker_folder)
    if as_json:
        say(json.dumps(as_table(result, comparison, page), indent=2))
    else:
        print_comparison(comparison, page)
    check_result(result)


def _say_plan(
    spec: benchmarking.GridSpec,
    made: Sequence[benchmarking.Unit],
    refused: Sequence[benchmarking.Refused],
    seeds_reason: str,
    estimate: benchmarking.TimeEstimate,
    as_json: bool,
) -> None:
    """What a dry run prints: a file of the grid with its units as comments, and about how long it takes."""
    say(estimate.in_words(), err=True)
    if as_json:
        table = {
            "grid": json.loads(spec.model_dump_json()),
            "seeds_reason": seeds_reason,
            "units": [unit.name for unit in made],
            "refused": [asdict(each) for each in refused],
            "time": asdict(estimate),
        }
        say(json.dumps(table, indent=2))
        return
    if seeds_reason:
        say(f"# {seeds_reason}")
    say(benchmarking.grid_toml(spec))
    say("\n".join([*(f"# {unit.name}" for unit in made), *(f"# Not compared: {each}" for each in refused)]))


def _settled(
    spec: benchmarking.GridSpec,
    default: str,
    folder_of: Callable[[str], Path],
    data_root: Path | None,
    download: bool,
) -> tuple[benchmarking.GridSpec, str]:
    """The grid with a representation by name, and this name; a grid that was started keeps the one it has."""

    def recorded(settled: benchmarking.Settled) -> str:
        with suppress(BadInput):
            grid = benchmarking.read_result(folder_of(settled.backbone)).grid
            if benchmarking.asked_backbone(grid.settings) == settled.backbone:
                return grid.representation_chosen
        return ""

    if spec.arrays is not None:
        return spec, GIVEN
    settled = benchmarking.settle_representation(
        spec.data,
        [benchmarking.Method.parse(name) for name in spec.methods],
        spec.settings,
        default=default,
        root=data_root,
        download=download,
        recorded=recorded,
        progress=ReadingLines(Console(stderr=True)),
    )
    reason = settled.reason or spec.representation_chosen
    update = {"settings": settled.settings, "representation_chosen": reason}
    return spec.model_copy(update=update), settled.backbone


def _with_default_seeds(spec: benchmarking.GridSpec) -> tuple[benchmarking.GridSpec, str]:
    """The specification of one seed with the default number of seeds, and the reason for it."""
    chosen = benchmarking.default_seeds(benchmarking.units(spec))
    seeds = list(range(chosen.count))
    return benchmarking.grid_of(spec.model_dump() | {"seeds": seeds}), chosen.reason


def _warn_if_too_few_seeds(grid: benchmarking.GridSpec) -> None:
    """Before hours of work: with so few seeds there will be no verdict."""
    count = len(grid.seeds)
    if (len(grid.methods) > 1 or grid.vary) and count < benchmarking.MINIMUM_SEEDS:
        say(
            f"{counted(count, 'seed')} will give no verdict: it takes at least {benchmarking.MINIMUM_SEEDS}, and "
            f"often more. Add --seeds 5",
            err=True,
        )


def _refuse_beside_a_grid(options: Mapping[str, object]) -> None:
    """Refuse options that the grid's file overrides; those not given are None."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise BadInput(
            f"{', '.join(given)} cannot be combined with --grid: the file sets these.",
            "Change the file, or leave out --grid. To make a file: aral compare DATASET … --dry-run",
        )


def grid_on_screen(
    grid: benchmarking.GridSpec,
    folder: Path,
    resources: benchmarking.Resources,
    differences: Sequence[benchmarking.Difference] = (),
) -> benchmarking.GridResult:
    """Run a grid with progress on the screen; Ctrl+C stops it with everything saved."""
    from aral.cli.grid_screen import GridScreen  # imports all that its workers use

    console = Console(stderr=True)
    with stopping_on_signals() as stopping, GridScreen(console, grid.name) as screen:
        return benchmarking.run_grid(grid, folder, resources, screen, stopping, differences)


def seeds_of(text: str) -> tuple[int, ...]:
    """``3`` as the seeds 0, 1, 2; ``0,5,7`` as these.

    Raises:
        BadInput: it is neither.
    """
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise BadInput(
            f"--seeds {json.dumps(text)} is no number.", "Try --seeds 3 or --seeds 0,5,7"
        ) from error
    if "," in text:
        return tuple(numbers)
    if numbers[0] < 1:
        raise BadInput(f"--seeds {text} leaves nothing to run.", "Try --seeds 3")
    return tuple(range(numbers[0]))
