"""``aral figures``: the figures of the paper, at its size or smaller."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from aral import benchmarking
from aral.cli.compare import grid_on_screen
from aral.cli.grid_report import as_table, check_result, print_comparison, report_grid
from aral.cli.options import Accuracy, AsJson, DataRoot, Download, SetOption, Workers, targets_of
from aral.cli.printing import say
from aral.errors import AralError, BadInput, Stopped
from aral.plural import counted

FIGURES = Path("figures")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("figures")(figures_command)


def figures_command(
    name: Annotated[str, typer.Argument(help="fig3, fig4 or fig5.")],
    scale: Annotated[
        float,
        typer.Option(help="In (0, 1]: factor on training steps, and on images down to a stated floor."),
    ] = 1.0,
    seeds: Annotated[int | None, typer.Option(help="Number of seeds.", min=1)] = None,
    panel: Annotated[list[str] | None, typer.Option(help="Only this panel, such as mnist.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where runs and reports go. Default: figures/NAME.")
    ] = None,
    setting: SetOption = None,
    accuracy: Accuracy = None,
    workers: Workers = None,
    data_root: DataRoot = None,
    download: Download = False,
    as_json: AsJson = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="List the units, their training steps and about how long they take, then stop."
        ),
    ] = False,
) -> None:
    """Run a figure of the paper. All differences from the paper are printed, recorded and reported."""
    figure, targets = benchmarking.read_figure(name), targets_of(accuracy)
    chosen = [each for each in figure.panels if not panel or each.name in panel]
    if not chosen:
        raise BadInput(
            f"{name} has no panel {', '.join(panel or [])}.",
            f"Panels: {', '.join(each.name for each in figure.panels)}.",
        )
    plans = {each.name: benchmarking.scaled(figure, each, scale, seeds, setting or []) for each in chosen}
    if dry_run:
        _say_plans(plans, folder or FIGURES / name, workers, data_root, as_json)
        return
    failed: dict[str, AralError] = {}
    tables: list[dict[str, object]] = []
    for title, plan in plans.items():
        target = (folder or FIGURES / name) / title
        say("\n".join(difference_lines(plan)), err=True)
        try:
            result = grid_on_screen(
                plan.grid, target, benchmarking.Resources(workers, data_root, download), plan.differences
            )
            comparison, page = report_grid(result, None, targets)
            tables.append(as_table(result, comparison, page))
            if not as_json:
                print_comparison(comparison, page)
            check_result(result)
        except Stopped:
            raise
        except AralError as error:
            failed[title] = error
            say(f"Panel {title} is skipped: {error.problem}\n{error.hint}", err=True)
    if as_json:
        say(json.dumps(tables, indent=2))
    if failed:
        raise BadInput(
            f"{len(failed)} of {counted(len(plans), 'panel')} could not be finished: {', '.join(failed)}.",
            "See above. The same command resumes, and --panel NAME runs a single panel.",
        )


def _say_plans(
    plans: Mapping[str, benchmarking.Scaled],
    folder: Path,
    workers: int | None,
    data_root: Path | None,
    as_json: bool,
) -> None:
    """What a dry run prints: the units of each panel, their steps, and about how long they take."""
    tables: dict[str, object] = {}
    for title, plan in plans.items():
        made, target = benchmarking.units(plan.grid), folder / title
        benchmarking.check_pairings(made)
        estimate = benchmarking.estimate_time(made, partial(_folder_of, target), workers, data_root)
        if not as_json:
            say("\n".join([*plan_lines(plan), f"  {estimate.in_words()}"]))
        tables[title] = {
            "grid": json.loads(plan.grid.model_dump_json()),
            "units": [unit.name for unit in made],
            "training steps": plan.steps,
            "differences": [asdict(each) for each in plan.differences],
            "time": asdict(estimate),
        }
    if as_json:
        say(json.dumps(tables, indent=2))


def _folder_of(folder: Path, unit: benchmarking.Unit) -> Path:
    return folder / unit.name


def difference_lines(plan: benchmarking.Scaled) -> list[str]:
    """Differences from the paper, one line each."""
    return [
        f"{plan.grid.name}:",
        *(f"  {each.what}: paper: {each.paper} / here: {each.here}" for each in plan.differences),
    ]


def plan_lines(plan: benchmarking.Scaled) -> list[str]:
    """The units of a panel and their work."""
    made = benchmarking.units(plan.grid)
    lines = difference_lines(plan)
    lines += [f"  unit {unit.name}" for unit in made]
    if plan.grid.full is not None:
        lines.append(f"  and full training of {benchmarking.full_learner(plan.grid)} on all labels")
    return [*lines, f"  {counted(len(made), 'unit')}, {plan.steps:,} training steps in all"]
