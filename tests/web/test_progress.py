"""The progress view and the status bar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from aral.annotation import Advice, AnswerEvent, Pace, Phase, Project, TrainingState
from tests.web.conftest import IMAGES, event, record_model, suggest_zero_shot


def test_before_any_model_there_is_an_empty_view(client: TestClient) -> None:
    view = client.get("/api/round").json()
    assert view["curve"] == []
    assert view["model"] is None
    assert [group["count"] for group in view["gallery"]] == [0, 0, 0]
    assert view["generated"] is None


def test_generated_images_that_show_nothing_are_hidden_with_the_reason(
    client: TestClient, project: Project
) -> None:
    record_model(project, right=6)
    project.models.set_generated_images(1, project.images.thumbnail(0))
    assert (
        client.get("/api/round").json()["generated"],
        client.get("/api/round").json()["hidden_generated"],
    ) == (1, "")
    project.models.hide_generated_images(1, "Generated images are not shown: noise.")
    view = client.get("/api/round").json()
    assert view["generated"] is None and view["hidden_generated"].endswith("noise.")
    assert client.get("/generated/1").status_code == 404
    record_model(project, right=8)
    assert client.get("/api/round").json()["hidden_generated"] == "", "of the newest model only"


def test_the_curve_has_a_point_for_each_model(client: TestClient, project: Project) -> None:
    record_model(project, right=6)
    record_model(project, right=8)
    view = client.get("/api/round").json()
    assert [(point["labels"], point["accuracy"]) for point in view["curve"]] == [(10, 0.6), (20, 0.8)]
    assert view["curve"][1]["low"] == 0.49
    assert view["model"]["number"] == 2
    assert view["model"]["confusion"] == [[5, 0, 0], [1, 5, 1], [2, 2, 5]]
    assert view["model"]["per_class"][0]["recall"] is None
    assert view["model"]["per_class"][1]["recall"]["count"] == 10


def test_zero_shot_suggestions_are_named_and_no_model(client: TestClient, project: Project) -> None:
    status = {"annotator": "Ann"}
    assert client.get("/api/status", params=status).json()["suggestions"] is None
    assert suggest_zero_shot(project) == -1
    now = client.get("/api/status", params=status).json()
    assert (now["suggestions"], now["model"], now["estimate"]) == (-1, None, None)
    view = client.get("/api/round").json()
    assert view["zero_shot"].startswith("Suggestions are zero-shot: from the class names by hf:tiny")
    assert view["model"] is None and view["curve"] == [] and view["suspects"] == []
    record_model(project)
    now = client.get("/api/status", params=status).json()
    assert (now["suggestions"], now["model"]) == (1, 1)
    assert client.get("/api/round").json()["zero_shot"] is None


def test_the_gallery_shows_the_newest_labels_first(client: TestClient) -> None:
    client.post("/api/answers", json={"events": [event(image, class_id=1) for image in (3, 4, 5)]})
    dogs = client.get("/api/round").json()["gallery"][1]
    assert dogs["count"] == 3
    assert [cell["image_id"] for cell in dogs["cells"]] == [5, 4, 3]


def test_labels_that_the_model_contradicts_are_suspects(client: TestClient, project: Project) -> None:
    record_model(project)
    client.post("/api/answers", json={"events": [event(60, class_id=1), event(61, class_id=1)]})
    (suspect,) = client.get("/api/round").json()["suspects"]
    assert (suspect["image_id"], suspect["class_id"], suspect["suggestion"]["class_id"]) == (60, 1, 0)
    assert suspect["annotators"] == ["Ann"]
    client.post("/api/answers", json={"events": [event(60, class_id=1)]})
    assert client.get("/api/round").json()["suspects"] == []


def test_annotators_who_disagree_are_listed_with_their_votes(client: TestClient) -> None:
    client.post("/api/settings", json={"annotator": "Ann", "overlap": 2})
    bob = {**event(7, class_id=2), "annotator": "Bob"}
    client.post("/api/answers", json={"events": [event(7, class_id=1), bob]})
    (found,) = client.get("/api/disagreements").json()["disagreements"]
    assert found["image_id"] == 7
    assert found["votes"] == [
        {"annotator": "Ann", "action": "class", "class_id": 1},
        {"annotator": "Bob", "action": "class", "class_id": 2},
    ]


def status(client: TestClient, since: int | None = None) -> dict[str, object]:
    query = {"annotator": "Ann"} if since is None else {"annotator": "Ann", "since": since}
    return dict(client.get("/api/status", params=query).json())


def test_the_status_bar(client: TestClient, project: Project) -> None:
    first = status(client)
    assert first["training"]["phase"] == "off"  # type: ignore[index]
    assert (first["estimate"], first["advice"], first["model"]) == (None, None, None)
    record_model(project)
    project.models.set_training_state(TrainingState("training", 3, 0.4, "step 40 of 100"))
    project.models.set_advice(Advice(50, 0.8, 0.4, 1.2, "The next 50 labels: about +0.8 ± 0.4 points."))
    client.post("/api/answers", json={"events": [event(1), event(2, "unsure")]})
    then = status(client)
    assert then["counts"]["labelled"] == 1  # type: ignore[index]
    assert then["estimate"]["accuracy"] == 0.8  # type: ignore[index]
    assert then["training"]["fraction"] == 0.4  # type: ignore[index]
    assert then["advice"]["sentence"].startswith("The next 50 labels")  # type: ignore[index]
    assert then["model"] == 1
    assert then["changed"] is True
    assert status(client, since=int(str(then["changes"])))["changed"] is False


def test_a_change_of_classes_or_settings_is_noticed_and_an_answer_is_not(client: TestClient) -> None:
    first = status(client)["revision"]
    client.post("/api/answers", json={"events": [event(1)]})
    assert status(client)["revision"] == first
    client.post("/api/classes", json={"annotator": "Ann", "change": "add", "name": "fish"})
    second = status(client)["revision"]
    assert second != first
    client.post("/api/settings", json={"annotator": "Ann", "shortcuts_on": False})
    assert status(client)["revision"] != second


def test_a_poll_without_a_change_reads_nothing_again(
    client: TestClient, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every open page polls the status every two seconds."""
    for _ in range(3):
        record_model(project)
    reads: Counter[str] = Counter()
    for part, name in (
        (project.models, "all"),
        (project.models, "newest_estimate"),
        (project.models, "advice"),
        (project.classes, "revision"),
        (project.images, "count"),
    ):
        monkeypatch.setattr(part, name, counting(getattr(part, name), name, reads))
    monkeypatch.setattr(project, "pace", lambda annotator: Pace(0.0, 0, None, None))  # depends on the time
    polls = [status(client, since=since) for since in (None, *[0] * 9)]
    assert all(each["model"] == 3 for each in polls)
    once = {"newest_estimate": 1, "advice": 1, "revision": 1, "count": 1}
    assert reads == once, "and no list of models is parsed at all"
    client.post("/api/answers", json={"events": [event(1)]})
    project.models.set_training_state(TrainingState("training", 3, 0.5))
    reads.clear()
    polls = [status(client) for _ in range(10)]
    assert {each["counts"]["labelled"] for each in polls} == {1}  # type: ignore[index]
    assert {each["training"]["fraction"] for each in polls} == {0.5}  # type: ignore[index]
    assert reads == once


