"""Shards: files that hold many encoded images each, on a disk or in an object store, read as streams.

Two kinds are read. *Parquet*: a column of encoded image bytes, or of structs ``{bytes, path}`` as Hugging Face
datasets write them, and, where there is one, a column of keys. *WebDataset*: a tar whose members are grouped by their
names up to the first dot; each group is a sample with one image. fsspec opens every address, so ``s3://``, ``gs://``,
``hf://`` and local paths are read alike; what is kept in memory is one batch of images, and the keys of one shard.

Nothing of an archive is unpacked to the disk: a member is a name and bytes.
"""

from __future__ import annotations

import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from importlib import import_module
from pathlib import PurePosixPath
from typing import Any

from aral.data.image_file import MAX_BYTES
from aral.data.unreadable import Reason, Refused
from aral.errors import BadInput, RunFailed
from aral.plural import counted

INSTALL = "Install it: pip install 'aral[shards]'"

ROWS = "rows"
"""In place of a column: the key of an image is the address of its shard, ``#``, and its row."""

NAMES = "names"
"""Of tars: the key of an image is the name of its member up to the first dot."""

KEY_COLUMNS = (
    "key",
    "__key__",
    "id",
    "uid",
    "image_id",
    "path",
    "image_path",
    "file",
    "file_name",
    "filename",
)
"""Columns of Parquet files that are keys by their name, in lower case; two of them in one file are ambiguous."""

ENDINGS = (".parquet", ".tar")
"""Of the shards in a folder; a file that is named itself may have any name."""

IMAGE_EXTENSIONS = frozenset("jpg jpeg jpe jfif png webp bmp gif tif tiff ppm pgm jp2 avif heic heif".split())
"""By which a member of a tar is an image, and a file of a folder too."""

_OPENED_AT_ONCE = 16
_ROWS_A_BATCH = 32
_BUFFER = 1 << 20
_HEAD = 512
_MAGIC = re.compile(r"[*?\[]")
_VERSIONS = (
    *("ETag", "etag", "md5Hash", "content_md5", "generation", "mtime"),
    *("LastModified", "last_modified", "updated", "modified", "created"),
)
"""What file systems say about the content of a file, the most reliable first."""


class Kind(StrEnum):
    """Kind of a shard, by its first bytes."""

    PARQUET = "Parquet"
    WEBDATASET = "WebDataset"


