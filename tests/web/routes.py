"""Every route of the application, read off its router: a route that is added later is tested as well."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fastapi import FastAPI
from starlette.routing import Mount, Route

EXAMPLES = {"image_id": "0", "model_number": "1", "path": "page.css"}
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


def every_route(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Method and address of everything the application answers to."""
    for route in app.routes:
        if isinstance(route, Mount):
            yield "GET", f"{route.path}/page.css"
        elif isinstance(route, Route):
            address = re.sub(r"{(\w+)(:\w+)?}", lambda part: EXAMPLES[part[1]], route.path)
            for method in sorted(route.methods or ()):
                yield method, address
        else:
            raise AssertionError(f"a kind of route this test does not know: {route!r}")


def every_address(app: FastAPI) -> list[str]:
    """Every address once."""
    return sorted({address for _, address in every_route(app)})
