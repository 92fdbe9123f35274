"""Execution of one trial in its own process. Imports neither Ray nor JAX: cores and memory are set before JAX is."""

from __future__ import annotations

import dataclasses
import fcntl
import importlib
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from morl.errors import UserError, blame, user_code_that
from morl.parsing import field_names
from morl.registry import agent_spec, load, load_settings
from morl.training.backends import compile_cache
from morl.tune import resources, scores
from morl.tune.settings import MetricName

LOCKED_SECONDS = 60.0  # longest wait for an earlier process that still writes the run

Message = dict[str, Any]
Send = Callable[[Message], None]


@dataclass(frozen=True)
class Job:
    """Data that all trials of a study share, as plain values that can go to other machines.

    Attributes:
        agent: name of a registered agent.
        training: settings of the training by name, its seeds included.
        own: settings of the agent by name, for those that are not searched.
        metric: name of the score.
        modules: modules to import first.
        directory: working directory, also to import from.
        cpus, gpus: cores and GPUs of a trial.
        checkpoints: whether to write a checkpoint at each evaluation, as population-based training needs.
        stop: path of a file; once it exists, trials write a checkpoint and end.
    """

    agent: str
    training: dict[str, Any]
    own: dict[str, Any]
    metric: MetricName
    modules: tuple[str, ...]
    directory: str
    cpus: float
    gpus: float
    checkpoints: bool
    stop: str

    def settings(self, out: Path | None = None, **changes: Any) -> Any:
        """Return the settings of a training in the run directory ``out``, with changes by name."""
        from morl.parsing import from_mapping

        cls = load(agent_spec(self.agent).settings)
        given: Any = from_mapping(cls, {**self.training, **changes}, source="settings of the study")
        return dataclasses.replace(given, out=out)

    def config(self, params: Mapping[str, Any]) -> Any:
        """Return the agent's settings with those that a trial was given.

        Raises:
            UserError: settings that the agent does not take together.
        """
        from morl.parsing import field_names, from_mapping

        spec = agent_spec(self.agent)
        cls = load_settings(spec.config)
        also = field_names(load_settings(spec.settings))
        return from_mapping(cls, {**self.own, **params}, source=self.agent, also=also)


class Stopped(Exception):
    """Ends a training whose study is being stopped, once its checkpoint is written."""


def prepare(job: Job) -> None:
    """Set directory, cores, device and caches before JAX is imported, once in a process, and import user modules.

    Raises:
        UserError: a module that cannot be imported.
    """
    if Path(job.directory).is_dir():
        os.chdir(job.directory)
    if job.directory not in sys.path:
        sys.path.append(job.directory)  # at the end: nothing there can stand in for an installed package
    resources.take_cores(job.cpus)
    os.environ.update(resources.environment(job.cpus, job.gpus))
    compile_cache.turn_on(os.environ)
    import_modules(job.modules)


def import_modules(modules: tuple[str, ...]) -> None:
    """Import modules of the user, which register agents and environments.

    Raises:
        UserError: a module that cannot be imported.
    """
    for module in modules:
        with user_code_that(f"cannot import module {module!r}"):
            importlib.import_module(module)


class _Reports:
    """Reporter of a training that sends its scores on, and ends the training where the study is being stopped."""

    def __init__(self, job: Job, send: Send) -> None:
        self._job, self._send = job, send
        self._begin = time.perf_counter()
        self.stopping = False

    def start(self, headline: str, path: Path) -> None:
        """Do nothing: nobody reads it."""

    def note(self, text: str) -> None:
        """Do nothing: the line is in log.txt."""

    def asked(self) -> bool:
        """Return whether the study is being stopped; the training then writes a checkpoint."""
        self.stopping = self.stopping or Path(self._job.stop).exists()
        return self.stopping

    def update(self, status: Any) -> None:
        """Send the numbers of an evaluation.

        Raises:
            Stopped: at an early stop, once the checkpoint is there.
            UserError: a score that is not finite.
        """
        if self.stopping:
            raise Stopped
        if not status.evaluated:
            return
        hypervolume, utility = _mean(status.hypervolume), _mean(status.expected_utility)
        score = utility if self._job.metric == "eu" else _mean(status.share or status.hypervolume)
        if not math.isfinite(score):
            raise UserError(f"the score is {score} at step {status.step:,}")
        self._send(
            {
                "score": score,
                "steps": status.step,
                "hypervolume": hypervolume,
                "expected_utility": utility,
                "seconds": time.perf_counter() - self._begin,
            }
        )