def counting(function: Callable[..., Any], name: str, calls: Counter[str]) -> Callable[..., Any]:
    """The function, whose calls are counted."""

    def wrapped(*arguments: Any) -> Any:
        calls[name] += 1
        return function(*arguments)

    return wrapped


def test_another_process_changes_the_status_too(client: TestClient, project: Project) -> None:
    first = status(client)
    with Project.open(project.folder) as other:
        other.annotations.append(AnswerEvent("from-elsewhere", 5, "Bob", "class", 1))
        record_model(other)
    second = status(client, since=int(str(first["changes"])))
    assert second["changed"] is True
    assert (second["model"], second["counts"]["labelled"]) == (1, 1)  # type: ignore[index]


def answer(client: TestClient, ids: Iterable[int], class_id: int = 0, annotator: str = "Ann") -> None:
    events = [{**event(image_id, class_id=class_id), "annotator": annotator} for image_id in ids]
    assert client.post("/api/answers", json={"events": events}).json()["refused"] == []


def cards(client: TestClient, annotator: str = "Ann") -> set[int]:
    given = client.get("/api/next", params={"annotator": annotator}).json()["cards"]
    return {card["image_id"] for card in given}


def test_a_spent_budget_ends_the_cards_until_it_is_raised(client: TestClient, project: Project) -> None:
    project.settings.set(replace(project.settings.get(), budget=10))
    held = cards(client)
    answer(client, range(9))
    assert status(client)["finish"] is None
    answer(client, [9])
    assert status(client)["finish"] == {
        "labels": 10,
        "budget": 10,
        "minutes_left": None,
        "model_round": None,
    }
    assert held
    assert cards(client) == set(), "a page that is loaded again is not given its earlier cards"
    raised = client.post("/api/budget", json={"add": 5}).json()
    assert raised["settings"]["budget"] == 15
    assert status(client)["finish"] is None
    assert cards(client)


