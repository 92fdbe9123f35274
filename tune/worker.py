"""One trial, in a process of its own. Imports neither Ray nor JAX: cores and memory are settled before JAX is."""

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

from morl.errors import UserError, blame
from morl.registry import agent_spec, load
from morl.tune import resources
from morl.tune.settings import MetricName

CACHE_BYTES = 4 * 2**30
LOCKED_SECONDS = 60.0  # for which a run that an earlier process still writes is waited for

Message = dict[str, Any]
Send = Callable[[Message], None]


@dataclass(frozen=True)
class Job:
    """What all trials of a study share; plain values, as it goes to other machines.

    Attributes:
        agent: as registered.
        training: settings of the training by name, its seeds included.
        own: settings of the agent by name, where they are not searched.
        metric: the score.
        modules: to import first.
        directory: to be in, and to import from.
        cpus, gpus: of a trial.
        checkpoints: a checkpoint at each evaluation, as population-based training needs.
        stop: a file that, once it is there, asks for a checkpoint and an end.
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
        """Of a training."""
        from morl.parsing import from_mapping

        cls = load(agent_spec(self.agent).settings)
        given: Any = from_mapping(cls, {**self.training, **changes}, source="settings of the study")
        return dataclasses.replace(given, out=out)

    def config(self, params: Mapping[str, Any]) -> Any:
        """Of the agent.

        Raises:
            UserError: settings that it does not take together.
        """
        from morl.parsing import field_names, from_mapping

        spec = agent_spec(self.agent)
        cls = load(spec.config)
        also = field_names(load(spec.settings))
        return from_mapping(cls, {**self.own, **params}, source=self.agent, also=also)


class Stopped(Exception):
    """The study is being stopped; a checkpoint is written."""


def prepare(job: Job) -> None:
    """Everything that has to be settled before JAX is imported; once a process."""
    if Path(job.directory).is_dir():
        os.chdir(job.directory)
    if job.directory not in sys.path:
        sys.path.append(job.directory)  # at the end: nothing there can stand in for an installed package
    resources.take_cores(job.cpus)
    os.environ.update(resources.environment(job.cpus, job.gpus))
    os.environ.update(
        JAX_COMPILATION_CACHE_DIR=str(cache()),
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
        JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES="-1",
        JAX_COMPILATION_CACHE_MAX_SIZE=str(CACHE_BYTES),
    )
    import_modules(job.modules)


def import_modules(modules: tuple[str, ...]) -> None:
    """Modules of the user, which register agents and environments.

    Raises:
        UserError: one that cannot be imported.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # of any kind: it is the user's own code
            raise UserError(f"cannot import module {module!r}: {blame(error)}") from error


def cache() -> Path:
    """Where compiled programs are kept for other trials and studies.

    Not in the study's directory: they are machine code, and a study may come from somebody else.
    """
    path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "morl" / "compiled"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


class _Reports:
    """A training's reporter that sends scores on, and ends the training where that is wished for."""

    def __init__(self, job: Job, send: Send) -> None:
        self._job, self._send = job, send
        self._begin = time.perf_counter()
        self.stopping = False

    def start(self, headline: str, path: Path) -> None:
        """Nobody reads it."""

    def note(self, text: str) -> None:
        """It is in log.txt."""

    def asked(self) -> bool:
        """Whether the study is being stopped; the training then writes a checkpoint."""
        self.stopping = self.stopping or Path(self._job.stop).exists()
        return self.stopping

    def update(self, status: Any) -> None:
        """Send on what an evaluation found.

        Raises:
            Stopped: instead of the evaluation of an early stop, once the checkpoint is there.
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
    """Train in a run directory, or go on there, and send what an evaluation and the end find.

    The last message says how it ended: ``final`` with the result, ``stopped``, ``failed`` with the reason, or
    ``unwritable``.

    Raises:
        Exception: what made it fail, after the message.
    """
    try:
        send({"final": True, **_trained(job, path, params, send)})
    except Stopped:
        send({"stopped": True})
    except Exception as error:  # of any kind: a trial that fails is not the end of the study
        if isinstance(error, OSError) or isinstance(error.__cause__, OSError):
            send({"unwritable": str(error)})
            return
        send({"failed": str(error) if isinstance(error, UserError) else blame(error)})
        raise


def _trained(job: Job, path: Path, params: Mapping[str, Any], send: Send) -> dict[str, Any]:
    """The result of a trial."""
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
    if begun(path):
        run = train(resume=path, **more)
    else:
        changes = {"checkpoint_minutes": 0.0} if job.checkpoints else {}
        run = train(job.agent, job.settings(path, **changes), job.config(params), **more)
    seeds = results(run, job.metric)
    scores = [one["score"] for one in seeds.values()]
    if not all(map(math.isfinite, scores)):
        raise UserError(f"the score is not finite: {scores}")
    number = len(scores)
    spread = math.sqrt(sum((x - sum(scores) / number) ** 2 for x in scores) / max(1, number - 1) / number)
    return {
        **{name: _mean([one[name] for one in seeds.values()]) for name in ("score", "hypervolume", "expected_utility")},
        "stderr": spread,
        "steps": _last_step(path),
        "seconds": time.perf_counter() - begin,
        **counts,
        "seeds": {str(seed): one for seed, one in seeds.items()},
    }


def begun(path: Path) -> bool:
    """Whether there is a run to go on with; one that an earlier process still writes is waited for.

    Raises:
        UserError: it is written all the time.
    """
    if not (path / "config.yaml").is_file():
        if path.is_dir() and any(path.iterdir()):  # killed before it began
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


def results(run: Any, metric: MetricName) -> dict[int, dict[str, float]]:
    """Of each seed's front, re-evaluated where the agent has policies: score, hypervolume and expected utility."""
    from morl.ops.metrics import expected_utility
    from morl.ops.preferences import equally_spaced_weights
    from morl.training.loop import EXPECTED_UTILITY_WEIGHTS

    whole = _true_hypervolume(run.path)
    found = {}
    for seed, front in run.fronts.items():
        hypervolume = front.hypervolume()
        utility = expected_utility(
            front.returns, equally_spaced_weights(front.returns.shape[1], EXPECTED_UTILITY_WEIGHTS)
        )
        score = utility if metric == "eu" else hypervolume / whole
        found[seed] = {"score": score, "hypervolume": hypervolume, "expected_utility": utility}
    return found


def _true_hypervolume(path: Path) -> float:
    """Of the true front, by what the training wrote down; 1 where it does not know it."""
    from morl.runs.directory import read_rows

    header, *rows = read_rows(path / "metrics.csv") or [[]]
    for row in rows:
        values = dict(zip(header, row, strict=True))
        if (share := float(values.get("hypervolume_share", 0.0))) > 0:
            return float(values["hypervolume"]) / share
    return 1.0


def _last_step(path: Path) -> int:
    from morl.runs.directory import read_rows

    header, *rows = read_rows(path / "metrics.csv")
    return int(float(rows[-1][header.index("step")]))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
