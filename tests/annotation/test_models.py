"""Models, predictions, and what is to be looked at again."""

from __future__ import annotations

import numpy as np
import pytest

from aral.annotation import (
    Advice,
    ClassFigure,
    Estimate,
    ModelRecord,
    Project,
    Suggestion,
    TrainingState,
    predictions,
)
from aral.errors import BadInput

from .conftest import MakeProject, change_settings, given

MODEL = ModelRecord(
    round=2,
    folder="models/0001",
    trained_on=40,
    seconds=2.5,
    class_ids=(0, 1),
    estimate=Estimate(0.75, 0.5, 0.9, 12),
    per_class=(ClassFigure(0, 3, Estimate(0.5, 0.1, 0.9, 4)), ClassFigure(1, 5, None)),
    confusion=((3, 1), (2, 6)),
    curve_point=(52, 0.75),
    newest_answer=7,
)


def predict(project: Project, dog: dict[int, float], round_number: int = 0, newest_answer: int = 0) -> int:
    """Store a model that gives these probabilities of the dog."""
    number = project.models.record(
        ModelRecord(round_number, f"m{round_number}", 1, 1.0, (0, 1), newest_answer=newest_answer)
    )
    ids = np.array(sorted(dog), dtype=np.int64)[::-1].copy()
    chances = np.array([[1 - dog[image_id], dog[image_id]] for image_id in ids.tolist()])
    project.predictions.replace(number, ids, [0, 1], chances)
    return number


def test_models_come_back_as_they_were(project: Project) -> None:
    assert project.models.record(MODEL) == 1
    assert project.models.record(ModelRecord(3, "models/0002", 50, 1.0, (0,))) == 2
    assert project.models.record(MODEL) == 1  # by a trainer that was killed and did it again
    first, second = project.models.all()
    assert (first.number, second.number, second.estimate) == (1, 2, None)
    assert first.recorded_at.startswith("20")
    assert first == ModelRecord(**{**vars(MODEL), "number": 1, "recorded_at": first.recorded_at})


def test_predictions_come_into_force_together(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "BLOCK_IMAGES", 4)
    assert project.predictions.get(3) is None and project.grid.predictions_page("Ann").cells == []
    number = predict(project, {image_id: image_id / 30 for image_id in range(29)})
    found = project.predictions.get(3)
    assert found is not None and found.class_id == 0 and found.model_number == number
    assert found.probability == pytest.approx(0.9)
    assert project.predictions.get(29) is None
    newer = project.models.record(ModelRecord(1, "m1", 1, 1.0, (0, 1)))

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("aral.annotation.predictions.write_setting", killed)
    with pytest.raises(KeyboardInterrupt):
        project.predictions.replace(newer, np.arange(30), [1, 0], np.tile([0.6, 0.4], (30, 1)))
    assert project.predictions.get(3) == found
    monkeypatch.undo()
    project.predictions.replace(newer, np.arange(30), [1, 0], np.tile([0.6, 0.4], (30, 1)))
    assert project.predictions.get(29) == Suggestion(1, float(np.float32(0.6)), newer)
    assert project._database.rows("SELECT DISTINCT model_number FROM predictions") == [(newer,)]
    with Project.open(project.photos) as other:
        assert other.predictions.get(29) == project.predictions.get(29)
    project.classes.merge(1, 0, "Ann")
    assert project.predictions.get(29) == Suggestion(0, float(np.float32(0.6)), newer)


@pytest.mark.parametrize(
    ("ids", "classes", "probabilities"),
    [
        ([0, 0], [0, 1], [[0.5, 0.5]] * 2),
        ([0, 30], [0, 1], [[0.5, 0.5]] * 2),
        ([0, 1], [0, 2], [[0.5, 0.5]] * 2),
        ([0, 1], [0], [[0.5, 0.5]] * 2),
        ([0, 1], [0, 1], [[0.5, float("nan")]] * 2),
        ([0, 1], [0, 1], [[-3.0, 4.0]] * 2),
    ],
)
def test_predictions_that_cannot_be_are_refused(
    project: Project, ids: list[int], classes: list[int], probabilities: list[list[float]]
) -> None:
    predict(project, {0: 0.9})
    with pytest.raises(BadInput):
        project.predictions.replace(1, np.array(ids), classes, np.array(probabilities))
    with pytest.raises(BadInput, match="no model 9"):
        project.predictions.replace(9, np.array([0]), [0], np.array([[1.0]]))
    assert project.predictions.get(0) is not None


def test_the_grid_is_laid_out_by_class_and_probability_and_stays(make_project: MakeProject) -> None:
    project = make_project(12, estimate_share=0.25)
    measuring = set(project.estimate.image_ids().tolist())
    free = [image_id for image_id in range(12) if image_id not in measuring]
    project.annotations.append(given(free[0], 1))
    dog = {image_id: (image_id + 0.5) / 12 for image_id in range(12)}
    predict(project, dog)
    cats = [one for one in free[1:] if dog[one] < 0.5]
    dogs = [one for one in free[1:] if dog[one] > 0.5]
    expected = sorted(cats, key=lambda one: dog[one]) + sorted(dogs, key=lambda one: -dog[one])
    page = project.grid.predictions_page("Ann").cells
    assert [cell.image_id for cell in page] == expected
    assert [cell.answered for cell in page] == [False] * len(expected)
    project.annotations.append(given(expected[1], 0))
    again = project.grid.predictions_page("Ann", 1, 2).cells
    assert [(cell.image_id, cell.answered) for cell in again] == [(expected[1], True), (expected[2], False)]
    assert again[0].name == f"{expected[1]:03d}.png" and again[0].suggestion is not None
    assert project.grid.predictions_page("Ann", 100).cells == []


