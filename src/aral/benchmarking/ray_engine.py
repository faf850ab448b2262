"""Units as tasks of Ray: on a cluster that is there, or on one of this machine that is started for them.

A task calls :func:`aral.benchmarking.remote.run_job` with a text. What runs the unit is a fork server of its own, not
Ray's worker process, so environment and logs are those of local workers. Ray does not repeat tasks: the coordinator
does, after counting.

A cluster that is started here belongs to this command and ends with it. It has no dashboard and sends no usage reports.
Ray listens on all network interfaces, so every request needs a token, which only this command and its children know.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import metadata
from tempfile import TemporaryDirectory
from typing import Any

from aral.benchmarking.hardware import processors
from aral.benchmarking.remote import Handle, UnitResources, run_job
from aral.errors import BadInput, RunFailed

FIRST_VERSION = (2, 54)
"""Of Ray with token authentication on every route."""

OBJECT_STORE_BYTES = 80 << 20
"""Of a cluster that is started here, near Ray's minimum: a task takes a text and returns one."""

CONNECT_SECONDS = 10.0
"""How long to wait for an address to answer."""

INSTALL = "Install it: pip install 'aral[ray]'"


def check_ray(address: str | None) -> None:
    """Before the data are read: is Ray installed, does the address answer, may a cluster be started.

    Raises:
        BadInput: no; says what to type.
    """
    try:
        version = metadata.version("ray")
    except metadata.PackageNotFoundError as error:
        raise BadInput("--engine ray needs Ray, which is not installed.", INSTALL) from error
    if tuple(int(part) for part in version.split(".")[:2]) < FIRST_VERSION:
        least = ".".join(map(str, FIRST_VERSION))
        raise BadInput(f"Ray {version} is too old: {least} is the first that is safe to start.", INSTALL)
    if address is None:
        mode = os.environ.get("RAY_AUTH_MODE", "token")
        if mode.lower() != "token":
            raise BadInput(
                f"RAY_AUTH_MODE is {mode}: without authentication every process that reaches a Ray cluster can run "
                "code in it, so none is started.",
                "Unset RAY_AUTH_MODE, or give the address of a running cluster: --address HOST:PORT",
            )
        return
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if address == "auto":
        return
    if not (host and colon and port.isdecimal()):
        raise BadInput(
            f"--address {address} is no address of a Ray cluster.",
            "Give HOST:PORT, ray://HOST:PORT, or auto for the cluster of this machine.",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, error) from error


class RayTasks:
    """Schedules jobs as tasks of Ray.

    Args:
        address: of the cluster; None starts one on this machine.
        unit: what each task sets aside.

    Raises:
        BadInput: the cluster cannot be used.
    """

    def __init__(self, address: str | None, unit: UnitResources) -> None:
        check_ray(address)
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        self._closing = contextlib.ExitStack()
        with contextlib.ExitStack() as closing:
            own: dict[str, Any] = {} if address else closing.enter_context(_own_cluster(unit))
            import ray  # reads the environment

            self._ray = ray
            if ray.is_initialized():
                raise BadInput(
                    "This process is connected to a Ray cluster already.", "Call ray.shutdown() before."
                )
            # Ray prints errors of the cluster to the standard output, which is for results.
            closing.enter_context(contextlib.redirect_stdout(sys.stderr))
            closing.callback(ray.shutdown)
            try:
                with _handler_kept(), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    ray.init(
                        address=address or "local",
                        log_to_driver=False,
                        configure_logging=False,
                        logging_level=logging.ERROR,
                        **own,
                    )
            except Exception as error:  # Ray raises its own, gRPC's and built-in ones
                raise _unreachable(address or "of this machine", error) from error
            memory = unit.bytes
            if own:  # as for local workers, one unit runs whatever the estimate of its memory
                memory = min(memory, int(ray.cluster_resources()["memory"]))
            self._unit = unit
            self._demand = {"CPU": unit.threads, "GPU": unit.gpus, "memory": memory}
            self._task = ray.remote(num_cpus=unit.threads, num_gpus=unit.gpus, memory=memory, max_retries=0)(
                run_job
            )
            self._closing = closing.pop_all()

    def submit(self, name: str, text: str) -> Handle:
        """Queue a task."""
        return self._task.options(name=name).remote(text)

    def ended(self, handles: list[Handle]) -> Mapping[Handle, Mapping[str, Any]]:
        """Tasks that returned, raised or were lost with their node."""
        if not handles:
            return {}
        try:
            ready, _ = self._ray.wait(handles, num_returns=len(handles), timeout=0, fetch_local=False)
        except self._ray.exceptions.RayError as error:
            raise RunFailed(
                f"The Ray cluster is gone: {_first_line(error)}.", "Run the same command again."
            ) from error
        return {handle: self._last_message(handle) for handle in ready}

    def _last_message(self, handle: Handle) -> Mapping[str, Any]:
        try:
            text = self._ray.get(handle)
        except self._ray.exceptions.RayError as error:
            return {"died": _first_line(error).partition(". ")[0]}
        message: Mapping[str, Any] = json.loads(text) if text else {}
        return message

    def obstacle(self) -> str:
        """That no node of the cluster has the resources of a task."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if any(all(node.get(name, 0) >= needed for name, needed in self._demand.items()) for node in nodes):
            return ""
        return f"waits for a node with {self._unit}: the Ray cluster has none now"

    def cancel(self, handle: Handle) -> None:
        """Take a task out of the queue, or kill its worker process."""
        with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.cancel(handle, force=True)

    def close(self) -> None:
        """Disconnect, which ends all tasks of this command; end a cluster that was started here."""
        self._closing.close()


@cache
def _own_token() -> str:
    """The token of this process's clusters. It is in no file.

    Ray reads the token once in a process, so a second cluster has the same, also where the environment was restored in
    between.
    """
    return secrets.token_hex(32)


@contextlib.contextmanager
def _own_cluster(unit: UnitResources) -> Iterator[dict[str, Any]]:
    """Options of a cluster of this machine; its files are removed at the end."""
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_AUTH_TOKEN", _own_token())
    with TemporaryDirectory(prefix="aral-ray-", ignore_cleanup_errors=True) as folder:
        yield {
            "num_cpus": max(processors(), unit.threads),
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
            "_temp_dir": folder,
        }


@contextlib.contextmanager
def _handler_kept() -> Iterator[None]:
    """Keep the handler of SIGTERM, which Ray replaces by one that exits without saving."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def _unreachable(address: str, error: Exception) -> BadInput:
    return BadInput(
        f"The Ray cluster {address} cannot be used: {_first_line(error)}.",
        "Check the address with: ray status --address HOST:PORT. A cluster with token authentication needs "
        "RAY_AUTH_MODE=token and its RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH in the environment.",
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")[:300] or type(error).__name__
