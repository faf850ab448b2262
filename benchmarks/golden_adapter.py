"""All of the golden runs (``golden.py``) that touches aral: after a redesign only this file is changed.

The cases use their own fixed words for learners, acquisitions, settings and answers, those of commit a419482. The
tables below translate them; the functions return plain numbers, texts and arrays.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from starlette.testclient import TestClient

from aral.acquisition import PoolView, make_acquisition
from aral.annotation import Project, Trainer, TrainingOptions, export, import_labels
from aral.annotation.training_presets import ProjectFacts, spec_for
from aral.benchmarking import GridSpec, Method, Resources, RunSpec, make_learner, resolve, run_grid
from aral.benchmarking.runs import check_budget, drive, record_spec, validation_of
from aral.benchmarking.spec import flattened
from aral.data import DataSet, load
from aral.errors import BadInput, Stopped
from aral.learners import Learner
from aral.loop import GroundTruth, Session, SessionOptions, Store, Strategy
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet
from aral.web import Security, make_app

Value = bool | int | float | str | Sequence[Any] | Mapping[str, Any]
Changes = Mapping[str, Value]

SETTINGS = {
    "steps": "learner.training.steps",
    "labelled batch": "learner.training.labelled_batch",
    "unlabelled batch": "learner.training.unlabelled_batch",
    "warm up": "learner.training.warm_up",
    "warm start": "learner.training.warm_start",
    "rate floor": "learner.training.rate_floor",
    "average decay": "learner.training.average_decay",
    "MC passes": "learner.prediction.mc_passes",
    "scoring batch": "learner.prediction.batch",
    "synthesised": "learner.prediction.synthesised",
    "generate every": "learner.training.generate_every",
    "latent size": "learner.latent_size",
    "image side": "side",
    "query size": "rounds.query_size",
    "budget": "rounds.budget",
    "first query": "rounds.first_query",
    "validation share": "rounds.validation_share",
    "validation steps": "rounds.validation_steps",
    "pretraining steps": "learner.pretraining.steps",
    "imitation steps": "learner.pretraining.imitation_steps",
    "partition loss in rounds": "learner.pretraining.in_rounds",
    "contrast": "learner.pretraining.contrast",
    "neighbours in": "learner.graph.compare",
    "neighbours": "learner.pretraining.neighbours",
    "graph weight": "learner.weights.propagated",
    "confidence": "learner.pseudo_labels.confidence",
    "entropy": "learner.entropy",
    "align": "learner.pseudo_labels.align",
    "mixing": "learner.pseudo_labels.mixup",
    "average labels": "learner.pseudo_labels.teacher",
    "weight of generated": "learner.weights.generated",
    "ramp of generated": "learner.weights.generated_ramp",
    "ramp of self-training": "learner.weights.pseudo_labels_ramp",
    "labelled share": "learner.weights.labelled_share",
    "weight of reconstruction": "learner.weights.trd",
    "feature matching": "learner.weights.feature_matching",
    "sampler sees": "learner.sampler_sees",
    "matching norm": "learner.matching_norm",
    "GAN loss": "learner.separate_gan.loss",
    "GAN labels": "learner.separate_gan.labels",
    "weight of divergence": "learner.weights.beta",
    "weight of hiding from the sampler": "learner.weights.adv",
    "weight of the GAN": "learner.weights.gan",
    "weight of classification": "learner.weights.cls",  # learner.weight of supervised
    "weight of self-training": "learner.weights.pseudo_labels",
    "weight of disagreement": "learner.pretraining.consistency",
    "weight of imbalance": "learner.pretraining.balance",
    "weight of imitation": "learner.pretraining.imitation",
    "weight of the predictor": "learner.separate_gan.predictor",
    "groups per class": "learner.pretraining.clusters_per_class",
    "communities per class": "learner.pretraining.communities_per_class",
    "temperature": "learner.pseudo_labels.temperature",
    "weak augmentation": "learner.pseudo_labels.weak",
    "strong augmentation": "learner.pseudo_labels.strong",
    "augmentation before labels": "learner.pretraining.strong",
    "encoder": "learner.optimisers.encoder",
    "generator": "learner.optimisers.generator",
    "discriminator": "learner.optimisers.discriminator",
    "sampler": "learner.optimisers.sampler",
    "decoder": "learner.optimisers.decoder",
    "critic": "learner.optimisers.critic",
    "partition": "learner.optimisers.clusters",
    "weight decay of discriminator": "learner.optimisers.discriminator.weight_decay",
    "classifier input side": "learner.classifier.input_side",
}
"""Setting path by the word that the cases use."""

ALWAYS = ('learner.training.precision="float32"',)

SMALL: dict[str, dict[str, Any]] = {
    "mlp": {
        "encoder_sizes": [24, 16],
        "generator_sizes": [16, 24],
        "discriminator_sizes": [32, 24, 16],
        "sampler_width": 16,
    },
    "compact": {
        "widths": [6, 8, 12],
        "encoder_widths": [4, 6, 8],
        "generator_widths": [8, 6, 4],
        "sampler_width": 16,
    },
    "conv32": {
        "encoder_widths": [4, 6, 8],
        "generator_widths": [8, 6, 4],
        "discriminator_width": 6,
        "sampler_width": 16,
    },
    "resnet": {"encoder_width": 3, "generator_width": 3, "discriminator_width": 3, "sampler_width": 16},
    "biggan": {
        "channels": 2,
        "encoder_widths": [4, 6, 8, 8],
        "generator_embedding_size": 8,
        "sampler_width": 16,
    },
}
"""Network sizes by scale, as far as they are not part of a case."""

SMALL_CLASSIFIER = {"width": 4, "pooled_side": 1, "hidden_size": 16}

ROLES = {
    "ema.discriminator": "averaged discriminator",
    "ema.clusters": "averaged partition",
    "clusters": "partition",
}
"""Role of a network in the recorded file, by its name in a learner's state; the others keep theirs."""

