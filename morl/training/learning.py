"""Stages of a training: collect, learn, evaluate, archive, log, and checkpoints in between."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from morl.errors import UserError
from morl.runs.front import Floats
from morl.runs.loggers.recorder import Recorder
from morl.settings import TrainSettings
from morl.training.backends.interruptible import raise_again
from morl.training.backends.warm_start import WarmUpdates
from morl.training.checkpointing import Saver, writing
from morl.training.estimate import Estimate
from morl.training.nonfinite import FROM_ENVIRONMENT, SOURCES, NonFinite, describe_news
from morl.training.progress import Progress
from morl.training.reporter import Status, Watcher
from morl.training.results import Results, status_of
from morl.training.resumption import stages_of
from morl.training.setup import Setup
from morl.types import Extension, PyTree, Trainer
from morl.words import counted

VARIATION_ROWS = 10  # of metrics.csv, in the last stage
CHUNK_SECONDS = 1.0  # of compiled code before control returns to the loop


class Learning:
    """Learners and archives of all seeds, from the first update to the last stage.

    Attributes:
        seeds: training seeds.
        per_seed: policies of each.
        preferences: (P, R) of the policies of all seeds.
        stages: updates of each stage.
        total: environment steps of one seed that are planned.
        device: number and kind of the devices.
        backend: trainer of the first stage, which all evaluations use.
        solutions: policies that are kept of each seed.
        results: rows of metrics, and the files at the end.
        progress: where the training stands.
        saver: of checkpoints.
        final_keys: (N,) for evaluations of the finished run, one a seed.

    Args:
        setup, settings: of the run.
        path: run directory.
        chosen: devices.
        watcher: shows the progress and can stop the training.
        stages: updates of each stage; by default those of the agent.
        warm: updates that the training starts with, if there are any.
    """

    def __init__(
        self,
        setup: Setup,
        settings: TrainSettings,
        path: Path,
        chosen: list[jax.Device],
        watcher: Watcher,
        stages: list[int] | None = None,
        warm: WarmUpdates | None = None,
    ) -> None:
        self._setup, self._settings, self._path, self._warm = setup, settings, path, warm
        self._watcher = watcher
        agent = setup.agent
        self.stages = stages or stages_of(agent)
        self._extension = extension = agent.extension if len(self.stages) > 1 else None
        self.per_seed = len(agent.preferences)
        self.seeds = range(settings.seed, settings.seed + settings.num_seeds)
        self.preferences = np.concatenate([agent.preferences] * settings.num_seeds)
        # the fourth part of each is for evaluations of the finished run
        roots = [jax.random.split(jax.random.key(seed), 5) for seed in self.seeds]
        self._learner_keys = jnp.stack([root[0] for root in roots])
        self._eval_keys = jnp.stack([root[1] for root in roots])
        self.final_keys = jnp.stack([root[2] for root in roots])
        self._round_keys = jnp.stack([root[4] for root in roots])
        self.backend = setup.make_backend(
            self.preferences,
            eval_episodes=settings.eval_episodes,
            devices=chosen,
            skip_nonfinite=settings.on_nan == "skip",
        )
        # the second stage has a learner of its own on the same environments
        self._second = self.backend.for_learner(extension.learner) if extension else self.backend
        self._variation = getattr(agent, "variation", None)
        self.total = self.backend.steps(self.stages[0]) + sum(map(self._second.steps, self.stages[1:]))
        self.total += self._variation.steps if self._variation else 0
        self.device = f"{min(len(chosen), len(self.preferences))} x {chosen[0].device_kind}"
        self.solutions = setup.make_solution_set(self.seeds, settings.archive_capacity)
        self._guide = agent.guide(setup.reference_point, settings.num_seeds, settings.archive_capacity)
        later = extension.extra_metrics if extension else ()
        self.results = Results(setup, settings, path, self.seeds, self.per_seed, self.solutions, later)
        self._estimate = Estimate()
        self.progress = Progress(stages=self.stages, taken=[set() for _ in self.seeds])
        self.saver = Saver(path / "checkpoints", settings)
        self._clock = time.perf_counter()

    def headline(self) -> str:
        """Return the line about what is trained, and for how long."""
        agent, settings = self._setup.agent, self._settings
        seeds = "" if settings.num_seeds == 1 else f"{settings.num_seeds} seeds x "
        rounds = f" + {len(self.stages) - 1} x {self.stages[1]}" if self._extension else ""
        policies = counted(self.per_seed, "policy", "policies")
        each = counted(self.backend.steps(1) // self.per_seed, "step")
        updates = f"{self.stages[0]:,}{rounds} updates" if rounds else counted(self.stages[0], "update")
        budget = agent.budget or f"{policies} x {updates} x {each}"
        return (
            f"{self._setup.spec.name} on {settings.env} ({self._setup.backend}, {self.device}): {seeds}{budget} = "
            f"{counted(self.total * settings.num_seeds, 'step')}"
        )

    def begin(self) -> Any:
        """Return the state of new learners."""
        return self.backend.init(self._keys(self._learner_keys))

    def run(self, state: Any, record: Recorder) -> bool:
        """Train the first stage, then each round of the second; return False where told to stop before the end."""
        progress, extension, rounds = self.progress, self._extension, len(self.stages) - 1
        while True:
            preferences = self._stage_preferences(extension)
            state, stopping = self._train(state, preferences, record)
            finished = progress.updates == self.stages[progress.stage]
            if stopping and not (finished and progress.stage == len(self.stages) - 1):
                record.say("stopped early on request")
                return False
            if extension is None or progress.stage == rounds:
                if self.saver.keeps_final or self._variation:
                    self._save(self._trainer(progress.stage), state, record)
                return self._vary(record)
            progress.next_stage()
            index = progress.stage - 1
            record.say(f"round {index + 1} of {rounds} begins")
            keys = self._keys(self.fold(self._round_keys, index))
            state = self._second.init(keys, self._selected(extension, index), self._stage_preferences(extension))

    def _vary(self, record: Recorder) -> bool:
        """Run the last stage; return False where told to stop before its end, from where a resumed run begins it anew.

        Its steps are of all episodes that it runs, those of the policies it starts from too.
        """
        variation = self._variation
        if variation is None:
            return True
        solutions: Any = self.solutions
        simulator: Any = self.backend  # that of environments in JAX, see prepare
        progress, begin, row, tick = self.progress, self.progress.steps, 0, time.perf_counter()
        record.say("variation begins")
        populations = variation.begin(
            simulator,
            [solutions.items(i) for i in range(len(self.seeds))],
            self.fold(self._round_keys, len(self.stages)),
            self._settings.archive_capacity,
            self._setup.archive_epsilon,
        )
        while any(each.spent < variation.steps for each in populations):
            for each in populations:
                if each.spent < variation.steps:
                    each.advance()
                    raise_again()
            if self._watcher.should_stop():
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
                if line := self._estimate.after(steps, seconds, self.total - progress.steps, len(self.seeds)):
                    self.note(line, record)
                self.tell(record)
                nonfinite = self._checked(trainer.nonfinite(state), nonfinite, record)
                pace = max(1, min(2 * chunk, round(chunk * CHUNK_SECONDS / seconds)))
                self._watcher.update(Status(progress.steps, self.total, steps * len(self.seeds) / seconds))
                stopping = self._watcher.should_stop()
                if stopping or self.saver.due():
                    # before the evaluation of an early stop, which a run that was never stopped does not have
                    self._save(trainer, state, record)
            self.solutions.update(
                self.backend,
                trainer.policies(state),
                preferences,
                self.fold(self._eval_keys, progress.evaluations),
                self._settings.eval_episodes,
            )
            state = self._guided(trainer, state)
            self.tell(record)
            steps = trainer.steps(progress.updates) - trainer.steps(progress.updates - progress.since)
            rate = steps * len(self.seeds) / progress.learning
            self._report(rate, record)
            if stopping:
                break
            progress.evaluated()
            if self._watcher.stopped:  # by what the evaluation has shown
                self._save(trainer, state, record)
                return state, True
        return state, stopping

    def _targets(self, stage: int) -> list[int]:
        """Return the updates of a stage after which its policies are evaluated."""
        updates = self.stages[stage]
        share = self._settings.evaluations * updates / sum(self.stages)
        evaluations = min(max(1, round(share)), updates)
        return [updates * (index + 1) // evaluations for index in range(evaluations)]

    def _scheduled(self, trainer: Trainer, state: Any, target: int) -> tuple[Any, int]:
        """Set the preferences that the agent schedules for the next update; return until which update they hold."""
        agent, progress = self._setup.agent, self.progress
        interval = 0 if progress.stage else agent.preference_interval
        if not interval:
            return state, target
        if progress.updates % interval == 0:
            nothing = np.zeros((0, len(self._setup.objectives)))
            archives = [self.solutions.returns(i) if progress.evaluations else nothing for i in range(len(self.seeds))]
            schedule = self.solutions.schedule
            preferences = [schedule(i, agent, progress.updates, returns) for i, returns in enumerate(archives)]
            state = trainer.with_preferences(state, np.concatenate(preferences))
        return state, min(target, (progress.updates // interval + 1) * interval)

    def _guided(self, trainer: Trainer, state: Any) -> Any:
        """Set the step factors that the agent's guide finds from the last evaluation, in the first stage."""
        if self._guide is None or self.progress.stage:
            return state
        paced: Any = trainer
        return paced.with_step_factors(state, self._guide.factors(self.solutions.evaluated))

    def _report(self, rate: float, record: Recorder) -> None:
        """Write the metrics of this moment, and tell them; ``rate`` is of environment steps a second."""
        rows = self.results.rows(self.progress, self._seconds(), rate)
        with writing(self._path):
            for row in rows:
                record.write(row)
        for row in rows:
            remark = self._setup.agent.remark(row)
            if remark and remark not in self.progress.told:
                self.progress.told.append(remark)
                self.note(remark, record)
        self._watcher.update(status_of(rows, self.progress.steps, self.total, rate))

    def tell(self, record: Recorder) -> None:
        """Note what the environments have told since the last time."""
        for text in self.backend.incidents():
            self.note(text, record)

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
                self.note(f"policy {number} of seed {seed}, step {step:,} on {self._settings.env}: {text}", record)
        for i, seed in enumerate(self.seeds):
            mine = slice(i * self.per_seed, (i + 1) * self.per_seed)
            if self.progress.stage == 0 and now.stopped[mine].all():
                source = SOURCES[int(now.source[mine][-1])]
                advice = "" if source in FROM_ENVIRONMENT else "; try a lower learning_rate"
                raise UserError(
                    f"every policy of seed {seed} has diverged{advice} ({source} is not finite, "
                    f"step {self.progress.steps:,} on {self._settings.env})"
                )
        return now

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
            learners += extension.begin(index, returns, policies, self._setup.reference_point, taken)
        return learners

    def _trainer(self, stage: int) -> Trainer:
        """Return the trainer of a stage."""
        return self._second if stage else self.backend

    def _runner(self, trainer: Trainer, until: int) -> tuple[Trainer, int]:
        """Return the trainer of the updates that come next, and until which update it is that of them."""
        progress, warm = self.progress, self._warm
        if warm is None or progress.stage or progress.updates >= warm.start.updates:
            return trainer, until
        return warm.trainer(self.backend), min(until, warm.start.updates)

    def resumed(self, fresh: Any, record: Recorder) -> Any:
        """Return the state of the last whole checkpoint, or the fresh one where there is none yet."""
        states = {0: fresh}

        def like(stage: int) -> dict[str, Any]:
            trainer = self._trainer(stage)
            if stage:
                states[stage] = trainer.init(self._keys(self._learner_keys))
            return self._tree(trainer, states[stage])

        shape = (len(self.preferences), len(self.seeds), len(self.stages))
        saved, progress, damaged = self.saver.last(
            like, self._setup.resolved(self._settings), self._setup.defaults, shape
        )
        for text in damaged:
            self.note(f"left out: {text}", record)
        if progress is None:
            self.note("resumed from the start: there was no checkpoint yet", record)
            return fresh
        self.note(f"resumed at step {progress.steps:,}", record)
        if progress.stages and progress.stages != self.stages:
            progress.stages = self.stages
            targets = self._targets(progress.stage)
            progress.evaluations_in_stage = sum(target <= progress.updates for target in targets)
        self.progress = progress
        self.solutions.restore(saved["kept"])
        if self._guide:
            self._guide.restore(saved["guide"])
        self._clock -= progress.seconds
        return self._trainer(progress.stage).restored(states[progress.stage], saved["trainer"])

    def _save(self, trainer: Trainer, state: Any, record: Recorder) -> None:
        """Write a checkpoint of this moment."""
        tree = self._tree(trainer, state)
        with writing(self._path):
            self.progress.seconds, self.progress.rows = self._seconds(), record.rows()
            self.saver.save(tree, self.progress, self._setup.resolved(self._settings))

    def _tree(self, trainer: Trainer, state: Any) -> dict[str, Any]:
        """Return the arrays of a checkpoint."""
        guide = {"guide": self._guide.saved()} if self._guide else {}
        return {"trainer": trainer.saved(state), "kept": self.solutions.saved(), **guide}

    def _seconds(self) -> float:
        """Return the seconds of work, including those before an interruption."""
        return time.perf_counter() - self._clock

    def _keys(self, keys: jax.Array) -> list[jax.Array]:
        """Return one key for each policy from one for each seed."""
        return [key for seed_key in keys for key in jax.random.split(seed_key, self.per_seed)]

    @staticmethod
    def fold(keys: jax.Array, data: int) -> jax.Array:
        """Return each key folded with a number."""
        return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, data)

    def note(self, text: str, record: Recorder) -> None:
        """Log a line and show it."""
        record.say(text)
        self._watcher.note(text)
