"""One run, fully specified: saved beside its results and enough to repeat them."""

from __future__ import annotations

import difflib
import json
import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, Field, ValidationError

from aral.benchmarking.hardware import AUTO, Hardware, measured
from aral.benchmarking.methods import Method, check_acquisition_name
from aral.data import NAMES, NPZ, FeatureArrays, PoolSettings
from aral.errors import BadInput, unknown_name
from aral.learners import LEARNERS, AnyLearner, variant_settings
from aral.learners.settings import NOT_SHARED
from aral.loop.oracles import OracleSettings
from aral.representations.settings import (
    AUTO as UNCHOSEN,
)
from aral.representations.settings import (
    EMBEDDED,
    GIVEN,
    PIXELS,
    POOLED,
    SIDE_FOR_SMALL_IMAGES,
    RepresentationSettings,
)
from aral.settings import Settings

FOLDER_PRESET = "folder"
FEATURES_PRESET = "features"
"""Of every data set, where the learner reads features in place of pixels."""
SCALES = ("mlp", "compact", "conv32", "resnet", "biggan", "features")
"""Tags of :data:`aral.networks.AnyFamily`."""


PRINTED = "printed"
"""The variant whose presets hold what the paper prints."""

PERCEPTRONS = ("mlp", "features")
"""Those whose networks are so small that one thread is mostly fastest."""


class UnusedSetting(BadInput):
    """A method does not have, or does not use, a setting."""


class Rounds(Settings):
    """How labels are spent."""

    query_size: int = Field(10, ge=1)  # labels a round
    budget: int = Field(100, ge=1)  # labels in all
    first_query: str = "typiclust"  # acquisition of round 0, before any label
    validation_share: float = Field(0.0, ge=0, le=0.5)  # of the labels, spent but kept from training
    validation_steps: int = Field(100, ge=1)  # training steps between two validations
    # Of which rounds weights are kept: of the last one, or of all; no result depends on it.
    keep_checkpoints: Annotated[Literal["last", "all"], NOT_SHARED] = "last"

    def count(self, pool_size: int | None = None) -> int:
        """Number of rounds until the budget is spent, or until a pool of ``pool_size`` images is labelled."""
        labels = self.budget if pool_size is None else min(self.budget, pool_size)
        return math.ceil(labels / self.query_size)


class RunSpec(Settings):
    """Everything that decides the outcome of a run."""

    data: str  # name of a data set, a folder of images, an .npz file, or the file name of the arrays
    arrays: FeatureArrays | None = None  # features that were computed elsewhere, and their labels
    learner: AnyLearner
    acquisition: Annotated[str, NOT_SHARED]
    chosen: Annotated[str, NOT_SHARED] = ""  # why this method, where its name was 'auto'
    varied: Annotated[tuple[str, ...], NOT_SHARED] = ()  # settings that its grid varies: a part of its name
    seed: int = 0
    representation_chosen: Annotated[str, NOT_SHARED] = ""  # likewise, of the representation
    device: Literal["cpu", "cuda", "mps"] = "cpu"  # where to compute
    threads: int = Field(2, ge=1)  # of PyTorch; sums are ordered by it, so it belongs to the result
    pool_size: int | None = Field(None, ge=1)  # None: the whole pool
    test_size: int | None = Field(None, ge=1)  # None: the whole test set
    labels: str | None = (
        None  # CSV file with the labels of a folder of images; None: its sub-folders are the classes
    )
    test_share: float | None = Field(None, gt=0, lt=1)  # of files without a test set; None: 0.2
    pool: PoolSettings = PoolSettings()
    oracle: OracleSettings = OracleSettings()
    side: int = Field(32, ge=8)  # of images of a folder, imagenet or an .npz file, pixels
    representation: RepresentationSettings = RepresentationSettings()
    rounds: Rounds = Rounds()

    @property
    def method(self) -> Method:
        """Learner and acquisition."""
        return Method(self.learner.title, self.acquisition, self.chosen, self.varied)

    @property
    def folder_name(self) -> str:
        """A name for the run's folder."""
        if self.arrays is not None:
            data = self.arrays.folder_name
        else:  # a folder may be given as ".", which has no name of its own
            data = self.data if self.data in NAMES else data_title(self.data)
        return f"{data}{self.representation.suffix}-{self.method}-seed{self.seed}"

    def round_count(self, pool_size: int | None = None) -> int:
        """Number of rounds until the budget is spent, as for :meth:`Rounds.count`; with costs about so many."""
        oracle, rounds = self.oracle, self.rounds
        if not oracle.has_costs:
            return rounds.count(pool_size)
        by_class = list(oracle.cost_by_class.values())
        typical = sum(by_class) / len(by_class) if by_class else oracle.cost or 1.0
        labels = max(1, math.floor(rounds.budget / typical))
        return rounds.model_copy(update={"budget": labels}).count(pool_size)


