"""The training loop: collect, learn, evaluate, archive, log; then re-evaluate the archive on fresh seeds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import yaml

from morl import checkpoint, devices, metrics, runs
from morl.envs.host_values import oracle_errors
from morl.front import Floats, Front, objects_csv, to_csv
from morl.logging import CsvWriter, TensorBoardWriter
from morl.plan import Plan, prepare
from morl.preferences import spread
from morl.runs import Run
from morl.settings import TrainSettings
from morl.types import Extension, PyTree

EXPECTED_UTILITY_WEIGHTS = 100
PIECE_SECONDS = 1.0  # about how long compiled code runs before the loop looks up


@dataclass(frozen=True)
class Status:
    """Where a training stands, for whoever shows it; one value a seed where it depends on the seed.

    Attributes:
        step, total: environment steps of one seed, done and planned.
        steps_per_second: over all seeds, collecting and learning, since the last status.
        hypervolume, expected_utility, front_size: of the archive by training estimates, at the last evaluation.
        share: hypervolume over the true front's, where that is known.
    """

    step: int
    total: int
    steps_per_second: float
    hypervolume: tuple[float, ...] = ()
    expected_utility: tuple[float, ...] = ()
    front_size: tuple[int, ...] = ()
    share: tuple[float, ...] = ()
    evaluated: bool = False


class Reporter(Protocol):
    """Shows a training to a person."""

    def start(self, headline: str, path: Path) -> None:
        """Before anything is compiled."""
        ...

    def update(self, status: Status) -> None:
        """After each piece of work."""
        ...

    def note(self, text: str) -> None:
        """The agent's notes at the start, and what re-evaluation took off each front at the end."""
        ...


