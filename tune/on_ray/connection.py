"""Connection to a Ray cluster."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from morl.errors import MissingExtraError, UserError
from morl.tune.settings import StudySettings

SOCKET = 103  # longest path of a socket in bytes: macOS's limit, 4 below that of Linux
BELOW = len(
    "/session_2000-01-01_00-00-00_000000_0000000/sockets/plasma_store"
)  # path of Ray's longest below its folder
SHORT = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  # folders are made there under names that nobody can guess
OBJECT_STORE_BYTES = 128 * 2**20  # trials exchange messages and paths only
ENVIRONMENT = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_worker_niceness": "0",  # Ray's default is 15; here trials have the priority of the study
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "600",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}


@contextlib.contextmanager
def cluster(settings: StudySettings) -> Iterator[None]:
    """Connect to Ray for as long as the context lasts.

    A connection that this process has already is used and left open. Otherwise it is that of the cluster at
    ``settings.address``, or of a Ray of this machine's own, which is started and ended here.

    Raises:
        MissingExtraError: Ray is not installed.
        UserError: no cluster answers.
    """
    if importlib.util.find_spec("ray") is None:
        raise MissingExtraError("a study", "tune")
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if settings.address is not None and _has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # ray start asks for it since 2.60, ray.init gives it when told
    import ray

    if ray.is_initialized():
        yield
        return
    with _short_folder() if settings.address is None else contextlib.nullcontext() as folder:
        _connect(settings, folder)
        try:
            yield
        finally:
            ray.shutdown()


@contextlib.contextmanager
def _short_folder() -> Iterator[str | None]:
    """Give a folder for Ray's sockets where its own would be too long for them, as in the jobs of clusters; else None.

    Raises:
        UserError: no other folder can be written.
    """
    own = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    if len(os.fsencode(os.path.join(os.path.abspath(own), "ray"))) + BELOW <= SOCKET:
        yield None
        return
    folder = _made_in(SHORT)
    if folder is None:
        most = SOCKET - BELOW - len("/ray")
        raise UserError(
            f"{own} is too long a folder for Ray's sockets, and none of {', '.join(SHORT)} can be written; "
            f"set RAY_TMPDIR to a folder of at most {most} characters"
        )
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _made_in(parents: Sequence[str]) -> str | None:
    """Return a new folder in the first of these that can be written."""
    for parent in parents:
        with contextlib.suppress(OSError):
            return tempfile.mkdtemp(prefix="morl-", dir=parent)
    return None


def _connect(settings: StudySettings, folder: str | None) -> None:
    """Start or find the cluster; workers import this very package.

    Args:
        settings: with the address of a cluster, or none.
        folder: of a Ray that is started here; None for its own.

    Raises:
        UserError: no cluster answers.
    """
    import ray

    root = str(Path(sys.modules["morl"].__file__ or "").parents[1])
    path = os.pathsep.join(dict.fromkeys([root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]))
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "namespace": "morl"}
    if settings.address is None:
        options |= {
            "address": "local",
            "include_dashboard": settings.dashboard,
            "dashboard_host": "127.0.0.1",
            "_node_ip_address": "127.0.0.1",
            "object_store_memory": OBJECT_STORE_BYTES,
            "_temp_dir": folder,
        }
    else:
        options |= {"address": settings.address, "runtime_env": {"env_vars": {"PYTHONPATH": path}}}
    handlers, python_path = _signal_handlers(), os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = path  # Ray's processes inherit it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(**options)
    except Exception as error:  # Ray raises Exception itself where a busy machine is too slow for it
        text = " ".join(str(error).split())[:200]
        if settings.address is None:
            raise UserError(f"Ray cannot be started on this machine: {text}") from error
        where = f" at {settings.address}"
        raise UserError(f"there is no Ray cluster{where}: {text}; start one with ray start --head") from error
    finally:
        if python_path is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = python_path
        for number, handler in handlers.items():  # Ray installs a handler of its own for SIGTERM
            signal.signal(number, handler)


def _has_token() -> bool:
    """Return whether this user has a token for Ray's token authentication."""
    given = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return given or (Path.home() / ".ray" / "auth_token").exists()


def _signal_handlers() -> dict[int, Any]:
    """Return the handlers of SIGINT and SIGTERM; none outside the main thread, where none can be set."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