@dataclass(frozen=True)
class Shard:
    """A file with many images.

    Attributes:
        address: for fsspec; local paths are absolute.
        kind: what it is.
        bytes: size of the file.
        version: changes with the content: size, and ETag or time of the last change, as the file system states them.
        image: of Parquet: the column of image bytes, such as ``image.bytes``; of a tar the extension of the images,
            empty for all kinds of images.
        keys: the column of keys, :data:`ROWS` or :data:`NAMES`.
        count: number of images; None for a tar, of which only reading tells.
        not_read: other columns of a Parquet file.
    """

    address: str
    kind: Kind
    bytes: int
    version: str
    image: str
    keys: str
    count: int | None
    not_read: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As JSON values, for :meth:`of_json`."""
        return asdict(self)

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> Shard:
        """The shard that :meth:`as_json` was taken of."""
        return cls(**{**values, "kind": Kind(values["kind"]), "not_read": tuple(values["not_read"])})


@dataclass(frozen=True, eq=False)
class ShardImage:
    """An image of a shard.

    Attributes:
        key: identifies it, within the shard and, after a check, within the pool.
        content: the encoded file, or why there is none.
    """

    key: str
    content: bytes | Refused


@dataclass(frozen=True)
class FoundShards:
    """Addresses of shards.

    Attributes:
        addresses: in the order in which they were given; those of one folder or pattern sorted.
        repeated: how many of the named ones were named before.
        other_files: files in folders that are no shards, by extension.
    """

    addresses: tuple[str, ...]
    repeated: int = 0
    other_files: Counter[str] = field(default_factory=Counter)


# Addresses


def find_shards(given: Sequence[str]) -> FoundShards:
    """The shards that are named by addresses, patterns with ``*``, ``?`` or ``[…]``, and folders, at any depth.

    Args:
        given: such as ``s3://bucket/pool/*.parquet``, ``pool/0001.tar``, ``/data/shards``.

    Raises:
        BadInput: nothing matches, a folder holds images beside shards or no shard, an address cannot be listed, or a
            package that opens it is missing.
    """
    found: dict[str, None] = {}
    repeated, other_files = 0, Counter[str]()
    for one in given:
        names, others = _matches(one)
        other_files += others
        repeated += sum(name in found for name in names)
        found |= dict.fromkeys(names)
    return FoundShards(tuple(found), repeated, other_files)


def _matches(given: str) -> tuple[list[str], Counter[str]]:
    system, path = _filesystem(given)
    with _listing(given):
        if system.isdir(path):
            found = [_address(system, name) for name in system.find(path)]
            return _in_folder(given, _address(system, path), found)
        if _MAGIC.search(path) and not system.exists(path):
            names = sorted(_address(system, name) for name in system.glob(path) if not system.isdir(name))
            if not names:
                raise BadInput(
                    f"No file matches {given}.", "Check the pattern; quote it so that the shell keeps it."
                )
            return names, Counter()
        if not system.exists(path):
            raise BadInput(
                f"There is no shard {given}.",
                "Give the address of a Parquet file, a tar or a folder of them.",
            )
        return [given if "::" in given else _address(system, path)], Counter()


def _in_folder(given: str, root: str, names: Sequence[str]) -> tuple[list[str], Counter[str]]:
    shards = sorted(name for name in names if name.lower().endswith(ENDINGS) and not _is_hidden(name, root))
    named = set(shards)
    others = Counter(_extension(name) for name in names if name not in named)
    images = sum(count for extension, count in others.items() if extension in IMAGE_EXTENSIONS)
    if images and shards:
        raise BadInput(
            f"The folder {given} holds {counted(images, 'image file')} beside {counted(len(shards), 'shard')}.",
            f"Name what is the pool: {given.rstrip('/')}/*{PurePosixPath(shards[0]).suffix} for the shards.",
        )
    if not shards:
        what = f"{counted(images, 'image')} but no shard" if images else "no shard"
        raise BadInput(
            f"The folder {given} holds {what} ({' or '.join(ENDINGS)}).",
            "Give one folder of images, or addresses of shards."
            if images
            else "Give the folder that holds the shards.",
        )
    return shards, others


def _is_hidden(name: str, folder: str) -> bool:
    """Whether a part of a name within a folder begins with a dot or, as of Spark's own files, an underscore."""
    return any(part.startswith((".", "_")) for part in name.removeprefix(folder).split("/"))


def _extension(name: str) -> str:
    return PurePosixPath(name).suffix.lstrip(".").lower()


