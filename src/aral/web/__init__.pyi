from .app import make_app
from .security import Security, for_project
from .serving import Served, serve, served
from .whereabouts import link_of_running_server

__all__ = [
    "Security",
    "Served",
    "for_project",
    "link_of_running_server",
    "make_app",
    "serve",
    "served",
]
