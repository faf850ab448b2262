"""The labelling page: a server for one project on this machine, and what the browser shows of it."""

from typing import TYPE_CHECKING

from aral.lazy import export_lazily

if TYPE_CHECKING:
    from aral.web.app import make_app
    from aral.web.security import Security, for_project
    from aral.web.serving import Served, serve, served
    from aral.web.whereabouts import link_of_running_server

__all__ = [
    "Security",
    "Served",
    "for_project",
    "link_of_running_server",
    "make_app",
    "serve",
    "served",
]

export_lazily(__name__)
