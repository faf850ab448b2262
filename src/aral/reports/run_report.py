"""The contents of the report of one run beside its charts: key figures, tables, confusion matrix, latent codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from aral.annotation import Estimate
from aral.annotation.accuracy_estimate import exact_interval
from aral.annotation.advice import estimate_sentence, sampling_note
from aral.benchmarking import METRICS, RoundRecord, RunRecord
from aral.benchmarking.spending import COST
from aral.durable import Json
from aral.loop import Stage
from aral.loop.health import D_LOSS, D_LOSS_BOUND, LATENT_BOUNDS, RECOGNISED, SPREAD, SPREAD_BOUND
from aral.loop.health import generator_warning as generator_signs
from aral.loop.health import latent_warning as latent_signs
from aral.plural import counted
from aral.reports.project_runs import ProjectView
from aral.reports.tables import MOST_CLASSES, Table
from aral.reports.text import NONE, duration

FIRST_COLUMNS = (*METRICS, "negative log-likelihood", "calibration error", "classes seen")
LAST_COLUMNS = ("train seconds", "query seconds")

LARGEST_CONFUSION_TABLE = 30
"""With more classes than this, lists replace the confusion matrix."""

MISTAKES_SHOWN = 20

ROUNDS_SHOWN = 6
"""Of the table of recalls: the first, the last, and some between them."""

STRONGEST_COLOUR = 0.75
"""Opacity of a cell with all images of its row: text on it stays readable in both colour schemes."""


# Key figures


def state(record: RunRecord) -> str:
    """The progress of a run as a sentence."""
    if not record.rounds:
        return "No round has begun."
    last = record.rounds[-1]
    match last.stage:
        case Stage.EVALUATED:
            return f"{counted(len(record.rounds), 'round is', 'rounds are')} complete."
        case Stage.TRAINED:
            return f"Round {last.round} is trained, but not yet evaluated."
        case None:
            return f"Round {last.round} is being labelled or trained."


def key_figures(record: RunRecord, project: ProjectView | None = None) -> list[tuple[str, str]]:
    """The most important numbers, with their names.

    Args:
        record: the run.
        project: the annotation project of the run, which may be newer than the run.
    """
    last = record.last_evaluated
    spent = record.rounds[-1].labelled if record.rounds else 0
    labels = f"{spent} of {record.budget}" if record.budget is not None else str(spent)
    accuracy = "not known" if last is None or last.accuracy is None else f"{100 * last.accuracy:.2f} %"
    if record.of_project:
        estimate = newest_estimate(record, project)
        accuracy = "not known" if estimate is None else f"{100 * estimate.accuracy:.1f} %"
        # The budget of the run is the one that it began with, and the run does not hold the estimate set.
        labels = f"{spent} for training"
        if project is not None:
            of_budget = "" if project.budget is None else f" of {project.budget}"
            labels = f"{project.labelled}{of_budget}"
    cost = record.rounds[-1].numbers.get(COST) if record.rounds else None
    costs = []
    if cost is not None:  # the budget is one of costs
        labels, costs = str(spent), [("cost of the labels", f"{cost:g} of {record.budget}")]
    return [
        (record.measure, accuracy),
        ("labels", labels),
        *costs,
        ("rounds", str(len(record.rounds))),
        ("time for training and queries", duration(record.seconds) if record.seconds else "not known"),
    ]


def newest_estimate(record: RunRecord, project: ProjectView | None = None) -> Estimate | None:
    """The newest accuracy on the estimate set: the project's, else the run's; None before the first."""
    if project is not None and project.estimate is not None:
        return project.estimate
    last = record.last_evaluated
    return None if last is None else estimate_of(last)


def estimate_of(record: RoundRecord) -> Estimate | None:
    """The accuracy of a round of a project, with its interval; None without images."""
    if record.confusion is None or not record.confusion.sum():
        return None
    return exact_interval(int(record.confusion.trace()), int(record.confusion.sum()))


def estimate_in_words(record: RunRecord, project: ProjectView | None = None) -> str:
    """How reliable an accuracy on the estimate set is; empty for a run with a test set."""
    if not record.of_project:
        return ""
    estimate = newest_estimate(record, project)
    note = f" {sampling_note(estimate)}" if estimate else ""
    return f"{estimate_sentence(estimate)}{note}"


def curve_in_words(record: RunRecord) -> str:
    """The learning curve, for readers who cannot see the chart."""
    points = []
    for each in record.rounds:
        if each.accuracy is not None:
            estimate = estimate_of(each) if record.of_project else None
            interval = f" ({100 * estimate.low:.1f} to {100 * estimate.high:.1f} %)" if estimate else ""
            points.append(f"{100 * each.accuracy:.1f} %{interval} with {counted(each.labelled, 'label')}")
    return f"Learning curve, {record.measure}: {', '.join(points)}."


def as_json(record: RunRecord) -> dict[str, Json]:
    """A run as JSON: its identity and the metrics of each evaluated round, without durations."""
    rounds = [
        {
            "round": each.round,
            "labelled": each.labelled,
            **{name: value for name, value in each.numbers.items() if not name.endswith("seconds")},
            "recall": dict(each.recalls),
        }
        for each in record.rounds
        if each.accuracy is not None
    ]
    return {
        "run": record.name,
        "data": record.data.name,
        "note": record.data.note,
        "method": record.method,
        "seed": record.seed,
        "seconds": round(record.seconds, 1),
        "rounds": rounds,
    }


# Tables


def rounds_table(record: RunRecord) -> Table:
    """All metrics of all rounds but recalls: those of METRICS in per cent, others to four digits."""
    names = {name for each in record.rounds for name in each.numbers}
    middle = sorted(names - {*FIRST_COLUMNS, *LAST_COLUMNS})
    columns = [name for name in (*FIRST_COLUMNS, *middle, *LAST_COLUMNS) if name in names]
    heads = (f"{name}, %" if name in METRICS else name for name in columns)
    return Table(
        ("round", "labels", *heads),
        tuple(
            (str(each.round), str(each.labelled), *(_metric_text(each, name) for name in columns))
            for each in record.rounds
        ),
    )


def recall_table(record: RunRecord) -> Table:
    """Recall of each class in per cent, in at most :data:`ROUNDS_SHOWN` evaluated rounds; no rows where none is known.

    With more than :data:`aral.reports.tables.MOST_CLASSES` classes, those of lowest recall in the last round.
    """
    known = [each for each in record.rounds if each.recalls]
    places = np.unique(np.linspace(0, len(known) - 1, min(len(known), ROUNDS_SHOWN)).round().astype(int))
    rounds = [known[place] for place in places]
    names = list(known[-1].recalls) if known else []
    if has_many_classes(record):
        names = sorted(names, key=lambda name: known[-1].recalls[name])[:MOST_CLASSES]
    return Table(
        ("class", *(counted(each.labelled, "label") for each in rounds)),
        tuple((name, *(_recall_text(each, name) for each in rounds)) for name in names),
    )


def has_many_classes(record: RunRecord) -> bool:
    """Whether there are more classes than a table of them shows."""
    return any(len(each.recalls) > MOST_CLASSES for each in record.rounds)


def _recall_text(record: RoundRecord, name: str) -> str:
    return f"{100 * record.recalls[name]:.1f}" if name in record.recalls else NONE


def _metric_text(record: RoundRecord, name: str) -> str:
    if name not in record.numbers:
        return NONE
    value = record.numbers[name]
    return f"{100 * value:.2f}" if name in METRICS else f"{value:.4g}"


def losses_table(record: RunRecord) -> Table:
    """The last value of every loss in every round."""
    names = tuple(dict.fromkeys(name for each in record.rounds for name in each.losses))
    trained = [each for each in record.rounds if each.losses]
    return Table(
        ("round", *names),
        tuple(
            (
                str(each.round),
                *(f"{each.losses[name].values[-1]:.4g}" if name in each.losses else NONE for name in names),
            )
            for each in trained
        ),
    )


# Confusion matrix


@dataclass(frozen=True)
class ConfusionCell:
    """One count; the opacity of its colour is its share of the true class."""

    count: int
    opacity: str
    right: bool


@dataclass(frozen=True)
class ConfusionRow:
    """The test images of one true class.

    Attributes:
        name: the class.
        cells: counts by predicted class; empty with too many classes for a matrix.
        total: number of images.
        recall: share of them that is classified correctly, in per cent; a dash without images.
    """

    name: str
    cells: tuple[ConfusionCell, ...]
    total: int
    recall: str


@dataclass(frozen=True)
class Mistake:
    """How many images of one class were classified as another."""

    count: int
    true: str
    predicted: str


@dataclass(frozen=True)
class ConfusionView:
    """A confusion matrix as it is shown.

    Attributes:
        heads: the predicted classes; empty with too many classes for a matrix.
        rows: one for each true class.
        mistakes: the most frequent confusions, in descending order.
    """

    heads: tuple[str, ...]
    rows: tuple[ConfusionRow, ...]
    mistakes: tuple[Mistake, ...]


def confusion_view(confusion: Int64[np.ndarray, "K K"], names: Sequence[str]) -> ConfusionView:
    """A confusion matrix as it is shown.

    Args:
        confusion: counts, row = true class, column = predicted class.
        names: K class names.
    """
    matrix = len(names) <= LARGEST_CONFUSION_TABLE
    rows = []
    for index, (name, counts) in enumerate(zip(names, confusion.tolist(), strict=True)):
        total = sum(counts)
        cells = tuple(
            ConfusionCell(count, f"{STRONGEST_COLOUR * count / max(total, 1):.3f}", place == index)
            for place, count in enumerate(counts)
        )
        recall = f"{100 * counts[index] / total:.1f}" if total else NONE
        rows.append(ConfusionRow(name, cells if matrix else (), total, recall))
    return ConfusionView(tuple(names) if matrix else (), tuple(rows), _mistakes(confusion, names))


def _mistakes(confusion: Int64[np.ndarray, "K K"], names: Sequence[str]) -> tuple[Mistake, ...]:
    """Off-diagonal counts above zero in descending order, equal ones in order of class."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MISTAKES_SHOWN]
    return tuple(
        Mistake(int(wrong[true, predicted]), names[true], names[predicted])
        for true, predicted in (divmod(int(place), len(names)) for place in order)
        if wrong[true, predicted]
    )


