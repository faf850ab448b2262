"""The report of one run as one offline HTML page: what the templates show, ready to be shown.

Everything is inside the page: styles, charts and images as ``data:`` addresses. It holds no script and asks
no server for anything; names of classes and files are escaped by the template engine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from aral.annotation import Estimate
from aral.loop.pictures import MOST_CHOSEN
from aral.reports.confusion import ConfusionView, confusion_view
from aral.reports.curves import DARK, LIGHT, Theme, latent_health, learning_curves, loss_traces, svg_bytes
from aral.reports.health import LATENT_FIGURES, collapse_warning
from aral.reports.pictures import file_address, picture_address, sheet_address
from aral.reports.record import RoundRecord, RunRecord
from aral.reports.summary import curve_in_words, fair_sample, headline, losses_table, rounds_table, state
from aral.types import Answer, ClassAnswer, Selection

IMAGES_SHOWN = 60
"""Chosen images of a round that are shown; a page with all of a large query would not open on a phone."""

CLASSES_SHOWN = 50
"""Classes of which generated pictures are shown."""


@dataclass(frozen=True)
class Chart:
    """A drawing on light and on dark paper.

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


@dataclass(frozen=True)
class ChosenImage:
    """An image of a query as it is shown; the address is empty if the picture was not kept."""

    address: str
    image_id: int
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


def report_page(record: RunRecord, reference: float | None = None, estimate: Estimate | None = None) -> str:
    """The report of a run as HTML.

    Args:
        record: the run; one without rounds, pictures or accuracies gives a shorter page.
        reference: accuracy of training on all labels, in [0, 1], for the learning curve.
        estimate: of a labelling project the newest accuracy on its estimate slice.
    """
    last = record.rounds[-1] if record.rounds else None
    gallery = _last_with(
        record, lambda each: each.pictures is not None and each.pictures.generated is not None
    )
    copies = _last_with(
        record, lambda each: each.pictures is not None and each.pictures.originals is not None
    )
    confused = _last_with(record, lambda each: each.confusion is not None)
    return render(
        "report.html.j2",
        record=record,
        state=state(record),
        headline=headline(record, estimate),
        fair_sample=fair_sample(record, estimate),
        warning=collapse_warning(last) if last else "",
        curve=chart(lambda theme: learning_curves([record], reference, theme), curve_in_words(record)),
        rounds=rounds_table(record),
        queries=[
            _query(record, each, each.selection)
            for each in reversed(record.rounds)
            if each.selection is not None
        ],
        generated=_generated(record, gallery),
        generated_round=gallery.round if gallery else 0,
        reconstructed=_reconstructed(copies),
        reconstructed_round=copies.round if copies else 0,
        confusion=_confusion(record, confused),
        confusion_round=confused.round if confused else 0,
        losses=chart(
            lambda theme: loss_traces(record, theme), "Losses over all steps; the table has the ends."
        ),
        losses_table=losses_table(record),
        health=chart(
            lambda theme: latent_health(record, theme), "Latent figures; the table of rounds has them."
        ),
        latent_figures=LATENT_FIGURES,
        settings="" if record.settings is None else json.dumps(record.settings, indent=2, ensure_ascii=False),
    )


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


def chart(draw: Callable[[Theme], Figure | None], alternative: str) -> Chart | None:
    """Draw something on light and on dark paper; None if there is nothing to draw."""
    light, dark = draw(LIGHT), draw(DARK)
    if light is None or dark is None:
        return None
    addresses = [file_address(svg_bytes(figure), "image/svg+xml") for figure in (light, dark)]
    return Chart(addresses[0], addresses[1], alternative, round(96 * light.get_figwidth()))


def _last_with(record: RunRecord, has: Callable[[RoundRecord], bool]) -> RoundRecord | None:
    return next((each for each in reversed(record.rounds) if has(each)), None)


def _query(record: RunRecord, asked: RoundRecord, selection: Selection) -> Query:
    kept = asked.pictures.chosen if asked.pictures else None
    whole = kept is not None and len(kept) == min(len(selection), MOST_CHOSEN)
    chosen = (
        [] if kept is None or not whole else list(kept)
    )  # pictures of nobody knows whom are worse than none
    shown = list(zip(selection.ids.tolist(), selection.scores.tolist(), selection.reasons, strict=True))
    images = tuple(
        ChosenImage(
            address=picture_address(chosen[place]) if place < len(chosen) else "",
            image_id=image_id,
            score=f"{score:.4g}",
            reason=reason,
            answer=_answer_text(record, asked.answers.get(image_id)),
        )
        for place, (image_id, score, reason) in enumerate(shown[:IMAGES_SHOWN])
    )
    return Query(asked.round, selection.acquisition, len(selection), images, len(selection) - len(images))


def _answer_text(record: RunRecord, answer: Answer | None) -> str:
    match answer:
        case None:
            return "not answered"
        case ClassAnswer(_, class_index):
            return record.class_name(class_index)
        case _:
            return answer.reason.value


def _generated(record: RunRecord, gallery: RoundRecord | None) -> Sequence[NamedPicture]:
    pictures = gallery.pictures.generated if gallery and gallery.pictures else None
    if pictures is None or not pictures.shape[1]:
        return ()
    return tuple(
        NamedPicture(record.class_name(index), sheet_address(row, across=True))
        for index, row in enumerate(pictures[:CLASSES_SHOWN])
    )


def _reconstructed(copies: RoundRecord | None) -> Sequence[NamedPicture]:
    """Each original above its reconstruction, as one picture."""
    pictures = copies.pictures if copies else None
    if pictures is None or pictures.originals is None or pictures.reconstructions is None:
        return ()
    pairs: UInt8[np.ndarray, "N two C H W"] = np.stack([pictures.originals, pictures.reconstructions], axis=1)
    return tuple(
        NamedPicture(str(number), sheet_address(pair, across=False))
        for number, pair in enumerate(pairs[:IMAGES_SHOWN], start=1)
    )


def _confusion(record: RunRecord, confused: RoundRecord | None) -> ConfusionView | None:
    if confused is None or confused.confusion is None:
        return None
    names = tuple(record.class_name(index) for index in range(len(confused.confusion)))
    return confusion_view(confused.confusion, names)
