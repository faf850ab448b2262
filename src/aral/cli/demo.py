"""``aral demo``: three methods on digits, side by side, in a few minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from aral import benchmarking, reports
from aral.cli.options import Threads
from aral.cli.printing import say
from aral.cli.run import spec_and_folder, with_progress

METHODS = ("graph-ssl", "supervised+random", "supervised+max-entropy")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("demo")(demo_command)


def demo_command(
    folder: Annotated[Path, typer.Option(help="Where the runs and the picture go.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Fixes everything random.")] = 0,
    threads: Threads = None,
) -> None:
    """Compare graph-ssl with supervised learning on 8×8 digits, which need no download: 10 to 100 labels."""
    console = Console(stderr=True)
    compared, records = [], []
    shared = threads or benchmarking.processors()
    for name in METHODS:
        method = benchmarking.Method.parse(name)
        spec, target = spec_and_folder(folder.joinpath, "digits", method, seed=seed, threads=shared)
        with_progress(spec, benchmarking.load_data(spec), target, console)
        compared.append(benchmarking.Unit(target.name, spec))
        records.append(benchmarking.read_run(target))
        reports.write_report(records[-1])
    parity = benchmarking.verify(compared, folder)
    comparison = benchmarking.compare_runs(records, parity=parity.values())
    page = reports.write_comparison(comparison, folder)
    say("\nTest accuracy in % by number of labels:\n")
    say(reports.side_by_side(records))
    say(f"\nPicture: {folder / 'curves.png'}\nReport:  {page}")
    if unequal := reports.unequal_settings_line(comparison):
        say(unequal)
