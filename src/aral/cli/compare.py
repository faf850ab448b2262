"""``aral compare``: methods and seeds side by side, as a grid of resumable units."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from aral.cli.grid_report import as_table, check_result, print_grid, write_grid_report
from aral.cli.grid_screen import GridScreen
from aral.cli.options import AsJson, DataRoot, Download, SetOption
from aral.cli.stopping import stopping_on_signals
from aral.errors import BadInput
from aral.experiments import (
    Difference,
    FullTraining,
    GridResult,
    GridSpec,
    Resources,
    check_pairings,
    grid_of,
    grid_toml,
    read_grid,
    run_grid,
    units,
)

RUNS = Path("runs")
METHODS = "aral+random,aral"
"""One learner with random queries and with its own: what the queries are worth, all else being equal."""

Workers = Annotated[
    int | None, typer.Option(help="Units at once. Default: as many as cores and free memory allow.")
]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("compare")(compare_command)


def compare_command(
    dataset: Annotated[str | None, typer.Argument(help="digits, mnist, …, or a folder of classes.")] = None,
    methods: Annotated[str, typer.Option(help="Comma-separated; see aral list.")] = METHODS,
    seeds: Annotated[str, typer.Option(help="How many, or a list such as 0,5,7.")] = "3",
    folder: Annotated[Path | None, typer.Option(help="Where runs and report go. Default: runs/NAME.")] = None,
    setting: SetOption = None,
    workers: Workers = None,
    threads: Annotated[int, typer.Option(help="Processor threads of each unit; belong to the result.")] = 1,
    full: Annotated[bool, typer.Option("--full", help="Also train on all labels: the upper line.")] = False,
    full_learner: Annotated[str, typer.Option(help="The learner of --full.")] = "supervised",
    baseline: Annotated[str | None, typer.Option(help="Method to compare the others with.")] = None,
    grid: Annotated[Path | None, typer.Option(help="Read all this from a TOML file.")] = None,
    allow_unequal: Annotated[
        bool, typer.Option("--allow-unequal", help="Compare although settings differ; reports say so.")
    ] = False,
    data_root: DataRoot = None,
    download: Download = False,
    as_json: AsJson = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the grid as TOML and stop.")] = False,
) -> None:
    """Compare methods over seeds under equal conditions; the same command goes on after a stop or a kill."""
    if (dataset is None) == (grid is None):
        raise BadInput(
            "Give a data set or a grid, one of both.",
            "Try: aral compare digits --methods aral+random,aral --seeds 3",
        )
    if grid is not None:
        spec = read_grid(grid)
    else:
        assert dataset is not None
        spec = GridSpec(
            name=f"compare-{Path(dataset).name}",
            data=dataset,
            methods=tuple(name.strip() for name in methods.split(",")),
            seeds=seeds_of(seeds),
            settings=tuple(setting or ()),
            threads=threads,
            full=FullTraining(learner=full_learner) if full else None,
        )
    if allow_unequal:
        spec = grid_of(spec.model_dump() | {"allow_unequal": True})
    if dry_run:
        check_pairings(units(spec))
        typer.echo(grid_toml(spec))
        for unit in units(spec):
            typer.echo(f"# {unit.name}")
        return
    resources = Resources(workers, data_root, download)
    result = grid_on_screen(spec, folder or RUNS / spec.name, resources)
    page = write_grid_report(result, baseline)
    if as_json:
        typer.echo(json.dumps(as_table(result, page), indent=2))
    else:
        print_grid(result, page)
    check_result(result)


def grid_on_screen(
    grid: GridSpec, folder: Path, resources: Resources, differences: Sequence[Difference] = ()
) -> GridResult:
    """Run a grid with progress on the screen; Ctrl+C stops it with everything saved."""
    console = Console(stderr=True)
    with stopping_on_signals() as stopping, GridScreen(console, grid.name) as screen:
        return run_grid(grid, folder, resources, screen, stopping, differences)


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
