"""``aral demo``: three methods on digits, side by side, in a few minutes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from aral import benchmarking, reports
from aral.cli.options import Threads, processors
from aral.cli.run import with_progress

METHODS = ("graph-ssl", "supervised+random", "supervised+max-entropy")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("demo")(demo_command)


def demo_command(
    folder: Annotated[Path, typer.Option(help="Folder of the runs and the figure.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    threads: Threads = None,
) -> None:
    """Compare three methods on 8×8 digits with 10 to 100 labels; nothing is downloaded."""
    console = Console(stderr=True)
    compared = []
    for name in METHODS:
        method = benchmarking.Method.parse(name)
        spec = benchmarking.resolve("digits", method, seed=seed, threads=threads or processors())
        target = folder / spec.folder_name
        with_progress(spec, benchmarking.load_data(spec), target, console)
        reports.write_report(target)
        compared.append(benchmarking.Unit(target.name, spec))
    folders = [folder / unit.name for unit in compared]
    differing = benchmarking.unequal(compared)[seed]
    comparison = reports.write_comparison(folders, folder, sections=[_not_equal(differing)])
    typer.echo("\nTest accuracy in % by labels spent:\n")
    typer.echo(reports.side_by_side([reports.read_run(target) for target in folders]))
    names = ", ".join(line.partition(": ")[0] for line in differing)
    typer.echo(f"Not equal, as each method has the settings of its preset (values in the report): {names}.")
    typer.echo(f"Picture: {folder / 'curves.png'}\nReport:  {comparison}")


def _not_equal(lines: Sequence[str]) -> reports.Section:
    """What differs beside the methods, for the page."""
    text = (
        "Each method has the settings of its preset: the accuracies do not show what the queries alone are worth. "
        "For that, compare equals: aral compare digits --methods graph-ssl,graph-ssl+random --seeds 5"
    )
    head = ("setting", "values")
    rows = tuple((name, values) for name, _, values in (line.partition(": ") for line in lines))
    return reports.Section("Not equal", text, reports.Table(head, rows))