def test_unlabelled_images_in_an_order_that_stays(project: Project) -> None:
    everything = [cell.image_id for cell in project.grid.unlabelled_page("Ann").cells]
    assert sorted(everything) == list(range(30)) and everything != sorted(everything)
    project.annotations.append(given(everything[0], 0))
    first = project.grid.unlabelled_page("Ann", 0, 5)
    assert [cell.image_id for cell in first.cells] == everything[1:6] and first.next is not None
    second = project.grid.unlabelled_page("Ann", first.next, 5)
    assert [cell.image_id for cell in second.cells] == everything[6:11]
    assert [cell.image_id for cell in project.grid.cells([7, 999, 3])] == [7, 3]


def test_labels_doubted_by_a_model_that_has_not_learned_from_them(project: Project) -> None:
    predict(project, dict.fromkeys(range(30), 0.6))
    for image_id in range(5):
        project.annotations.append(given(image_id, 0))  # against what the model said of all five
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
    project.annotations.append(given(3, 0))  # looked at again, and meant
    project.annotations.append(given(0, 1))  # looked at again, and changed
    assert [one.image_id for one in project.labels.suspects(10)] == [1, 2]


def test_labels_that_measure_are_never_doubted(make_project: MakeProject) -> None:
    """Corrected only where the model objects, they would measure it as better than it is."""
    project = make_project(30, estimate_share=0.5)
    measuring = set(project.estimate.image_ids().tolist())
    assert len(measuring) == 15
    predict(project, dict.fromkeys(range(30), 0.6))
    for image_id in range(30):
        project.annotations.append(given(image_id, 0))
    predict(project, dict.fromkeys(range(30), 0.6), 1, newest_answer=1)
    assert {one.image_id for one in project.labels.suspects(100)} == set(range(30)) - measuring


def test_states_advice_and_pictures(project: Project) -> None:
    assert project.models.training_state().phase == "off" and project.models.advice() is None
    before = project.changes()
    project.models.set_training_state(TrainingState("training", 3, 0.4, "round 3"))
    state = project.models.training_state()
    assert (state.phase, state.round, state.fraction, state.message) == ("training", 3, 0.4, "round 3")
    assert state.updated and project.changes() == before + 1
    advice = Advice(50, 0.8, 0.4, 1.2, "The next 50 labels: about +0.8 ± 0.4 points.")
    project.models.set_advice(advice)
    assert project.models.advice() == advice
    project.models.set_advice(None)
    assert project.models.advice() is None
    assert project.models.generated_images() is None
    project.models.record(MODEL)
    project.models.set_generated_images(1, b"\xff\xd8 picture")
    assert project.models.generated_images() == project.models.generated_images(1) == b"\xff\xd8 picture"
    assert project.models.generated_images(2) is None
    with pytest.raises(BadInput):
        project.models.set_generated_images(1, b"<svg>")
    with pytest.raises(BadInput):
        project.models.set_generated_images(5, b"\xff\xd8")


def test_pace_over_the_last_minutes(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    change_settings(project, budget=20)
    for number in range(11):
        monkeypatch.setattr("time.time", lambda number=number: 1000.0 + 6 * number)
        project.annotations.append(given(number, 0))
        assert project.pace("Ann").labels_per_minute == pytest.approx(
            {0: 0.0, 1: 6.0}.get(number, 10.0)  # in the first ten seconds no more than these tell
        )
    found = project.pace("Ann")
    assert found.labels_per_minute == pytest.approx(10.0)
    assert found.seconds_left == pytest.approx(9 * 6.0)
    assert found.left == 9
    project.queue.replace(0, np.arange(10, 16), np.arange(6.0), [""] * 6, "margin", np.arange(0))
    assert project.queue.remaining() == 5  # image 10 is answered
    assert project.pace("Ann").round_seconds_left == pytest.approx(5 * 6.0)
    change_settings(project, budget=500)  # more than there are images for
    project.annotations.append(given(20, "bad image"))
    assert (project.pace("Ann").left, project.pace("Ann").seconds_left) == (18, pytest.approx(18 * 6.0))
    change_settings(project, budget=5)
    assert (project.pace("Ann").left, project.pace("Ann").seconds_left) == (0, 0.0)
    change_settings(project, budget=None)
    assert project.pace("Ann").left == 18
    assert project.pace("Bob").labels_per_minute == 0 and project.pace("Bob").seconds_left is None
    monkeypatch.setattr("time.time", lambda: 1000.0 + 60 + 301)
    assert project.pace("Ann").seconds_left is None


def test_a_round_takes_those_that_measure_among_it_as_well(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a budget of 20 ten measure, so every second card does: five of a round take ten answers."""
    project = make_project(30, budget=20, estimate_share=0.5)
    measuring = set(project.estimate.image_ids().tolist())
    others = [image_id for image_id in range(30) if image_id not in measuring]
    assert len(measuring) == 10
    for number in range(4):
        monkeypatch.setattr("time.time", lambda number=number: 1000.0 + 6 * number)
        project.annotations.append(given(others[number], 0))
    project.queue.replace(0, np.array(others[4:9]), np.arange(5.0), [""] * 5, "margin", np.arange(0))
    assert project.pace("Ann").round_seconds_left == pytest.approx(10 * 6.0)
    for image_id in sorted(measuring)[:7]:
        project.annotations.append(given(image_id, 0, "Bob"))
    assert project.pace("Ann").round_seconds_left == pytest.approx(8 * 6.0)  # three are left to measure