def data_title(data: str) -> str:
    """The name of a folder, or that of a file without its ending."""
    return Path(data).expanduser().resolve().name.removesuffix(NPZ)


def is_own_file(data: str) -> bool:
    """Whether the data of a specification are an ``.npz`` file, which may not exist."""
    return data not in NAMES and data.lower().endswith(NPZ) and not Path(data).expanduser().is_dir()


def preset_names() -> list[str]:
    """Every preset that is shipped."""
    files = resources.files("aral.benchmarking").joinpath("presets").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def read_preset(name: str) -> dict[str, Any]:
    """The table of a shipped preset.

    Raises:
        BadInput: there is none of this name.
    """
    if name not in preset_names():
        raise unknown_name("preset", name, preset_names())
    text = resources.files("aral.benchmarking").joinpath("presets", f"{name}.toml").read_text()
    return tomllib.loads(text)


def resolve(
    data: str, method: Method, settings: Iterable[str] = (), hardware: Hardware | None = None, **fields: Any
) -> RunSpec:
    """The specification of a run.

    Later ones win: the data set's preset for all learners (as far as the learner has such settings), the learner's
    preset for all data sets, the data set's preset for the learner and for its variants, the method's variants, single
    settings. Where ``learner.training.precision`` or ``threads`` is ``auto``, as in most presets, the specification has
    what is faster on this machine.
    With another representation than pixels, or features that were computed elsewhere, the preset of features stands for
    that of the data set. The method ``auto`` is the one for the representation.

    Args:
        data: name of a data set, or a folder of class folders; not read where ``arrays`` are given.
        method: learner and acquisition.
        settings: ``a.b.c=value`` pairs; values are read as TOML, and as text where that fails.
        hardware: what ``auto`` stands for; ``None``: measured, see :mod:`aral.benchmarking.hardware`.
        fields: further fields of :class:`RunSpec`, such as ``arrays``; ``None`` leaves the preset's value.

    Raises:
        BadInput: a name or a value is wrong; says which, and what would be right.
    """
    arrays: FeatureArrays | None = fields.get("arrays")
    data = data if arrays is None else arrays.name
    name = data if data in NAMES and arrays is None else FOLDER_PRESET
    if arrays is None and name == FOLDER_PRESET:
        _check_files(data)
    given = [_parsed(setting) for setting in settings]
    backbone = _backbone(fields, given) if arrays is None else GIVEN
    if backbone == UNCHOSEN:
        raise BadInput(
            "The representation 'auto' has to be chosen before settings are resolved.",
            f"Name one, such as {EMBEDDED}; in Python, see aral.benchmarking.settle_representation.",
        )
    if backbone != PIXELS:
        name = FEATURES_PRESET
    method = method.on(backbone)
    learner = method.learner_name
    preset, of_learner = read_preset(name), read_learner_preset(learner)
    of_variants = preset.pop("learners", {})
    _check_printed(method, data, of_variants)
    table = {**preset, "learner": _fitting(preset.get("learner", {}), LEARNERS[learner])}
    named = variant_settings(learner, method.variants)
    for own in (of_learner, of_variants.get(learner, {}), *_of_variants(of_variants, learner, named)):
        table = _merged(_without_other_scale(table, own), own)
    table = _merged(table, {"learner": {"name": learner, **named}})
    table |= {"data": data, "acquisition": method.acquisition, "chosen": method.reason}
    if arrays is not None:
        table["representation"] = {"backbone": GIVEN}
    elif backbone in (EMBEDDED, POOLED) and data in NAMES and data != "imagenet":
        table["representation"] = {"side": SIDE_FOR_SMALL_IMAGES}
    table.setdefault("device", "cuda" if torch.cuda.is_available() else "cpu")
    others = {key: value for key, value in fields.items() if value is not None}
    if arrays is not None:
        others["arrays"] = arrays.model_dump()
    table = _merged(table, others)
    for setting in given:
        _refuse_other_learner(setting)
        table = _merged(_without_other_scale(table, setting), setting)
    spec = validated(_without_auto(table, hardware))
    _check_arrays(spec, arrays)
    _check_labels(spec)
    for setting in given:
        _refuse_unused(spec, setting)
    # Names may also have come from a preset or a single setting.
    check_acquisition_name(spec.acquisition)
    check_acquisition_name(spec.rounds.first_query)
    return spec


