from .app import make_app
from .security import Security
from .server import Served, link_of_running_server, serve, served, url_of_running_server

__all__ = [
    "Security",
    "Served",
    "link_of_running_server",
    "make_app",
    "serve",
    "served",
    "url_of_running_server",
]
