"""Studies: a search on some seeds, then the best settings against the defaults on seeds that the search never saw."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from morl import search_space
from morl.errors import UserError
from morl.guard import made_settings
from morl.parsing import field_values, plain_fields
from morl.registry import agent_spec, load_settings
from morl.renaming import current_names
from morl.runs import directory, files
from morl.settings import TrainSettings
from morl.tune import heldout, searchers, spaces, study_file
from morl.tune import ledger as ledgers
from morl.tune.board import TensorBoard
from morl.tune.checks import HELD_OUT, check
from morl.tune.heldout import HeldOut
from morl.tune.journal import Journal, Trial
from morl.tune.ledger import Ledger, Reporter
from morl.tune.settings import StudySettings
from morl.tune.worker import Job, import_modules
from morl.words import brief_repr, counted

_FOLDERS = ("trials", "tensorboard", "held-out", "ray")


@dataclass(frozen=True)
class StudyResult:
    """Results of a study so far.

    Attributes:
        path: its directory.
        trials: all trials by number.
        best: the finished trial of the highest score; ``None`` where none has finished.
        held_out: the best trial against the defaults on other seeds; ``None`` where that is not wanted or not possible.
        finished: whether nothing is left to do.
        grid: Ray's ``ResultGrid`` of this session; ``None`` where no trial was left to run.
    """

    path: Path
    trials: Mapping[int, Trial]
    best: Trial | None
    held_out: HeldOut | None
    finished: bool
    grid: Any = None
    __repr__ = brief_repr


class Study:
    """Search for an agent's hyper-parameters on an environment.

    Args:
        agent: a registered agent.
        training: settings of each trial's training: :class:`morl.TrainSettings`, or those of an agent that searches for
            objects; ``out`` is the study's directory. Its seeds are those of the search.
        config: the agent's settings where they are not searched.
        settings: settings of the study.
        space: changes to the space that the agent declares, by names of settings: a
            :class:`morl.search_space.Parameter`, a domain as in YAML, a value to fix, or ``None`` not to search it.

    Raises:
        UserError: settings that cannot work, before anything is written or started.
    """

    def __init__(
        self,
        agent: str = "cmorl",
        training: Any = None,
        config: Any = None,
        settings: StudySettings | None = None,
        space: Mapping[str, Any] | None = None,
    ) -> None:
        self.agent, self.settings = agent, settings or StudySettings()
        import_modules(self.settings.modules)
        spec = agent_spec(agent)
        self.training = made_settings(load_settings(spec.settings)) if training is None else training
        config = made_settings(load_settings(spec.config)) if config is None else config
        if not isinstance(self.training, load_settings(spec.settings)) or not isinstance(
            config, load_settings(spec.config)
        ):
            raise UserError(f"{agent} takes a {spec.settings.partition(':')[2]} and a {spec.config.partition(':')[2]}")
        self.space, self.config = spaces.searched(agent, config, self.settings, dict(space or {}))
        self.path: Path | None = self.training.out
        self._resumed = False
        check(agent, self.training, self.config, self.settings, self.space)

    @classmethod
    def resume(cls, path: Path | str, **changes: Any) -> Study:
        """Return a study that was stopped, killed or finished, for :meth:`run` to continue.

        Args:
            path: its directory. Nothing in it is unpickled or evaluated.
            changes: new values for settings of the study, of :data:`morl.tune.study_file.RESUMABLE`.

        Raises:
            UserError: not a study, or settings that this version does not take.
        """
        study = cls(*study_file.read(Path(path), changes))
        study._resumed = True
        return study

    def run(self, reporter: Reporter | None = None, should_stop: Callable[[], bool] = lambda: False) -> StudyResult:
        """Search, compare and write, or continue with it.

        Args:
            reporter: shows the progress.
            should_stop: polled all the time; once true, trials write checkpoints and the study ends, to be resumed.

        Raises:
            UserError: a directory that holds something else or cannot be written; no Ray; every trial has failed.
        """
        path = self.path = self._directory()
        (path / "stop").unlink(missing_ok=True)
        try:
            journal = Journal(path / "journal.jsonl")
        except OSError as error:
            raise UserError(f"cannot write to the study directory {path}: {error.strerror}") from error
        try:
            for trial in journal.trials.values():
                trial.params = current_names(trial.params, type(self.config), source=str(journal.path))
            with closing(TensorBoard(path / "tensorboard", field_values(self.config))) as board:
                return self._run(path, self._ledger(path, journal, board, reporter, should_stop), reporter)
        except Exception as error:
            if not journal.trials and not self._resumed:  # it would be in the way of the next try
                shutil.rmtree(path, ignore_errors=True)
            if not isinstance(error, OSError):
                raise
            raise UserError(
                f"cannot write to the study directory {path}: {error.strerror or error}; once it can be: "
                f"morl tune --resume {path}"
            ) from error
        finally:
            journal.close()
            (path / "stop").unlink(missing_ok=True)

    def _ledger(
        self,
        path: Path,
        journal: Journal,
        board: TensorBoard,
        reporter: Reporter | None,
        should_stop: Callable[[], bool],
    ) -> Ledger:
        """Return the study's state, with a searcher that knows the trials that have ended."""
        settings, defaults = self.settings, field_values(self.config)
        searcher = searchers.make(self._searcher, self.space, defaults, settings.search_seed)
        for trial in journal.trials.values():
            if trial.state != "started":
                searcher.learn(trial)
        return Ledger(
            journal,
            searcher,
            settings.num_samples,
            first=search_space.walk(self.space, defaults, lambda name, _: defaults[name]),
            stop=path / "stop",
            max_concurrent=None if settings.scheduler == "pbt" else settings.max_concurrent,
            should_stop=should_stop,
            reporter=reporter,
            board=board,
        )

    def _run(self, path: Path, ledger: Ledger, reporter: Reporter | None) -> StudyResult:
        """Search, train on held-out seeds, and write the results, as far as that is left to do."""
        journal, settings, grid = ledger.journal, self.settings, None
        if reporter:
            reporter.start(self._headline(), path)
        unfinished = not ledger.finished
        if unfinished or heldout.left_to_train(journal, settings):
            from morl.tune import on_ray

            with on_ray.cluster(settings):
                if unfinished:
                    grid = on_ray.search(
                        ledger, self.job, settings, self.space, path / "trials", path / "ray", self.budget
                    )
                best = ledgers.best(journal.trials)
                if best is not None and not ledger.stopping and heldout.left_to_train(journal, settings):
                    heldout.train(
                        ledger,
                        best,
                        on_ray.hold_out,
                        job=self.job,
                        settings=settings,
                        defaults=field_values(self.config),
                        seeds=self.held_out_seeds,
                        directory=path / "held-out",
                    )
        best, held_out = ledgers.best(journal.trials), None
        table = path / "results.csv"
        files.write_text(table, ledgers.results_csv(journal.trials, list(self.space)))
        if best is None and not ledger.stopping:
            reasons = [trial.reason for trial in journal.trials.values() if trial.reason]
            number = counted(len(journal.trials), "trial")
            raise UserError(
                f"none of {number} finished: {reasons[0] if reasons else 'all were pruned'}; all of them: {table}"
            )
        if best is not None:
            held_out = heldout.result(journal, best)
            self._write(path, journal, best, held_out)
        finished = not ledger.stopping and best is not None and not heldout.left_to_train(journal, settings)
        return StudyResult(path, dict(journal.trials), best, held_out, finished, grid)

    @property
    def job(self) -> Job:
        """Data that all trials share."""
        training = plain_fields(self.training)
        del training["out"]
        settings = self.settings
        assert self.path is not None  # noqa: S101
        return Job(
            agent=self.agent,
            training=training,
            own=plain_fields(self.config),
            metric=settings.metric,
            modules=settings.modules,
            directory=os.getcwd(),
            cpus=settings.trial_cpus,
            gpus=settings.trial_gpus,
            checkpoints=settings.scheduler == "pbt",
            stop=str((self.path / "stop").resolve()),
        )

    @property
    def budget(self) -> int:
        """Environment steps, or labels, of a training, as its reports count them."""
        if isinstance(self.training, TrainSettings):
            return self.training.steps
        return int(self.config.budget) * int(self.training.num_seeds)

    @property
    def held_out_seeds(self) -> list[int]:
        """Seeds that no trial trains with."""
        first = (self.training.seed + HELD_OUT) % (2**31 - 1 - self.settings.held_out_seeds)
        return list(range(first, first + self.settings.held_out_seeds))

    @property
    def _searcher(self) -> str:
        """Name of the searcher; a population begins with random settings."""
        return "random" if self.settings.scheduler == "pbt" else self.settings.searcher

    def _directory(self) -> Path:
        """Return the study's directory; a new study makes it, with its ``study.yaml``."""
        if self._resumed:
            assert self.path is not None  # noqa: S101
            return self.path
        name = f"tune-{self.agent}-{self.training.env.replace('/', '-').replace(':', '-')}"
        path = directory.create(self.path, name)
        try:
            (path / "checkpoints").rmdir()
            for folder in _FOLDERS:
                (path / folder).mkdir()
            study_file.write(path, self.agent, self.training, self.config, self.settings, self.space)
        except OSError as error:
            raise UserError(f"cannot write to the study directory {path}: {error.strerror}") from error
        return path

    def _headline(self) -> str:
        s, t = self.settings, self.training
        seeds = counted(t.num_seeds, "seed")
        return (
            f"{self.agent} on {t.env}: {counted(s.num_samples, 'trial')} ({self._searcher}, {s.scheduler}) of "
            f"{seeds} x {self.budget:,} steps, {len(self.space)} settings searched, score: {s.metric}"
        )

    def _write(self, path: Path, journal: Journal, best: Trial, held_out: HeldOut | None) -> None:
        """Write the best settings, the comparison and pictures."""
        config = self.job.config(best.params)
        values = {"agent": self.agent, **plain_fields(self.training), **plain_fields(config)}
        values.pop("out", None)
        files.write_text(path / "best.yaml", yaml.safe_dump(values, sort_keys=False))
        if held_out is not None:
            files.write_text(path / "held_out.csv", held_out.as_csv())
        from morl.tune import pictures

        pictures.write(path, journal.trials, self.space, field_values(self.config), self.settings.metric, held_out)