def _filesystem(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    fsspec = _package("fsspec.core")
    try:
        system, path = fsspec.url_to_fs(address)
    except ImportError as error:
        raise BadInput(
            f"{address} needs a package that is not installed.", f"{_words(error)}, beside aral[shards]."
        ) from error
    except ValueError as error:
        raise BadInput(
            f"The address {address} cannot be used: {error}.", "Try s3://BUCKET/PATH or a path."
        ) from error
    return system, path


def _address(system: Any, path: str) -> str:
    local = "file" in (system.protocol if isinstance(system.protocol, tuple) else (system.protocol,))
    return path if local else str(system.unstrip_protocol(path))


@contextmanager
def _listing(address: str) -> Iterator[None]:
    try:
        yield
    except BadInput:
        raise
    except Exception as error:  # each file system has exceptions of its own
        raise BadInput(
            f"{address} cannot be listed: {_words(error)}.", "Check the address and the credentials."
        ) from error


def _words(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")[:300] or type(error).__name__


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise BadInput(f"Shards need the package {package}, which is not installed.", INSTALL) from error


# Opening


def open_shards(
    addresses: Sequence[str],
    image: str | None = None,
    keys: str | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[Shard, ...]:
    """What shards are, in the order of their addresses; of each only the head or the footer is read.

    Args:
        addresses: of files, from :func:`find_shards`.
        image: the column of image bytes, in tars the extension of the images; needed where there are several.
        keys: the column of keys, or :data:`ROWS`; needed where there are several.
        progress: given the number of shards that are done.

    Raises:
        BadInput: a shard is empty, cut short, of an unknown kind, or lacks a column, or a choice is ambiguous; says
            which shard, and what to type.
        RunFailed: a shard cannot be read.
    """
    with ThreadPoolExecutor(_OPENED_AT_ONCE) as pool:
        waiting = pool.map(lambda address: open_shard(address, image, keys), addresses)
        shards = []
        try:
            for shard in waiting:
                shards.append(shard)
                progress(len(shards))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return tuple(shards)


def open_shard(address: str, image: str | None = None, keys: str | None = None) -> Shard:
    """One shard; see :func:`open_shards`."""
    system, path = _filesystem(address)
    with _reading(address), system.open(path, "rb") as file:
        size, version = _version(system, path)
        head = file.read(_HEAD)
        if not head:
            raise BadInput(f"The shard {address} is empty.", "Write it again, or leave it out.")
        if head[:4] == b"PAR1":
            return _open_parquet(address, file, size, version, image, keys)
        if head[257:262] == b"ustar":
            return _open_tar(address, size, version, image, keys)
    if not any(head):
        raise BadInput(f"The shard {address} holds no images: it is an empty tar.", "Leave it out.")
    hint = "Give Parquet files or uncompressed tars."
    if head[:2] == b"\x1f\x8b":
        hint = "It is compressed by gzip, which images hardly profit from: gunzip it first."
    raise BadInput(f"{address} is neither a Parquet file nor a tar.", hint)


def _version(system: Any, path: str) -> tuple[int, str]:
    about = system.info(path)
    size = int(about["size"] or 0)
    stated = next((f" {name} {about[name]}" for name in _VERSIONS if about.get(name) is not None), "")
    return size, f"size {size}{stated}"


@contextmanager
def _reading(address: str) -> Iterator[None]:
    """The errors of reading a shard, in words."""
    try:
        yield
    except (BadInput, RunFailed):
        raise
    except FileNotFoundError as error:
        raise BadInput(
            f"There is no shard {address}.", "Check the address; machines must see the same files."
        ) from error
    except Exception as error:  # each file system has exceptions of its own
        if _is_damage(error):
            raise BadInput(
                f"The shard {address} is cut short or damaged: {_words(error)}.",
                "Write it again, or leave it out.",
            ) from error
        raise RunFailed(
            f"The shard {address} could not be read: {type(error).__name__}: {_words(error)}.",
            "Check the connection and the credentials, then run the same command again.",
        ) from error


def _is_damage(error: Exception) -> bool:
    """Whether the content is wrong, rather than the way to it."""
    if isinstance(error, tarfile.TarError):
        return True
    if type(error).__module__.startswith("pyarrow"):
        return True
    return type(error) is OSError and error.errno is None  # pyarrow's, of pages that end too early


def _open_parquet(
    address: str, file: Any, size: int, version: str, image: str | None, keys: str | None
) -> Shard:
    parquet = _package("pyarrow.parquet")
    table = parquet.ParquetFile(file)
    schema, about = table.schema_arrow, table.metadata
    columns = _image_columns(schema)
    known = ", ".join(schema.names) or "none"
    if image is not None:
        chosen = next((each for each in columns if each in (image, f"{image}.bytes")), None)
        if chosen is None:
            raise BadInput(
                f"{address} has no column '{image}' of encoded images; columns: {known}.",
                f"Of images are: {', '.join(columns)}."
                if columns
                else "Give shards with a column of image files as bytes.",
            )
    elif len(columns) != 1:
        raise BadInput(
            f"{address} has {len(columns) or 'no'} columns of encoded images{': ' if columns else ''}"
            f"{', '.join(columns)}; columns: {known}.",
            f"Choose one: --image-column {columns[0].removesuffix('.bytes')}"
            if columns
            else "Give shards with a column of image files as bytes, or of structs {bytes, path}.",
        )
    else:
        chosen = columns[0]
    if about.num_rows == 0:
        raise BadInput(f"The shard {address} holds no images.", "Leave it out.")
    key = _key_column(address, schema, about, chosen, keys)
    used = {chosen.removesuffix(".bytes"), chosen, key}
    others = tuple(name for name in schema.names if name not in used)
    return Shard(address, Kind.PARQUET, size, version, chosen, key, about.num_rows, others)


def _image_columns(schema: Any) -> list[str]:
    """The columns of bytes, and those of structs that have bytes, as paths of leaves."""
    types = _package("pyarrow").types

    def is_bytes(kind: Any) -> bool:
        return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))

    found = []
    for column in schema:
        kind = column.type
        if is_bytes(kind):
            found.append(column.name)
        elif (
            types.is_struct(kind)
            and kind.get_field_index("bytes") >= 0
            and is_bytes(kind.field("bytes").type)
        ):
            found.append(f"{column.name}.bytes")
    return found


def _key_column(address: str, schema: Any, about: Any, image: str, asked: str | None) -> str:
    types = _package("pyarrow").types
    if asked == ROWS:
        return ROWS
    path = image.removesuffix("bytes") + "path" if image.endswith(".bytes") else ""
    usable = [column.name for column in schema if _is_text_or_integer(types, column.type)]
    if asked is not None:
        if asked in usable or (asked == path and _is_complete(about, path)):
            return asked
        raise BadInput(
            f"{address} has no column '{asked}' of texts or whole numbers without gaps.",
            f"Columns that can be keys: {', '.join(usable) or 'none'}; or --keys {ROWS}.",
        )
    named = [name for name in usable if name.lower() in KEY_COLUMNS]
    if len(named) > 1:
        raise BadInput(
            f"{address} has {len(named)} columns that may be the key of an image: {', '.join(named)}.",
            f"Choose one: --keys {named[0]}, or number the rows: --keys {ROWS}",
        )
    if named:
        return named[0]
    return path if path and _is_complete(about, path) else ROWS


def _is_text_or_integer(types: Any, kind: Any) -> bool:
    if types.is_dictionary(kind):  # a column of repeated values, as pandas writes categories
        kind = kind.value_type
    texts = (types.is_string, types.is_large_string, types.is_string_view)
    return any(is_kind(kind) for is_kind in (*texts, types.is_integer))


def _is_complete(about: Any, leaf: str) -> bool:
    """Whether the footer says that a column has a value in every row."""
    place = next((n for n in range(about.num_columns) if about.schema.column(n).path == leaf), None)
    if place is None:
        return False
    chunks = [about.row_group(group).column(place) for group in range(about.num_row_groups)]
    return all(
        chunk.is_stats_set and chunk.statistics.has_null_count and chunk.statistics.null_count == 0
        for chunk in chunks
    )


def _open_tar(address: str, size: int, version: str, image: str | None, keys: str | None) -> Shard:
    if keys not in (None, ROWS):
        raise BadInput(
            f"{address} is a tar, which has no column '{keys}'.",
            f"Leave out --keys: the names of the members are the keys; or number them: --keys {ROWS}",
        )
    extension = "" if image is None else image.lstrip(".").lower()
    return Shard(address, Kind.WEBDATASET, size, version, extension, keys or NAMES, None)


# Reading


class ShardReading:
    """Reads the images of a shard from its beginning to its end; iterate over it once.

    Iterating raises BadInput where the shard is cut short or damaged, has changed, is empty, or has a key twice, and
    RunFailed where it cannot be read. An image without bytes stops nothing: its content is the reason.

    Args:
        shard: from :func:`open_shard`.

    Attributes:
        bytes_read: of the file so far, about, for progress.
        not_read: members of a tar that are not the image of a sample, by extension.
        without_image: samples of a tar that have no image.
    """

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.bytes_read = 0
        self.not_read: Counter[str] = Counter()
        self.without_image = 0
        self._rows: dict[str, int] = {}  # by key

    def __iter__(self) -> Iterator[ShardImage]:
        shard = self.shard
        system, path = _filesystem(shard.address)
        with _reading(shard.address):
            if _version(system, path)[1] != shard.version:
                raise BadInput(
                    f"The shard {shard.address} has changed meanwhile.", "Run the same command again."
                )
            with system.open(path, "rb") as file:
                found = self._parquet(file) if shard.kind is Kind.PARQUET else self._tar(file)
                for row, (key, content) in enumerate(found):
                    yield ShardImage(self._checked(key, row), content)
        if not self._rows:
            raise BadInput(f"The shard {shard.address} holds no images.", "Leave it out.")
        self.bytes_read = shard.bytes

    def _checked(self, key: str, row: int) -> str:
        """A key that this shard has not had before."""
        shard = self.shard
        if shard.keys == ROWS:
            key = f"{shard.address}#{row}"
        if not key:
            raise BadInput(
                f"Row {row} of {shard.address} has an empty key.", f"Number the rows: --keys {ROWS}"
            )
        before = self._rows.setdefault(key, row)
        if before != row:
            raise BadInput(
                f"The key '{key}' is of rows {before} and {row} of {shard.address}.",
                f"Give --keys COLUMN with another column, or number the rows: --keys {ROWS}",
            )
        return key

    def _parquet(self, file: Any) -> Iterator[tuple[str, bytes | Refused]]:
        parquet = _package("pyarrow.parquet")
        shard = self.shard
        # Pages are read one after another through a buffer, instead of a whole row group.
        table = parquet.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False)
        leaves = [shard.image, *([] if shard.keys == ROWS else [shard.keys])]
        rows = 0
        for batch in table.iter_batches(_ROWS_A_BATCH, columns=leaves, use_threads=False):
            contents, keys = (_leaf(batch, leaf) for leaf in (leaves[0], leaves[-1]))
            for content, key in zip(contents, keys, strict=True):
                value = content.as_py()
                named = "" if shard.keys == ROWS or key.as_py() is None else str(key.as_py())
                yield named, _sized(value)
            rows += len(batch)
            self.bytes_read = shard.bytes * rows // (shard.count or rows)

    def _tar(self, file: Any) -> Iterator[tuple[str, bytes | Refused]]:
        counting: Any = _Counting(file)
        kinds: dict[str, str] = {}  # extension of the image of each sample
        samples: set[str] = set()
        with tarfile.open(fileobj=counting, mode="r|", bufsize=1 << 18) as archive:
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]  # it would keep every header
                self.bytes_read = counting.position
                key, extension = _sample(member.name)
                if not member.isfile():
                    if not member.isdir():
                        self.not_read["link or device"] += 1
                    continue
                samples.add(key)
                if not self._is_image(key, extension):
                    self.not_read[extension or "no extension"] += 1
                    continue
                if (before := kinds.setdefault(key, extension)) != extension:
                    raise BadInput(
                        f"The sample '{key}' of {self.shard.address} has two images: .{before} and .{extension}.",
                        f"Say which extension is the image: --image-column {before}",
                    )
                if member.size > MAX_BYTES:
                    yield key, Refused(Reason.TOO_LARGE, f"{member.size} bytes, more than {MAX_BYTES}")
                    continue
                stream = archive.extractfile(member)
                yield key, _sized(stream.read() if stream is not None else b"")
            counting.check_end(archive.offset, self.shard.address)
        self.without_image = len(samples - kinds.keys())

    def _is_image(self, key: str, extension: str) -> bool:
        if not key.rpartition("/")[2]:  # a hidden file
            return False
        if self.shard.image:
            return extension == self.shard.image
        return extension.rpartition(".")[2] in IMAGE_EXTENSIONS


