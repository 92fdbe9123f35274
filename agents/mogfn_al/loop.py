"""The rounds of a search by labels: propose, label, write down; from the start, or from where it was stopped.

All that a round depends on is the labels before it, the seed and its number, so that a round that was cut off is
repeated with the same numbers.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
import yaml

from morl.agents.mogfn_al import string_proposers
from morl.agents.mogfn_al.algorithm import MOGFNALConfig, MutationSampler, remembered
from morl.agents.mogfn_al.labels import Ints, Labelled, StringTask, oracle_of, table
from morl.constructive.objects import FoundFront, Search
from morl.constructive.sampling import diversity
from morl.environments import make
from morl.envs.constructive.mutations import Mutations
from morl.envs.constructive.strings import Strings
from morl.errors import MissingExtraError, UserError
from morl.loading import settings_of
from morl.ops import metrics
from morl.ops.preferences import spread
from morl.parsing import plain
from morl.registry import env_specs
from morl.runs import directory, files
from morl.runs.logger import Recorder, Row
from morl.settings import SearchSettings
from morl.training.backends import devices
from morl.training.loop import EXPECTED_UTILITY_WEIGHTS, Reporter, Status

AGENT = "mogfn-al"
LEARNT = ("loss", "log_z", "log_acquisition", "surrogate_error")  # columns that only the GFlowNet has
PACKAGES = ("torch", "gpytorch", "botorch")


def search(
    settings: SearchSettings | None,
    config: MOGFNALConfig | None,
    *,
    resume: Path | None,
    reporter: Reporter | None,
    should_stop: Callable[[], bool],
) -> Search:
    """Search, and leave a run directory; the arguments are those of :func:`morl.training.loop.train`.

    Raises:
        UserError: settings that cannot work, before anything is compiled or written; a run that cannot be resumed; an
            oracle that fails.
        MissingExtraError: the GFlowNet needs BoTorch.
    """
    if resume is not None:
        _, settings, config = settings_of(resume)
    settings, config = settings or SearchSettings(), config or MOGFNALConfig()
    if not isinstance(config, MOGFNALConfig) or not isinstance(settings, SearchSettings):
        raise UserError(f"{AGENT} takes a SearchSettings and a MOGFNALConfig")
    if config.proposer == "gflownet" and importlib.util.find_spec("botorch") is None:
        raise MissingExtraError(f"{AGENT} (proposer gflownet)", "bo")
    devices.reserve(split=False)
    env: Any = make(settings.env, backend="jax", **settings.env_kwargs)
    if not _is_of_strings(env):
        known = ", ".join(id for id, spec in env_specs().items() if spec.constructive)
        raise UserError(f"{AGENT} searches strings, which {env.id} does not build; constructive tasks are: {known}")
    mutations = Mutations(env.num_letters, (env.shortest_length, env.horizon), config.bases, config.max_edits)
    reference = metrics.check_reference_point(
        env.reference_point if settings.reference_point is None else settings.reference_point, len(env.objectives)
    )
    device = devices.choose(settings.device, 1, split=False)[0]
    path = resume or directory.create(settings.out, f"{AGENT}-{settings.env.replace('/', '-').replace(':', '-')}")
    with jax.default_device(device):
        return _Search(settings, config, env, MutationSampler(config, mutations), reference, path).run(
            str(device.device_kind), reporter, should_stop, resumed=resume is not None
        )


def _is_of_strings(env: object) -> bool:
    return isinstance(env, Strings)


class _Search:
    """One call of :func:`search`."""

    def __init__(
        self,
        settings: SearchSettings,
        config: MOGFNALConfig,
        env: StringTask,
        sampler: MutationSampler,
        reference: Any,
        path: Path,
    ) -> None:
        self.settings, self.config, self.env, self.sampler = settings, config, env, sampler
        self.reference, self.path = reference, path
        self.oracle = oracle_of(env)
        self.seeds = range(settings.seed, settings.seed + settings.num_seeds)
        self.weights = spread(len(env.objectives), EXPECTED_UTILITY_WEIGHTS)
        true_front = getattr(env, "true_front", None)
        self.true_front = true_front(1.0) if true_front else None
        values = {**dataclasses.asdict(settings), **dataclasses.asdict(config)}
        del values["out"]
        values["reference_point"] = reference.tolist()
        self.resolved: dict[str, Any] = {
            "agent": AGENT,
            **{name: plain(x) for name, x in values.items()},
        }

    def run(self, device: str, reporter: Reporter | None, should_stop: Callable[[], bool], *, resumed: bool) -> Search:
        """Everything from the headline to the front."""
        c = self.config
        seeds = "" if len(self.seeds) == 1 else f"{len(self.seeds)} seeds x "
        headline = (
            f"{AGENT} ({c.proposer}) on {self.settings.env} ({device}): {seeds}({c.initial} + {c.rounds} rounds x "
            f"{c.round_size}) = {len(self.seeds) * c.budget:,} labels"
        )
        record = Recorder(self.path)
        try:
            known = {seed: self._known(seed) for seed in self.seeds}
            record.say(headline)
            if resumed:
                record.say(f"resumed after {sum(map(len, known.values()))} labels")
            else:
                provenance = directory.provenance(device)
                if c.proposer == "gflownet":
                    provenance["versions"] |= {name: version(name) for name in PACKAGES}
                text = yaml.safe_dump({**self.resolved, "run": provenance}, sort_keys=False)
                files.write_text(self.path / "config.yaml", text)
            record.begin(0, 0 if resumed else None)  # the rounds known are written again
            record.config((self.path / "config.yaml").read_text())
            if reporter:
                reporter.start(headline, self.path)
            for labelled in known.values():
                for row in labelled.rows:
                    record.write(row)
            for seed, labelled in known.items():
                while len(labelled.rows) <= c.rounds and not should_stop():
                    self._round(seed, labelled)
                    record.write(labelled.rows[-1])
                    if reporter:
                        reporter.update(self._status(known, labelled.rows[-1]))
            return self._finish(known, record)
        except BaseException as error:
            record.say(f"failed: {error!r}")
            raise
        finally:
            record.close()

    def _state(self, seed: int) -> Path:
        return self.path / "checkpoints" / f"labelled-{seed}.json"

    def _known(self, seed: int) -> Labelled:
        """What was labelled before, or nothing yet.

        Raises:
            UserError: it is not what these settings lead to.
        """
        path = self._state(seed)
        if not path.exists():
            return Labelled(self.env.horizon, len(self.env.objectives))
        known = Labelled.load(path, self.env)
        rounds = len(known.rows) - 1
        if rounds > self.config.rounds or len(known) != self.config.initial + rounds * self.config.round_size:
            raise UserError(f"{path} has {len(known)} labels after round {rounds}, which config.yaml does not lead to")
        return known

    def _round(self, seed: int, known: Labelled) -> None:
        """Propose, label and write down; nothing is kept of a round that is cut off."""
        c, index, started = self.config, len(known.rows), time.perf_counter()
        learnt = dict.fromkeys(LEARNT if c.proposer == "gflownet" else (), float("nan"))
        rng = np.random.default_rng([seed, index])
        if index == 0:
            proposed = known.strings
            while len(proposed) < c.initial:
                more = string_proposers.random_strings(self.env, c.initial, rng)
                proposed = known.fresh(np.concatenate([proposed, more]))[: c.initial]
            known.label(self.oracle, proposed, index)
        elif c.proposer == "gflownet":
            proposed, expected, learnt = self._by_gflownet(known, jax.random.fold_in(jax.random.key(seed), index), rng)
            known.label(self.oracle, proposed, index)
            labels = known.values[-len(proposed) :]
            learnt["surrogate_error"] = float(np.sqrt(((expected - labels) ** 2).mean()))
        else:
            by = string_proposers.by_genetics if c.proposer == "genetic" else string_proposers.by_mutation
            proposed = by(self.env, known, c.round_size, c.bases, c.max_edits, rng)
            known.label(self.oracle, proposed, index)
        known.rows.append(self._row(seed, index, known, proposed, learnt, time.perf_counter() - started))
        known.save(self._state(seed))

    def _by_gflownet(self, known: Labelled, key: jax.Array, rng: Any) -> tuple[Ints, Any, dict[str, float]]:
        """New strings, what the surrogate expects of them, and what there is to tell of the learner."""
        from morl.agents.mogfn_al.surrogate import Surrogate  # imports PyTorch

        c, sampler = self.config, self.sampler
        surrogate = Surrogate(known.strings, known.values, self.env.num_letters)
        front = known.strings[known.front()]
        acquisition = surrogate.acquisition(front, self.reference, c.posterior_samples, int(rng.integers(2**31)))
        log_value, _ = remembered(acquisition)
        bases = known.strings[known.best_first()[: c.bases]]
        key_train, key_draw = jax.random.split(key)
        state, learnt = sampler.train(bases, log_value, key_train)
        pool = known.fresh(sampler.draw(state, bases, c.pool, key_draw))
        if len(pool) < c.round_size:  # it has learnt to build very few, or known ones again
            more = string_proposers.by_mutation(self.env, known, c.pool, c.bases, c.max_edits, rng)
            pool = known.fresh(np.concatenate([pool, more]))
        proposed = pool[acquisition.best(pool, c.round_size)]
        return proposed, surrogate.mean(proposed), learnt

    def _row(
        self, seed: int, index: int, known: Labelled, proposed: Ints, learnt: dict[str, float], seconds: float
    ) -> Row:
        front = known.values[known.front()]
        hypervolume, exact = metrics.hypervolume_estimate(front, self.reference)
        start = metrics.hypervolume_estimate(known.values[known.rounds == 0], self.reference)[0]
        row: Row = {
            "step": len(known),
            "seed": seed,
            "round": index,
            "seconds": round(seconds, 3),
            "hypervolume": hypervolume,
            "hypervolume_exact": int(exact),
            "relative_hypervolume": hypervolume / start if start > 0 else float("nan"),
            "expected_utility": metrics.expected_utility(front, self.weights),
            "front_size": len(front),
            "batch_diversity": diversity(self.env, [self.env.text(string) for string in proposed]),
        }
        if self.true_front is not None:
            row["hypervolume_share"] = hypervolume / metrics.hypervolume(self.true_front, self.reference)
        return {**row, **learnt}

    def _status(self, known: dict[int, Labelled], row: Row) -> Status:
        share = (float(row["hypervolume_share"]),) if "hypervolume_share" in row else ()
        return Status(
            sum(map(len, known.values())),
            len(self.seeds) * self.config.budget,
            self.config.round_size / max(float(row["seconds"]), 1e-3),
            hypervolume=(float(row["hypervolume"]),),
            expected_utility=(float(row["expected_utility"]),),
            front_size=(int(row["front_size"]),),
            share=share,
            evaluated=True,
        )

    def _finish(self, known: dict[int, Labelled], record: Recorder) -> Search:
        """Tables and pictures of what there is."""
        from morl.viz import plotting  # matplotlib takes a while to load

        finished = all(len(labelled.rows) > self.config.rounds for labelled in known.values())
        known = {seed: labelled for seed, labelled in known.items() if len(labelled)}
        files.write_text(self.path / "candidates.csv", table(known, self.env, lambda one: range(len(one))))
        files.write_text(self.path / "front.csv", table(known, self.env, lambda one: one.front().tolist()))
        fronts = {seed: self._front(labelled) for seed, labelled in known.items()}
        if fronts:
            labels = sum(map(len, known.values()))
            title = f"{AGENT} ({self.config.proposer}) on {self.settings.env}, {labels:,} labels"
            figure = plotting.draw_front(cast(Any, fronts), title, self.true_front)
            plotting.save(figure, self.path / "front.png")
            record.image("front", plotting.pixels(figure), labels)
        for seed, front in fronts.items():
            record.say(f"seed {seed}: {len(front)} objects, {front.describe_hypervolume()}")
        record.say("finished" if finished else "stopped early on request")
        return Search(self.path, self.resolved, fronts, finished)

    def _front(self, labelled: Labelled) -> FoundFront:
        rows = labelled.front()
        return FoundFront(
            tuple(objective.name for objective in self.env.objectives),
            labelled.values[rows],
            tuple(self.env.text(labelled.strings[i]) for i in rows),
            self.reference,
        )
