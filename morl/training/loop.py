"""Training loop: collect, learn, evaluate, archive, log; then re-evaluate the archive on fresh seeds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from morl.envs.constructive.host_values import oracle_errors, oracle_failure
from morl.envs.contract import broken_contract, violations
from morl.errors import UserCodeError, UserError, closing, user_code_error, whole_traceback
from morl.guard import is_ours
from morl.registry import check_loggers_installed, split_loggers
from morl.runs import directory, storage
from morl.runs.directory import Run
from morl.runs.front import Floats, Front
from morl.runs.loggers.recorder import Recorder
from morl.settings import SearchSettings, TrainSettings
from morl.training import memory
from morl.training.arguments import training_arguments
from morl.training.backends import devices
from morl.training.backends.interruptible import interruptible, raise_again
from morl.training.backends.warm_start import WarmUpdates, warm_updates
from morl.training.checkpointing import Saver
from morl.training.estimate import Estimate
from morl.training.nonfinite import FROM_ENVIRONMENT, SOURCES, NonFinite, describe_news
from morl.training.origin import with_found_origin
from morl.training.progress import Progress
from morl.training.reporter import Reporter as Reporter
from morl.training.reporter import Status as Status
from morl.training.reporter import Watcher
from morl.training.results import Results, status_of, write_config
from morl.training.resumption import resumption
from morl.training.setup import Setup, prepare
from morl.training.stages import stages_of
from morl.training.terminal import shown
from morl.training.untrained import no_better
from morl.types import Extension, PyTree, Trainer
from morl.validation import converted_value
from morl.words import counted

FAULTS = (TypeError, ValueError, AttributeError, LookupError, AssertionError)  # of code that breaks a contract
VARIATION_ROWS = 10  # of metrics.csv, in the last stage
CHUNK_SECONDS = 1.0  # of compiled code before control returns to the loop


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
            its last state as if it had been asked for so many in all (:mod:`morl.training.stages`).
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
    chosen = devices.choose(settings.device, len(setup.agent.preferences) * settings.num_seeds, setup.spec.split_cores)
    memory.check(setup, settings, chosen)
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
        self.setup, self.settings, self.path, self.warm = setup, settings, path, warm
        self.watcher, self.functions = watcher, functions
        agent = setup.agent
        self.stages = stages or stages_of(agent)
        self.extension = extension = agent.extension if len(self.stages) > 1 else None
        self.per_seed = len(agent.preferences)
        self.seeds = range(settings.seed, settings.seed + settings.num_seeds)
        self.preferences = np.concatenate([agent.preferences] * settings.num_seeds)
        # the fourth part of each is for evaluations of the finished run
        roots = [jax.random.split(jax.random.key(seed), 5) for seed in self.seeds]
        self.learner_keys = jnp.stack([root[0] for root in roots])
        self.eval_keys = jnp.stack([root[1] for root in roots])
        self.final_keys = jnp.stack([root[2] for root in roots])
        self.round_keys = jnp.stack([root[4] for root in roots])
        self.backend = setup.make_backend(
            self.preferences,
            eval_episodes=settings.eval_episodes,
            devices=chosen,
            skip_nonfinite=settings.on_nan == "skip",
        )
        # the second stage has a learner of its own on the same environments
        self.second = self.backend.for_learner(extension.learner) if extension else self.backend
        self.variation = getattr(agent, "variation", None)
        self.total = self.backend.steps(self.stages[0]) + sum(map(self.second.steps, self.stages[1:]))
        self.total += self.variation.steps if self.variation else 0
        self.device = f"{min(len(chosen), len(self.preferences))} x {chosen[0].device_kind}"
        self.solutions = setup.make_solution_set(self.seeds, settings.archive_capacity)
        self.guide = agent.guide(setup.reference_point, settings.num_seeds, settings.archive_capacity)
        later = extension.extra_metrics if extension else ()
        self.results = Results(setup, settings, path, self.seeds, self.per_seed, self.solutions, later)
        self.estimate = Estimate()
        self.progress = Progress(stages=self.stages, taken=[set() for _ in self.seeds])
        self.saver = Saver(path / "checkpoints", settings)
        self.clock = time.perf_counter()

    def run(self, resume: bool = False) -> Run:
        """Run everything from the headline to the front."""
        resolved = self.setup.resolved(self.settings)
        with closing(self.backend):
            with self._writing():
                record = Recorder(self.path, self.settings.logger, self.functions)
            try:
                headline = self._headline()
                with self._writing():
                    config = self._opened(resolved, resume)
                    record.say(headline)
                self.watcher.start(headline, self.path)
                for line in self.setup.protocol.describe():
                    self._note(line, record)
                for note in (*self.setup.agent.notes, *getattr(self.setup.agent, "action_notes", ())):
                    self._note(note, record)
                state = self.backend.init(self._keys(self.learner_keys))
                untrained = self.backend.policies(state)
                self.solutions.begin(untrained, self.preferences)
                if resume:
                    state = self._resumed(state, record)
                with self._writing():
                    step = self.progress.steps if resume else None
                    record.begin(self.progress.rows, step, resolved, self.watcher.note)
                    if self.progress.steps == 0:
                        record.config(config or (self.path / "config.yaml").read_text())
                finished = self._loop(state, record)
                fronts, lines = self.results.final(self.backend, self.final_keys)
                for line in lines:
                    self._note(line, record)
                with self._writing():
                    self.results.write(fronts, self.progress.steps, record)
                    record.say(self.saver.cost())
                    kept = self.saver.finish() if finished else None
                for line in [*([kept] if kept else []), *(self._no_better(untrained, fronts) if finished else [])]:
                    self._note(line, record)
                self._close()
            except BaseException as error:
                self._tell(record)
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

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn an OSError into a UserError that says the run directory cannot be written."""
        try:
            yield
        except OSError as error:
            kept, after = storage.states(self.path / "checkpoints"), "there is no checkpoint yet"
            if kept:
                after = f"{kept[0].name} is intact; to go on from it: morl train --resume {self.path}"
            reason = error.strerror or str(error)
            raise UserError(f"cannot write to the run directory {self.path}: {reason}; {after}") from error

    def _no_better(self, untrained: PyTree, fronts: dict[int, Front]) -> list[str]:
        """Return a line for each seed that has learnt nothing."""
        compared = untrained, self.preferences, self._fold(self.final_keys, 1)
        return no_better(self.setup, self.settings, self.backend, self.solutions, compared, fronts)

    def _opened(self, resolved: dict[str, Any], resume: bool) -> str:
        """Return the text of config.yaml where it is written: of a new run, or of one that is given more steps."""
        if not resume:
            return self._write_config()
        if directory.read_settings(self.path / "config.yaml")[0].get("steps") != resolved.get("steps"):
            self.saver.reopen()  # first: a run that is killed now goes on to the steps it had
            self._write_config()
        return ""

    def _write_config(self) -> str:
        """Write config.yaml and return its text."""
        return write_config(self.path, self.setup, self.settings, self.device)

    def _trainer(self, stage: int) -> Trainer:
        """Return the trainer of a stage."""
        return self.second if stage else self.backend

    def _runner(self, trainer: Trainer, until: int) -> tuple[Trainer, int]:
        """Return the trainer of the updates that come next, and until which update it is that of them."""
        progress, warm = self.progress, self.warm
        if warm is None or progress.stage or progress.updates >= warm.start.updates:
            return trainer, until
        return warm.trainer(self.backend), min(until, warm.start.updates)

    def _resumed(self, fresh: Any, record: Recorder) -> Any:
        """Return the state of the last whole checkpoint, or the fresh one where there is none yet."""
        states = {0: fresh}

        def like(stage: int) -> dict[str, Any]:
            trainer = self._trainer(stage)
            if stage:
                states[stage] = trainer.init(self._keys(self.learner_keys))
            return self._tree(trainer, states[stage])

        shape = (len(self.preferences), len(self.seeds), len(self.stages))
        saved, progress, damaged = self.saver.last(like, self.setup.resolved(self.settings), self.setup.defaults, shape)
        for text in damaged:
            self._note(f"left out: {text}", record)
        if progress is None:
            self._note("resumed from the start: there was no checkpoint yet", record)
            return fresh
        self._note(f"resumed at step {progress.steps:,}", record)
        if progress.stages and progress.stages != self.stages:
            progress.stages = self.stages
            targets = self._targets(progress.stage)
            progress.evaluations_in_stage = sum(target <= progress.updates for target in targets)
        self.progress = progress
        self.solutions.restore(saved["kept"])
        if self.guide:
            self.guide.restore(saved["guide"])
        self.clock -= progress.seconds
        return self._trainer(progress.stage).restored(states[progress.stage], saved["trainer"])

    def _headline(self) -> str:
        agent, settings = self.setup.agent, self.settings
        seeds = "" if settings.num_seeds == 1 else f"{settings.num_seeds} seeds x "
        rounds = f" + {len(self.stages) - 1} x {self.stages[1]}" if self.extension else ""
        policies = counted(self.per_seed, "policy", "policies")
        each = counted(self.backend.steps(1) // self.per_seed, "step")
        updates = f"{self.stages[0]:,}{rounds} updates" if rounds else counted(self.stages[0], "update")
        budget = agent.budget or f"{policies} x {updates} x {each}"
        return (
            f"{self.setup.spec.name} on {settings.env} ({self.setup.backend}, {self.device}): {seeds}{budget} = "
            f"{counted(self.total * settings.num_seeds, 'step')}"
        )

    def _note(self, text: str, record: Recorder) -> None:
        record.say(text)
        self.watcher.note(text)

    def _loop(self, state: Any, record: Recorder) -> bool:
        """Train the first stage, then each round of the second; return False where told to stop before the end."""
        progress, extension, rounds = self.progress, self.extension, len(self.stages) - 1
        while True:
            preferences = self._stage_preferences(extension)
            state, stopping = self._train(state, preferences, record)
            finished = progress.updates == self.stages[progress.stage]
            if stopping and not (finished and progress.stage == len(self.stages) - 1):
                record.say("stopped early on request")
                return False
            if extension is None or progress.stage == rounds:
                if self.saver.keeps_final or self.variation:
                    self._save(self._trainer(progress.stage), state, record)
                return self._vary(record)
            progress.next_stage()
            index = progress.stage - 1
            record.say(f"round {index + 1} of {rounds} begins")
            keys = self._keys(self._fold(self.round_keys, index))
            state = self.second.init(keys, self._selected(extension, index), self._stage_preferences(extension))

    def _vary(self, record: Recorder) -> bool:
        """Run the last stage; return False where told to stop before its end, from where a resumed run begins it anew.

        Its steps are of all episodes that it runs, those of the policies it starts from too.
        """
        variation = self.variation
        if variation is None:
            return True
        solutions: Any = self.solutions
        simulator: Any = self.backend  # that of environments in JAX, see prepare
        progress, begin, row, tick = self.progress, self.progress.steps, 0, time.perf_counter()
        record.say("variation begins")
        populations = variation.begin(
            simulator,
            [solutions.items(i) for i in range(len(self.seeds))],
            self._fold(self.round_keys, len(self.stages)),
            self.settings.archive_capacity,
            self.setup.archive_epsilon,
        )
        while any(each.spent < variation.steps for each in populations):
            for each in populations:
                if each.spent < variation.steps:
                    each.advance()
                    raise_again()
            if self.watcher.should_stop():
                progress.steps = begin
                record.say("stopped early on request")
                return False
            spent = min(variation.steps, min(each.spent for each in populations))
            progress.steps = begin + spent
            if spent * VARIATION_ROWS >= (row + 1) * variation.steps:
                row = spent * VARIATION_ROWS // variation.steps
                solutions.replace([each.front() for each in populations])
                self._report(sum(each.spent for each in populations) / (time.perf_counter() - tick), record)
        return True

    def _report(self, rate: float, record: Recorder) -> None:
        """Write the metrics of this moment, and tell them; ``rate`` is of environment steps a second."""
        rows = self.results.rows(self.progress, self._seconds(), rate)
        with self._writing():
            for row in rows:
                record.write(row)
        for row in rows:
            remark = self.setup.agent.remark(row)
            if remark and remark not in self.progress.told:
                self.progress.told.append(remark)
                self._note(remark, record)
        self.watcher.update(status_of(rows, self.progress.steps, self.total, rate))

    def _stage_preferences(self, extension: Extension | None) -> Floats:
        """Return the preferences of all seeds' learners in this stage."""
        if extension is None or not self.progress.stage:
            return self.preferences
        return np.tile(extension.preferences(self.progress.stage - 1), (len(self.seeds), 1))

    def _selected(self, extension: Extension, index: int) -> list[PyTree]:
        """Return the learners at the start of the round of this index, from the archives."""
        learners: list[PyTree] = []
        for i, taken in enumerate(self.progress.taken):
            returns, policies = self.solutions.returns(i), self.solutions.policies(i)
            learners += extension.begin(index, returns, policies, self.setup.reference_point, taken)
        return learners

    def _keys(self, keys: jax.Array) -> list[jax.Array]:
        """Return one key for each policy from one for each seed."""
        return [key for seed_key in keys for key in jax.random.split(seed_key, self.per_seed)]

    def _train(self, state: Any, preferences: Floats, record: Recorder) -> tuple[Any, bool]:
        """Run one stage in chunks of about a second, evaluated and archived now and then; return whether to stop.

        How long chunks take decides when a checkpoint is written, but nothing that is in one.
        """
        progress, targets = self.progress, self._targets(self.progress.stage)
        trainer = self._trainer(progress.stage)
        pace, stopping, nonfinite = 1, False, trainer.nonfinite(state)
        for target in targets[progress.evaluations_in_stage :]:
            while progress.updates < target and not stopping:
                state, until = self._scheduled(trainer, state, target)
                runner, until = self._runner(trainer, until)
                chunk = min(pace, until - progress.updates)
                steps = trainer.steps(progress.updates + chunk) - trainer.steps(progress.updates)
                tick = time.perf_counter()
                state, sums = runner.run(state, chunk, progress.metric_sums())
                raise_again()
                seconds = time.perf_counter() - tick
                progress.add(sums, chunk, steps, seconds)
                if line := self.estimate.after(steps, seconds, self.total - progress.steps, len(self.seeds)):
                    self._note(line, record)
                self._tell(record)
                nonfinite = self._checked(trainer.nonfinite(state), nonfinite, record)
                pace = max(1, min(2 * chunk, round(chunk * CHUNK_SECONDS / seconds)))
                self.watcher.update(Status(progress.steps, self.total, steps * len(self.seeds) / seconds))
                stopping = self.watcher.should_stop()
                if stopping or self.saver.due():
                    # before the evaluation of an early stop, which a run that was never stopped does not have
                    self._save(trainer, state, record)
            self.solutions.update(
                self.backend,
                trainer.policies(state),
                preferences,
                self._fold(self.eval_keys, progress.evaluations),
                self.settings.eval_episodes,
            )
            state = self._guided(trainer, state)
            self._tell(record)
            steps = trainer.steps(progress.updates) - trainer.steps(progress.updates - progress.since)
            rate = steps * len(self.seeds) / progress.learning
            self._report(rate, record)
            if stopping:
                break
            progress.evaluated()
            if self.watcher.stopped:  # by what the evaluation has shown
                self._save(trainer, state, record)
                return state, True
        return state, stopping

    def _targets(self, stage: int) -> list[int]:
        """Return the updates of a stage after which its policies are evaluated."""
        updates = self.stages[stage]
        share = self.settings.evaluations * updates / sum(self.stages)
        evaluations = min(max(1, round(share)), updates)
        return [updates * (index + 1) // evaluations for index in range(evaluations)]

    def _scheduled(self, trainer: Trainer, state: Any, target: int) -> tuple[Any, int]:
        """Set the preferences that the agent schedules for the next update; return until which update they hold."""
        agent, progress = self.setup.agent, self.progress
        interval = 0 if progress.stage else agent.preference_interval
        if not interval:
            return state, target
        if progress.updates % interval == 0:
            nothing = np.zeros((0, len(self.setup.objectives)))
            archives = [self.solutions.returns(i) if progress.evaluations else nothing for i in range(len(self.seeds))]
            schedule = self.solutions.schedule
            preferences = [schedule(i, agent, progress.updates, returns) for i, returns in enumerate(archives)]
            state = trainer.with_preferences(state, np.concatenate(preferences))
        return state, min(target, (progress.updates // interval + 1) * interval)

    def _guided(self, trainer: Trainer, state: Any) -> Any:
        """Set the step factors that the agent's guide finds from the last evaluation, in the first stage."""
        if self.guide is None or self.progress.stage:
            return state
        paced: Any = trainer
        return paced.with_step_factors(state, self.guide.factors(self.solutions.evaluated))

    def _tell(self, record: Recorder) -> None:
        for text in self.backend.incidents():
            self._note(text, record)

    def _checked(self, now: NonFinite, before: NonFinite, record: Recorder) -> NonFinite:
        """Note non-finite updates since ``before``; return ``now``.

        Raises:
            UserError: every policy of a seed is stopped before there is a front that others could go on from.
        """
        trainer = self._trainer(self.progress.stage)
        begin = self.progress.steps - trainer.steps(self.progress.updates)
        for policy in np.flatnonzero(now.number).tolist():
            if text := describe_news(before, now, policy):
                seed, number = self.seeds[policy // self.per_seed], policy % self.per_seed
                step = begin + trainer.steps(int(now.update[policy]))
                self._note(f"policy {number} of seed {seed}, step {step:,} on {self.settings.env}: {text}", record)
        for i, seed in enumerate(self.seeds):
            mine = slice(i * self.per_seed, (i + 1) * self.per_seed)
            if self.progress.stage == 0 and now.stopped[mine].all():
                source = SOURCES[int(now.source[mine][-1])]
                advice = "" if source in FROM_ENVIRONMENT else "; try a lower learning_rate"
                raise UserError(
                    f"every policy of seed {seed} has diverged{advice} ({source} is not finite, "
                    f"step {self.progress.steps:,} on {self.settings.env})"
                )
        return now

    def _save(self, trainer: Trainer, state: Any, record: Recorder) -> None:
        """Write a checkpoint of this moment."""
        tree = self._tree(trainer, state)
        with self._writing():
            self.progress.seconds, self.progress.rows = self._seconds(), record.rows()
            self.saver.save(tree, self.progress, self.setup.resolved(self.settings))

    def _tree(self, trainer: Trainer, state: Any) -> dict[str, Any]:
        """Return the arrays of a checkpoint."""
        guide = {"guide": self.guide.saved()} if self.guide else {}
        return {"trainer": trainer.saved(state), "kept": self.solutions.saved(), **guide}

    def _seconds(self) -> float:
        """Return the seconds of work, including those before an interruption."""
        return time.perf_counter() - self.clock

    @staticmethod
    def _fold(keys: jax.Array, data: int) -> jax.Array:
        return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, data)
