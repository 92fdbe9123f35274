"""The study's ledger behind Ray Tune's interfaces. The one file that knows Ray.

Tune pickles what it is given now and then, for a way to resume that is not used here (:mod:`morl.tune.journal`): the
classes below leave nothing of themselves in that.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from morl.errors import MissingExtraError, UserError
from morl.search_space import Choice, Integer, Space
from morl.tune.journal import Trial
from morl.tune.ledger import Ledger
from morl.tune.settings import StudySettings
from morl.tune.worker import Job

NOTICED_SECONDS = 40.0  # in which Ray has missed a machine that is gone
QUIET = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_worker_niceness": "0",  # of Ray's own accord 15: trials are as nice as the study is
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "600",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}


@contextlib.contextmanager
def cluster(settings: StudySettings, directory: str) -> Iterator[None]:
    """A connection to Ray: one that is there already, that of ``--address``, or one of this machine's, for a while.

    Raises:
        MissingExtraError: Ray is not installed.
        UserError: no cluster answers.
    """
    if importlib.util.find_spec("ray") is None:
        raise MissingExtraError("a study", "tune")
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if settings.address is not None and _has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # ray start asks for it since 2.60, ray.init gives it when told
    import ray

    if ray.is_initialized():
        yield
        return
    root = str(Path(sys.modules["morl"].__file__ or "").parents[1])  # workers are to import this very package
    path = os.pathsep.join(dict.fromkeys([root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]))
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "namespace": "morl"}
    if settings.address is None:
        options |= {
            "address": "local",
            "include_dashboard": settings.dashboard,
            "dashboard_host": "127.0.0.1",
            "_node_ip_address": "127.0.0.1",
            "object_store_memory": 128 * 2**20,
        }
    else:
        options |= {"address": settings.address, "runtime_env": {"env_vars": {"PYTHONPATH": path}}}
    before, shown = _handlers(), os.environ.get("PYTHONPATH")
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
        if shown is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = shown
        _restore(before)  # Ray has one of its own for SIGTERM
    try:
        yield
    finally:
        ray.shutdown()


def _has_token() -> bool:
    """Whether there is a token here that Ray's clusters let their own in by."""
    given = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return given or (Path.home() / ".ray" / "auth_token").exists()


