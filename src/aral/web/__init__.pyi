from .app import make_app
from .connections import Limits
from .security import Security
from .server import Served, link_of_running_server, serve, served, url_of_running_server

__all__ = [
    "Limits",
    "Security",
    "Served",
    "link_of_running_server",
    "make_app",
    "serve",
    "served",
    "url_of_running_server",
]
