"""A run in a few numbers and words: what its page says beside the drawings."""

from __future__ import annotations

from aral.annotation import Estimate
from aral.annotation.accuracy_estimate import exact_interval
from aral.annotation.advice import fairness
from aral.annotation.model_cards import in_words
from aral.durable import Json
from aral.loop import Stage
from aral.reports.record import RoundRecord, RunRecord
from aral.reports.tables import Table
from aral.words import counted

FIRST_COLUMNS = ("accuracy", "negative log-likelihood", "calibration error", "classes seen")
LAST_COLUMNS = ("train seconds", "query seconds")


def state(record: RunRecord) -> str:
    """How far a run is, in a few words."""
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


def headline(record: RunRecord, estimate: Estimate | None = None) -> list[tuple[str, str]]:
    """The few numbers that matter most, with their names.

    Args:
        record: the run.
        estimate: of a labelling project the newest, where it is newer than the run's own.
    """
    last = record.last_evaluated
    spent = record.rounds[-1].labelled if record.rounds else 0
    accuracy = "not known" if last is None or last.accuracy is None else f"{100 * last.accuracy:.2f} %"
    if record.of_project:
        estimate = estimate or own_estimate(record)
        accuracy = "not known" if estimate is None else f"{100 * estimate.accuracy:.1f} %"
    return [
        (record.measure, accuracy),
        ("labels", f"{spent} of {record.budget}" if record.budget is not None else str(spent)),
        ("rounds", str(len(record.rounds))),
        ("time for training and choosing", duration(record.seconds) if record.seconds else "not known"),
    ]


def own_estimate(record: RunRecord) -> Estimate | None:
    """The last accuracy of a labelling project's training, with its interval; None before the first."""
    last = record.last_evaluated
    if last is None or last.confusion is None or not last.confusion.sum():
        return None
    return exact_interval(int(last.confusion.trace()), int(last.confusion.sum()))


def fair_sample(record: RunRecord, estimate: Estimate | None = None) -> str:
    """How far an accuracy on the estimate slice can be relied on; empty for a run with a test set."""
    if not record.of_project:
        return ""
    estimate = estimate or own_estimate(record)
    return f"{in_words(estimate)} {fairness(estimate)}"


def duration(seconds: float) -> str:
    """A time for people: ``8.4 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def curve_in_words(record: RunRecord) -> str:
    """The learning curve for people who do not see it."""
    points = [
        f"{100 * each.accuracy:.1f} % with {counted(each.labelled, 'label')}"
        for each in record.rounds
        if each.accuracy is not None
    ]
    return f"Learning curve, {record.measure}: {', '.join(points)}."


def rounds_table(record: RunRecord) -> Table:
    """Every figure of every round: accuracy in per cent, the rest to four digits, a dash where none is."""
    names = {name for each in record.rounds for name in each.numbers}
    middle = sorted(names - {*FIRST_COLUMNS, *LAST_COLUMNS})
    columns = [name for name in (*FIRST_COLUMNS, *middle, *LAST_COLUMNS) if name in names]
    heads = ("accuracy, %" if name == "accuracy" else name for name in columns)
    return Table(
        ("round", "labels", *heads),
        tuple(
            (str(each.round), str(each.labelled), *(_figure_text(each, name) for name in columns))
            for each in record.rounds
        ),
    )


def losses_table(record: RunRecord) -> Table:
    """The last value of every loss in every round."""
    names = tuple(dict.fromkeys(name for each in record.rounds for name in each.losses))
    trained = [each for each in record.rounds if each.losses]
    return Table(
        ("round", *names),
        tuple(
            (
                str(each.round),
                *(f"{each.losses[name].values[-1]:.4g}" if name in each.losses else "–" for name in names),
            )
            for each in trained
        ),
    )


def _figure_text(record: RoundRecord, name: str) -> str:
    if name not in record.numbers:
        return "–"
    value = record.numbers[name]
    return f"{100 * value:.2f}" if name == "accuracy" else f"{value:.4g}"


def as_json(record: RunRecord) -> dict[str, Json]:
    """A run for machines: what it was and the figures of each evaluated round; durations are left out."""
    rounds = [
        {
            "round": each.round,
            "labelled": each.labelled,
            **{name: value for name, value in each.numbers.items() if not name.endswith("seconds")},
        }
        for each in record.rounds
        if each.accuracy is not None
    ]
    return {
        "run": record.name,
        "data": record.data,
        "note": record.note,
        "method": record.method,
        "seed": record.seed,
        "seconds": round(record.seconds, 1),
        "rounds": rounds,
    }