def execute(job: Job, path: Path, params: Mapping[str, Any], send: Send) -> None:
    """Train in a run directory, or resume the run there, and send a message for each evaluation and for the end.

    The message of an evaluation has ``score``, ``steps``, ``hypervolume``, ``expected_utility`` and ``seconds``. The
    last message tells how the trial ended: ``final`` with the result, ``stopped``, ``failed`` with the reason, or
    ``unwritable``.

    Args:
        job: what trials share.
        path: the run directory.
        params: settings that the trial was given.
        send: takes the messages.

    Raises:
        Exception: the error that made the trial fail, after its message.
    """
    try:
        send({"final": True, **_trained(job, path, params, send)})
    except Stopped:
        send({"stopped": True})
    except Exception as error:  # any kind: a failed trial is not the end of the study
        if isinstance(error, OSError) or isinstance(error.__cause__, OSError):
            send({"unwritable": str(error)})
            return
        send({"failed": str(error) if isinstance(error, UserError) else blame(error)})
        raise


def _trained(job: Job, path: Path, params: Mapping[str, Any], send: Send) -> dict[str, Any]:
    """Train, or resume, and return the result of the trial."""
    from jax import monitoring

    from morl.training.loop import train

    counts = {"cache_hits": 0, "cache_misses": 0}

    def count(event: str, **_: Any) -> None:
        if (name := event.rpartition("/")[2]) in counts:
            counts[name] += 1

    monitoring.register_event_listener(count)
    begin = time.perf_counter()
    reports = _Reports(job, send)
    more: dict[str, Any] = {"reporter": reports, "should_stop": reports.asked}
    if has_run(path):
        run = train(resume=path, **more)
    else:
        changes = _checkpoints(job)
        run = train(job.agent, job.settings(path, **changes), job.config(params), **more)
    seeds = scores.by_seed(run, job.metric)
    values = [one["score"] for one in seeds.values()]
    if not all(map(math.isfinite, values)):
        raise UserError(f"the score is not finite: {values}")
    return {
        **{name: _mean([one[name] for one in seeds.values()]) for name in ("score", "hypervolume", "expected_utility")},
        "stderr": scores.standard_error(values),
        "steps": scores.last_step(path),
        "seconds": time.perf_counter() - begin,
        **counts,
        "seeds": {str(seed): one for seed, one in seeds.items()},
    }


def _checkpoints(job: Job) -> dict[str, Any]:
    """Return the settings of a trial's checkpoints: a trial that has ended is not given more steps."""
    if "steps" not in field_names(load(agent_spec(job.agent).settings)):
        return {}
    return {"checkpoint_minutes": 0.0} if job.checkpoints else {"checkpoints_kept": 0}


def has_run(path: Path) -> bool:
    """Return whether there is a run to resume, after waiting for an earlier process that still writes it.

    Raises:
        UserError: another process writes it for longer than :data:`LOCKED_SECONDS`.
    """
    if not (path / "config.yaml").is_file():
        if path.is_dir() and any(path.iterdir()):  # killed before it wrote its settings
            import shutil

            _wait(path)
            shutil.rmtree(path)
        return False
    _wait(path)
    return True


def _wait(path: Path) -> None:
    log = path / "log.txt"
    if not log.exists():
        return
    until = time.monotonic() + LOCKED_SECONDS
    with log.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                if time.monotonic() > until:
                    raise UserError(f"{path} is being written by another process") from None
                time.sleep(0.5)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