METRICS = {
    name: name
    for name in (
        "accuracy",
        "classes seen",
        "latent std",
        "latent KL",
        "sampler AUC",
        "validation accuracy",
        "accuracy at best validation",
        "best validation accuracy",
        "best validation step",
    )
}
"""Name in the recorded file by the name in the store. Losses are compared without names; seconds not at all."""


@dataclass(frozen=True)
class Arrays:
    """Images and classes as plain arrays.

    Attributes:
        pool: N×C×H×W, uint8.
        pool_classes: N, 0..K-1.
        test: M×C×H×W, uint8.
        test_classes: M.
        class_count: K.
    """

    pool: np.ndarray
    pool_classes: np.ndarray
    test: np.ndarray
    test_classes: np.ndarray
    class_count: int


@dataclass(frozen=True)
class Outcome:
    """What a run gave.

    Attributes:
        weights: arrays by role; the order of the arrays of a role carries no meaning.
        queries: for each round the ids and the scores, the most wanted first.
        metrics: for each round by name.
        losses: for each round the values recorded at its end, sorted.
        confusion: for each round K×K.
    """

    weights: dict[str, list[np.ndarray]]
    queries: list[tuple[list[int], list[float]]]
    metrics: dict[str, dict[str, float]]
    losses: dict[str, list[float]]
    confusion: list[list[list[int]]]


# Data and specifications


def digits(pool_size: int, test_size: int) -> Arrays:
    """The first images of scikit-learn's digits as the package reads them."""
    data = load("digits")
    return Arrays(
        data.pool.pixels[:pool_size].numpy(),
        data.pool_classes[:pool_size],
        data.test.images.pixels[:test_size].numpy(),
        data.test.classes[:test_size],
        data.class_count,
    )


