"""The validation share: spent, kept from training, and harmless to everything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from aral.acquisition import Need, make_acquisition
from aral.benchmarking.methods import make_learner
from aral.benchmarking.runs import drive, run, validation_of
from aral.benchmarking.spec import Rounds, RunSpec
from aral.errors import BadInput, Stopped
from aral.loop import (
    GroundTruth,
    Observer,
    Pace,
    Session,
    SessionOptions,
    Store,
    Strategy,
    Validation,
    validation,
)
from aral.loop.reading import store_reading
from aral.randomness import Stream
from aral.testing import FakeLearner, planted_data, tiny_settings

DATA = planted_data()


def spec(**rounds: object) -> RunSpec:
    settings = Rounds.model_validate({"query_size": 12, "budget": 24, "first_query": "random"} | rounds)
    return RunSpec(
        data="planted",
        learner=tiny_settings("supervised", 8),
        acquisition="random",
        threads=1,
        rounds=settings,
    )


def figures(folder: Path) -> dict[tuple[int, int, str], float]:
    with store_reading(folder) as store:
        rows = store.metrics()
    return {(r.round, r.step, r.name): r.value for r in rows if not r.name.endswith("seconds")}


def weights(folder: Path, where: str) -> bytes:
    return (sorted((folder / where).iterdir())[-1] / "tensors.safetensors").read_bytes()


def fake_session(store: Store, learner: FakeLearner, share: float, every: int = 1) -> Session:
    strategy = Strategy(make_acquisition("random"), make_acquisition("random"))
    options = SessionOptions(validation=Validation(share, every))
    return Session(store, DATA.pool, 3, learner, strategy, Stream.root(0), options)


def test_no_share_is_no_validation() -> None:
    assert validation_of(spec()) is None
    assert validation_of(spec(validation_share=0.25, validation_steps=7)) == Validation(0.25, 7)


def test_kept_images_are_spent_but_never_trained_on_in_any_round(tmp_path: Path) -> None:
    learner = FakeLearner(3)
    counts: list[int] = []

    class Counting(Observer):
        def evaluated(self, round_number: int, labelled: int, numbers: object) -> None:
            counts.append(labelled)

    with Store.open(tmp_path, create=True) as store:
        session = fake_session(store, learner, 0.4)
        session._observer = Counting()
        drive(session, GroundTruth(DATA.pool.ids, DATA.pool_classes), DATA.test, 10, 40)
        bodies = [store.document(number, "validation set") for number in range(4)]
        assert [row.labelled for row in store.rounds()] == counts == [10, 20, 30, 40]
        answered = {answer.image_id for answer in store.labels.answers()}
    kept = [set(body["ids"]) for body in bodies if isinstance(body, dict)]
    assert len(kept) == 4 and kept[0] and kept[0] <= kept[1] <= kept[2] <= kept[3] < answered
    for number in range(4):
        trained = set(learner.labelled[number].ids.tolist())
        assert not kept[3] & trained
        assert not kept[number] & set(learner.unlabelled[number].ids.tolist())
        assert len(trained) + len(kept[number]) == 10 * (number + 1)
    last = bodies[3]
    assert isinstance(last, dict)
    assert last["classes"] == [int(DATA.pool_classes[image_id]) for image_id in last["ids"]]


def test_acquisitions_do_not_see_kept_images_as_labelled(tmp_path: Path) -> None:
    seen: list[int] = []

    class Watching(FakeLearner):
        def predict(self, images, needs, stream):  # type: ignore[no-untyped-def]
            seen.extend(images.ids.tolist() if images.pixels is DATA.pool.pixels else [])
            return super().predict(images, needs, stream)

    with Store.open(tmp_path, create=True) as store:
        session = fake_session(store, Watching(3), 0.5, every=99)
        drive(session, GroundTruth(DATA.pool.ids, DATA.pool_classes), DATA.test, 10, 10)
        body = store.document(0, "validation set")
        assert isinstance(body, dict) and body["ids"]
        seen.clear()
        session.ask(5)
    assert seen and not set(seen) & set(body["ids"])


class Planned(FakeLearner):
    """Right on a planted share of all images after each step of a round."""

    def __init__(self, shares: list[float]) -> None:
        super().__init__(3, steps=len(shares))
        self.shares = shares

    def predict(self, images, needs, stream):  # type: ignore[no-untyped-def]
        share = self.shares[(self.steps_taken - 1) % len(self.shares)]
        right = torch.from_numpy(images.ids % 3)
        wrong = torch.arange(len(images)) >= round(share * len(images))
        found = super().predict(images, needs, stream)
        chosen = torch.where(wrong, (right + 1) % 3, right)
        return found.joined({Need.PROBABILITIES: torch.eye(3)[chosen] * 0.8 + 0.0667})


def test_the_first_of_the_best_weights_are_kept_and_the_learner_is_left_as_it_was(tmp_path: Path) -> None:
    learner = Planned([0.0, 1.0, 0.0, 1.0, 0.5])
    with Store.open(tmp_path, create=True) as store:
        session = fake_session(store, learner, 0.4)
        drive(session, GroundTruth(DATA.pool.ids, DATA.pool_classes), DATA.test, 20, 20)
        numbers = {row.name: row.value for row in store.metrics()}
        course = [row.value for row in store.metrics("validation accuracy")]
    assert course[:4] == [0.0, 1.0, 0.0, 1.0]
    assert numbers["best validation step"] == 2 and numbers["best validation accuracy"] == 1.0
    assert numbers["accuracy at best validation"] == 1.0 and numbers["accuracy"] == 0.5
    assert learner.steps_taken == 5


def test_looking_does_not_change_training(tmp_path: Path) -> None:
    for every in (1, 100):
        run(spec(validation_share=0.3, validation_steps=every), DATA, tmp_path / str(every))
    often, seldom = figures(tmp_path / "1"), figures(tmp_path / "100")
    assert weights(tmp_path / "1", "checkpoints") == weights(tmp_path / "100", "checkpoints")
    ends = {key: value for key, value in often.items() if "best" not in key[2]}
    assert {key: ends[key] for key in seldom if "best" not in key[2]} == {
        key: value for key, value in seldom.items() if "best" not in key[2]
    }
    assert (0, 3, "validation accuracy") in often and (0, 3, "validation accuracy") not in seldom
    assert seldom[1, 8, "accuracy at best validation"] == seldom[1, 8, "accuracy"]


@pytest.mark.parametrize("checkpoint_seconds", [0.0, 1000.0])
def test_a_run_stopped_at_any_step_ends_the_same(tmp_path: Path, checkpoint_seconds: float) -> None:
    asked = spec(validation_share=0.3, validation_steps=2)
    run(asked, DATA, tmp_path / "whole")
    pace = Pace(checkpoint_seconds)

    class Killed(BaseException):
        pass

    for stop in (1, 4, 7, 8, 9, 13):
        folder, steps = tmp_path / str(stop), [0]

        def stopping(steps: list[int] = steps, stop: int = stop) -> bool:
            steps[0] += 1
            if steps[0] == stop:
                raise Killed  # nothing is saved
            return False

        try:
            run(asked, DATA, folder, stopping=stopping, pace=pace)
        except Killed:
            run(asked, DATA, folder, pace=pace)
        assert figures(folder) == figures(tmp_path / "whole"), stop
        for where in ("best", "checkpoints"):
            assert weights(folder, where) == weights(tmp_path / "whole", where), (stop, where)


def test_a_kill_right_after_the_best_weights_were_saved_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = spec(validation_share=0.3, validation_steps=1)
    run(asked, DATA, tmp_path / "whole")
    saves = [0]
    save = validation.checkpoints.save

    def killed(*arguments: object) -> object:
        result = save(*arguments)  # type: ignore[arg-type]
        if str(arguments[0]).endswith("best"):
            saves[0] += 1
            if saves[0] % 2:
                raise Stopped("killed")
        return result

    monkeypatch.setattr(validation.checkpoints, "save", killed)
    for _ in range(20):
        try:
            run(asked, DATA, tmp_path / "killed")
            break
        except Stopped:
            pass
    assert saves[0] >= 2
    assert figures(tmp_path / "killed") == figures(tmp_path / "whole")
    assert weights(tmp_path / "killed", "best") == weights(tmp_path / "whole", "best")


def test_lost_best_weights_are_said_and_do_not_stop_the_run(tmp_path: Path) -> None:
    with Store.open(tmp_path, create=True) as store:
        session = fake_session(store, FakeLearner(3), 0.4)
        oracle = GroundTruth(DATA.pool.ids, DATA.pool_classes)
        selection = session.ask(10)
        oracle.request(selection)
        session.tell(oracle.collect(), "test")
        session.fit()
        (tmp_path / "best" / "round-000" / "tensors.safetensors").write_bytes(b"")
        session.evaluate(DATA.test)
        assert "best weights lost" in [event.kind for event in store.events()]
        assert not store.metrics("accuracy at best validation") and store.metrics("accuracy")


def test_a_round_whose_labels_would_all_be_kept_is_refused(tmp_path: Path) -> None:
    with Store.open(tmp_path, create=True) as store:
        session = fake_session(store, FakeLearner(3), 1.0)
        oracle = GroundTruth(DATA.pool.ids, DATA.pool_classes)
        with pytest.raises(BadInput, match="Of 2 labelled images of round 0 all are kept"):
            drive(session, oracle, DATA.test, 2, 2)


def test_the_share_is_met_on_average(tmp_path: Path) -> None:
    with Store.open(tmp_path, create=True) as store:
        learner = make_learner(tiny_settings("supervised"), DATA.pool, 3, Stream.root(0))
        session = fake_session(store, learner, 0.25)  # type: ignore[arg-type]
        assert session._validator is not None
        kept = session._validator.is_kept(np.arange(20000))
        assert abs(kept.mean() - 0.25) < 0.0125  # four standard errors