def _check_printed(method: Method, data: str, of_variants: Mapping[str, Any]) -> None:
    """Refuse the paper's values where the paper prints none."""
    name = f"{method.learner_name}:{PRINTED}"
    if PRINTED in method.variants and name not in of_variants:
        raise BadInput(
            f"The paper prints no rates and weights for {data} that '{name}' could take.",
            f"Write '{method.learner_name}', or run it on mnist, svhn, cifar10 or celeba.",
        )


def _check_arrays(spec: RunSpec, given: FeatureArrays | None) -> None:
    """Refuse a representation of images where features are given, and features that only single settings name."""
    if given is not None and spec.representation.backbone != GIVEN:
        raise BadInput(
            f"{given.name} holds features, so there are no images for '{spec.representation.backbone}'.",
            "Leave out the representation, or the features.",
        )
    if given is None and spec.arrays is not None:
        raise BadInput(
            "Features cannot be named by a setting.", "Write --features FEATURES.npy --labels LABELS.csv"
        )


def _check_files(data: str) -> None:
    """Refuse data that are neither a named set nor files that are there."""
    path = Path(data).expanduser()
    if path.is_dir() or (is_own_file(data) and path.is_file()):
        return
    if is_own_file(data):
        raise BadInput(f"There is no file {data}.", "Check the path.")
    error = unknown_name("data set", data, NAMES)
    raise BadInput(
        error.problem, f"{error.hint} A folder of class folders or an .npz file also works: ./photos"
    )


def _check_labels(spec: RunSpec) -> None:
    """Refuse a table of labels, or a test share, for data that have their own."""
    for name, value in (("labels", spec.labels), ("test_share", spec.test_share)):
        if value is None:
            continue
        if spec.arrays is not None or spec.data in NAMES or (name == "labels" and is_own_file(spec.data)):
            raise BadInput(
                f"'{data_title(spec.data)}' has labels and a test set of its own: setting {name} is for a folder of "
                "images.",
                f"Leave out {name}.",
            )


def asked_backbone(settings: Iterable[str]) -> str | None:
    """The representation that single settings name, ``auto`` too; None where they name none."""
    names = [_at(_parsed(setting), _BACKBONE) for setting in settings]
    return next((str(name) for name in reversed(names) if name is not None), None)


def _backbone(fields: Mapping[str, Any], given: Iterable[Mapping[str, Any]]) -> str:
    """The representation that is asked for."""
    chosen = fields.get("representation")
    names = [chosen.backbone if isinstance(chosen, RepresentationSettings) else _at(fields, _BACKBONE)]
    names += [_at(setting, _BACKBONE) for setting in given]
    return str(next((name for name in reversed(names) if name is not None), PIXELS))


_BACKBONE = "representation.backbone"


def _without_auto(table: Mapping[str, Any], hardware: Hardware | None) -> dict[str, Any]:
    """The table with precision and threads in place of ``auto``; nothing is measured where none is."""

    def chosen() -> Hardware:
        return hardware or measured(str(table["device"]))

    result = dict(table)
    if _at(table, "learner.training.precision") == AUTO:
        result = _merged(result, {"learner": {"training": {"precision": chosen().precision}}})
    if table.get("threads", AUTO) == AUTO:
        learner = table["learner"]
        scale = _at(learner, "networks.scale") or "mlp"
        perceptrons = scale in PERCEPTRONS and learner.get("classifier") is None
        result["threads"] = chosen().mlp_threads if perceptrons else chosen().threads
    return result