def data_set(arrays: Arrays) -> DataSet:
    """The arrays as the package's own data set."""
    test = LabelledSet(
        ImageSet.of(torch.from_numpy(arrays.test)), arrays.test_classes.astype(np.int64), arrays.class_count
    )
    names = tuple(f"class {index}" for index in range(arrays.class_count))
    pool = ImageSet.of(torch.from_numpy(arrays.pool))
    return DataSet("golden", pool, arrays.pool_classes.astype(np.int64), test, names)


def specification(
    preset: str, learner: str, changes: Changes, chosen_by: str = "", seed: int = 0, small: bool = True
) -> RunSpec:
    """The resolved settings of a learner under a preset: a data set's name, or a folder.

    A change that means nothing to the learner changes no result; where it has no such setting, leave it out.
    """
    method = method_of(learner, chosen_by)
    if preset == "imagenet" and method.acquisition == "bald":  # its BigGAN networks have no dropout
        method = method_of(learner, "entropy")
    settings = settings_of(preset, method, changes)
    spec = resolve(preset, method, settings, seed=seed, threads=1)
    if not small:
        return spec
    sizes = [f"learner.networks.{key}={value}" for key, value in SMALL[spec.learner.networks.scale].items()]
    sizes = [
        size for size in sizes if size.partition("=")[0].removeprefix("learner.") not in spec.learner.unused
    ]
    if spec.learner.classifier is not None:
        sizes += [f"learner.classifier.{key}={value}" for key, value in SMALL_CLASSIFIER.items()]
    return resolve(preset, method, [*sizes, *settings, *ALWAYS], seed=seed, threads=1)


def method_of(learner: str, chosen_by: str = "") -> Method:
    """A method by the learner's old name; its old default acquisition where none is named."""
    if learner in SHORT and not chosen_by:
        learner, chosen_by = SHORT[learner]
    old, _, rest = learner.partition("+")
    return Method.parse(f"{LEARNERS.get(old, old)}+{rest or chosen_by or OWN_ACQUISITION[old]}")


def settings_of(preset: str, method: Method, changes: Changes) -> list[str]:
    """The changes as single settings, without those that the learner does not have."""
    found: list[str] = []
    for name, value in changes.items():
        path = SETTINGS.get(name, "")
        if path == "learner.weights.cls" and method.learner == "supervised":
            path = "learner.weight"
        if name == "average labels":
            value = "ema" if value else "student"
        setting = f"{path}={_toml(value)}"
        try:
            resolve(preset, method, [*found, setting])
        except BadInput as error:
            # ``learner.pseudo_labels`` is one setting of `aral`, and a table of the learners with pseudo-labels.
            absent = (
                "has no setting",
                "is not used",
                "learner.pseudo_labels: Input should be a valid boolean",
            )
            if not any(words in error.problem for words in absent):
                raise
            continue
        found.append(setting)
    return found


LEARNERS = {
    "aral": "graph-ssl",
    "aral-paper": "aral",
    "aral-released": "aral:released",
    "aral-no-active": "aral:released:no-sampler",
    "aral-no-encoder": "aral:released:no-encoder",
    "aral-paper-no-active": "aral:no-sampler",
    "aral-paper-no-encoder": "aral:no-encoder",
    "generated-only": "aral:generated-only",
    "consistency": "fixmatch",
}
"""Learner by its old name; the others keep theirs."""

OWN_ACQUISITION = {
    "aral": "aral-graph",
    "supervised": "random",
    "pseudo-label": "least-confidence",
    "consistency": "random",
    "vaal": "vaal",
    "bgadl": "bald",
    "aral-paper": "aral",
    "aral-released": "aral",
    "aral-no-active": "random",
    "aral-no-encoder": "bald",
    "aral-paper-no-active": "random",
    "aral-paper-no-encoder": "bald",
    "no-co-training": "vaal",
    "generated-only": "aral",
}

SHORT = {"random": ("supervised", "random")}


def labelling_specification(
    folder: Path, side: int, images: int, classes: int, budget: int | None, effort: str, method: str
) -> RunSpec:
    """The settings that a labelling project chooses for its images."""
    options = TrainingOptions(method=str(method_of(method)), effort=effort, threads=1)
    return spec_for(folder, ProjectFacts((3, side, side), images, classes, budget), options)