def test_the_time_to_the_model_of_all_labels(client: TestClient, project: Project) -> None:
    project.settings.set(replace(project.settings.get(), budget=10, estimate_share=0.0))
    answer(client, range(20))

    def minutes(phase: Phase, fraction: float = 0.0) -> object:
        project.models.set_training_state(TrainingState(phase, 0, fraction))
        return status(client)["finish"]["minutes_left"]  # type: ignore[index]

    assert minutes("training", 0.5) is None, "there was no training yet"
    record_model(project, seconds=600.0)  # trained on 10 labels
    assert minutes("training", 0.25) == 7.5
    assert minutes("choosing") == 0
    assert minutes("idle") == 10
    assert minutes("off") is None
    assert minutes("failed") is None
    record_model(project, seconds=600.0)  # trained on 20
    assert [minutes(phase) for phase in ("idle", "off", "failed")] == [0, 0, 0]
    assert status(client)["finish"]["model_round"] == 1  # type: ignore[index]


def test_second_opinions_are_given_after_the_budget_is_spent(client: TestClient, project: Project) -> None:
    project.settings.set(replace(project.settings.get(), budget=4, overlap=2))
    answer(client, range(4))
    assert status(client)["finish"], "Ann has nothing more to answer"
    bob = {"annotator": "Bob"}
    assert client.get("/api/status", params=bob).json()["finish"] is None
    assert project.finish() is None
    assert cards(client, "Bob") == {0, 1, 2, 3}
    answer(client, range(4), annotator="Bob")
    assert client.get("/api/status", params=bob).json()["finish"]
    assert project.finish()


@pytest.mark.parametrize("body", [{"add": 0}, {"add": -1}, {"add": 1.5}, {"add": 10**9}, {}, {"add": True}])
@pytest.mark.parametrize("address", ["/api/budget", "/api/estimate/more"])
def test_impossible_numbers_to_add_are_refused(
    client: TestClient, address: str, body: dict[str, object]
) -> None:
    assert client.post(address, json=body).status_code == 422


def test_a_project_without_a_budget_has_none_to_add_to(client: TestClient, project: Project) -> None:
    project.settings.set(replace(project.settings.get(), budget=None))
    assert client.post("/api/budget", json={"add": 5}).status_code == 400
    assert project.settings.get().budget is None


def test_classes_that_the_estimate_set_misses_are_named_once_it_is_answered(
    client: TestClient, project: Project
) -> None:
    project.settings.set(replace(project.settings.get(), budget=20, estimate_size=6))
    first, *others = project.estimate.image_ids().tolist()
    answer(client, others)
    assert status(client)["estimate_missing"] == []
    answer(client, [first], class_id=2)
    assert status(client)["estimate_missing"] == ["dog"]
    more = client.post("/api/estimate/more", json={"add": 4}).json()
    assert (more["drawn"], more["settings"]["estimate_size"], more["settings"]["budget"]) == (4, 10, 20)
    assert status(client)["estimate_missing"] == [], "the new images may be of that class"
    new = set(project.estimate.image_ids().tolist()) - {first, *others}
    assert len(new) == 4
    answer(client, new, class_id=1)
    assert status(client)["estimate_missing"] == []


def test_more_draws_raise_a_budget_that_is_spent(client: TestClient, project: Project) -> None:
    project.settings.set(replace(project.settings.get(), budget=20, estimate_size=2))
    answer(client, project.estimate.image_ids().tolist())
    rest = [
        each for each in project.images.labelable_ids().tolist() if each not in project.estimate.image_ids()
    ]
    answer(client, rest[:18])
    assert status(client)["finish"]
    more = client.post("/api/estimate/more", json={"add": 3}).json()
    assert (more["drawn"], more["settings"]["budget"]) == (3, 23)
    assert cards(client) >= set(project.estimate.image_ids().tolist()[:0])
    assert len(cards(client) & set(project.estimate.image_ids().tolist())) == 3
    left = client.post("/api/estimate/more", json={"add": 500}).json()["drawn"]
    assert left == IMAGES - 20 - 3 - (12 - 3), "no leased and no answered image is drawn"
    assert client.post("/api/estimate/more", json={"add": 1}).status_code == 400
