"""Models, predictions, and the state of the training worker."""

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
    ZeroShot,
    predictions,
)
from aral.errors import BadInput
from aral.testing import project_rows
from tests.annotation.conftest import predict

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
    assert project_rows(project, "SELECT DISTINCT model_number FROM predictions") == [(newer,)]
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


def test_zero_shot_predictions_have_numbers_of_their_own(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def suggest(*names: str) -> int:
        made = ZeroShot("hf:x", "key", tuple(enumerate(names)), 0)
        rows = np.tile([0.75, 0.25], (30, 1))
        return project.predictions.replace_by_zero_shot(made, np.arange(30), rows)

    assert project.predictions.number() == 0 and project.predictions.zero_shot() is None
    assert suggest("a", "b") == -1
    found = project.predictions.get(7)
    assert found == Suggestion(0, 0.75, -1) and found.is_zero_shot
    killed = pytest.raises(KeyboardInterrupt)
    with monkeypatch.context() as patched, killed:
        patched.setattr("aral.annotation.predictions.write_setting", _interrupt)
        suggest("a", "c")
    assert project.predictions.get(7) == found
    assert project.predictions.zero_shot() == ZeroShot("hf:x", "key", ((0, "a"), (1, "b")), 30, -1)
    assert suggest("a", "c") == -2
    assert project_rows(project, "SELECT DISTINCT model_number FROM predictions") == [(-2,)]
    number = predict(project, {3: 0.9})
    assert number == 1 and project.predictions.number() == 1 and project.predictions.zero_shot() is None
    with pytest.raises(BadInput, match="do not replace those of a model"):
        suggest("a", "b")
    assert project.predictions.number() == 1


def _interrupt(*arguments: object) -> None:
    raise KeyboardInterrupt


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


def test_the_newest_model_and_estimate(project: Project) -> None:
    assert project.models.newest() is None and project.models.newest_number() is None
    assert project.models.newest_estimate() is None
    project.models.record(MODEL)
    project.models.record(ModelRecord(3, "models/0002", 50, 1.0, (0,)))
    assert project.models.newest() == project.models.all()[-1] and project.models.newest_number() == 2
    assert project.models.newest_estimate() == MODEL.estimate, "of the newest model that has one"