def values_of(spec: RunSpec) -> dict[str, Any]:
    """Every setting by its full name."""
    return flattened(spec)


# Runs


@dataclass(frozen=True)
class Running:
    """A run that has its learner in memory."""

    spec: RunSpec
    data: DataSet
    session: Session
    learner: Learner


@contextmanager
def started(spec: RunSpec, data: DataSet, folder: Path) -> Iterator[Running]:
    """A run, new or taken up from its folder, as ``aral run`` has it; nothing is trained yet."""
    torch.set_num_threads(1)
    stream = Stream.root(spec.seed)
    learner = make_learner(spec.learner, data.pool, data.class_count, stream.child("learner"))
    strategy = Strategy(make_acquisition(spec.acquisition), make_acquisition(spec.rounds.first_query))
    check_budget(spec, data)
    with Store.open(folder, create=True) as store:
        record_spec(store, spec, data)
        session = Session(
            store,
            data.pool,
            data.class_count,
            learner,
            strategy,
            stream.child("session"),
            SessionOptions(validation=validation_of(spec)),
        )
        yield Running(spec, data, session, learner)


def finish(running: Running, stop_after: int | None = None) -> bool:
    """Run until the budget is spent, or for so many training steps; whether it came to its end."""
    steps = 0

    def stopping() -> bool:
        nonlocal steps
        steps += 1
        return steps == stop_after

    rounds, data = running.spec.rounds, running.data
    oracle = GroundTruth(data.pool.ids, data.pool_classes)
    try:
        drive(running.session, oracle, data.test, rounds.query_size, rounds.budget, stopping)
    except Stopped:
        return False
    return True


def outcome(running: Running) -> Outcome:
    """What a finished run gave."""
    store = running.session.store
    numbers = [row.round for row in store.rounds()]
    metrics: dict[str, dict[str, float]] = {}
    losses: dict[str, list[float]] = {}
    for row in store.metrics():
        if row.name in METRICS:
            metrics.setdefault(str(row.round), {})[METRICS[row.name]] = row.value
        elif row.name.startswith("loss "):
            losses.setdefault(str(row.round), []).append(row.value)
    queries, confusion = [], []
    for number in numbers:
        query = store.query(number)
        assert query is not None
        queries.append((query.ids.tolist(), query.scores.tolist()))
        confusion.append(store.document(number, "confusion"))
    return Outcome(
        weights_of(running.learner),
        queries,
        metrics,
        {number: sorted(values) for number, values in losses.items()},
        confusion,  # type: ignore[arg-type]
    )


def weights_of(learner: Learner) -> dict[str, list[np.ndarray]]:
    """All floating-point parameters and buffers of the networks by role, the averages' too."""
    found: dict[str, list[np.ndarray]] = {}
    for name, value in learner.state_dict().items():
        network, dot, _ = name.removeprefix("ema.").partition(".")
        network = f"ema.{network}" if name.startswith("ema.") else network
        if dot and network not in ("optimiser", "pretrained") and value.is_floating_point():
            found.setdefault(ROLES.get(network, network), []).append(value.float().numpy())
    return found


def select(running: Running, name: str, count: int) -> tuple[list[int], list[float]] | None:
    """Ids and scores of an acquisition on the trained learner; None where the learner cannot supply its needs."""
    asked = name.replace("typical-groups", "typical-clusters")
    chosen, learner, pool = make_acquisition(asked), running.learner, running.data.pool
    if chosen.needs - learner.supplies:
        return None
    labelled = running.session.labelled()
    learner.set_labels(labelled)
    stream = Stream.root(7).child(name)
    view = PoolView(
        learner.predict(pool.without(labelled.ids), chosen.needs, stream.child("unlabelled")),
        learner.predict(labelled.images, chosen.needs, stream.child("labelled")),
        labelled.classes,
        running.data.class_count,
    )
    found = chosen(view, count, stream.child("choice"))
    return found.ids.tolist(), found.scores.tolist()