def usable(
    data: str, method: Method, settings: Iterable[str], arrays: FeatureArrays | None = None
) -> tuple[str, ...]:
    """The settings that a method has, out of single settings given for several methods.

    Raises:
        BadInput: a value is wrong.
    """
    given = tuple(settings)
    with suppress(UnusedSetting):
        resolve(data, method, given, arrays=arrays)
        return given
    found: list[str] = []
    for setting in given:
        try:
            resolve(data, method, [*found, setting], arrays=arrays)
        except UnusedSetting:
            continue
        found.append(setting)
    return tuple(found)


def read_learner_preset(learner: str) -> dict[str, Any]:
    """The settings of a learner on every data set; an empty table for one that has none."""
    file = resources.files("aral.benchmarking").joinpath("presets", "learners", f"{learner}.toml")
    return tomllib.loads(file.read_text()) if file.is_file() else {}


def _of_variants(
    presets: Mapping[str, Any], learner: str, named: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    """The presets of the variants whose values apply, the default ones included."""
    fields = LEARNERS[learner].model_fields
    for variant, values in LEARNERS[learner].VARIANTS.items():
        if all(named.get(name, fields[name].default) == value for name, value in values.items()):
            yield presets.get(f"{learner}:{variant}", {})


def _fitting(table: Mapping[str, Any], settings: type[BaseModel]) -> dict[str, Any]:
    """The part of a table that a class of settings has fields for; a choice of networks stays whole."""
    fitting = {}
    for key, value in table.items():
        field = settings.model_fields.get(key)
        if field is None:
            continue
        inner = field.annotation
        nested = isinstance(value, dict) and isinstance(inner, type) and issubclass(inner, BaseModel)
        fitting[key] = _fitting(value, inner) if nested and isinstance(inner, type) else value
    return fitting


def _refuse_other_learner(given: Mapping[str, Any]) -> None:
    """Refuse a single setting that would change the learner under its settings."""
    learner = given.get("learner", {})
    name = learner.get("name") if isinstance(learner, dict) else learner
    if name is not None:
        raise BadInput("The learner cannot be changed by a setting.", f"Write --method {name}")


def _refuse_unused(spec: RunSpec, given: Mapping[str, Any]) -> None:
    """Refuse a single setting that concerns a network the method does not have.

    Raises:
        UnusedSetting: names the setting and the method.
    """
    unused = {f"learner.{name}" for name in spec.learner.unused}
    for name in _leaves(given, ""):
        if name in unused or any(name.startswith(f"{each}.") for each in unused):
            raise UnusedSetting(
                f"Setting '{name}' is not used by '{spec.learner.title}'.",
                f"'aral settings {_listed_as(spec.data)} --method {spec.method}' shows what is.",
            )


def _listed_as(data: object) -> str:
    """What to give ``aral settings`` to see the settings of a run on this data."""
    text = str(data)
    is_file = text not in NAMES and not Path(text).expanduser().is_dir() and not is_own_file(text)
    return "digits --set representation.backbone=gradients" if is_file else text


def validated(table: Mapping[str, Any]) -> RunSpec:
    """A specification from a table, with errors that name the setting.

    Raises:
        BadInput: a setting is unknown or has a wrong value.
    """
    try:
        return RunSpec.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        # A path inside a tagged union carries the tag, which users do not write.
        where = ".".join(str(part) for part in first["loc"] if part not in SCALES and part not in LEARNERS)
        if first["type"] == "extra_forbidden":
            raise _unknown_setting(where, table) from error
        got = first.get("input")
        hint = f"Got {got!r}."
        if isinstance(got, Mapping):  # it is about several settings of a table
            hint = (
                f"Change one of them with --set; 'aral settings {_listed_as(table.get('data'))}' shows all."
            )
        raise BadInput(f"Setting {where}: {first['msg'].removeprefix('Value error, ')}.", hint) from error


def _unknown_setting(where: str, table: Mapping[str, Any]) -> BadInput:
    known = sorted(flattened(RunSpec.model_validate(_known(table))))
    value = _at(table, where)
    name = f"{where}.{_leaves(value, '')[0]}" if isinstance(value, dict) and value else where
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    learner = table["learner"].get("name", "") if isinstance(table.get("learner"), dict) else ""
    if name.startswith("learner."):
        problem = f"Learner '{learner}' has no setting '{name}'."
        owners = [other for other in LEARNERS if _has(LEARNERS[other], name.split(".")[1:])]
        hint = f"It is a setting of {', '.join(owners)}. " if owners else hint
    else:
        problem = f"Unknown setting '{name}'."
    return UnusedSetting(problem, f"{hint}All settings: aral settings DATASET --method {learner}")


def _has(settings: type[BaseModel], path: Sequence[str]) -> bool:
    """Whether a class of settings has a setting of this path."""
    field = settings.model_fields.get(path[0])
    if field is None or len(path) == 1:
        return field is not None
    inner = field.annotation
    return isinstance(inner, type) and issubclass(inner, BaseModel) and _has(inner, path[1:])


def _known(table: Mapping[str, Any]) -> dict[str, Any]:
    """The least table of the same learner and scale of networks, which decide what settings there are."""
    learner = table["learner"]
    least: dict[str, Any] = {"name": learner["name"]}
    networks = learner.get("networks")
    if isinstance(networks, dict) and networks.get("scale") in SCALES:
        least["networks"] = {"scale": networks["scale"]}
    return {"data": table["data"], "acquisition": table["acquisition"], "learner": least}


def _leaves(table: Mapping[str, Any], prefix: str) -> list[str]:
    names: list[str] = []
    for key, value in table.items():
        names += _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]
    return names


