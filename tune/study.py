"""A study: search on some seeds, then the best settings against the defaults on seeds that the search never saw."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from morl import search_space
from morl.errors import UserError, unknown_name
from morl.parsing import field_names, from_mapping, plain
from morl.registry import agent_spec, load
from morl.runs import directory, files
from morl.search_space import Space
from morl.settings import TrainSettings
from morl.tune import ledger as ledgers
from morl.tune import searchers
from morl.tune.board import TensorBoard
from morl.tune.heldout import HeldOut, compare
from morl.tune.journal import Journal, Trial
from morl.tune.ledger import Ledger, Reporter
from morl.tune.settings import StudySettings
from morl.tune.worker import Job, import_modules

FORMAT = 1
HELD_OUT = 100_000  # how far the seeds that the search never sees are from its own
RESUMABLE = (
    "num_samples",
    "address",
    "dashboard",
    "max_concurrent",
)  # settings that a resumed study may have others of
_PLACES = ("trials", "tensorboard", "held-out", "ray")


@dataclass(frozen=True)
class StudyResult:
    """What a study has found so far.

    Attributes:
        path: its directory.
        trials: all, by number.
        best: of the finished ones that of the highest score.
        held_out: it against the defaults on other seeds; ``None`` where that is not wanted or not possible.
        finished: nothing is left to do.
        grid: Ray's ``ResultGrid`` of this session; ``None`` where no trial was left to run.
    """

    path: Path
    trials: Mapping[int, Trial]
    best: Trial | None
    held_out: HeldOut | None
    finished: bool
    grid: Any = None


class Study:
    """A search for an agent's hyper-parameters on an environment.

    Args:
        agent: a registered agent.
        training: settings of each trial's training: :class:`morl.TrainSettings`, or those of an agent that searches for
            objects; ``out`` is the study's directory. Its seeds are those of the search.
        config: the agent's settings where they are not searched.
        settings: of the study.
        space: changes to what the agent declares, by the names of settings: a :class:`morl.search_space.Parameter`, a
            domain as in YAML, a value to fix, or ``None`` to leave a setting as it is.

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
        self.training = load(spec.settings)() if training is None else training
        self.config = load(spec.config)() if config is None else config
        if not isinstance(self.training, load(spec.settings)) or not isinstance(self.config, load(spec.config)):
            raise UserError(f"{agent} takes a {spec.settings.partition(':')[2]} and a {spec.config.partition(':')[2]}")
        self.space = self._space(dict(space or {}))
        self.path: Path | None = self.training.out
        self._resumed = False
        self._check()

    @classmethod
    def resume(cls, path: Path | str, **changes: Any) -> Study:
        """A study that was stopped, killed or finished, to go on with by :meth:`run`.

        Args:
            path: its directory. Nothing in it is unpickled or evaluated.
            changes: settings of the study that it goes on with, of :data:`RESUMABLE`.

        Raises:
            UserError: not a study, or settings that this version does not take.
        """
        path = Path(path)
        if not (path / "study.yaml").is_file():
            raise UserError(f"{path} is not a study: it has no study.yaml")
        for entry in (*path.iterdir(), *(e for place in ("trials", "held-out") for e in (path / place).glob("*"))):
            if entry.is_symlink():
                raise UserError(f"{entry} is a link; a study is resumed only in files of its own")
        written = directory.read_config(path / "study.yaml")
        source = str(path / "study.yaml")
        if written.get("format") != FORMAT:
            raise UserError(
                f"{source} has format {written.get('format')!r}; this version of morl reads format {FORMAT}"
            )
        parts = {name: written.get(name) for name in ("study", "training", "config", "space")}
        if not isinstance(agent := written.get("agent"), str) or not all(isinstance(x, dict) for x in parts.values()):
            raise UserError(f"{source} must hold an agent, and study, training, config and space as mappings")
        settings = from_mapping(StudySettings, parts["study"] or {}, source=source)
        if settings.modules and Path.cwd().resolve().is_relative_to(path.resolve()):
            raise UserError(f"the study imports {', '.join(settings.modules)}; resume it from outside its directory")
        if unknown := sorted(changes.keys() - set(RESUMABLE)):
            raise UserError(
                f"a study is resumed with its own settings, but for {', '.join(RESUMABLE)}: not {unknown[0]}"
            )
        import_modules(settings.modules)
        spec = agent_spec(agent)
        training = from_mapping(load(spec.settings), parts["training"] or {}, source=source)
        if ":" in training.env and Path.cwd().resolve().is_relative_to(path.resolve()):
            raise UserError(
                f"the environment {training.env} is of a module; resume the study from outside its directory"
            )
        also = field_names(load(spec.settings))
        config = from_mapping(load(spec.config), parts["config"] or {}, source=source, also=also)
        only: dict[str, Any] = {name: None for name in load(spec.space)} if spec.space else {}
        study = cls(
            agent,
            dataclasses.replace(training, out=path),
            config,
            dataclasses.replace(settings, **changes),
            {**only, **parts["space"]},  # type: ignore[dict-item]
        )
        study._resumed = True
        return study

    def run(self, reporter: Reporter | None = None, should_stop: Callable[[], bool] = lambda: False) -> StudyResult:
        """Search, compare and write, or go on with it.

        Args:
            reporter: told how it goes.
            should_stop: asked all the time; once true, trials write checkpoints and the study ends, to be resumed.

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
            with closing(TensorBoard(path / "tensorboard", self._own())) as board:
                return self._run(path, journal, board, reporter, should_stop)
        except OSError as error:
            raise UserError(
                f"cannot write to the study directory {path}: {error.strerror or error}; once it can be: "
                f"morl tune --resume {path}"
            ) from error
        finally:
            journal.close()
            (path / "stop").unlink(missing_ok=True)

    def _run(
        self,
        path: Path,
        journal: Journal,
        board: TensorBoard,
        reporter: Reporter | None,
        should_stop: Callable[[], bool],
    ) -> StudyResult:
        settings = self.settings
        own = self._own()
        kind = "random" if settings.scheduler == "pbt" else settings.searcher
        searcher = searchers.make(kind, self.space, own, settings.search_seed)
        for trial in journal.trials.values():
            if trial.state != "started":
                searcher.learn(trial)
        ledger = Ledger(
            journal,
            searcher,
            settings.num_samples,
            first=search_space.walk(self.space, own, lambda name, _: own[name]),
            stop=path / "stop",
            max_concurrent=None if settings.scheduler == "pbt" else settings.max_concurrent,
            should_stop=should_stop,
            reporter=reporter,
            board=board,
        )
        grid, held_out = None, None
        if reporter:
            reporter.start(self._headline(), path)
        left = not ledger.finished
        if left or self._compares(journal):
            from morl.tune import on_ray

            with on_ray.cluster(settings, os.getcwd()):
                if left:
                    grid = on_ray.search(
                        ledger, self.job, settings, self.space, path / "trials", path / "ray", self.budget
                    )
                if not ledger.stopping and self._compares(journal):
                    self._hold_out(ledger, on_ray.hold_out)
        chosen = ledgers.best(journal.trials)
        if chosen is None and not ledger.stopping:
            reasons = [trial.reason for trial in journal.trials.values() if trial.reason]
            raise UserError(
                f"none of {len(journal.trials)} trials finished: {reasons[0] if reasons else 'all were pruned'}"
            )
        if chosen is not None:
            held_out = self._held_out(journal, chosen)
            self._write(path, journal, chosen, held_out)
        done = not ledger.stopping and chosen is not None and not self._compares(journal)
        return StudyResult(path, dict(journal.trials), chosen, held_out, done, grid)

    @property
    def job(self) -> Job:
        """What trials are told."""
        training = _plain(self.training)
        del training["out"]
        settings = self.settings
        assert self.path is not None  # noqa: S101
        return Job(
            agent=self.agent,
            training=training,
            own=_plain(self.config),
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

    def _space(self, changes: dict[str, Any]) -> Space:
        """What is searched: as declared, changed by the file, then by flags, then by the argument."""
        spec = agent_spec(self.agent)
        space: Space = load(spec.space) if spec.space else {}
        written: dict[str, Any] = {}
        if self.settings.space_file is not None:
            written = directory.read_config(self.settings.space_file)
        given = [(written, str(self.settings.space_file)), (_of_flags(self.settings.space), "--space")]
        plain = {name: x.plain() if isinstance(x, search_space.Parameter) else x for name, x in changes.items()}
        fixed: dict[str, Any] = {}
        for part, source in (*given, (plain, "space")):
            unknown = [name for name in part if name not in field_names(type(self.config))]
            if unknown:
                names = field_names(type(self.config))
                raise UserError(f"{source}: {unknown_name('setting', unknown[0], names)}")
            space, more = search_space.overridden(space, part, source)
            fixed |= more
        space = {
            name: dataclasses.replace(p, live=changed.live)
            if isinstance(changed := changes.get(name), search_space.Parameter)
            else p
            for name, p in space.items()
        }
        fixed = {name: value for name, value in fixed.items() if name not in space}
        if fixed:
            self.config = from_mapping(type(self.config), {**_plain(self.config), **fixed}, source="space")
        own = self._own()
        search_space.checked(space, own, "space")
        if self.settings.scheduler == "pbt":
            space = {name: p for name, p in space.items() if p.live and p.active(own)}
        if not space:
            what = "that may change while a training goes on " if self.settings.scheduler == "pbt" else ""
            raise UserError(
                f"{self.agent} has no settings {what}to search; say which: --space NAME='{{log: [1e-4, 1e-2]}}'"
            )
        return space

    def _own(self) -> dict[str, Any]:
        """The agent's settings by name."""
        return {field.name: getattr(self.config, field.name) for field in dataclasses.fields(self.config)}

    def _check(self) -> None:
        """All that can be known before the first trial.

        Raises:
            UserError: settings that cannot work.
        """
        spec, settings = agent_spec(self.agent), self.settings
        if settings.scheduler == "pbt" and load(spec.settings) is not TrainSettings:
            raise UserError(
                f"scheduler pbt needs checkpoints that other settings can go on from, which {self.agent} has none of"
            )
        if self.training.seed + self.training.num_seeds > self.training.seed + HELD_OUT:
            raise UserError(f"num_seeds must be at most {HELD_OUT}, not {self.training.num_seeds}")
        if getattr(self.training, "processes", 0) and settings.trial_cpus < 1:
            raise UserError("worker processes need a whole core: give --trial-cpus as many as there are processes")
        for name, parameter in self.space.items():  # each end of each, with the rest as it is
            domain = parameter.domain
            ends = domain.options if isinstance(domain, search_space.Choice) else (domain.low, domain.high)
            if parameter.when:
                continue
            for value in ends:
                try:
                    dataclasses.replace(self.config, **{name: value})
                except UserError as error:
                    raise UserError(f"space: {name} cannot be {search_space.label(value)}: {error}") from None
        if load(spec.settings) is TrainSettings:
            if settings.trial_gpus:
                import jax

                jax.config.update(
                    "jax_platforms", "cpu"
                )  # GPUs are for the trials; this process takes none of their memory
            from morl.training.setup import prepare

            prepare(self.agent, self.training, self.config)

    def _directory(self) -> Path:
        """The study's directory, made, with what it was set to."""
        if self._resumed:
            assert self.path is not None  # noqa: S101
            return self.path
        name = f"tune-{self.agent}-{self.training.env.replace('/', '-').replace(':', '-')}"
        path = directory.create(self.path, name)
        try:
            (path / "checkpoints").rmdir()
            for place in _PLACES:
                (path / place).mkdir()
            files.write_text(path / "study.yaml", yaml.safe_dump(self._written(), sort_keys=False))
        except OSError as error:
            raise UserError(f"cannot write to the study directory {path}: {error.strerror}") from error
        return path

    def _written(self) -> dict[str, Any]:
        """The content of study.yaml."""
        training = _plain(self.training)
        del training["out"]
        study = {name: value for name, value in _plain(self.settings).items() if name not in ("space", "space_file")}
        return {
            "format": FORMAT,
            "agent": self.agent,
            "study": study,
            "training": training,
            "config": _plain(self.config),
            "space": search_space.plain(self.space),
            "run": directory.provenance(""),
        }

    def _headline(self) -> str:
        s, t = self.settings, self.training
        seeds = "1 seed" if t.num_seeds == 1 else f"{t.num_seeds} seeds"
        searcher = "random" if s.scheduler == "pbt" else s.searcher
        return (
            f"{self.agent} on {t.env}: {s.num_samples} trials ({searcher}, {s.scheduler}) of "
            f"{seeds} x {self.budget:,} steps, {len(self.space)} settings searched, score: {s.metric}"
        )

    def _compares(self, journal: Journal) -> bool:
        """Whether something is left to be trained on held-out seeds."""
        chosen = ledgers.best(journal.trials)
        if chosen is None or not self.settings.held_out_seeds:
            return False
        return any(name not in journal.held_out for name in self._contestants(chosen))

    def _contestants(self, chosen: Trial) -> dict[str, dict[str, Any]]:
        return {f"trial-{chosen.number:05}": chosen.params, "default": {}}

    def _hold_out(self, ledger: Ledger, run: Any) -> None:
        """Train the best settings and the defaults on seeds that the search has not seen."""
        assert self.path is not None  # noqa: S101
        chosen = ledgers.best(ledger.journal.trials)
        assert chosen is not None  # noqa: S101
        seeds = self.held_out_seeds
        changes = {"seed": seeds[0], "num_seeds": len(seeds)}
        wanted = {
            name: (self.path / "held-out" / name, params, changes)
            for name, params in self._contestants(chosen).items()
            if name not in ledger.journal.held_out
        }
        if not self._different(chosen):
            ledger.note("the defaults are the best: nothing to compare them with")
            wanted.pop(f"trial-{chosen.number:05}", None)
        elif wanted:
            ledger.note(
                f"trial {chosen.number} against the defaults on {len(seeds)} seeds that the search has not seen"
            )
        job = dataclasses.replace(self.job, checkpoints=False)
        for name, message in run(job, wanted, ledger, self.settings).items():
            if "final" in message:
                results = {int(seed): one for seed, one in message["seeds"].items()}
                ledger.journal.hold_out(name, results)
                if name == "default" and not self._different(chosen):
                    ledger.journal.hold_out(f"trial-{chosen.number:05}", results)
            elif "unwritable" in message:
                raise UserError(message["unwritable"])
            elif "failed" in message:
                ledger.note(f"{name} failed on the held-out seeds: {message['failed']}")
                ledger.journal.hold_out(name, {})

    def _different(self, chosen: Trial) -> bool:
        own = self._own()
        return any(_frozen(value) != own[name] for name, value in chosen.params.items())

    def _held_out(self, journal: Journal, chosen: Trial) -> HeldOut | None:
        names = list(self._contestants(chosen))
        tables = [journal.held_out.get(name) for name in names]
        if not all(tables):
            return None
        return compare(tables[0], tables[1])  # type: ignore[arg-type]

    def _write(self, path: Path, journal: Journal, chosen: Trial, held_out: HeldOut | None) -> None:
        """Tables, the best settings, and pictures."""
        files.write_text(path / "results.csv", ledgers.results_csv(journal.trials, list(self.space)))
        config = self.job.config(chosen.params)
        values = {"agent": self.agent, **_plain(self.training), **_plain(config)}
        values.pop("out", None)
        files.write_text(path / "best.yaml", yaml.safe_dump(values, sort_keys=False))
        if held_out is not None:
            files.write_text(path / "held_out.csv", held_out.as_csv())
        from morl.tune import pictures

        pictures.write(path, journal.trials, self.space, self._own(), self.settings.metric, held_out)


def _of_flags(flags: tuple[str, ...]) -> dict[str, Any]:
    """``NAME=YAML`` by name.

    Raises:
        UserError: something else.
    """
    changes = {}
    for flag in flags:
        name, equals, text = flag.partition("=")
        if not equals:
            raise UserError(f"--space takes NAME=DOMAIN, such as 'clip={{real: [0.1, 0.3]}}', not {flag!r}")
        try:
            changes[name.strip().replace("-", "_")] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UserError(f"--space {name}: {' '.join(str(error).split())}") from None
    return changes


def _plain(settings: Any) -> dict[str, Any]:
    """Settings by name, as YAML's safe dumper takes them."""
    return {name: plain(value) for name, value in dataclasses.asdict(settings).items()}


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
