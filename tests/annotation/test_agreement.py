"""Kappa against scikit-learn and by hand; anchoring by counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given as examples
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from aral.annotation import BROWSING, LABEL_STUDIO, AnswerEvent, ModelRecord, Project, Provenance
from aral.annotation.consensus import Action
from aral.annotation.labels import cohen_kappa, fleiss_kappa
from aral.annotation.predictions import hides_suggestion

from .conftest import change_settings, given

CAT: tuple[Action, int | None] = ("class", 0)
DOG: tuple[Action, int | None] = ("class", 1)
BAD: tuple[Action, int | None] = ("bad image", None)


@examples(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=30))
def test_cohen_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    ours = cohen_kappa([(("class", one), ("class", other)) for one, other in pairs])
    first, second = zip(*pairs, strict=True)
    if len(set(first + second)) == 1:
        assert ours is None
    else:
        assert ours == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)


def test_cohen_by_hand() -> None:
    """20 both yes, 5 and 10 mixed, 15 both no: p_o = 0.7, p_e = 0.5, kappa = 0.4."""
    pairs = [(CAT, CAT)] * 20 + [(CAT, DOG)] * 5 + [(DOG, CAT)] * 10 + [(DOG, DOG)] * 15
    assert cohen_kappa(pairs) == pytest.approx(0.4)
    assert cohen_kappa([]) is None


def test_fleiss_on_the_example_of_the_paper() -> None:
    """Fleiss' ten subjects, fourteen raters, five categories: kappa = 0.210."""
    table = """0 0 0 0 14  0 2 6 4 2  0 0 3 5 6  0 3 9 2 0  2 2 8 1 1
               7 7 0 0 0  3 2 6 3 0  2 5 3 2 2  6 5 2 1 0  0 2 2 3 7"""
    counts = np.array(table.split(), dtype=int).reshape(10, 5)
    images: list[list[tuple[Action, int | None]]] = [
        [("class", category) for category, number in enumerate(row) for _ in range(number)] for row in counts
    ]
    assert fleiss_kappa(images) == pytest.approx(0.2099, abs=1e-4)


def test_fleiss_by_hand_with_different_numbers_of_people() -> None:
    """Agreeing pairs: 1/3 and 1; shares cat 2/5, dog 3/5; (2/3 - 13/25) / (12/25) = 11/36."""
    assert fleiss_kappa([[CAT, CAT, DOG], [DOG, DOG]]) == pytest.approx(11 / 36)
    assert fleiss_kappa([[CAT, CAT], [CAT, CAT, CAT]]) is None


def test_a_project_measures_where_people_overlap(project: Project) -> None:
    change_settings(project, overlap=3)
    assert project.labels.agreement().images == 0 and project.labels.agreement().kappa is None
    for image_id, (first, second) in enumerate([(0, 0), (0, 1), (1, 1), (1, 1)]):
        project.annotations.append(given(image_id, first, "Ann"))
        project.annotations.append(given(image_id, second, "Bob"))
    project.annotations.append(given(10, 0, "Ann"))
    project.annotations.append(given(10, "skip", "Bob"))
    found = project.labels.agreement()
    assert (found.measure, found.images, found.annotators, found.equal) == ("cohen", 4, 2, 0.75)
    assert found.kappa == pytest.approx(cohen_kappa_score([0, 0, 1, 1], [0, 1, 1, 1]))
    project.annotations.append(given(0, "bad image", "Cyd"))
    found = project.labels.agreement()
    assert (found.measure, found.images, found.annotators) == ("fleiss", 4, 3)
    assert found.kappa == pytest.approx(
        fleiss_kappa([[CAT, CAT, BAD], [CAT, DOG], [DOG, DOG], [DOG, DOG]]), abs=1e-12
    )


def test_a_merge_brings_people_together(project: Project) -> None:
    kitten = project.classes.add("kitten", "Ann").id
    for image_id, (first, second) in enumerate([(0, kitten), (1, 1), (kitten, 0)]):
        project.annotations.append(given(image_id, first, "Ann"))
        project.annotations.append(given(image_id, second, "Bob"))
    assert project.labels.agreement().equal == 1 / 3
    project.classes.merge(kitten, 0, "Ann")
    assert project.labels.agreement().equal == 1.0 and project.labels.agreement().kappa == 1.0


