"""Consensus, disagreements, agreement, anchoring and suspect labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given as examples
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from aral.annotation import (
    BROWSING,
    LABEL_STUDIO,
    AnswerEvent,
    LabelCounts,
    ModelRecord,
    Project,
    Provenance,
)
from aral.annotation.consensus import Action
from aral.annotation.labels import cohen_kappa, fleiss_kappa
from aral.annotation.predictions import hides_suggestion
from aral.testing import answer_event, noise_image
from tests.annotation.conftest import MakeProject, change_settings, label_map, predict


def test_the_majority_decides_and_a_tie_is_a_conflict(project: Project) -> None:
    change_settings(project, overlap=5)
    votes: dict[int, list[int | str]] = {
        0: [0, 0, 1],
        1: [0, 1],
        2: [0, "skip", "unsure"],
        3: ["bad image", "bad image", 0],
        4: ["none of these"],
        5: ["skip", "skip"],
        6: ["skip", "unsure"],
        7: [0, 0, 1, 1],
        8: [0, "bad image"],
    }
    for image_id, answers in votes.items():
        for person, answer in zip(("Ann", "Bob", "Cyd", "Dan"), answers, strict=False):
            project.annotations.append(answer_event(image_id, answer, person))
    first, second = project.labels.all()
    assert (first.image_id, first.class_id, first.annotators) == (0, 0, ("Ann", "Bob"))
    assert first.agreement == 2 / 3 and first.use == "training" and not first.inherited
    assert (second.image_id, second.annotators, second.agreement) == (2, ("Ann",), 1.0)
    conflicts = project.labels.disagreements()
    assert [conflict.image_id for conflict in conflicts] == [1, 7, 8]
    assert conflicts[2].votes == (("Ann", "class", 0), ("Bob", "bad image", None))
    assert project.labels.counts() == LabelCounts(
        labelled=2, skipped=1, unsure=1, bad=1, none=1, conflicts=3, for_training=2, for_estimate=0
    )


def test_a_change_of_mind_solves_a_conflict(project: Project) -> None:
    project.annotations.append(answer_event(1, 0, "Ann"))
    project.annotations.append(answer_event(1, 1, "Bob"))
    assert project.labels.all() == []
    project.annotations.append(answer_event(1, 1, "Ann"))
    (label,) = project.labels.all()
    assert (label.class_id, label.annotators, label.seq) == (1, ("Bob", "Ann"), 3)
    assert project.labels.disagreements() == []


def test_merged_classes_are_one(project: Project) -> None:
    kitten = project.classes.add("kitten", "Ann").id
    project.annotations.append(answer_event(1, 0, "Ann"))
    project.annotations.append(answer_event(1, kitten, "Bob"))
    project.annotations.append(answer_event(2, kitten, "Ann"))
    assert len(project.labels.disagreements()) == 1 and label_map(project) == {2: kitten}
    project.classes.merge(kitten, 0, "Ann")
    assert project.labels.disagreements() == [] and label_map(project) == {1: 0, 2: 0}
    assert project.labels.counts().labelled == 2 and project.labels.counts().conflicts == 0
    project.annotations.append(answer_event(3, kitten, "Cyd"))  # from a page that has not heard of it
    assert label_map(project)[3] == 0


def test_a_merge_can_make_a_tie(project: Project) -> None:
    """cat 1, kitten 1, dog 2: dog wins, until cat and kitten are one."""
    change_settings(project, overlap=4)
    kitten = project.classes.add("kitten", "Ann").id
    for person, class_id in zip("ABCD", (0, kitten, 1, 1), strict=True):
        project.annotations.append(answer_event(9, class_id, person))
    assert label_map(project) == {9: 1}
    project.classes.merge(kitten, 0, "Ann")
    assert label_map(project) == {} and project.labels.counts().conflicts == 1
    assert project.labels.disagreements()[0].votes[1] == ("B", "class", 0)


def test_exact_copies_share_a_label(make_project: MakeProject, photos: object) -> None:
    project = make_project(4)
    copy = project.photos / "zz.png"
    copy.write_bytes((project.photos / "002.png").read_bytes())
    noise_image(77).save(project.photos / "new.png")
    project.images.sync()
    assert project.images.duplicates() == {2: (5,)} and project.images.get(5).duplicate_of == 2
    assert project.images.labelable_ids().tolist() == [0, 1, 2, 3, 4] and project.images.count() == 5
    receipt = project.annotations.append(
        answer_event(5, 1)
    )  # the copy is shown somewhere: the answer counts for the first
    assert receipt.image_id == 2
    labels = project.labels.all()
    assert [(label.image_id, label.class_id, label.inherited) for label in labels] == [
        (2, 1, False),
        (5, 1, True),
    ]
    assert project.labels.counts().labelled == 1
    project.annotations.append(answer_event(5, "undo"))
    assert project.labels.all() == []


def test_a_label_outlives_its_file(project: Project) -> None:
    project.annotations.append(answer_event(3, 1))
    (project.photos / "003.png").unlink()
    project.images.sync()
    assert project.images.get(3).status == "missing"
    assert label_map(project) == {3: 1} and project.labels.counts().labelled == 1
    assert 3 not in project.images.labelable_ids()


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


def test_fleiss_by_hand_with_different_numbers_of_annotators() -> None:
    """Agreeing pairs: 1/3 and 1; shares cat 2/5, dog 3/5; (2/3 - 13/25) / (12/25) = 11/36."""
    assert fleiss_kappa([[CAT, CAT, DOG], [DOG, DOG]]) == pytest.approx(11 / 36)
    assert fleiss_kappa([[CAT, CAT], [CAT, CAT, CAT]]) is None


def test_agreement_over_images_with_several_annotators(project: Project) -> None:
    change_settings(project, overlap=3)
    assert project.labels.agreement().images == 0 and project.labels.agreement().kappa is None
    for image_id, (first, second) in enumerate([(0, 0), (0, 1), (1, 1), (1, 1)]):
        project.annotations.append(answer_event(image_id, first, "Ann"))
        project.annotations.append(answer_event(image_id, second, "Bob"))
    project.annotations.append(answer_event(10, 0, "Ann"))
    project.annotations.append(answer_event(10, "skip", "Bob"))
    found = project.labels.agreement()
    assert (found.measure, found.images, found.annotators, found.equal) == ("cohen", 4, 2, 0.75)
    assert found.kappa == pytest.approx(cohen_kappa_score([0, 0, 1, 1], [0, 1, 1, 1]))
    project.annotations.append(answer_event(0, "bad image", "Cyd"))
    found = project.labels.agreement()
    assert (found.measure, found.images, found.annotators) == ("fleiss", 4, 3)
    assert found.kappa == pytest.approx(
        fleiss_kappa([[CAT, CAT, BAD], [CAT, DOG], [DOG, DOG], [DOG, DOG]]), abs=1e-12
    )


def test_a_merge_of_classes_raises_agreement(project: Project) -> None:
    kitten = project.classes.add("kitten", "Ann").id
    for image_id, (first, second) in enumerate([(0, kitten), (1, 1), (kitten, 0)]):
        project.annotations.append(answer_event(image_id, first, "Ann"))
        project.annotations.append(answer_event(image_id, second, "Bob"))
    assert project.labels.agreement().equal == 1 / 3
    project.classes.merge(kitten, 0, "Ann")
    assert project.labels.agreement().equal == 1.0 and project.labels.agreement().kappa == 1.0


def test_a_tenth_of_the_images_hides_its_suggestions() -> None:
    hidden = hides_suggestion(range(20_000))
    assert 0.09 < np.mean(hidden) < 0.11
    assert hides_suggestion([17]) == [hidden[17]]
    assert hides_suggestion([5, 4]) == [hidden[5], hidden[4]]


def test_anchoring_counts_shown_and_hidden_apart(project: Project) -> None:
    """The model predicts dog for every image; annotators agree where it is shown, and on half where it is hidden."""
    ids = project.images.labelable_ids()
    model = project.models.record(ModelRecord(0, "m", 1, 1.0, (0, 1)))
    project.predictions.replace(model, ids, [0, 1], np.tile([0.2, 0.8], (ids.size, 1)))
    hidden = [image_id for image_id in ids.tolist() if hides_suggestion([image_id])[0]]
    shown = [image_id for image_id in ids.tolist() if image_id not in hidden][:6]
    assert len(hidden) >= 2
    for image_id in shown:
        project.annotations.append(
            answer_event(image_id, 0 if image_id == shown[0] else 1, suggestion_shown=True)
        )
    for image_id in hidden[:2]:
        project.annotations.append(answer_event(image_id, 0 if image_id == hidden[0] else 1))
    switched_off = next(image_id for image_id in ids.tolist() if image_id not in hidden + shown)
    project.annotations.append(answer_event(switched_off, 1))  # by a person who hid it: chosen, not random
    found = project.labels.anchoring()
    assert (found.shown, found.shown_equal, found.hidden, found.hidden_equal) == (6, 5, 2, 1)
    project.annotations.append(answer_event(shown[1], "undo"))
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

    project.annotations.append(answer_event(shown[0], 0, suggestion_shown=True))
    assert count() == (1, 0, 0, 0)
    project.annotations.append(
        answer_event(shown[0], 1, suggestion_shown=True)
    )  # corrected to the suggestion
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
    project.annotations.append(answer_event(shown[5], "skip"))
    project.annotations.append(answer_event(shown[5], 1, suggestion_shown=True))  # answered again in the grid
    assert count() == (1, 0, 0, 0)
    project.annotations.append(
        answer_event(shown[0], 1, "Bob", suggestion_shown=True)
    )  # another person's first answer
    project.annotations.append(answer_event(hidden, 1, "Bob"))
    assert count() == (2, 1, 1, 1)
    project.annotations.append(answer_event(shown[6], 0, suggestion_shown=True))
    project.annotations.append(answer_event(shown[6], "undo"))
    project.annotations.append(answer_event(shown[6], 1, suggestion_shown=True))  # knows better than at first
    assert count() == (2, 1, 1, 1)


def test_suspect_labels_contradict_a_model_not_trained_on_them(project: Project) -> None:
    predict(project, dict.fromkeys(range(30), 0.6))
    for image_id in range(5):
        project.annotations.append(answer_event(image_id, 0))  # against what the model said of all five
    # Trained on the first three: what it says of those now is no evidence.
    predict(project, {**dict.fromkeys(range(30), 0.1), 2: 0.9, 3: 0.8, 4: 0.3}, 1, newest_answer=3)
    found = project.labels.suspects(10)
    assert [(one.image_id, round(one.suggestion.probability, 3)) for one in found] == [
        (3, 0.8),
        (0, 0.6),
        (1, 0.6),
        (2, 0.6),
    ]
    assert (found[0].class_id, found[0].annotators, found[0].name) == (0, ("Ann",), "003.png")
    assert found[0].suggestion.class_id == 1 and found[1].suggestion.model_number == 1
    assert [one.image_id for one in project.labels.suspects(1)] == [3]
    project.annotations.append(answer_event(3, 0))  # looked at again, and meant
    project.annotations.append(answer_event(0, 1))  # looked at again, and changed
    assert [one.image_id for one in project.labels.suspects(10)] == [1, 2]


def test_labels_of_the_estimate_set_are_never_suspect(make_project: MakeProject) -> None:
    """Corrected only where the model objects, they would measure it as better than it is."""
    project = make_project(30, estimate_share=0.5)
    measuring = set(project.estimate.image_ids().tolist())
    assert len(measuring) == 15
    predict(project, dict.fromkeys(range(30), 0.6))
    for image_id in range(30):
        project.annotations.append(answer_event(image_id, 0))
    predict(project, dict.fromkeys(range(30), 0.6), 1, newest_answer=1)
    assert {one.image_id for one in project.labels.suspects(100)} == set(range(30)) - measuring


def test_images_without_a_class_by_what_they_have_instead(project: Project) -> None:
    change_settings(project, overlap=2)
    answers: list[int | str] = [0, "skip", "unsure", "bad image", "none of these", 0]
    for image_id, answer in enumerate(answers):
        project.annotations.append(answer_event(image_id, answer))
    project.annotations.append(answer_event(5, 1, "Bob"))
    project.annotations.append(answer_event(6, "skip"))
    project.annotations.append(answer_event(6, "undo"))
    assert project.labels.without_class() == {
        1: "skip",
        2: "unsure",
        3: "bad image",
        4: "none of these",
        5: "conflict",
    }


def test_changes_are_read_from_a_position_in_the_log_on(make_project: MakeProject) -> None:
    project = make_project(30, estimate_share=0.5)
    in_set = int(project.estimate.image_ids()[0])
    first, second = [each for each in range(30) if each not in project.estimate.image_ids()][:2]
    assert project.labels.changed_since(0) == (0, [])
    project.annotations.append_many(
        [answer_event(first, 0), answer_event(in_set, 1), answer_event(second, "skip")]
    )
    seq, changed = project.labels.changed_since(0)
    assert seq == project.annotations.newest_seq() == 3
    assert {(each.image_id, each.state, each.class_id, each.use) for each in changed} == {
        (first, "class", 0, "training"),
        (in_set, "class", 1, "estimate"),
        (second, "skip", None, "training"),
    }
    project.annotations.append_many([answer_event(first, "undo"), answer_event(second, 1)])
    newest, changed = project.labels.changed_since(seq)
    assert newest == 5
    assert [(each.image_id, each.state, each.class_id) for each in changed] == sorted(
        [(first, None, None), (second, "class", 1)]
    )
    assert project.labels.changed_since(newest) == (5, [])
