"""Connection to a Ray cluster."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from morl.errors import MissingExtraError, UserError
from morl.tune.settings import StudySettings

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
    _connect(settings)
    try:
        yield
    finally:
        ray.shutdown()


def _connect(settings: StudySettings) -> None:
    """Start or find the cluster; workers import this very package.

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
        }
    else:
        options |= {"address": settings.address, "runtime_env": {"env_vars": {"PYTHONPATH": path}}}
    handlers, python_path = _signal_handlers(), os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = path  # Ray's processes inherit it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = "" if settings.address is None else f" at {settings.address}"
        text = " ".join(str(error).split())[:200]
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
