"""One run on a data set with known labels: a session with ground truth as oracle (Algorithm 1)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as serialise_tensors

from aral.acquisition import is_user_defined, make_acquisition
from aral.benchmarking.hardware import Hardware
from aral.benchmarking.methods import make_learner
from aral.benchmarking.parity import versions
from aral.benchmarking.spec import RunSpec, differences, is_own_file, validated
from aral.benchmarking.spending import EACH_ANSWER, Spending
from aral.data import (
    NAMES,
    DataSet,
    Limits,
    Reader,
    changed_pool,
    class_number,
    folder_dataset,
    labelled_folder_dataset,
    load,
    npz_dataset,
    read_feature_arrays,
    resized,
)
from aral.data.folder import read_files
from aral.durable import Json, write_file
from aral.errors import BadInput
from aral.learners import Learner
from aral.loop import (
    GroundTruth,
    Observer,
    Oracle,
    Pace,
    Session,
    SessionOptions,
    SimulatedAnnotator,
    Stage,
    Store,
    Strategy,
    Validation,
    check_strategy,
)
from aral.loop.embedding import EMBEDDING_FILE, save_embedding
from aral.loop.followers import LeadingLearner, follow
from aral.loop.reading import store_reading
from aral.parallel import ALONE, END, Group, Message
from aral.randomness import Stream
from aral.representations import (
    FeatureCache,
    FeatureReader,
    Projection,
    make_backbone,
    projected,
    with_features,
)
from aral.representations.weights import cache_folder
from aral.types import ImageSet, LabelledSet

SETTINGS_FILE = "settings.json"
PROJECTION_FILE = "projection.safetensors"
"""In the folder of a run on features: with it and the backbone, the weights of the run can be used on new images."""

_PROJECTION = "projection"
"""Setting of a run: SHA-256 of :data:`PROJECTION_FILE`."""

_RUN = "run"
"""The name of the message with the specification of a run by several processes."""

_LIMITED = Stream.root(0).child("limited")
"""Decides which images a smaller pool keeps: the same for every seed and method."""


def load_data(
    spec: RunSpec,
    root: Path | None = None,
    download: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DataSet:
    """The data set of a run, cut to its sizes; with another representation than pixels, features.

    Args:
        spec: names the data and the representation.
        root: the folder with data sets; see :func:`aral.data.data_root`.
        download: whether data and weights that are missing may be fetched.
        progress: given the number of images that are read, and of all that are being read.

    Raises:
        BadInput: the data, or the weights of the backbone, are missing or cannot be used.
    """
    chosen = spec.representation
    if spec.arrays is not None:
        given = read_feature_arrays(spec.arrays).limited(spec.pool_size, spec.test_size, _LIMITED)
        given = changed_pool(given, spec.pool)
        assert given.features_of is not None  # as all arrays have
        return projected(given, given.features_of, chosen.components)[0]
    if chosen.is_pixels:
        return read_images(spec, root, download, progress=progress)
    backbone = make_backbone(chosen, download).on(spec.device)
    with FeatureCache.of(backbone, precision=chosen.precision) as cache:
        reader = FeatureReader(backbone, cache, progress)
        data = with_features(read_images(spec, root, download, reader), reader)
    return projected(data, backbone, chosen.components)[0]


def read_images(
    spec: RunSpec,
    root: Path | None = None,
    download: bool = False,
    reader: Reader | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DataSet:
    """The data set of a run, cut to its sizes, then with its pool changed as the settings ask.

    Image files are pixels, or as the reader has them. Pixels that are too many for memory are kept in files below
    ``aral/images`` in the user's cache folder. Arrays of an ``.npz`` file are squares of ``spec.side`` pixels
    without a reader, and as they are with one: it reads no arrays.
    """
    return changed_pool(_images(spec, root, download, reader, progress), spec.pool)


def _images(
    spec: RunSpec,
    root: Path | None,
    download: bool,
    reader: Reader | None,
    progress: Callable[[int, int], None],
) -> DataSet:
    limits = Limits(spec.pool_size, spec.test_size, _LIMITED)
    files = reader or partial(read_files, side=spec.side, cache=cache_folder() / "images", progress=progress)
    if spec.data in NAMES:
        return load(spec.data, root, download, spec.side, limits, files)
    path = Path(spec.data).expanduser()
    if is_own_file(spec.data):
        data = npz_dataset(path, spec.test_share).limited(spec.pool_size, spec.test_size, _LIMITED)
        return data if reader else resized(data, spec.side)
    if spec.labels is not None:
        labels = Path(spec.labels).expanduser()
        return labelled_folder_dataset(path, labels, spec.side, spec.test_share, limits, files)
    return folder_dataset(path, spec.side, spec.test_share, Stream.root(0), limits=limits, reader=files)


def run(
    spec: RunSpec,
    data: DataSet,
    folder: Path,
    observer: Observer | None = None,
    stopping: Callable[[], bool] = lambda: False,
    pace: Pace | None = None,
    embedded: bool = False,
    group: Group = ALONE,
) -> Path:
    """Run Algorithm 1 until the budget is spent, or resume a run that was stopped.

    Args:
        spec: what to run.
        data: the data set; its labels go to the oracle and the evaluation only.
        folder: the run folder, made if missing.
        observer: is told of progress.
        stopping: called after every training step; true stops with everything saved.
        pace: how often to save checkpoints.
        embedded: whether to embed a sample of the pool in two dimensions at the end, for the report of the run.
        group: the processes that train together; this one leads, the others call :func:`follow_run`.

    Returns:
        The run folder.

    Raises:
        BadInput: the specification does not fit the data or the folder.
        Stopped: ``stopping`` returned true.
        RunFailed: training failed.
    """
    torch.set_num_threads(spec.threads)
    stream = Stream.root(spec.seed)
    learner = _learner(spec, data, group)
    strategy = strategy_of(spec)
    check_strategy(strategy, learner)
    check_budget(spec, data)
    pace = replace(pace or Pace(), keep_rounds=spec.rounds.keep_checkpoints == "all")
    oracle, spending = oracle_of(spec, data), Spending.of(spec, data)
    with Store.open(folder, create=True) as store:
        record_spec(store, spec, data)
        if group.size > 1:
            store.record_setting("processes", group.size)
            document = {"spec": spec.model_dump_json(), "pool": store.setting("pool fingerprint")}
            group.send(Message(_RUN, document))
            learner = leading = LeadingLearner(learner, group)
            asked, stopping = stopping, lambda: asked() or leading.stop_requested
        options = SessionOptions(pace, observer or Observer(), validation_of(spec))
        session = Session(
            store, data.pool, data.class_count, learner, strategy, stream.child("session"), options
        )
        drive(session, oracle, data.test, spec.rounds.query_size, spec.rounds.budget, stopping, spending)
        if embedded and not (folder / EMBEDDING_FILE).is_file():
            save_embedding(session, stream.child("embedding"))
    return folder


def follow_run(group: Group, root: Path | None = None, stopping: Callable[[], bool] = lambda: False) -> None:
    """Train with the process of rank 0, which calls :func:`run`; this process writes nothing.

    Args:
        group: the processes; this one's rank is above 0.
        root: the folder with data sets; data and weights must be there.
        stopping: true asks the leading process to stop.

    Raises:
        BadInput: the data are missing here, or differ from those of the leading process.
        RunFailed: the leading process has ended unexpectedly, or memory is too small.
    """
    message = group.receive()
    assert isinstance(message, Message)
    if message.name == END:
        return
    spec = validated(json.loads(message.document["spec"]))
    torch.set_num_threads(spec.threads)
    data = load_data(spec, root)
    if images_fingerprint(data.pool) != message.document["pool"]:
        raise BadInput(
            f"Process {group.rank} finds other images of '{data.name}' than process 0.",
            "Give all machines the same files, for instance with --data-root on a shared disk.",
        )
    follow(group, _learner(spec, data, group), data.pool, stopping)


def _learner(spec: RunSpec, data: DataSet, group: Group) -> Learner:
    stream = Stream.root(spec.seed).child("learner")
    return make_learner(spec.learner, data.pool, data.class_count, stream, spec.device, group)


def strategy_of(spec: RunSpec) -> Strategy:
    """The acquisitions of a run; code of the user is imported.

    Raises:
        BadInput: an acquisition does not exist, or cannot be imported.
    """
    return Strategy(
        make_acquisition(spec.acquisition, user_defined=True),
        make_acquisition(spec.rounds.first_query, user_defined=True),
    )


def validation_of(spec: RunSpec) -> Validation | None:
    """The validation of a run; ``None`` for a share of 0."""
    rounds = spec.rounds
    return Validation(rounds.validation_share, rounds.validation_steps) if rounds.validation_share else None


def oracle_of(spec: RunSpec, data: DataSet) -> Oracle:
    """The oracle of a run; its answers are drawn by the seed of the run, apart from everything else.

    Raises:
        BadInput: a class of its settings does not exist.
    """
    settings = spec.oracle
    truth = GroundTruth(data.pool.ids, data.pool_classes)
    if not (settings.wrong or settings.wrong_by_class or settings.unknown):
        return truth
    by_class = np.full(data.class_count, settings.wrong)
    for name, wrong in settings.wrong_by_class.items():
        by_class[class_number(data, name, "oracle.wrong_by_class")] = wrong
    return SimulatedAnnotator(
        data.pool.ids,
        data.pool_classes,
        data.class_count,
        by_class[data.pool_classes],
        settings.unknown,
        Stream.root(spec.seed).child("oracle"),
    )


def drive(
    session: Session,
    oracle: Oracle,
    test: LabelledSet,
    query_size: int,
    budget: int,
    stopping: Callable[[], bool] = lambda: False,
    spending: Spending = EACH_ANSWER,
) -> None:
    """Ask, tell, fit and evaluate until ``budget`` images have been answered, or until the budget of costs is spent.

    The process may be killed at any line: the store holds what was done, and the next call continues from there.

    Args:
        session: the session.
        oracle: answers at once.
        test: the test set.
        query_size: images a round.
        budget: how much may be spent.
        stopping: called after every training step; true stops with everything saved.
        spending: what an answer takes of the budget.

    Raises:
        BadInput: no image of the first query was given a class.
    """
    while True:
        rounds = session.store.rounds()
        if any(row.stage is Stage.TRAINED for row in rounds):
            session.evaluate(test)
        affordable = spending.affordable_images(session, budget)
        if affordable <= 0 and session.store.query(session.round_number) is None:
            spending.record_end(session.store)
            return
        selection = session.ask(min(query_size, max(affordable, 1)), stopping)
        waiting = spending.affordable(session, session.waiting(), budget)
        if waiting.size:
            oracle.request(selection.only(waiting))
            session.tell(oracle.collect(), oracle.name)
        spending.record(session)
        session.fit(stopping)


def check_budget(spec: RunSpec, data: DataSet) -> None:
    """Refuse a query or a budget larger than the pool.

    Raises:
        BadInput: says what would fit.
    """
    size = len(data.pool)
    budget = 1 if spec.oracle.has_costs else spec.rounds.budget
    for name, value in (("query_size", spec.rounds.query_size), ("budget", budget)):
        if value > size:
            raise BadInput(
                f"rounds.{name} is {value}, but the pool of '{data.name}' has only {size} images.",
                f"Use {size} or less: --set rounds.{name}={size}",
            )


def record_spec(store: Store, spec: RunSpec, data: DataSet) -> None:
    """Record the specification and the data in a new run folder, or check those of an existing one.

    Raises:
        BadInput: the folder holds a run with other settings or other images.
    """
    fingerprint = images_fingerprint(data.pool)
    old = store.setting("spec")
    if old is not None:
        assert isinstance(old, dict)
        changed = differences(validated(old), spec)
        if changed:
            raise BadInput(
                f"{store.folder} holds a run with other settings: {'; '.join(changed[:5])}.",
                "Use the old settings, or another folder: --folder runs/NAME",
            )
        if store.setting("pool fingerprint") != fingerprint:
            raise BadInput(
                f"{store.folder} was started on other images than '{data.name}' has now.",
                "Put the old images back, or use another folder: --folder runs/NAME",
            )
        own_labels = spec.labels is not None or is_own_file(spec.data)
        if own_labels and store.setting("data fingerprint") != data_fingerprint(data):
            raise BadInput(
                f"{store.folder} was started on other labels or test images than '{data.name}' has now.",
                "Put the old files back, or use another folder: --folder runs/NAME",
            )
        _record_projection(store, data)
        if validated(old).rounds != spec.rounds:  # what is kept may be changed
            old["rounds"] = json.loads(spec.rounds.model_dump_json())
            write_settings(store.folder, old)
            store.record_setting("spec", old)
        return
    table = json.loads(spec.model_dump_json())
    values: dict[str, Json] = {
        "data": data.name,
        "note": data.note,
        "method": str(spec.method),
        "learner": spec.learner.title,
        "acquisition": spec.acquisition,
        "first query": spec.rounds.first_query,
        "seed": spec.seed,
        "class names": list(data.class_names),
        "query size": spec.rounds.query_size,
        "budget": spec.rounds.budget,
        "pool size": len(data.pool),
        "image shape": list(data.pool.shape),
        "test size": len(data.test),
        "pool fingerprint": fingerprint,
        "data fingerprint": data_fingerprint(data),
        "features of": None if data.features_of is None else asdict(data.features_of),
        "versions": versions(),
    }
    for key, value in values.items():
        store.record_setting(key, value)
    write_settings(store.folder, table)
    _record_projection(store, data)
    # Last: its presence means that all others are recorded.
    store.record_setting("spec", table)


def _record_projection(store: Store, data: DataSet) -> None:
    """Write the projection of a run on features, or compare it with the one that is there; a damaged one is replaced.

    Raises:
        BadInput: the run has another projection.
    """
    if data.projection is None:
        return
    kept = _kept_projection(store.folder, str(store.setting(_PROJECTION) or ""))
    if isinstance(kept, str):
        content = serialise_tensors({name: value.contiguous() for name, value in data.projection.items()})
        write_file(store.folder / PROJECTION_FILE, content)
        store.record_setting(_PROJECTION, hashlib.sha256(content).hexdigest())
        return
    ours, theirs = data.projection, kept.state()
    if ours.keys() != theirs.keys() or not all(torch.equal(ours[name], theirs[name]) for name in ours):
        raise BadInput(
            f"{store.folder} holds a run with another projection of the features than '{data.name}' has now.",
            "Put the old images back, or use another folder: --folder runs/NAME",
        )


def read_projection(folder: Path) -> Projection:
    """From features of the backbone to what the networks of a run on features read.

    The backbone is recorded in the run's setting ``features of``.

    Raises:
        BadInput: the folder holds no run, the run reads pixels, or the file is missing or differs from what was saved.
    """
    with store_reading(folder) as store:
        digest = store.setting(_PROJECTION)
    if digest is None:
        raise BadInput(f"The run in {folder} has no projection: it reads pixels.", "Give a run on features.")
    found = _kept_projection(folder, str(digest))
    if isinstance(found, str):
        raise BadInput(
            f"The projection of the run in {folder} cannot be used: {found}.",
            f"Continuing the run writes it anew: aral resume {folder}",
        )
    return found


def _kept_projection(folder: Path, digest: str) -> Projection | str:
    """The projection in a run folder, or why it cannot be used."""
    try:
        content = (folder / PROJECTION_FILE).read_bytes()
    except OSError as error:
        return f"{PROJECTION_FILE} cannot be read: {error.strerror}"
    if hashlib.sha256(content).hexdigest() != digest:
        return f"the SHA-256 of {PROJECTION_FILE} differs from the recorded one"
    try:
        return Projection.of_state(parse_tensors(content))
    except (SafetensorError, KeyError) as error:
        return f"{PROJECTION_FILE} holds something else: {error}"


def write_settings(folder: Path, table: dict[str, Json]) -> None:
    """Write the resolved settings as JSON, for readers and for ``aral resume``."""
    write_file(folder / SETTINGS_FILE, (json.dumps(table, indent=2) + "\n").encode())


def images_fingerprint(images: ImageSet) -> str:
    """A hash of all pixels of a set and its subsets, and of their shape."""
    digest = hashlib.sha256(str(tuple(images.pixels.shape)).encode())
    digest.update(images.pixels.contiguous().numpy().reshape(-1).data)
    return digest.hexdigest()[:16]


def data_fingerprint(data: DataSet) -> str:
    """A hash of everything in the data that affects a result: images or features and their backbone, classes, names."""
    digest = hashlib.sha256((images_fingerprint(data.pool) + images_fingerprint(data.test.images)).encode())
    for classes in (data.pool_classes, data.test.classes):
        digest.update(np.ascontiguousarray(classes).tobytes())
    digest.update(json.dumps(data.class_names).encode())
    if data.features_of is not None:
        digest.update(json.dumps(asdict(data.features_of), sort_keys=True).encode())
    return digest.hexdigest()[:16]


def recorded_hardware(folder: Path) -> Hardware | None:
    """Precision and threads of the run in a folder, for :func:`aral.benchmarking.resolve`; ``None`` without a run."""
    try:
        spec = validated(json.loads((folder / SETTINGS_FILE).read_text()))
    except (OSError, ValueError, BadInput):  # a run that cannot be read is refused when it is opened
        return None
    return Hardware(spec.learner.training.precision, spec.threads, spec.threads)


def read_spec(folder: Path) -> RunSpec:
    """The specification of a run folder, to continue the run.

    Raises:
        BadInput: the folder holds no run, or its acquisition is code of the user.
    """
    spec = read_settings(folder)
    for name in (spec.acquisition, spec.rounds.first_query):
        if is_user_defined(name):
            make_acquisition(name)  # refused: the folder may come from another person
    return spec


def read_settings(folder: Path) -> RunSpec:
    """The specification of a run folder; an acquisition of the user is named in it, but not imported.

    Raises:
        BadInput: the folder holds no run.
    """
    path = folder / SETTINGS_FILE
    try:
        return validated(json.loads(path.read_text()))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadInput(
            f"{folder} is not a run folder: it has no {SETTINGS_FILE}.", "Check the path."
        ) from error
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error}.", "Check its permissions.") from error
    except ValueError as error:
        raise BadInput(f"{path} is not valid JSON: {error}.", "Restore it, or start a new run.") from error