def _handlers() -> dict[int, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def search(
    ledger: Ledger, job: Job, settings: StudySettings, space: Space, trials: Path, storage: Path, budget: int
) -> Any:
    """Run trials until the ledger has no more; Ray's ``ResultGrid``.

    Args:
        ledger: says which.
        job: what trials share.
        settings: of the study.
        space: that is searched.
        trials: where their run directories are.
        storage: directory for Ray's own files.
        budget: environment steps of a training.
    """
    from ray import tune
    from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback

    population = settings.scheduler == "pbt"
    trainable = tune.with_resources(
        _trainable(job, trials),
        {"CPU": settings.trial_cpus, **({"GPU": settings.trial_gpus} if settings.trial_gpus else {})},
    )
    tick = storage / time.strftime("%Y%m%d-%H%M%S")
    param_space, algorithm, count = _source(ledger, space, population, settings.search_seed)
    callback, stopper = _callback(ledger, population), _stopper(ledger)
    scheduler = _scheduler(settings, space, budget, ledger)
    tuner = tune.Tuner(
        trainable,
        param_space=param_space,
        tune_config=tune.TuneConfig(
            metric="score",
            mode="max",
            search_alg=algorithm,
            scheduler=scheduler,
            num_samples=count,
            max_concurrent_trials=settings.max_concurrent if population else None,
            trial_dirname_creator=_name,
            trial_name_creator=_name,
        ),
        run_config=tune.RunConfig(
            name=tick.name,
            storage_path=str(storage.resolve()),
            callbacks=[callback, CSVLoggerCallback(), JsonLoggerCallback()],
            stop=stopper,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=4),
        ),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Tune's advice on settings that are chosen with reason
        grid = tuner.fit()
    if ledger.error:
        raise ledger.error
    return grid


def _trainable(job: Job, trials: Path) -> Callable[[dict[str, Any]], None]:
    """The function that Tune runs; pickled by value, so that a worker can settle its path before importing anything."""
    values, path, roots = asdict(job), str(trials.resolve()), list(sys.path)

    def trial(config: dict[str, Any]) -> None:
        import sys
        from pathlib import Path

        sys.path += [entry for entry in roots if entry not in sys.path]
        from ray import tune

        from morl.tune import worker

        job = worker.Job(**values)
        number = tune.get_context().get_trial_name().partition("_")[0]
        run = Path(path) / number
        worker.prepare(job)
        params = {name: value for name, value in config.items() if name != "trial"}
        if (given := tune.get_checkpoint()) is not None:
            from morl.tune.inheritance import inherit

            with given.as_directory() as donor:
                settings = job.settings(run, checkpoint_minutes=0.0)
                inherit(job.agent, Path(donor), run, job.config(params), settings)

        def send(message: dict[str, Any]) -> None:
            if job.checkpoints and "score" in message and "final" not in message:
                from ray.tune import Checkpoint

                tune.report(message, checkpoint=Checkpoint.from_directory(str(run)))
            else:
                tune.report(message)

        worker.execute(job, run, params, send)

    return trial


def _number(trial: Any) -> int:
    """Of a trial of Tune's: its name begins with it, whatever becomes of its settings."""
    return int(str(trial).partition("_")[0])


def _name(trial: Any) -> str:
    return f"{trial.config['trial']:05}_{trial.trial_id}"


class _Unkept:
    """Leaves nothing of itself in what Tune pickles."""

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def __reduce__(self) -> Any:
        return str, ("in the journal",)


def _source(ledger: Ledger, space: Space, population: bool, seed: int) -> tuple[dict[str, Any], Any, int]:
    """Where trials come from: space, algorithm and number."""
    from ray import tune
    from ray.tune.search import BasicVariantGenerator, Searcher

    if population:
        points = []
        while (trial := ledger.next()) is not None:
            points.append({"trial": trial.number, **trial.params})
        # tune wants a domain for each; all are given
        domains = {"trial": tune.choice(range(len(points) or 1)), **{name: _domain(space, name) for name in space}}
        generator = BasicVariantGenerator(points_to_evaluate=points, random_state=seed)
        return domains, generator, len(points)

    class Adapter(_Unkept, Searcher):
        """Gives what the ledger gives; what comes of it the callback tells."""

        def __init__(self) -> None:
            super().__init__(metric="score", mode="max")

        def set_search_properties(self, metric: Any, mode: Any, config: Any, **spec: Any) -> bool:
            return True

        def suggest(self, trial_id: str) -> Any:
            try:
                trial = ledger.next()
            except Exception as error:  # a full disk, or a searcher's own
                ledger.fail(error)
                return Searcher.FINISHED
            if trial is None:
                return Searcher.FINISHED if ledger.finished else None
            return {"trial": trial.number, **trial.params}

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            """See the callback."""

        def save(self, checkpoint_path: str) -> None:
            Path(checkpoint_path).touch()

        def restore(self, checkpoint_path: str) -> None:
            """Never done."""

    return {}, Adapter(), -1


def _domain(space: Space, name: str) -> Any:
    """A domain as Tune has it."""
    from ray import tune

    domain = space[name].domain
    if isinstance(domain, Choice):
        return tune.choice(list(domain.options))
    if isinstance(domain, Integer):
        draw = tune.lograndint if domain.log else tune.randint
        return draw(domain.low, domain.high + 1)
    return (tune.loguniform if domain.log else tune.uniform)(domain.low, domain.high)


def _callback(ledger: Ledger, population: bool) -> Any:
    from ray import tune

    class Callback(_Unkept, tune.Callback):
        """Tells the ledger."""

        _nodes: frozenset[str] = frozenset()  # that were alive when a trial last began

        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
            self._tell(lambda: ledger.heard(_number(trial), result))

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            self._tell(lambda: ledger.over(_number(trial), _last(trial)))

        def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            self._nodes = _nodes()

        def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            number, error = _number(trial), _error(trial)
            lost = not ledger.has_ended(number) and _is_lost(error, self._nodes)
            self._tell(lambda: ledger.over(number, _last(trial), failure=_reason(error), lost=lost))

        def _tell(self, what: Callable[[], None]) -> None:
            try:
                what()
            except OSError as error:
                ledger.fail(
                    UserError(f"cannot write to the study {ledger.journal.path.parent}: {error.strerror or error}")
                )
            except Exception as error:  # must not be lost in Tune's own handling
                ledger.fail(error)

    def _last(trial: Any) -> dict[str, Any] | None:
        return {name: value for name, value in trial.config.items() if name != "trial"} if population else None

    return Callback()


def _error(trial: Any) -> str:
    """What Tune has noted on a trial's end; its own ``get_error`` reads a copy that is not there yet."""
    try:
        return Path(trial.error_file).read_text()
    except (OSError, TypeError):
        return ""


def _nodes() -> frozenset[str]:
    """The machines of the cluster that are alive."""
    import ray

    return frozenset(node["NodeID"] for node in ray.nodes() if node["Alive"])


def _is_lost(error: str, before: frozenset[str], seconds: float = NOTICED_SECONDS) -> bool:
    """Whether a process has ended with the machine it ran on.

    A connection that breaks does not say which of the two has gone, and Ray takes its time to miss a machine; where
    there are several, that is waited for.
    """
    if "its node has died" in error or "node failure" in error:
        return True
    until = time.monotonic() + seconds
    while len(before) > 1:
        if before - _nodes():
            return True
        if time.monotonic() > until:
            break
        time.sleep(0.5)
    return False


def _reason(error: str) -> str:
    """Why a process ended, in one line."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    told = [line for line in lines if "exit" in line.lower() or "killed" in line.lower() or "memory" in line.lower()]
    return f"its process ended: {' '.join((told or lines or ['no reason given'])[-1].split())[:300]}"


def _stopper(ledger: Ledger) -> Any:
    from ray import tune

    class Stopper(_Unkept, tune.Stopper):
        """Ends everything when the ledger says so."""

        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            return False

        def stop_all(self) -> bool:
            return ledger.must_end()

    return Stopper()


def _scheduler(settings: StudySettings, space: Space, budget: int, ledger: Ledger) -> Any:
    from ray.tune import schedulers

    if settings.scheduler == "none":
        return schedulers.FIFOScheduler()
    if settings.scheduler == "asha":
        first = max(1, math.ceil(settings.first_rung * budget))

        class Halving(_Unkept, schedulers.ASHAScheduler):
            """Told of the trials before an interruption once it knows the score, so that rungs are as they were."""

            def set_search_properties(self, *args: Any, **more: Any) -> bool:
                known: bool = super().set_search_properties(*args, **more)
                _replay(self, ledger)
                return known

        return Halving(
            time_attr="steps",
            grace_period=first,
            max_t=max(first, budget // 2),  # from the half on a trial costs less to finish than another to begin
            reduction_factor=settings.reduction,
            stop_last_trials=False,
        )

    def within(config: dict[str, Any]) -> dict[str, Any]:
        for name, parameter in space.items():
            if not isinstance(parameter.domain, Choice):
                config[name] = min(max(config[name], parameter.domain.low), parameter.domain.high)
        return config

    class Population(_Unkept, schedulers.PopulationBasedTraining):
        """In step: else a trial that is ahead would be set back to where the others are, again and again."""

        def choose_trial_to_run(self, controller: Any) -> Any:
            chosen = super().choose_trial_to_run(controller)
            states = {trial.status for trial in controller.get_live_trials()}
            if chosen is None and states == {"PAUSED"}:  # the one that all others wait for has failed or finished
                self._next_perturbation_sync += self._perturbation_interval
                chosen = super().choose_trial_to_run(controller)
            return chosen

    random.seed(settings.search_seed)  # what Tune's perturbations draw from
    return Population(
        time_attr="steps",
        synch=True,
        perturbation_interval=budget // (settings.perturbations + 1) + 1,  # so many, and none at the end
        hyperparam_mutations={name: _domain(space, name) for name in space},
        custom_explore_fn=within,
        log_config=False,
        require_attrs=False,
    )


def _replay(scheduler: Any, ledger: Ledger) -> None:
    """Tell successive halving of trials that have ended."""
    ended = [trial for trial in ledger.journal.trials.values() if trial.state != "started" and trial.reports]
    for trial in ended:
        past = _Past(trial)
        scheduler.on_trial_add(None, past)
        for steps, score in sorted(trial.reports.items()):
            scheduler.on_trial_result(None, past, {"steps": steps, "score": score})
        scheduler.on_trial_remove(None, past)


class _Past:
    """As much of a trial of Tune's as a scheduler looks at."""

    def __init__(self, trial: Trial) -> None:
        self.trial_id = f"past-{trial.number}"


def hold_out(
    job: Job, runs: dict[str, tuple[Path, dict[str, Any], dict[str, Any]]], ledger: Ledger, settings: StudySettings
) -> dict[str, dict[str, Any]]:
    """Train beside one another outside of any search: the last message of each.

    Args:
        job: what they share.
        runs: by name, the run directory, settings of the agent, and of the training.
        ledger: says whether to stop.
        settings: of the study.
    """
    import ray

    values, roots = asdict(job), list(sys.path)

    def one(path: str, params: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
        import sys
        from pathlib import Path

        sys.path += [entry for entry in roots if entry not in sys.path]
        from morl.tune import worker

        job = worker.Job(**{**values, "training": {**values["training"], **changes}})
        worker.prepare(job)
        last: dict[str, Any] = {}

        def send(message: dict[str, Any]) -> None:
            last.clear()
            last.update(message)

        with contextlib.suppress(Exception):  # which the last message tells
            worker.execute(job, Path(path), params, send)
        return last

    task = ray.remote(num_cpus=settings.trial_cpus, num_gpus=settings.trial_gpus, max_calls=1)(one)
    pending = {
        task.remote(str(path.resolve()), params, changes): name for name, (path, params, changes) in runs.items()
    }
    found: dict[str, dict[str, Any]] = {}
    while pending and not (ledger.must_end() and not found and ledger.error):
        done, _ = ray.wait(list(pending), timeout=0.2)
        for reference in done:
            name = pending.pop(reference)
            try:
                found[name] = ray.get(reference)
            except ray.exceptions.RayError as error:
                found[name] = {"failed": _reason(str(error))}
    return found