def _leaf(batch: Any, leaf: str) -> Iterable[Any]:
    """A column of a batch, by its name or as a field of a column of structs; a missing struct has no fields."""
    if leaf in batch.schema.names:
        values: Iterable[Any] = batch.column(leaf)
        return values
    column, _, name = leaf.rpartition(".")
    # `struct_field` passes on which structs are missing; `field` does not.
    values = _package("pyarrow.compute").struct_field(batch.column(column), name)
    return values


def _sized(content: bytes | None) -> bytes | Refused:
    if content is None:
        return Refused(Reason.MISSING, "the row has no bytes")
    if not content:
        return Refused(Reason.NOT_AN_IMAGE, "the file is empty")
    if len(content) > MAX_BYTES:
        return Refused(Reason.TOO_LARGE, f"{len(content)} bytes, more than {MAX_BYTES}")
    return content


def _sample(name: str) -> tuple[str, str]:
    """Key and extension of a member: folder and name up to the first dot; what follows that, in lower case."""
    name = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    folder, slash, base = name.removeprefix("./").rpartition("/")
    stem, _, extension = base.partition(".")
    return f"{folder}{slash}{stem}", extension.lower()


class _Counting:
    """A stream that knows its position, and keeps the last two parts that were read.

    Args:
        file: to read from.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self.position = 0
        self._kept: tuple[bytes, bytes] = (b"", b"")

    def read(self, size: int) -> bytes:
        """The next bytes."""
        data: bytes = self._file.read(size)
        self.position += len(data)
        self._kept = (self._kept[1], data)
        return data

    def check_end(self, end: int, address: str) -> None:
        """Refuse an archive that does not end with zeros: :mod:`tarfile` also ends where a header is damaged.

        Raises:
            BadInput: it has been cut between two members, or something follows its end.
        """
        kept = b"".join(self._kept)
        rest = kept[len(kept) - (self.position - end) :]
        length, zero = len(rest), not any(rest)
        while zero and (more := self._file.read(_BUFFER)):
            length, zero = length + len(more), not any(more)
        if length < _HEAD or not zero:
            what = (
                "something follows the end of the archive, or a header is damaged" if length >= _HEAD else ""
            )
            raise BadInput(
                f"The shard {address} is cut short or damaged: {what or 'the mark of its end is missing'}.",
                "Write it again; tars that were joined by cat are two shards.",
            )