def _without_other_scale(table: Mapping[str, Any], setting: Mapping[str, Any]) -> dict[str, Any]:
    """The table without the preset's network sizes when a setting asks for networks of another scale."""
    scale = _at(setting, "learner.networks.scale")
    if scale is None or scale == _at(table, "learner.networks.scale") or "learner" not in table:
        return dict(table)
    learner = {key: value for key, value in table["learner"].items() if key != "networks"}
    return {**table, "learner": learner}


def _parsed(setting: str) -> dict[str, Any]:
    path, equals, text = setting.partition("=")
    if not equals or not path.strip():
        raise BadInput(f"'{setting}' is no setting.", "Write --set learner.training.steps=500")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    table: dict[str, Any] = {}
    inner = table
    *parents, leaf = path.strip().split(".")
    for parent in parents:
        inner = inner.setdefault(parent, {})
    inner[leaf] = value
    return table


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        inner = result.get(key)
        result[key] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result


def used_settings(spec: RunSpec) -> dict[str, Any]:
    """A specification as JSON has it, without the settings that the method does not use."""
    table: dict[str, Any] = json.loads(spec.model_dump_json())
    for name in spec.learner.unused:
        *parents, leaf = name.split(".")
        inner = table["learner"]
        for parent in parents:
            inner = inner[parent]
        inner.pop(leaf, None)
    return table


def flattened(spec: RunSpec) -> dict[str, Any]:
    """Every used setting by its full name, such as ``learner.training.steps``, as JSON has it."""
    return _flat(used_settings(spec), "")


def _flat(table: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


WITHOUT_EFFECT = frozenset({"chosen", "representation_chosen", "rounds.keep_checkpoints"})
"""Settings on which no result depends: reasons of choices, and what is kept."""


def differences(one: RunSpec, other: RunSpec) -> list[str]:
    """The settings in which two specifications differ, as ``name: one → other``; those without effect may."""
    first, second = flattened(one), flattened(other)
    found = [(name, first.get(name), second.get(name)) for name in sorted({*first, *second} - WITHOUT_EFFECT)]
    return [f"{name}: {a} → {b}" for name, a, b in found if a != b]


def _at(table: Mapping[str, Any], name: str) -> Any:
    value: Any = table
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
