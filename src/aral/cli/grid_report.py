"""What is written and printed after a grid."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import typer

from aral import benchmarking, reports
from aral.errors import BadInput, RunFailed, Stopped
from aral.words import counted


def write_grid_report(
    result: benchmarking.GridResult, baseline: str | None = None, targets: Sequence[float] = ()
) -> Path | None:
    """Write the reports of a grid and of its finished units; the page, or None if no unit is finished."""
    records = records_of(result)
    for record in records:
        reports.write_report(record.folder, result.reference)
    if not records:
        return None
    folders = [record.folder for record in records]
    parts = sections(result, records)
    return reports.write_comparison(
        folders, result.folder, result.reference, parts, _begun(baseline, records), targets
    )


def verdicts_of(
    result: benchmarking.GridResult, baseline: str | None = None, targets: Sequence[float] = ()
) -> reports.Verdicts | None:
    """Whether the methods are better than their baselines; None if no unit is finished."""
    records = records_of(result)
    return reports.judge(records, _begun(baseline, records), targets) if records else None


def _begun(baseline: str | None, records: Sequence[reports.RunRecord]) -> str | None:
    """The baseline, if it has a run: of a grid that was stopped it may have none, and the usual one serves."""
    return baseline if any(record.method == baseline for record in records) else None


def print_grid(result: benchmarking.GridResult, page: Path | None, verdicts: reports.Verdicts | None) -> None:
    """Print the table of accuracies, the verdicts, parity, differences, and what failed."""
    records = records_of(result)
    if records:
        typer.echo(reports.side_by_side(records))
    if verdicts is not None:
        found = (reports.verdict_lines(verdicts), reports.target_lines(verdicts))
        typer.echo("\n".join(["", *filter(None, found), ""]))
    for line in lines(result):
        typer.echo(line)
    if page is not None:
        typer.echo(f"Report: {page}")


def check_result(result: benchmarking.GridResult) -> None:
    """Turn what went wrong into an exit code, after everything has been written.

    Raises:
        Stopped: it was asked to stop.
        BadInput: units failed, all of them for wrong input.
        RunFailed: units failed.
    """
    if result.stopped:
        raise Stopped(
            "Stopped; everything is saved.", "Run the same command again to go on: finished units are kept."
        )
    if result.failures:
        kind = BadInput if all(unit.code == BadInput.exit_code for unit in result.failures) else RunFailed
        first = result.failures[0]
        raise kind(
            f"{len(result.failures)} of {counted(len(result.units) + len(result.full), 'unit')} failed; the first: "
            f"{first.name}: {first.problem}",
            "Correct the cause and run the same command again: finished units are kept.",
        )


def lines(result: benchmarking.GridResult) -> list[str]:
    """Parity, full training, differences and failures, a line each."""
    found = []
    for parity in result.parity:
        verdict = "; ".join(parity.differences)
        state = f"UNEQUAL: {verdict}" if verdict else f"{counted(parity.verified, 'unit')} verified"
        found.append(f"Parity of seed {parity.seed}: {parity.hash or 'not known yet'} ({state})")
    if result.reference is not None:
        found.append(f"Full training ({_full_in_words(result)}): {100 * result.reference:.2f} %")
    found += [f"{each.what}: paper: {each.paper} / here: {each.here}" for each in result.differences]
    return found + [f"Failed: {unit.name}: {unit.problem}" for unit in result.failures]


def as_table(
    result: benchmarking.GridResult, page: Path | None, verdicts: reports.Verdicts | None
) -> dict[str, object]:
    """The result for other programs; verdicts and targets as in verdicts.json."""
    judged = {} if verdicts is None else json.loads(reports.verdicts_json(verdicts))
    return {
        "grid": json.loads(result.grid.model_dump_json()),
        "folder": str(result.folder),
        "report": None if page is None else str(page),
        "parity": [vars(parity) for parity in result.parity],
        "units": [vars(unit) for unit in result.units],
        "full": [vars(unit) for unit in result.full],
        "reference": result.reference,
        "verdicts": judged.get("verdicts", []),
        "targets": judged.get("targets", []),
        "differences": [vars(difference) for difference in result.differences],
    }


def sections(result: benchmarking.GridResult, records: Sequence[reports.RunRecord]) -> list[reports.Section]:
    """What a reader of the comparison must know besides the accuracies."""
    found = [_parity_section(result)]
    if result.differences:
        found.append(_difference_section(result.differences))
    if result.grid.method_settings:
        rows = tuple((name, ", ".join(own)) for name, own in result.grid.method_settings.items())
        found.append(
            reports.Section("Settings of single methods", "", reports.Table(("method", "settings"), rows))
        )
    if result.full:
        found.append(_full_section(result))
    validated = [record for record in records if _at_best(record) is not None]
    if validated:
        found.append(_validation_section(validated))
    return found


def records_of(result: benchmarking.GridResult) -> list[reports.RunRecord]:
    """The runs of the units that are done, or of a grid that is running still."""
    shown = (benchmarking.State.DONE, benchmarking.State.RUNNING)
    return [reports.read_run(result.folder / unit.name) for unit in result.units if unit.state in shown]


def _parity_section(result: benchmarking.GridResult) -> reports.Section:
    unequal = any(parity.differences for parity in result.parity)
    text = (
        "These methods were NOT treated alike (--allow-unequal): their accuracies do not show which is better."
        if unequal
        else "Within a seed, all methods had the same data, first labels, budget, training steps, steps before "
        "labels, labelled batches and their augmentation, classifier, rates, precision, evaluation, and versions "
        "of aral and PyTorch: the hash is of all of these. What else a method trains, and on which other images, "
        "is its own."
    )
    rows = tuple(
        (str(each.seed), each.hash, str(each.verified), "; ".join(each.differences) or "none")
        for each in result.parity
    )
    return reports.Section(
        "Parity", text, reports.Table(("seed", "hash", "units verified", "differences"), rows)
    )


def _difference_section(differences: Sequence[benchmarking.Difference]) -> reports.Section:
    rows = tuple((each.what, each.paper, each.here) for each in differences)
    text = "All in which this experiment is known to differ from the paper's."
    return reports.Section(
        "What was changed against the paper", text, reports.Table(("what", "paper", "here"), rows)
    )


def _full_section(result: benchmarking.GridResult) -> reports.Section:
    rows = tuple((unit.name, _percent(unit.accuracy), unit.state) for unit in result.full)
    text = f"Training on all labels of the pool, drawn as a line ({_full_in_words(result)})."
    return reports.Section("Full training", text, reports.Table(("run", "accuracy %", "state"), rows))


def _full_in_words(result: benchmarking.GridResult) -> str:
    full = result.grid.full
    assert full is not None
    steps = f"{full.steps:,} steps" if full.steps else "as many steps as a compared run takes in all"
    return f"{full.learner}, all labels in one round, {steps}, mean of {counted(len(result.full), 'run')}"


def _validation_section(records: Sequence[reports.RunRecord]) -> reports.Section:
    text = (
        "A share of the labels was kept from training and counts as spent. Accuracy on the test set with the "
        "weights of the last step, and with those that did best on the labels kept; curves show the last step."
    )
    rows = []
    for record in records:
        last = record.last_evaluated
        assert last is not None
        rows.append((record.name, str(last.labelled), _percent(last.accuracy), _percent(_at_best(record))))
    head = ("run", "labels", "last step %", "best validation %")
    return reports.Section("Last step and best validation", text, reports.Table(head, tuple(rows)))


def _at_best(record: reports.RunRecord) -> float | None:
    last = record.last_evaluated
    return None if last is None else last.numbers.get("accuracy at best validation")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"
