"""Methods by name: learner, variants and acquisition, and the nearest name for a wrong one."""

from __future__ import annotations

import pytest

from aral.acquisition import ACQUISITIONS
from aral.benchmarking import SHORT_NAMES, Method, learner_titles, make_learner
from aral.benchmarking.auto import AUTO_METHOD, AUTO_METHOD_ON_FEATURES
from aral.errors import BadInput
from aral.learners import DEFAULT_ACQUISITION, LEARNERS
from aral.randomness import Stream
from aral.testing import planted_data, tiny_settings


@pytest.mark.parametrize(
    ("text", "learner", "acquisition"),
    [
        ("graph-ssl", "graph-ssl", "aral-graph"),
        ("graph-ssl+random", "graph-ssl", "random"),
        ("aral", "aral", "aral"),
        ("aral:paper", "aral", "aral"),
        ("aral:released", "aral:released", "aral"),
        ("aral:no-sampler", "aral:no-sampler", "random"),
        ("aral:no-encoder", "aral:no-encoder", "bald"),
        ("aral:no-encoder:no-sampler", "aral:no-encoder", "bald"),
        ("aral:no-sampler:released", "aral:released:no-sampler", "random"),
        ("aral:released:no-encoder", "aral:released:no-encoder", "bald"),
        ("aral:generated-only", "aral:generated-only", "aral"),
        ("aral:released+aral-diverse", "aral:released", "aral-diverse"),
        ("vaal", "vaal", "vaal"),
        ("supervised", "supervised", "random"),
        ("supervised+max-entropy", "supervised", "max-entropy"),
        ("random", "supervised", "random"),
        ("max-entropy", "supervised", "max-entropy"),
        ("ceal", "pseudo-label", "least-confidence"),
        ("aral+mine:NAME", "aral", "mine:NAME"),
    ],
)
def test_parse(text: str, learner: str, acquisition: str) -> None:
    method = Method.parse(text)
    assert (method.learner, method.acquisition) == (learner, acquisition)
    assert str(method) == f"{learner}+{acquisition}"
    assert Method.parse(str(method)) == method


@pytest.mark.parametrize(
    ("representation", "name"), [("pixels", AUTO_METHOD), ("timm:x", AUTO_METHOD_ON_FEATURES)]
)
def test_auto_stays_auto_until_the_representation_is_known(representation: str, name: str) -> None:
    auto, named = Method.parse("auto"), Method.parse(name)
    assert str(auto) == "auto" and not auto.reason
    found = auto.on(representation)
    assert found == named and found.reason and not named.reason
    assert named.on(representation) is named
    queries = Method.parse("auto+random")
    assert str(queries) == "auto+random"
    assert str(queries.on(representation)) == f"{named.learner}+random" and queries.on(representation).reason


def test_the_methods_of_auto_are_named_in_full() -> None:
    names = (AUTO_METHOD, AUTO_METHOD_ON_FEATURES)
    assert [str(Method.parse(name)) for name in names] == list(names)


@pytest.mark.parametrize("text", ["aral", "vaal", "typiclust", "bald"])
def test_a_name_of_a_learner_and_an_acquisition_means_the_learner(text: str) -> None:
    assert Method.parse(text).learner == (text if text in LEARNERS else "supervised")


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        ("supervise", "Unknown method 'supervise'", "Did you mean 'supervised'"),
        ("max-entrpy", "Unknown method 'max-entrpy'", "Did you mean 'max-entropy'"),
        ("aral+max-entrop", "Unknown method 'aral+max-entrop'", "Did you mean 'aral+max-entropy'"),
        ("aral-paper", "Unknown method 'aral-paper'", "Did you mean 'aral:paper'"),
        ("aral-released+bald", "Unknown method 'aral-released+bald'", "Did you mean 'aral:released+bald'"),
        ("supervised+bold", "Unknown method 'supervised+bold'", "Did you mean 'supervised+bald'"),
        ("aral:no-smpler", "'no-smpler'", "Did you mean 'no-sampler'"),
        ("bgadl:no-sampler", "'bgadl' has no variants", "Write 'bgadl'"),
        ("auto+", "names no acquisition", "Try 'auto+random'"),
        ("auto:paper", "Unknown method 'auto:paper'", ""),
        ("auto+max-entropi", "Unknown method 'auto+max-entropi'", ""),
        ("supervised+", "names no acquisition", "Try 'supervised+random'"),
        ("ceal+bald", "Unknown method 'ceal+bald'", "Did you mean '"),
        ("random+bald", "'random' is an acquisition, not a learner", "Try 'supervised+random'"),
        ("aral:paper:released", "'aral:paper:released' contradict", "Name one of them"),
        ("aral:released:paper", "'aral:released:paper' contradict", "Name one of them"),
        ("aral:released:generated-only", "do not fit together: the released", "Name one of them"),
    ],
)
def test_wrong_names(text: str, problem: str, hint: str) -> None:
    with pytest.raises(BadInput) as caught:
        Method.parse(text)
    assert problem in caught.value.problem
    assert hint in caught.value.hint


def test_every_name_in_the_tables_exists() -> None:
    assert {name.partition(":")[0] for name in DEFAULT_ACQUISITION} == set(LEARNERS)
    assert set(DEFAULT_ACQUISITION) <= set(learner_titles())
    assert set(DEFAULT_ACQUISITION.values()) <= set(ACQUISITIONS)
    for name in [*learner_titles(), *SHORT_NAMES]:
        assert Method.parse(name).learner_name in LEARNERS


@pytest.mark.parametrize("title", learner_titles())
def test_every_learner_is_made_and_supplies_its_default_acquisition(title: str) -> None:
    learner = make_learner(tiny_settings(title, 7), planted_data().pool, 3, Stream.root(0))
    assert (learner.name, learner.steps_per_round) == (title, 1 if title == "linear" else 7)
    assert ACQUISITIONS[Method.parse(title).acquisition].needs <= learner.supplies