def test_a_tenth_of_the_images_hides_its_suggestions_whoever_asks() -> None:
    hidden = hides_suggestion(range(20_000))
    assert 0.09 < np.mean(hidden) < 0.11
    assert hides_suggestion([17]) == [hidden[17]]
    assert hides_suggestion([5, 4]) == [hidden[5], hidden[4]]


def test_anchoring_counts_shown_and_hidden_apart(project: Project) -> None:
    """The model says dog of every image; people agree where they see it, and by half where they do not."""
    ids = project.images.labelable_ids()
    model = project.models.record(ModelRecord(0, "m", 1, 1.0, (0, 1)))
    project.predictions.replace(model, ids, [0, 1], np.tile([0.2, 0.8], (ids.size, 1)))
    hidden = [image_id for image_id in ids.tolist() if hides_suggestion([image_id])[0]]
    shown = [image_id for image_id in ids.tolist() if image_id not in hidden][:6]
    assert len(hidden) >= 2
    for image_id in shown:
        project.annotations.append(given(image_id, 0 if image_id == shown[0] else 1, shown=True))
    for image_id in hidden[:2]:
        project.annotations.append(given(image_id, 0 if image_id == hidden[0] else 1))
    switched_off = next(image_id for image_id in ids.tolist() if image_id not in hidden + shown)
    project.annotations.append(given(switched_off, 1))  # by a person who hid it: chosen, not random
    found = project.labels.anchoring()
    assert (found.shown, found.shown_equal, found.hidden, found.hidden_equal) == (6, 5, 2, 1)
    project.annotations.append(given(shown[1], "undo"))
    assert project.labels.anchoring().shown == 5


def test_anchoring_counts_first_answers_to_cards_alone(project: Project) -> None:
    """Corrections, what was picked out, and labels from elsewhere tell nothing of suggestions on cards."""
    ids = project.images.labelable_ids()
    model = project.models.record(ModelRecord(0, "m", 1, 1.0, (0, 1)))
    project.predictions.replace(model, ids, [0, 1], np.tile([0.2, 0.8], (ids.size, 1)))
    shown = [image_id for image_id in ids.tolist() if not hides_suggestion([image_id])[0]]
    hidden = next(image_id for image_id in ids.tolist() if hides_suggestion([image_id])[0])

    def count() -> tuple[int, int, int, int]:
        found = project.labels.anchoring()
        return found.shown, found.shown_equal, found.hidden, found.hidden_equal

    project.annotations.append(given(shown[0], 0, shown=True))
    assert count() == (1, 0, 0, 0)
    project.annotations.append(given(shown[0], 1, shown=True))  # corrected, as the model would have it
    assert count() == (1, 0, 0, 0)
    for number, strategy in enumerate((BROWSING, LABEL_STUDIO, "import", "aral-typical"), 1):
        key = f"{'import' if number > 2 else 'page'}:{number}"
        asked = Provenance(None, strategy, None)
        project.annotations.append(
            AnswerEvent(key, shown[number], "Ann", "class", 1, suggestion_shown=True, provenance=asked)
        )
    project.annotations.append(
        AnswerEvent("import:9", hidden, "Ann", "class", 1, provenance=Provenance(0, "aral-typical", 0.5))
    )
    project.annotations.append(given(shown[5], "skip"))
    project.annotations.append(given(shown[5], 1, shown=True))  # picked out again in the grid, perhaps
    assert count() == (1, 0, 0, 0)
    project.annotations.append(given(shown[0], 1, "Bob", shown=True))  # another person's first answer
    project.annotations.append(given(hidden, 1, "Bob"))
    assert count() == (2, 1, 1, 1)
    project.annotations.append(given(shown[6], 0, shown=True))
    project.annotations.append(given(shown[6], "undo"))
    project.annotations.append(given(shown[6], 1, shown=True))  # knows better than at first
    assert count() == (2, 1, 1, 1)
