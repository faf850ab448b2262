"""The whole way on a real folder: from no label to a classifier of new photos, beside labels drawn at random.

    python benchmarks/labelling_folder.py --data digits --seeds 3 --budget 125
    python benchmarks/labelling_folder.py --data fashion-mnist --seeds 3 --budget 125
    python benchmarks/labelling_folder.py --coverage --seeds 40

Writes images under hard names, with broken files among them, and runs the commands as people do: ``aral label``
with a scripted person who answers what is asked and waits for every training, ``aral export --all``, ``aral
predict`` on a folder of images that nobody has seen. The baseline, supervised+random, gets as many labels, those
of the estimate slice included, and trains on all of them. Work lies in runs/labelling-folder and goes on when the
command is repeated; rows go to results/labelling-folder.json as they arrive. ``--coverage`` asks instead how
often the estimate's interval holds the true accuracy, with small trainings; see interval_coverage.py.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import interval_coverage
from aral.annotation import Project, TrainingOptions
from folder_material import Material, material
from folder_outcome import (
    baseline,
    estimate_against_truth,
    exported_labels,
    predicted,
    purposes,
    unreadable,
)
from kept_rows import KeptRows
from label_server import LabelServer
from page_client import AHEAD, Page
from patient_person import PatientPerson

RUNS = Path("runs/labelling-folder")
IMPORTED = "could not be read"


def main() -> None:
    """Every seed that has no row yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", choices=["digits", "fashion-mnist"], default="digits")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--budget", type=int, default=125, help="labels in all, a fifth of them to measure")
    parser.add_argument("--pool", type=int, help="images in the folder; default: all of digits, 6000 others")
    parser.add_argument("--held-out", type=int, help="default: all of digits' test images, 2000 others")
    parser.add_argument("--ahead", type=int, default=AHEAD, help="cards that the page holds; its own: 12")
    parser.add_argument("--query-size", type=int, help="labels a round; default: the product's")
    parser.add_argument("--effort", choices=["quick", "normal", "thorough"], default="normal")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], help="as for aral label")
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder for the work")
    parser.add_argument("--kept", help="name of the file of rows, or a .json path")
    chosen = parser.parse_args()
    if chosen.coverage:
        coverage(chosen)
        return
    kept = KeptRows(chosen.kept or "labelling-folder")
    names = ("data", "budget", "pool", "held_out", "ahead", "query_size", "effort", "threads", "set")
    for seed in range(chosen.seeds):
        key = {name: vars(chosen)[name] for name in names} | {"seed": seed}
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:8]
        if not kept.has(key):
            kept.keep(key, one_seed(chosen, seed, chosen.runs / f"{chosen.data}-seed{seed}-{digest}"))


def coverage(chosen: argparse.Namespace) -> None:
    """Intervals against the truth, for every seed that has no row yet."""
    kept = KeptRows(chosen.kept or "labelling-coverage")
    size = chosen.query_size or 24
    for seed in range(chosen.seeds):
        key = {"seed": seed, "budget": chosen.budget, "query_size": size}
        if not kept.has(key):
            row = interval_coverage.one_seed(seed, chosen.budget, size)
            kept.keep(key, row, summary=interval_coverage.summary([*kept.rows, row]))


def one_seed(chosen: argparse.Namespace, seed: int, place: Path) -> dict[str, Any]:
    """Run or go on with one folder; the row."""
    of = material(place, chosen.data, seed, chosen.pool, chosen.held_out)
    row = once(place / "label.json", lambda: label(chosen, seed, of))
    target, table = place / "export", place / "predictions.csv"
    exported, row["export_seconds"] = command("export", of.photos, target, "--all", "--json")
    row |= {"exported": exported["files"], **exported_labels(target, of)}
    _, row["predict_seconds"] = command("predict", target, of.held_out, "--target", table, "--json")
    row |= predicted(table, of)
    options = TrainingOptions(
        query_size=chosen.query_size,
        effort=chosen.effort,
        seed=seed,
        threads=chosen.threads,
        settings=tuple(chosen.set),
    )
    with Project.open(of.photos) as project:
        row |= unreadable(project, of) | purposes(project)
        row |= estimate_against_truth(project, of, row["accuracy_held_out"])
        budgets = row["labels"], chosen.budget
        compared = once(
            place / "baseline.json", lambda: baseline(project, of, options, *budgets, place / "baseline")
        )
    return row | compared


def once(path: Path, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The outcome of a stage that takes long: kept in a file, and taken from there the next time."""
    if not path.exists():
        partial = path.with_suffix(".tmp")
        partial.write_text(json.dumps(work()))
        partial.replace(path)
    outcome = json.loads(path.read_text())
    assert isinstance(outcome, dict)
    return outcome


def label(chosen: argparse.Namespace, seed: int, of: Material) -> dict[str, Any]:
    """Serve the folder and let the person work until the budget is spent."""
    options = ["--classes", ",".join(of.class_names), "--budget", str(chosen.budget), "--seed", str(seed)]
    options += ["--effort", chosen.effort, "--threads", str(chosen.threads)]
    options += [] if chosen.query_size is None else ["--query-size", str(chosen.query_size)]
    went_on, before = (of.photos / ".aral").exists(), of.originals()
    server = LabelServer(of.photos, [*options, *(part for each in chosen.set for part in ("--set", each))])
    server.start()
    imported, _ = server.said(IMPORTED)
    page = Page(server.another_browser(), "Ann", ahead=chosen.ahead)
    classes = {each["name"]: each["id"] for each in page.browser.get("/api/project")["classes"]}
    truth = {name: classes[of.class_names[index]] for name, index in of.truth.items()}
    person = PatientPerson(page, truth, chosen.budget)
    begun = time.monotonic()
    try:
        status = person.work()
    finally:
        code = server.stop()
    counts = status["counts"]
    return {
        "labels": counts["labelled"],
        "labels_for_training": counts["for_training"],
        "labels_for_estimate": counts["for_estimate"],
        "models": status["model"],
        "impatient_answers": person.impatient_answers,
        "imported_after_seconds": round(imported, 1),
        "label_seconds": round(time.monotonic() - begun, 1),
        "waited_seconds": round(person.waited_seconds, 1),
        "went_on": went_on,
        "exit_code": code,
        "originals_changed": of.originals() != before,
    }


def command(*words: object) -> tuple[Any, float]:
    """Run a command of ``aral`` that prints JSON; gives what it printed, and its seconds."""
    begun = time.monotonic()
    line = [sys.executable, "-m", "aral", *map(str, words)]
    done = subprocess.run(line, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout), round(time.monotonic() - begun, 1)


if __name__ == "__main__":
    main()