def grid_accuracies(
    data: str, methods: Sequence[str], seeds: Sequence[int], changes: Changes, folder: Path
) -> dict[str, float | None]:
    """Last accuracy of each method and seed of an ``aral compare``, in [0, 1], full training included."""
    settings = [f"{SETTINGS[name]}={_toml(value)}" for name, value in changes.items()]
    settings += ["pool_size=200", "test_size=100", *ALWAYS]
    spec = GridSpec(
        name="golden",
        data=data,
        methods=tuple(str(method_of(name)) for name in methods),
        seeds=tuple(seeds),
        settings=tuple(settings),
        threads=1,
        full={"learner": "supervised", "steps": 4},
    )
    result = run_grid(spec, folder, Resources(workers=1))
    asked = dict(zip((str(method_of(name)) for name in methods), methods, strict=True))
    found = {f"{asked[unit.method]} seed {unit.seed}": unit.accuracy for unit in result.units}
    return found | {f"full seed {unit.seed}": unit.accuracy for unit in result.full}


def _toml(value: Value) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value)


# Labelling projects

PORT, SECRET = 8427, "s" * 43

TRAINING = (
    "learner.networks.widths=[4, 8]",
    "learner.networks.depth=1",
    "learner.networks.encoder_widths=[4, 4, 4]",
    "learner.networks.generator_widths=[4, 4, 4]",
    "learner.training.steps=4",
    "learner.training.labelled_batch=8",
    "learner.training.unlabelled_batch=16",
    "learner.training.warm_up=0",
    "learner.pretraining.steps=3",
    "learner.pretraining.imitation_steps=2",
    *ALWAYS,
)