@oracle_errors()
def train(
    agent: str = "cmorl",
    settings: TrainSettings | None = None,
    config: Any = None,
    *,
    reporter: Reporter | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Train, and leave a run directory with a front re-evaluated on fresh seeds.

    Args:
        agent: a registered agent; see ``morl agents``.
        settings: :class:`TrainSettings`.
        config: the agent's own settings, of the dataclass it is registered with.
        reporter: told how it goes.
        should_stop: asked between pieces of about a second; once true, the policies so far are evaluated and written.

    Raises:
        UserError: settings that cannot work, before anything is compiled or written; later, an environment that gives
            something else than it promises, or a seed all of whose policies have diverged.
    """
    settings = settings or TrainSettings()
    plan = prepare(agent, settings, config)
    chosen = devices.choose(settings.device, len(plan.agent.preferences) * settings.num_seeds, plan.split_cores)
    path = runs.create(settings.out, f"{agent}-{settings.env.replace('/', '-').replace(':', '-')}")
    with jax.default_device(chosen[0]):
        return _Training(plan, settings, path, chosen, reporter, should_stop).run()


class _Training:
    """One call of :func:`train`."""

    def __init__(
        self,
        plan: Plan,
        settings: TrainSettings,
        path: Path,
        chosen: list[jax.Device],
        reporter: Reporter | None,
        should_stop: Callable[[], bool],
    ) -> None:
        self.plan, self.settings, self.path = plan, settings, path
        self.reporter, self.should_stop = reporter, should_stop
        agent, extension = plan.agent, plan.agent.extension
        self.per_seed = len(agent.preferences)
        self.seeds = range(settings.seed, settings.seed + settings.num_seeds)
        self.preferences = np.concatenate([agent.preferences] * settings.num_seeds)
        self.steps_per_update = self.per_seed * agent.learner.num_envs * agent.learner.rollout_steps
        self.total_updates = agent.updates + (extension.rounds * extension.updates if extension else 0)
        self.total = self.total_updates * self.steps_per_update
        self.weights = spread(len(plan.objectives), EXPECTED_UTILITY_WEIGHTS)
        # the fourth part of each is for evaluations of the finished run
        roots = [jax.random.split(jax.random.key(seed), 5) for seed in self.seeds]
        self.learner_keys = jnp.stack([root[0] for root in roots])
        self.eval_keys = jnp.stack([root[1] for root in roots])
        self.final_keys = jnp.stack([root[2] for root in roots])
        self.round_keys = jnp.stack([root[4] for root in roots])
        self.backend = plan.make_backend(self.preferences, eval_episodes=settings.eval_episodes, devices=chosen)
        self.device = f"{min(len(chosen), len(self.preferences))} x {chosen[0].device_kind}"
        self.kept = plan.make_keeper(self.seeds, settings.archive_capacity)
        self.taken: list[set[bytes]] = [set() for _ in self.seeds]
        self.steps = self.evaluations = 0

    def run(self) -> Run:
        """Everything from the headline to the front."""
        agent, settings, started = self.plan.agent, self.settings, time.perf_counter()
        seeds = "" if settings.num_seeds == 1 else f"{settings.num_seeds} seeds x "
        rounds = f" + {agent.extension.rounds} x {agent.extension.updates}" if agent.extension else ""
        policies = "1 policy" if self.per_seed == 1 else f"{self.per_seed} policies"
        headline = (
            f"{self.plan.agent_name} on {settings.env} ({self.plan.backend}, {self.device}): {seeds}{policies} x "
            f"{agent.updates}{rounds} updates x {self.steps_per_update // self.per_seed} steps = "
            f"{self.total * settings.num_seeds:,} steps"
        )
        resolved = self.plan.resolved(settings)
        config_text = yaml.safe_dump({**resolved, "run": runs.provenance(self.device)}, sort_keys=False)
        runs.write_text(self.path / "config.yaml", config_text)
        log = (self.path / "log.txt").open("w")
        csv_writer, tensorboard = CsvWriter(self.path / "metrics.csv"), TensorBoardWriter(self.path)
        tensorboard.text("config", f"```yaml\n{config_text}```")

        def say(text: str) -> None:
            log.write(f"{time.strftime('%H:%M:%S')} {text}\n")
            log.flush()

        say(headline)
        if self.reporter:
            self.reporter.start(headline, self.path)
        for note in agent.notes:
            say(note)
            if self.reporter:
                self.reporter.note(note)

        def write(row: dict[str, float | int]) -> None:
            csv_writer.write(row)
            tensorboard.write(row)
            say(" ".join(f"{name}={value:.6g}" for name, value in row.items()))

        try:
            self._loop(write, say, started)
            fronts = self._final(say)
            self._write(fronts, tensorboard)
        except BaseException as error:
            say(f"failed: {error!r}")
            raise
        finally:
            self.backend.close()
            tensorboard.close()
            csv_writer.close()
            log.close()
        return Run(self.path, resolved, fronts)

    def _loop(self, write: Callable[[dict[str, Any]], None], say: Callable[[str], None], started: float) -> None:
        """Train to the end or until told to stop: the first stage, then each round of the second."""
        agent, extension = self.plan.agent, self.plan.agent.extension
        state = self.backend.init(self._keys(self.learner_keys))
        stopping = self._train(state, self.preferences, agent.updates, write, started)
        if extension:
            for index in range(extension.rounds):
                if stopping:
                    break
                preferences = np.tile(extension.preferences(index), (len(self.seeds), 1))
                say(f"round {index + 1} of {extension.rounds} begins")
                keys = self._keys(self._fold(self.round_keys, index))
                state = self.backend.init(keys, self._selected(extension, index), preferences)
                stopping = self._train(state, preferences, extension.updates, write, started)
        if stopping:
            say("stopped early on request")

    def _selected(self, extension: Extension, index: int) -> list[PyTree]:
        """Learners at the start of the round of this index, from the archives."""
        learners: list[PyTree] = []
        for i, taken in enumerate(self.taken):
            returns, policies = self.kept.returns(i), self.kept.policies(i)
            learners += extension.begin(index, returns, policies, self.plan.reference_point, taken)
        return learners

    def _keys(self, keys: jax.Array) -> list[jax.Array]:
        """One for each policy, of one for each seed."""
        return [key for seed_key in keys for key in jax.random.split(seed_key, self.per_seed)]

    def _train(
        self,
        state: Any,
        preferences: Floats,
        total_updates: int,
        write: Callable[[dict[str, Any]], None],
        started: float,
    ) -> bool:
        """One stage: piece after piece of about a second, evaluated and archived now and then; told to stop or not."""
        share = self.settings.evaluations * total_updates / self.total_updates
        evaluations = min(max(1, round(share)), total_updates)
        updates, pace, stopping = 0, 1, False
        for index in range(evaluations):
            target = total_updates * (index + 1) // evaluations
            learning, pieces, begin = 0.0, [], updates
            while updates < target and not stopping:
                piece = min(pace, target - updates)
                tick = time.perf_counter()
                state, learnt = self.backend.run(state, piece)
                pieces.append((piece, {name: np.asarray(value) for name, value in learnt.items()}))
                seconds = time.perf_counter() - tick
                learning += seconds
                updates += piece
                self.steps += piece * self.steps_per_update
                rate = piece * self.steps_per_update * len(self.seeds) / seconds
                pace = max(1, min(2 * piece, round(piece * PIECE_SECONDS / seconds)))
                stopping = self.should_stop()
                self._update(Status(self.steps, self.total, rate))
            self.kept.look(
                self.backend,
                self.backend.policies(state),
                preferences,
                self._fold(self.eval_keys, self.evaluations),
                self.settings.eval_episodes,
            )
            self.evaluations += 1
            rate = (updates - begin) * self.steps_per_update * len(self.seeds) / learning
            rows = self._rows(rate, time.perf_counter() - started, pieces)
            for row in rows:
                write(row)
            self._update(self._status(rows, rate))
            if stopping:
                break
        return stopping

    def _rows(self, rate: float, seconds: float, pieces: list[tuple[int, dict[str, Any]]]) -> list[dict[str, Any]]:
        """One row of metrics for each seed."""
        weights = np.array([count for count, _ in pieces], float)
        rows = []
        for i, seed in enumerate(self.seeds):
            mine = slice(i * self.per_seed, (i + 1) * self.per_seed)
            learnt = {
                name: float(np.average([piece[name][mine].mean() for _, piece in pieces], weights=weights))
                for name in pieces[0][1]
            }
            rows.append(
                {
                    "step": self.steps,
                    "seed": seed,
                    "seconds": round(seconds, 3),
                    **self._quality(self.kept.returns(i)),
                    **self.kept.metrics(i),
                    "steps_per_second": round(rate, 1),
                    **learnt,
                }
            )
        return rows

    def _quality(self, returns: Floats) -> dict[str, float | int]:
        hypervolume, exact = metrics.hypervolume_estimate(returns, self.plan.reference_point)
        quality: dict[str, float | int] = {
            "hypervolume": hypervolume,
            "hypervolume_exact": int(exact),
            "expected_utility": metrics.expected_utility(returns, self.weights),
            "sparsity": metrics.sparsity(returns),
            "front_size": len(returns),
        }
        if self.plan.true_hypervolume:
            quality["hypervolume_share"] = hypervolume / self.plan.true_hypervolume
        return quality

    def _final(self, say: Callable[[str], None]) -> dict[int, Front]:
        """Evaluate what is kept on fresh seeds: estimates that put a policy into an archive are its luckiest ones."""
        found = self.kept.final(self.backend, self.final_keys, self.settings.final_episodes)
        fronts = {}
        for i, (seed, (evaluation, params, preferences)) in enumerate(zip(self.seeds, found, strict=True)):
            front = self.plan.front(evaluation, params, preferences)
            before = metrics.hypervolume_estimate(self.kept.returns(i), self.plan.reference_point)[0]
            text = (
                f"seed {seed}: {self.kept.size(i)}, hypervolume {before:.6g} by training estimates, "
                f"{front.hypervolume():.6g} {front.how_measured} ({len(front)} {front.kind})"
            )
            say(text)
            if self.reporter:
                self.reporter.note(text)
            fronts[seed] = front
        return fronts

    def _write(self, fronts: dict[int, Front], tensorboard: TensorBoardWriter) -> None:
        from morl import plotting  # matplotlib takes a while to load

        policies = {str(seed): front.params for seed, front in fronts.items()}
        checkpoint.save(self.path / "checkpoints" / "front", policies)
        runs.write_text(self.path / "front.csv", to_csv(fronts))
        if self.plan.draws_objects:
            runs.write_text(self.path / "objects.csv", objects_csv(fronts))
        title = f"{self.plan.agent_name} on {self.settings.env}, {self.steps:,} steps"
        figure = plotting.draw_front(fronts, title, self.plan.true_front)
        plotting.save(figure, self.path / "front.png")
        tensorboard.image("front", plotting.pixels(figure), self.steps)

    def _status(self, rows: list[dict[str, Any]], rate: float) -> Status:
        def column(name: str) -> tuple[Any, ...]:
            return tuple(row[name] for row in rows if name in row)

        return Status(
            self.steps,
            self.total,
            rate,
            hypervolume=column("hypervolume"),
            expected_utility=column("expected_utility"),
            front_size=column("front_size"),
            share=column("hypervolume_share"),
            evaluated=True,
        )

    def _update(self, status: Status) -> None:
        if self.reporter:
            self.reporter.update(status)

    @staticmethod
    def _fold(keys: jax.Array, data: int) -> jax.Array:
        return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, data)
