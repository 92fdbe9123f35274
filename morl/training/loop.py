"""Training loop: collect, learn, evaluate, archive, log; then re-evaluate the archive on fresh seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from morl.envs.constructive.host_values import oracle_errors, oracle_failure
from morl.envs.contract import broken_contract, violations
from morl.errors import UserCodeError, UserError, closing, user_code_error, whole_traceback
from morl.guard import is_ours
from morl.registry import check_loggers_installed, split_loggers
from morl.runs import directory
from morl.runs.directory import Run
from morl.runs.front import Front
from morl.runs.loggers.recorder import Recorder
from morl.settings import SearchSettings, TrainSettings
from morl.training import memory
from morl.training.arguments import training_arguments
from morl.training.backends import devices
from morl.training.backends.interruptible import interruptible
from morl.training.backends.warm_start import WarmUpdates, warm_updates
from morl.training.checkpointing import writing
from morl.training.learning import Learning
from morl.training.origin import with_found_origin
from morl.training.reporter import Reporter as Reporter
from morl.training.reporter import Status as Status
from morl.training.reporter import Watcher
from morl.training.results import write_config
from morl.training.resumption import resumption
from morl.training.setup import Setup, prepare
from morl.training.terminal import shown
from morl.training.untrained import no_better
from morl.types import PyTree
from morl.validation import converted_value

FAULTS = (TypeError, ValueError, AttributeError, LookupError, AssertionError)  # of code that breaks a contract


@oracle_errors()
@memory.exhaustion()
def train(
    agent: str = "cmorl",
    env: Any = None,
    config: Any = None,
    *,
    settings: Any = None,
    resume: Path | str | None = None,
    reporter: Reporter | bool | None = None,
    logger: Any = None,
    on_status: Callable[[Status], object] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    **changes: Any,
) -> Run:
    """Train, and leave a run directory with a front re-evaluated on fresh seeds.

    >>> import morl
    >>> run = morl.train("cmorl", "minecart-v0", steps=200_000, num_policies=6, out="runs/x")  # doctest: +SKIP

    Args:
        agent: a registered agent; see ``morl agents``.
        env: id of an environment, or an environment: a functional one, one of Gymnasium, or a class or function that
            makes either. A run on an object that no id makes again is loaded by ``morl.load(path, env=object)``.
            :class:`TrainSettings`, or the settings class the agent is registered with, may stand here as well.
        config: the agent's own settings, of the dataclass it is registered with.
        settings: :class:`TrainSettings`, if not given as ``env``.
        resume: run directory of a training that was stopped or killed, to go on with from its last checkpoint, instead
            of all settings; of a finished one nothing is done, unless it is given more ``steps``: then it goes on from
            its last state as if it had been asked for so many in all (:mod:`morl.training.resumption`).
        reporter: told how it goes; by default progress is printed on a terminal and in a notebook. False is silent.
        logger: the setting ``logger``, a name or several, or a function that is called with each row of
            ``metrics.csv``, a dictionary; or a list of both. A function that raises is left out from then on.
        on_status: called with the :class:`morl.training.reporter.Status` that the terminal shows, after each chunk of
            about a second and each evaluation; once it returns True, the training stops as by ``should_stop``.
        changes: settings by name, of :class:`TrainSettings` and of the agent; they win over those above. Beside
            ``resume`` ``steps`` alone.
        should_stop: asked between chunks of about a second; once true, a checkpoint is written, and the policies so far
            are evaluated and written; the training can be resumed.

    Returns:
        the run, read back from its directory by :func:`morl.load` as well.

    Raises:
        UserError: settings that cannot work, before anything is compiled or written; later, an environment that gives
            something else than it promises, a seed all of whose policies have diverged, or a run directory that can no
            longer be written.
    """
    functions, names = split_loggers(logger)
    if names:
        changes["logger"] = names
    if resume is not None:
        steps = changes.pop("steps", None)
        if settings is not None or config is not None or changes or isinstance(env, TrainSettings | SearchSettings):
            raise UserError(
                "a run that is resumed has its settings; give none beside resume but steps, for more of them"
            )
        path: Path | None = Path(resume)
        found = resumption(Path(resume), None if steps is None else converted_value(int, steps, "steps"), env)
        if isinstance(found, Run):
            return found
        setup, settings, stages = found.setup, found.settings, found.stages
        warm = warm_updates(setup, env)
    else:
        given = training_arguments(agent, env, config, settings, changes)
        setup = with_found_origin(prepare(agent, given.settings, given.config, given.env))
        settings, path, stages = given.settings, None, None
        if warm := warm_updates(setup, env if given.env else None):
            _ = warm.teacher  # a run that cannot be one is refused before anything is compiled
    check_loggers_installed(settings.logger)
    policies, learner = len(setup.agent.preferences) * settings.num_seeds, setup.agent.learner
    chosen = devices.choose(settings.device, policies, setup.spec.split_cores, learner)
    chosen = memory.fitting(setup, settings, chosen)
    _ = setup.true_front  # a wrong one is refused before anything is written
    if path is None:
        path = directory.create(settings.out, f"{agent}-{settings.env.strip('<>')}")
    with jax.default_device(chosen[0]), shown(reporter) as chosen_reporter, interruptible():
        watcher = Watcher(chosen_reporter, on_status, should_stop)
        training = _Training(setup, settings, path, chosen, watcher, functions, stages, warm)
        return training.run(resume=resume is not None)


class _Training:
    """State of one call of :func:`train`."""

    def __init__(
        self,
        setup: Setup,
        settings: TrainSettings,
        path: Path,
        chosen: list[jax.Device],
        watcher: Watcher,
        functions: Sequence[Callable[[dict[str, Any]], object]],
        stages: list[int] | None = None,
        warm: WarmUpdates | None = None,
    ) -> None:
        self.setup, self.settings, self.path = setup, settings, path
        self.watcher, self.functions = watcher, functions
        self.learning = Learning(setup, settings, path, chosen, watcher, stages, warm)
        self.backend = self.learning.backend

    def run(self, resume: bool = False) -> Run:
        """Run everything from the headline to the front."""
        learning, resolved = self.learning, self.setup.resolved(self.settings)
        with closing(self.backend):
            with writing(self.path):
                record = Recorder(self.path, self.settings.logger, self.functions)
            try:
                headline = learning.headline()
                with writing(self.path):
                    config = self._opened(resolved, resume)
                    record.say(headline)
                self.watcher.start(headline, self.path)
                for line in self.setup.protocol.describe():
                    learning.note(line, record)
                for note in (*self.setup.agent.notes, *getattr(self.setup.agent, "action_notes", ())):
                    learning.note(note, record)
                state = learning.begin()
                untrained = self.backend.policies(state)
                learning.solutions.begin(untrained, learning.preferences)
                if resume:
                    state = learning.resumed(state, record)
                with writing(self.path):
                    step = learning.progress.steps if resume else None
                    record.begin(learning.progress.rows, step, resolved, self.watcher.note)
                    if learning.progress.steps == 0:
                        record.config(config or (self.path / "config.yaml").read_text())
                finished = learning.run(state, record)
                fronts, lines = learning.results.final(self.backend, learning.final_keys)
                for line in lines:
                    learning.note(line, record)
                with writing(self.path):
                    learning.results.write(fronts, learning.progress.steps, record)
                    record.say(learning.saver.cost())
                    kept = learning.saver.finish() if finished else None
                for line in [*([kept] if kept else []), *(self._no_better(untrained, fronts) if finished else [])]:
                    learning.note(line, record)
                self._close()
            except BaseException as error:
                learning.tell(record)
                record.say(f"failed: {error!r}")
                if error.__cause__ or not isinstance(error, UserError) or error.details:
                    record.say(whole_traceback(oracle_failure(error) or error))
                if isinstance(error, FAULTS) and not isinstance(error, UserError):
                    self._blame(error)
                raise
            finally:
                record.close()
        return Run(self.path, resolved, fronts)

    def _close(self) -> None:
        """Close the environments after a training, which has left its front already.

        Raises:
            UserError: an environment raised.
        """
        try:
            self.backend.close()
        except UserError as error:
            ended = f"the training has ended, and its front is {self.path / 'front.csv'}"
            raise UserCodeError(f"{error}; {ended}") from error

    def _blame(self, error: Exception) -> None:
        """Raise a clear UserError if a user's environment in JAX, or else a user's agent, breaks its contract."""
        if self.setup.backend == "jax" and (found := violations(self.setup.env)):
            raise broken_contract(self.settings.env, found[0]) from error
        if not is_ours(self.setup.agent.__class__):
            raise user_code_error(
                f"agent {self.setup.spec.name}", "a training", error, "see morl.types.Agent"
            ) from error

    def _no_better(self, untrained: PyTree, fronts: dict[int, Front]) -> list[str]:
        """Return a line for each seed that has learnt nothing."""
        learning = self.learning
        compared = untrained, learning.preferences, learning.fold(learning.final_keys, 1)
        return no_better(self.setup, self.settings, self.backend, learning.solutions, compared, fronts)

    def _opened(self, resolved: dict[str, Any], resume: bool) -> str:
        """Return the text of config.yaml where it is written: of a new run, or of one that is given more steps."""
        if not resume:
            return self._write_config()
        if directory.read_settings(self.path / "config.yaml")[0].get("steps") != resolved.get("steps"):
            self.learning.saver.reopen()  # first: a run that is killed now goes on to the steps it had
            self._write_config()
        return ""

    def _write_config(self) -> str:
        """Write config.yaml and return its text."""
        return write_config(self.path, self.setup, self.settings, self.learning.device)