@dataclass
class Served:
    """A project behind its page's routes, and its trainer in this process."""

    project: Project
    client: TestClient
    trainer: Trainer
    answered: int = 0

    def _get(self, path: str, **query: object) -> Any:
        answer = self.client.get(path, params={key: str(value) for key, value in query.items()})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _post(self, path: str, body: object) -> Any:
        answer = self.client.post(path, json=body, headers={"origin": f"http://127.0.0.1:{PORT}"})
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def _id_of_image(self, name: str) -> int:
        images = (self.project.images.get(int(image_id)) for image_id in self.project.images.labelable_ids())
        return next(image.id for image in images if image.name == name)

    def _class_ids(self) -> dict[str, int]:
        return {each["name"]: each["id"] for each in self._get("/api/project")["classes"]}

    def _class_name(self, class_id: int | None) -> str | None:
        """Of live classes; one that was merged is known by its number in the order of making."""
        names = {number: name for name, number in self._class_ids().items()}
        return None if class_id is None else names.get(class_id, f"merged {class_id}")

    def train(self) -> None:
        """Let the trainer do all there is to do."""
        for _ in range(30):
            if not self.trainer.turn():
                return
        raise RuntimeError("the trainer does not come to rest")

    def next_images(self, annotator: str, count: int) -> list[list[Any]]:
        """Name, purpose and suggestion of each card, in order."""
        cards = self._get("/api/next", annotator=annotator, count=count)["cards"]
        return [
            [card["name"], card["purpose"], card["round"], self._suggestion(card["suggestion"])]
            for card in cards
        ]

    def _suggestion(self, suggestion: Mapping[str, Any] | None) -> list[Any] | None:
        if suggestion is None:
            return None
        return [
            self._class_name(suggestion["class_id"]),
            suggestion["probability"],
            suggestion["model_number"],
        ]

    def answer(self, annotator: str, answers: Sequence[tuple[str, str]]) -> list[int]:
        """Answer images by name: a class, or ``skip``, ``unsure``, ``bad image``, ``none of these``, ``undo``.

        Returns:
            LabelCounts after it: labelled, skipped, unsure, bad, none, conflicts, for training, for the estimate.
        """
        class_ids = self._class_ids()
        events = []
        for name, said in answers:
            self.answered += 1
            event = {"key": f"golden-{self.answered:04d}", "image_id": self._id_of_image(name)}
            event |= {"annotator": annotator, "action": "class" if said in class_ids else said}
            events.append(event | ({"class_id": class_ids[said]} if said in class_ids else {}))
        answer = self._post("/api/answers", {"events": events})
        assert not answer["refused"], answer["refused"]
        return _counts(answer["counts"])

    def refused(self, annotator: str, name: str, class_id: int) -> int:
        """How many answers with a class of this number are refused."""
        event = {
            "key": f"golden-refused-{class_id}",
            "image_id": self._id_of_image(name),
            "annotator": annotator,
        }
        events = [event | {"action": "class", "class_id": class_id}]
        return len(self._post("/api/answers", {"events": events})["refused"])

    def history(self, annotator: str) -> list[list[Any]]:
        """Image, answer, class and whether it was taken back, the newest first."""
        found = self._get("/api/history", annotator=annotator, count=200)["answers"]
        return [
            [
                each["card"]["name"],
                each["answer"]["action"],
                self._class_name(each["answer"]["class_id"]),
                each["answer"]["cancelled"],
            ]
            for each in found
        ]

    def classes(self) -> list[list[Any]]:
        """Name, key, guideline and colour of each class, in order."""
        found = self._get("/api/project")["classes"]
        return [[each["name"], each["key"], each["guideline"], each["colour"]] for each in found]

    def change_class(self, change: str, name: str, into: str, annotator: str) -> None:
        """``add`` (into unused), ``rename`` into, ``merge`` into, ``describe`` with the guideline ``into``."""
        body: dict[str, Any] = {"change": change, "annotator": annotator}
        class_ids = self._class_ids()
        if change == "add":
            body["name"] = name
        else:
            body["class_id"] = class_ids[name]
            more: dict[str, dict[str, Any]] = {
                "rename": {"name": into},
                "merge": {"into_id": class_ids.get(into)},
                "describe": {"guideline": into, "example_ids": []},
            }
            body |= more[change]
        self._post("/api/classes", body)

    def change_settings(self, annotator: str, **values: object) -> None:
        """Overlap, budget and whether suggestions are shown."""
        self._post("/api/settings", {"annotator": annotator, **values})

    def grid(self, annotator: str, group: str) -> list[list[Any]]:
        """Class and image names of each group on the first page, in order; the page is closed again."""
        tab = f"grid-{group}"
        groups = self._get("/api/grid", annotator=annotator, group=group, tab=tab)["groups"]
        found = [
            [self._class_name(each["class_id"]), [cell["name"] for cell in each["cells"]]] for each in groups
        ]
        self._get("/api/status", annotator=annotator, tiles="", tab=tab)
        return found

    def state(self, annotator: str) -> dict[str, Any]:
        """What the page shows in its head: counts, budget, queue, estimate."""
        found = self._get("/api/status", annotator=annotator)
        estimate = found["estimate"]
        return {
            "images": found["images"],
            "budget": found["budget"],
            "counts": _counts(found["counts"]),
            "queue left": found["queue_left"],
            "trainer": found["training"]["phase"],
            "model": found["model"],
            "estimate": sorted(v for v in (estimate or {}).values() if isinstance(v, int | float)),
        }

    def progress(self) -> dict[str, Any]:
        """Learning curve, confusion matrix, doubted labels, conflicts, near-duplicates, unreadable files."""
        found = self._get("/api/round")
        model = found["model"]
        return {
            "curve": [sorted(v for v in point.values() if v is not None) for point in found["curve"]],
            "trained on": model and model["trained_on"],
            "confusion": model and model["confusion"],
            "labels per class": [
                [self._class_name(each["class_id"]), each["count"], [cell["name"] for cell in each["cells"]]]
                for each in found["gallery"]
            ],
            "doubted": [[each["name"], self._class_name(each["class_id"])] for each in found["suspects"]],
            "near-duplicates": [[cell["name"] for cell in group] for group in found["near"]["groups"]],
            "unreadable": [each["path"] for each in found["unreadable"]["files"]],
            "conflicts": [
                [
                    each["name"],
                    [[v["annotator"], v["action"], self._class_name(v["class_id"])] for v in each["votes"]],
                ]
                for each in self._get("/api/disagreements")["disagreements"]
            ],
        }

    def label_studio(self, names: Sequence[str], annotated: tuple[str, str]) -> dict[str, Any]:
        """Predictions for images, and what a report of one annotation (image, class) changes."""
        tasks = [{"id": number, "data": {"image": name}} for number, name in enumerate(names, 1)]
        said = self._post("/predict", {"tasks": tasks})["results"]
        name, label = annotated
        choice = {"from_name": "choice", "to_name": "image", "type": "choices", "value": {"choices": [label]}}
        body = {
            "action": "ANNOTATION_CREATED",
            "task": {"id": 99, "data": {"image": name}},
            "annotation": {"id": 7, "result": [choice], "was_cancelled": False, "completed_by": 1},
        }
        recorded = self._post("/webhook", body)["recorded"]
        choices = [[r["value"]["choices"] for r in each["result"]] for each in said]
        return {"choices": choices, "scores": [each["score"] for each in said], "recorded": recorded}

    def exports(self, target: Path) -> dict[str, Any]:
        """Rows of each exported form, without times."""
        done = export(self.project, target, ("csv", "jsonl", "label-studio", "imagefolder"))
        with (target / "labels.csv").open(newline="") as file:
            table = [
                [row[key] for key in ("path", "label", "answer", "annotator", "use", "round")]
                for row in csv.DictReader(file)
            ]
        lines = [json.loads(line) for line in (target / "labels.jsonl").read_text().splitlines()]
        tasks = json.loads((target / "label-studio.json").read_text())
        return {
            "labels": done.labels,
            "csv": table,
            "jsonl": [
                [row["path"], row["label"], row["answer"], row["annotators"], row["use"]] for row in lines
            ],
            "label studio": [
                [
                    task["data"]["image"],
                    [r["value"]["choices"] for r in task["annotations"][0]["result"]],
                    task["annotations"][0]["was_cancelled"],
                    [r["value"]["choices"] for p in task["predictions"] for r in p["result"]],
                ]
                for task in tasks
            ],
            "label studio configuration": (target / "label-studio.xml").read_text().count("<Choice "),
            "class folders": sorted(
                path.relative_to(target / "images").as_posix() for path in (target / "images").rglob("*.png")
            ),
        }

    def take_labels(self, file: Path) -> list[Any]:
        """What an import of labels came to: new, repeated, unknown paths, new classes."""
        done = import_labels(self.project, file)
        return [done.recorded, done.repeated, [each.path for each in done.rejected], list(done.new_classes)]


def _counts(found: Mapping[str, int]) -> list[int]:
    names = ("labelled", "skipped", "unsure", "bad", "none", "conflicts", "for_training", "for_estimate")
    return [found[name] for name in names]


@contextmanager
def served_project(
    photos: Path, class_names: Sequence[str], budget: int, query_size: int, estimate_share: float
) -> Iterator[tuple[Served, list[int]]]:
    """A new project of a folder with its test client, and how its import ended.

    The numbers are those of readable images, exact copies and unreadable files.
    """
    rules = Security(SECRET, PORT)
    options = TrainingOptions(representation="pixels", query_size=query_size, threads=1, settings=TRAINING)
    with Project.create_or_open(photos, class_names=class_names, budget=budget) as project:
        project.settings.set(replace(project.settings.get(), estimate_share=estimate_share))
        done = project.images.sync()
        client = TestClient(
            make_app(project, rules),
            base_url=f"http://127.0.0.1:{PORT}",
            cookies={rules.cookie_name: SECRET},
        )
        trainer = Trainer(project, options)
        try:
            with client:
                yield Served(project, client, trainer), [done.readable, done.duplicates, done.unreadable]
        finally:
            trainer.close()
