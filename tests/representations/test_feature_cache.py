import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from aral.data.pixel_values import Note
from aral.errors import BadInput
from aral.representations import FeatureCache, NewFeatures
from aral.representations.feature_cache import INDEX, ROWS, Key
from aral.testing import tiny_backbone


def key(number: int, view: str = "original") -> Key:
    return f"{number:064x}", view


NOTES = frozenset({Note.SCALED, Note.PROFILE_IGNORED})


def made(numbers: Sequence[int]) -> list[NewFeatures]:
    """Features that tell their image: twelve times its number."""
    return [
        NewFeatures(
            key(number),
            np.full(12, number, np.float32),
            "PNG",
            number == 3,
            NOTES if number == 5 else frozenset(),
        )
        for number in numbers
    ]


def read(cache: FeatureCache, numbers: Sequence[int]) -> list[float]:
    found = cache.find([key(number) for number in numbers])
    rows = np.array([found[key(number)].row for number in numbers], dtype=np.int64)
    return [float(value) for value in cache.rows(rows).mean(axis=1)]


def test_a_look_up_reads_the_index_and_not_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the time to look up all images would grow with the square of their number."""
    connect, seen = sqlite3.connect, []

    def traced(*arguments: object, **options: object) -> sqlite3.Connection:
        connection = connect(*arguments, **options)  # type: ignore[call-overload]
        connection.set_trace_callback(seen.append)
        return connection  # type: ignore[no-any-return]

    monkeypatch.setattr(sqlite3, "connect", traced)
    with FeatureCache.of(tiny_backbone(), tmp_path) as cache:
        cache.append(made(range(1000)))
        cache.find([key(number) for number in range(900, 1100)])
        (statement,) = [each for each in seen[-1:] if f"{1099:064x}" in each]
        monkeypatch.undo()
        with sqlite3.connect(cache.folder / INDEX) as index:
            plan = [row[3] for row in index.execute(f"EXPLAIN QUERY PLAN {statement}")]
        assert any("PRIMARY KEY (image=? AND view=?)" in step for step in plan), plan
        assert not any(step.startswith(("SCAN f ", "SCAN features")) or step == "SCAN f" for step in plan), (
            plan
        )


def test_an_append_says_where_the_features_are(tmp_path: Path) -> None:
    with FeatureCache.of(tiny_backbone(), tmp_path) as cache:
        first = cache.append(made([5, 3]))
        second = cache.append(made([3, 7]))
        assert first == cache.find([key(5), key(3)]) and second == cache.find([key(3), key(7)])
        assert [second[key(number)].row for number in (3, 7)] == [1, 2]
        assert cache.append([]) == {}


def test_what_is_appended_is_found_again(tmp_path: Path) -> None:
    with FeatureCache.of(tiny_backbone(), tmp_path) as cache:
        assert (
            len(cache) == 0
            and cache.find([key(1)]) == {}
            and cache.rows(np.empty(0, np.int64)).shape == (0, 12)
        )
        cache.append(made([5, 3]))
        cache.append(made([3, 7]))
        assert len(cache) == 3 and read(cache, [7, 5, 3]) == [7, 5, 3]
    with FeatureCache.of(tiny_backbone(), tmp_path) as cache:
        assert read(cache, [3, 7]) == [3, 7]
        found = cache.find([key(3), key(5), key(3, "flip")])
        assert [(found[key(n)].format, found[key(n)].animated) for n in (3, 5)] == [
            ("PNG", True),
            ("PNG", False),
        ]
        assert key(3, "flip") not in found
        assert (found[key(5)].notes, found[key(3)].notes) == (NOTES, frozenset())


def test_half_and_single_precision(tmp_path: Path) -> None:
    value = NewFeatures(key(0), np.full(12, 1.0001, np.float32))
    large = NewFeatures(key(1), np.full(12, 70_000.0, np.float32))
    with FeatureCache.of(tiny_backbone(), tmp_path) as half:
        half.append([value])
        assert read(half, [0]) == [1.0]
        with pytest.raises(BadInput, match=r"too large for float16.*\n.*float32"):
            half.append([large])
        assert len(half) == 1
    with FeatureCache.of(tiny_backbone(), tmp_path, "float32") as single:
        single.append([value, large])
        assert read(single, [0, 1]) == pytest.approx([1.0001, 70_000])


def test_rows_that_the_index_does_not_name_are_overwritten(tmp_path: Path) -> None:
    with FeatureCache(tmp_path, tiny_backbone()) as cache:
        cache.append(made([1]))
    with (tmp_path / ROWS).open("ab") as file:
        file.write(b"\xff" * 17)
    with FeatureCache(tmp_path, tiny_backbone()) as cache:
        cache.append(made([2]))
        assert read(cache, [1, 2]) == [1, 2]
    assert (tmp_path / ROWS).stat().st_size == 2 * 24


def test_a_cache_that_is_cut_short_is_refused_by_name(tmp_path: Path) -> None:
    with FeatureCache(tmp_path, tiny_backbone()) as cache:
        cache.append(made([1, 2, 3]))
        os.truncate(tmp_path / ROWS, 60)
        with pytest.raises(BadInput, match="has 2 of 3 rows"):
            read(cache, [3])
    with pytest.raises(BadInput, match=rf"{tmp_path} is cut short: features.bin has 2 of 3 rows"):
        FeatureCache(tmp_path, tiny_backbone())


def test_a_cache_of_another_backbone_is_refused_by_name(tmp_path: Path) -> None:
    FeatureCache(tmp_path, tiny_backbone("one")).close()
    with pytest.raises(BadInput, match=r"of backbone 'one', not of 'other'; they differ in digest"):
        FeatureCache(tmp_path, tiny_backbone("other"))
    with pytest.raises(BadInput, match="they differ in framing"):
        FeatureCache(tmp_path, tiny_backbone("one", side=16))
    with pytest.raises(BadInput, match="they differ in precision"):
        FeatureCache(tmp_path, tiny_backbone("one"), "float32")


def test_a_damaged_index_is_refused(tmp_path: Path) -> None:
    (tmp_path / INDEX).write_bytes(b"no database, certainly" * 100)
    with pytest.raises(BadInput, match="is damaged"):
        FeatureCache(tmp_path, tiny_backbone())


CHILD = """
import os, signal, sys, numpy as np
from pathlib import Path
from aral.representations import FeatureCache, NewFeatures
from aral.testing import tiny_backbone
cache = FeatureCache(Path(sys.argv[1]), tiny_backbone())
print("ready", flush=True)
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    cache.append([NewFeatures((f"{number:064x}", "original"), np.full(12, number, np.float32))])
    print(number, flush=True)
"""


def test_several_processes_append_and_one_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    killed = subprocess.Popen([*command, "0", "2000"], stdout=subprocess.PIPE, text=True)
    other = subprocess.Popen([*command, "5", "60"], stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None and other.stdout is not None
    acknowledged = -1
    for line in killed.stdout:
        if line.strip() == "20":
            acknowledged = 20
            killed.send_signal(signal.SIGKILL)
            break
    killed.stdout.close()
    killed.wait()
    other.communicate()
    with FeatureCache(tmp_path, tiny_backbone()) as cache:
        present = list(range(acknowledged + 1)) + list(range(5, 60))
        assert read(cache, present) == present
    with sqlite3.connect(tmp_path / INDEX) as index:
        rows = [row for (row,) in index.execute("SELECT position FROM features ORDER BY position")]
    index.close()
    assert rows == list(range(len(rows)))