# Diagnostics


@dataclass(frozen=True)
class Diagnostic:
    """A metric of the latent codes, or of what is generated, that is recorded each round.

    Attributes:
        name: its name among the metrics of a round.
        unit: its unit; empty for a number without one.
        bound: below it the codes or the generator have collapsed; None without such a bound.
        meaning: what it measures.
    """

    name: str
    unit: str
    bound: float | None
    meaning: str


DIAGNOSTICS = (
    Diagnostic("latent std", "", LATENT_BOUNDS["latent std"], "spread of the latent means over different images"),
    Diagnostic("latent KL", "nats", LATENT_BOUNDS["latent KL"], "information of the latent code about its image"),
    Diagnostic(
        "sampler AUC", "", None,
        "how well the sampler separates unlabelled from labelled images: 0.5 is chance, 1 is perfect",
    ),
    Diagnostic(
        RECOGNISED, "", None,
        "share of generated images whose class logistic regression on the labelled ones recognises: 1 is perfect",
    ),
    Diagnostic(SPREAD, "", SPREAD_BOUND, "spread of generated images of a class, relative to that of labelled images"),
    Diagnostic(D_LOSS, "nats", D_LOSS_BOUND, "the loss of D against generated images in the last third of the round"),
)  # fmt: skip


def recorded_diagnostics(record: RunRecord) -> tuple[Diagnostic, ...]:
    """Those of :data:`DIAGNOSTICS` that a round of the run has."""
    return tuple(each for each in DIAGNOSTICS if any(each.name in row.numbers for row in record.rounds))


def collapse_warning(record: RoundRecord) -> str:
    """A warning if a metric of the latent codes is below its bound or not finite; else empty.

    An encoder whose posterior is close to the prior for every image has collapsed: the sampler network sees the
    same noise for labelled and unlabelled images, and a query by its scores is close to a random one.
    """
    signs = latent_signs(record.numbers)
    return signs and (
        f"The latent codes have collapsed in round {record.round}: {signs}. The encoder gives nearly "
        "the same code to every image, so a query by the sampler's scores is close to a random one. Lower the "
        "weight of the KL divergence or raise that of the reconstruction."
    )


def generator_warning(record: RoundRecord) -> str:
    """A warning if the generator makes no classes or no variety, or if D is saturated; else empty."""
    signs = generator_signs(record.numbers)
    return signs and (
        f"The generator in round {record.round}: {signs}. Generated images then teach the classifier little. "
        "Objectives that tell the generator no class, such as that of the authors' code, make images without one."
    )
