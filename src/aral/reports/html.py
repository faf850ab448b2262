"""Reports as offline HTML pages: the report of one run, and the comparison of several.

Everything is inside the page: styles, charts and images as ``data:`` addresses. A page has no script and
requests nothing from a server; the template engine escapes all names of classes and files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from jaxtyping import UInt8
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from aral.benchmarking import Comparison, Measure, RoundRecord, RunRecord, Verdict, VerdictRow, curve_points
from aral.loop.pictures import MOST_CHOSEN
from aral.reports.curves import (
    DARK,
    LIGHT,
    Theme,
    diagnostics_chart,
    learning_curves,
    loss_chart,
    run_curve,
    svg_bytes,
)
from aral.reports.embeddings import Embedding, embedding_chart, read_embedding
from aral.reports.pictures import Pictures, file_address, picture_address, read_pictures, sheet_address
from aral.reports.project_runs import IMAGES_SHOWN, Photo, ProjectView
from aral.reports.run_report import (
    ConfusionView,
    collapse_warning,
    confusion_view,
    curve_in_words,
    estimate_in_words,
    generator_warning,
    has_many_classes,
    key_figures,
    losses_table,
    recall_table,
    recorded_diagnostics,
    rounds_table,
    state,
)
from aral.reports.tables import accuracy_table, condition_sections, metric_sections, number_sections
from aral.reports.text import (
    NO_BASELINE,
    RULE,
    costs_in_words,
    curves_in_words,
    duration,
    numbers_in_words,
    percent,
    seeds_in_words,
    verdict_in_words,
)
from aral.types import Answer, ClassAnswer, Selection

REPORT_NAME = "report.html"

CLASSES_SHOWN = 50
"""Classes of which generated images are shown."""

COLOURS_AND_MARKS = {
    Verdict.BETTER: ("better", "▲"),
    Verdict.WORSE: ("worse", "▼"),
    Verdict.NO_DIFFERENCE: ("same", "="),
    Verdict.INCONCLUSIVE: ("open", "?"),
}
"""For each verdict the style of its cell, and a mark beside the words: colour is never the only cue."""


def render(template: str, **content: object) -> str:
    """Fill one of this package's templates; text is escaped, and a missing name is an error."""
    environment = Environment(
        loader=PackageLoader("aral.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(content)


@dataclass(frozen=True)
class Chart:
    """A drawing for light and for dark colour schemes.

    Attributes:
        light: its ``data:`` address.
        dark: that of its dark variant.
        alternative: the same in words.
        width: its natural width, in pixels of a page.
    """

    light: str
    dark: str
    alternative: str
    width: int


def chart(draw: Callable[[Theme], Figure | None], alternative: str) -> Chart | None:
    """Draw in both colour schemes; None if there is nothing to draw."""
    light, dark = draw(LIGHT), draw(DARK)
    if light is None or dark is None:
        return None
    addresses = [file_address(svg_bytes(figure), "image/svg+xml") for figure in (light, dark)]
    return Chart(addresses[0], addresses[1], alternative, round(96 * light.get_figwidth()))


# The comparison of several runs


@dataclass(frozen=True)
class VerdictCell:
    """A verdict as it is shown.

    Attributes:
        colour: "better", "worse", "same" or "open".
        mark: a sign.
        words: the verdict.
        numbers: the numbers behind it, as a sentence.
    """

    colour: str
    mark: str
    words: str
    numbers: str


@dataclass(frozen=True)
class VerdictLine:
    """One method: its verdicts on the area under the curve and on the final accuracy."""

    method: str
    baseline: str
    area: VerdictCell
    final: VerdictCell
    seeds: int
    needed: str


@dataclass(frozen=True)
class RunLine:
    """One run of a method; the link is empty if the run has no report yet."""

    name: str
    link: str
    seed: int
    labelled: int
    accuracy: str
    time: str


def comparison_page(comparison: Comparison, target: Path) -> str:
    """A comparison as HTML.

    Args:
        comparison: what to show.
        target: the folder the page will lie in; links to the runs' own reports start from there.
    """
    runs: dict[str, list[RunLine]] = {method: [] for method in comparison.methods}
    for record in comparison.records:
        runs[record.method].append(_run_line(record, target))
    return render(
        "comparison.html.j2",
        comparison=comparison,
        verdicts=_verdict_lines(comparison),
        rule=RULE,
        no_baseline=NO_BASELINE,
        metrics=metric_sections(comparison),
        numbers=number_sections(comparison),
        curves=chart(lambda theme: learning_curves(comparison, theme), curves_in_words(comparison)),
        curves_by_cost=chart(
            lambda theme: learning_curves(comparison, theme, by_cost=True), costs_in_words(comparison.curves)
        ),
        accuracies=accuracy_table(comparison.curves),
        conditions=condition_sections(comparison),
        runs=runs,
    )


def _verdict_lines(comparison: Comparison) -> list[VerdictLine]:
    finals = {row.method: row for row in comparison.verdicts if row.measure is Measure.FINAL}
    return [
        VerdictLine(
            row.method,
            row.baseline,
            _verdict_cell(row),
            _verdict_cell(finals[row.method]),
            len(row.seeds),
            seeds_in_words(row),
        )
        for row in comparison.verdicts
        if row.measure is Measure.AREA
    ]


def _verdict_cell(row: VerdictRow) -> VerdictCell:
    return VerdictCell(*COLOURS_AND_MARKS[row.verdict], verdict_in_words(row), numbers_in_words(row))


def _run_line(record: RunRecord, target: Path) -> RunLine:
    last = record.last_evaluated
    return RunLine(
        name=record.name,
        link=report_link(record.folder, target),
        seed=record.seed,
        labelled=record.rounds[-1].labelled if record.rounds else 0,
        accuracy=percent(last.accuracy if last else None),
        time=duration(record.seconds),
    )


def report_link(folder: Path, target: Path) -> str:
    """The relative address of a run's report as seen from the target folder; empty if it has none."""
    report = folder.resolve() / REPORT_NAME
    if not report.is_file():
        return ""
    return quote(Path(os.path.relpath(report, target.resolve())).as_posix(), safe="/")


# The report of one run


@dataclass(frozen=True)
class ChosenImage:
    """An image of a query as it is shown; address and name are empty where they are unknown."""

    address: str
    image_id: int
    name: str
    score: str
    reason: str
    answer: str


@dataclass(frozen=True)
class Query:
    """The query of a round; ``more`` images are not shown."""

    round: int
    acquisition: str
    size: int
    images: tuple[ChosenImage, ...]
    more: int


@dataclass(frozen=True)
class NamedPicture:
    """A picture with its name."""

    name: str
    address: str


def report_page(record: RunRecord, reference: float | None = None, project: ProjectView | None = None) -> str:
    """The report of a run as HTML.

    Args:
        record: the run; one without rounds, pictures or accuracies gives a shorter page.
        reference: accuracy of training on all labels, in [0, 1], for the learning curve.
        project: the annotation project that the run trains the model of, as it is now.
    """
    last = record.rounds[-1] if record.rounds else None
    files = {each.round: read_pictures(record.folder / "pictures", each.round) for each in record.rounds}
    pictures = {number: file.pictures for number, file in files.items() if file.pictures is not None}
    generated = max((n for n, each in pictures.items() if each.generated is not None), default=None)
    reconstructed = max((n for n, each in pictures.items() if each.originals is not None), default=None)
    hidden = project.hidden_generated if project else ""
    confused = next((each for each in reversed(record.rounds) if each.confusion is not None), None)
    embedding = read_embedding(record.folder)
    problems = [file.problem for file in files.values() if file.problem]
    problems += [embedding] if isinstance(embedding, str) else []
    return render(
        "report.html.j2",
        record=record,
        state=state(record),
        key_figures=key_figures(record, project),
        estimate=estimate_in_words(record, project),
        warnings=[found for found in (collapse_warning(last), generator_warning(last)) if found]
        if last
        else [],
        curve=chart(lambda theme: run_curve(record, reference, theme), curve_in_words(record)),
        curve_by_cost=chart(
            lambda theme: run_curve(record, reference, theme, by_cost=True),
            costs_in_words(curve_points([record])),
        ),
        rounds=rounds_table(record),
        recalls=recall_table(record),
        lowest_recalls=has_many_classes(record),
        embedding=_embedding_chart(embedding),
        embedding_in_words=embedding.in_words() if isinstance(embedding, Embedding) else "",
        queries=[
            _query(record, each, each.selection, pictures.get(each.round), project.photos if project else {})
            for each in reversed(record.rounds)
            if each.selection is not None
        ],
        generated=_generated(record, pictures[generated]) if generated is not None and not hidden else (),
        hidden=hidden,
        generated_round=generated,
        reconstructed=_reconstructed(pictures[reconstructed]) if reconstructed is not None else (),
        reconstructed_round=reconstructed,
        confusion=_confusion(record, confused),
        confusion_round=confused.round if confused else 0,
        losses=chart(
            lambda theme: loss_chart(record, theme),
            "Losses over all training steps; the table below has the last values.",
        ),
        losses_table=losses_table(record),
        diagnostics_drawn=chart(
            lambda theme: diagnostics_chart(record, theme),
            "Diagnostics of latent codes and generator by round; the table of rounds has the values.",
        ),
        diagnostics=recorded_diagnostics(record),
        unreadable=problems,
        settings="" if record.settings is None else json.dumps(record.settings, indent=2, ensure_ascii=False),
    )


def _embedding_chart(embedding: Embedding | str | None) -> Chart | None:
    if not isinstance(embedding, Embedding):
        return None
    return chart(
        lambda theme: embedding_chart(embedding, theme), f"The pool in two dimensions. {embedding.in_words()}"
    )


def _query(
    record: RunRecord,
    of: RoundRecord,
    selection: Selection,
    pictures: Pictures | None,
    photos: Mapping[int, Photo],
) -> Query:
    kept = pictures.chosen if pictures else None
    # Pictures that may be of other images are worse than none.
    complete = kept is not None and len(kept) == min(len(selection), MOST_CHOSEN)
    images = list(kept) if kept is not None and complete else []
    listed = list(zip(selection.ids.tolist(), selection.scores.tolist(), selection.reasons, strict=True))
    shown = tuple(
        ChosenImage(
            address=_address(images[place] if place < len(images) else None, photos.get(image_id)),
            image_id=image_id,
            name=photos[image_id].name if image_id in photos else "",
            score=f"{score:.4g}",
            reason=reason,
            answer=_answer_text(record, of.answers.get(image_id)),
        )
        for place, (image_id, score, reason) in enumerate(listed[:IMAGES_SHOWN])
    )
    return Query(of.round, selection.acquisition, len(selection), shown, len(selection) - len(shown))


def _address(kept: UInt8[np.ndarray, "C H W"] | None, photo: Photo | None) -> str:
    pixels = photo.pixels if kept is None and photo is not None else kept
    return "" if pixels is None else picture_address(pixels)


def _answer_text(record: RunRecord, answer: Answer | None) -> str:
    match answer:
        case None:
            return "not answered"
        case ClassAnswer(_, class_index):
            return record.data.class_name(class_index)
        case _:
            return answer.reason.value


def _generated(record: RunRecord, pictures: Pictures) -> Sequence[NamedPicture]:
    if pictures.generated is None or not pictures.generated.shape[1]:
        return ()
    return tuple(
        NamedPicture(record.data.class_name(index), sheet_address(row, across=True))
        for index, row in enumerate(pictures.generated[:CLASSES_SHOWN])
    )


def _reconstructed(pictures: Pictures) -> Sequence[NamedPicture]:
    """Each original above its reconstruction, as one picture."""
    if pictures.originals is None or pictures.reconstructions is None:
        return ()
    pairs: UInt8[np.ndarray, "N two C H W"] = np.stack([pictures.originals, pictures.reconstructions], axis=1)
    return tuple(
        NamedPicture(str(number), sheet_address(pair, across=False))
        for number, pair in enumerate(pairs[:IMAGES_SHOWN], start=1)
    )


def _confusion(record: RunRecord, confused: RoundRecord | None) -> ConfusionView | None:
    if confused is None or confused.confusion is None:
        return None
    names = tuple(record.data.class_name(index) for index in range(len(confused.confusion)))
    return confusion_view(confused.confusion, names)
