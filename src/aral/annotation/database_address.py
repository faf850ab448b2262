"""The address of a project's database on a Postgres server, and how the project's folder remembers it.

``database.json`` holds what libpq needs to connect, without any password, and the identity of the project, which names
its schema. libpq reads passwords from ``PGPASSWORD`` or ``~/.pgpass``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aral.durable import write_file
from aral.errors import BadInput

ADDRESS_NAME = "database.json"
"""In the project's folder, where its database is on a server."""

_SECRETS = ("password", "sslpassword")


@dataclass(frozen=True)
class Address:
    """Where a project's database is on a server.

    Attributes:
        parameters: of libpq, such as ``host`` and ``dbname``, without any password.
        identity: of the project, 16 hexadecimal digits; empty in an address that a user has given.
    """

    parameters: Mapping[str, str]
    identity: str = ""

    def __str__(self) -> str:
        given = self.parameters
        user = f"{given['user']}@" if "user" in given else ""
        port = f":{given['port']}" if "port" in given else ""
        host = given.get("host", given.get("service", "localhost"))
        return f"{user}{host}{port}/{given.get('dbname', given.get('user', ''))}"

    @property
    def schema(self) -> str:
        """The schema with the project's tables."""
        return f"aral_{self.identity}"

    def lock(self, name: str) -> int:
        """The number of one of the project's advisory locks, 64 bits with a sign."""
        digest = hashlib.sha256(f"{self.identity} {name}".encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)


def parse_address(text: str) -> Address:
    """An address that a user has given: ``postgresql://user@host:port/name``, or another form that libpq knows.

    Raises:
        BadInput: it is none, it holds a password, or psycopg is missing.
    """
    driver = load_driver()
    if "://" not in text and "=" not in text:
        raise BadInput(f"'{text}' is no address of a database.", "Give postgresql://USER@HOST/NAME.")
    try:
        found = driver.conninfo.conninfo_to_dict(text)
    except driver.Error as error:
        raise BadInput(
            f"The address of the database cannot be read: {message_of(error)}",
            "Give postgresql://USER@HOST/NAME.",
        ) from error
    if any(name in found for name in _SECRETS):
        raise BadInput(
            "The address of the database holds a password, which other users of this machine could see.",
            "Leave it out, and put it into ~/.pgpass or PGPASSWORD.",
        )
    return Address({name: str(value) for name, value in found.items() if value is not None})


def remembered_address(folder: Path) -> Address | None:
    """The address that a project's folder remembers; None for one with an SQLite file.

    Raises:
        BadInput: the file with the address is damaged.
    """
    path = folder / ADDRESS_NAME
    try:
        stored = json.loads(path.read_bytes())
        return Address(
            {str(name): str(value) for name, value in stored["address"].items()}, stored["identity"]
        )
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error}.", "Check its permissions.") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{path} is damaged: it holds no address of a database.",
            "Put back a copy of it. It is an object with 'address' and 'identity': the schema is aral_IDENTITY.",
        ) from error


def remember(folder: Path, address: Address) -> None:
    """Store the address of a project in its folder."""
    stored = {"address": dict(address.parameters), "identity": address.identity}
    write_file(folder / ADDRESS_NAME, json.dumps(stored, indent=2).encode(), private=True)


def load_driver() -> Any:
    """The module psycopg, loaded when it is needed.

    Raises:
        BadInput: it is not installed.
    """
    try:
        import psycopg
        import psycopg.conninfo
    except ImportError as error:
        raise BadInput(
            "Projects on a Postgres server need psycopg, which cannot be loaded.",
            "Install it: pip install 'aral[postgres]'",
        ) from error
    return psycopg


def message_of(error: BaseException) -> str:
    """What the server said, as one line."""
    diagnosis = getattr(error, "diag", None)
    said = getattr(diagnosis, "message_primary", None) or str(error)
    return " ".join(said.split()).rstrip(".")
