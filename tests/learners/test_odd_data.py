"""Data and settings at the edge: batches and classes of one, one to a thousand, contradictions, huge rates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from aral.learners.spec import Model, Optimisers

from aral.acquisition import Need, make_acquisition
from aral.benchmarking.methods import make_learner
from aral.errors import RunFailed
from aral.learners import Learner
from aral.loop import Pace, Session, Store, Strategy
from aral.randomness import Stream
from aral.testing import planted_data, planted_pool, tiny_model
from aral.types import ClassAnswer, ImageSet, LabelledSet

every_kind = pytest.mark.parametrize("name", ["aral", "aral-paper", "supervised"])


def trained(
    name: str, model: Model, pool: ImageSet, ids: list[int], classes: list[int], class_count: int = 3
) -> Learner:
    """A learner after a round on these labels; no step of it was skipped."""
    learner = make_learner(name, model, pool, class_count, Stream.root(0))
    learner.set_pool(pool, Stream.root(3))
    chosen = np.array(ids, dtype=np.int64)
    labelled = LabelledSet(pool.subset(chosen), np.array(classes, dtype=np.int64), class_count)
    learner.start_round(0, labelled, pool.without(chosen), Stream.root(1))
    for index in range(learner.steps_per_round):
        assert not learner.step(index).skipped
    return learner


def probabilities(learner: Learner, images: ImageSet) -> torch.Tensor:
    """Of every image; all finite, rows of one."""
    found = learner.predict(images, {Need.PROBABILITIES}, Stream.root(2)).get(Need.PROBABILITIES)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(len(images)))
    return found


@every_kind
def test_a_labelled_batch_of_one_trains(name: str) -> None:
    pool = planted_data().pool
    learner = trained(name, tiny_model(steps=3, labelled_batch=1), pool, [0, 1, 2, 3], [0, 1, 2, 0])
    assert len(probabilities(learner, pool)) == len(pool)


@every_kind
def test_one_label_in_all_and_one_a_class_train(name: str) -> None:
    pool = planted_data().pool
    for ids in ([4], [0, 1, 2]):
        probabilities(trained(name, tiny_model(steps=3), pool, ids, [each % 3 for each in ids]), pool)


def test_one_image_to_a_thousand_is_told_apart() -> None:
    """A class of one image among 1,001: no image looks as much like that class as this one."""
    pool, rows = planted_pool(3 * 1001, 3, Stream.root(5))
    ids = [*np.flatnonzero(rows == 0)[:1000].tolist(), int(np.flatnonzero(rows == 2)[0])]
    classes = [0] * 1000 + [2]
    order = np.argsort(ids)
    model = tiny_model(steps=200, labelled_batch=100, average_decay=0.5)
    learner = trained(
        "supervised", model, pool, [ids[each] for each in order], [classes[each] for each in order]
    )
    said = probabilities(learner, pool.subset(np.array(sorted(ids))))
    assert int(said[:, 2].argmax()) == sorted(ids).index(ids[-1])
    assert float((said.argmax(dim=1) == 0).float().mean()) > 0.99


@every_kind
def test_contradicting_labels_leave_it_undecided(name: str) -> None:
    """Copies of one image, half of them called 0 and half of them 2: what is said of it has both, and never 1."""
    one = planted_data().pool.pixels[:1]
    pool = ImageSet.of(one.repeat(40, 1, 1, 1))
    model = tiny_model(steps=60, average_decay=0.5, labelled_batch=20)
    learner = trained(name, model, pool, list(range(20)), [0, 2] * 10)
    said = probabilities(learner, pool)[0]
    assert 0.2 < float(said[0]) < 0.8 and 0.2 < float(said[2]) < 0.8 and float(said[1]) < 0.2


@every_kind
def test_more_than_a_thousand_classes_train(name: str) -> None:
    pool = planted_data(pool_size=40).pool
    learner = trained(name, tiny_model(steps=2), pool, [0, 1, 2], [0, 600, 1200], class_count=1201)
    assert probabilities(learner, pool).shape == (40, 1201)


def rates_times(factor: float) -> Model:
    """A tiny model whose every learning rate is so many times its default."""
    usual = Optimisers()
    optimiser = usual.discriminator.model_copy(update={"rate": usual.discriminator.rate * factor})
    names = ("discriminator", "encoder", "generator", "sampler")
    model = tiny_model(steps=25)
    return model.model_copy(update={"optimisers": usual.model_copy(update=dict.fromkeys(names, optimiser))})


@pytest.mark.parametrize("factor", [1e3, 1e20])
@pytest.mark.parametrize("name", ["aral-paper", "supervised"])
def test_huge_rates_end_finite_or_with_the_cause(tmp_path: Path, name: str, factor: float) -> None:
    data = planted_data()
    with Store.open(tmp_path / "run", create=True) as store:
        learner = make_learner(name, rates_times(factor), data.pool, 3, Stream.root(0))
        strategy = Strategy(make_acquisition("random"), make_acquisition("random"))
        active = Session(store, data.pool, 3, learner, strategy, Stream.root(3), Pace(log_steps=5))
        active.ask(6)
        active.tell([ClassAnswer(int(i), int(data.pool_classes[i])) for i in active.waiting()], "test")
        if factor > 1e6:
            with pytest.raises(RunFailed, match=r"not finite in round 0 at step .* halved 2 times") as failed:
                active.fit()
            assert "optimisers.discriminator.rate" in failed.value.hint
            assert {event.kind for event in store.events()} == {"not finite", "learning rates halved"}
        else:
            active.fit()
            active.evaluate(data.test)
            for value in active.learner.state_dict().values():
                assert torch.isfinite(value.double()).all()
