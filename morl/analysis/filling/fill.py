"""``morl fill``: a run's fronts filled by merged policies, and written as a run of their own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from morl.analysis.filling.merging import inner_products, merged, merged_preferences
from morl.analysis.filling.report import Filled, SeedReport, report_of
from morl.analysis.filling.search import search
from morl.errors import UserError, closing
from morl.loading import evaluation_key, fronts_of, setup_of, with_max_envs
from morl.ops.pareto import crowding_distance
from morl.runs import directory, files
from morl.runs.directory import Run
from morl.runs.front import Front
from morl.settings import FillSettings, TrainSettings
from morl.training.backends import devices
from morl.training.results import write_config, write_fronts
from morl.training.setup import Setup
from morl.training.solution_sets import distinct_rows
from morl.types import Evaluation, PyTree, Trainer
from morl.validation import changed

Floats = NDArray[np.float64]

SEARCH, CONFIRMATION = 2**30, 2**30 + 1  # what the key of a seed is folded with; evaluations fold in small numbers
BLOCK = {"cpu": 64}  # merged policies of a compiled evaluation; by platform
MOST_BLOCK = 1024
BLOCK_BYTES = 2**28  # of their parameters
MOST_CONFIRMED = 200  # merges, or as many as there are policies


def fill(run: Any, settings: FillSettings | None = None, env: Any = None, **changes: Any) -> Filled:
    """Fill the fronts of a run by merging the parameters of its policies, and leave a run directory with them.

    >>> import morl
    >>> filled = morl.fill("runs/x", candidates=1000, out="runs/x-filled")  # doctest: +SKIP

    Merges are searched on episodes of their own, then those that look non-dominated are evaluated again on fresh ones
    beside the run's policies: only what is still non-dominated, and no near-duplicate, is in the new fronts.

    Args:
        run: a finished run, or its directory; it is not touched.
        settings: :class:`morl.settings.FillSettings`.
        env: as for :func:`morl.load`.
        changes: settings by name, which win over ``settings``.

    Raises:
        UserError: not a finished run, policies that cannot be merged, or fewer than two of them.
    """
    settings = changed(settings, FillSettings, changes)
    path, started = Path(run), time.perf_counter()
    setup, trained = _checked_setup(path, settings, env)
    on_host = setup.backend != "jax"
    most = len(setup.agent.preferences) if on_host else MOST_BLOCK
    chosen = devices.choose(settings.device, most, setup.spec.split_cores)  # before anything else uses JAX
    episodes = settings.episodes or trained.eval_episodes
    new = dataclasses.replace(trained, final_episodes=setup.episodes)
    with jax.default_device(chosen[0]):
        fronts = fronts_of(path, setup, trained)
        if all(len(front) < 2 for front in fronts.values()):
            raise UserError(f"{path} has one policy in its front; filling takes two or more")
        block = most if on_host else block_size(next(iter(fronts.values())).params, chosen[0].platform)
    with _new_directory(settings.out, path) as out, jax.default_device(chosen[0]):
        backend = setup.make_backend(
            np.resize(setup.agent.preferences, (block, len(setup.objectives))),
            eval_episodes=min(episodes, setup.episodes),
            devices=chosen,
        )
        filled, reports = {}, {}
        with closing(backend):
            for seed, front in fronts.items():
                filled[seed], reports[seed] = _Filling(setup, backend, block, front, settings, seed).run(episodes)
        found = Filled(
            run=Run(out, setup.resolved(new), filled),
            source=path,
            reports=reports,
            steps=sum(report.steps for report in reports.values()),
            trained_steps=new.steps * len(fronts),
            seconds=time.perf_counter() - started,
        )
        _write(found, setup, new, settings, f"{len(chosen)} x {chosen[0].device_kind}")
    return found


def _checked_setup(path: Path, settings: FillSettings, env: Any) -> tuple[Setup, TrainSettings]:
    """Return the setup of a run whose policies can be merged, and the settings it was trained by.

    Raises:
        UserError: one that has no policies to merge.
    """
    setup, trained = setup_of(path, env=env)
    setup.require("fill")
    if setup.conditional or setup.has_objects:  # solution sets of others need not name every command
        raise UserError(f"morl fill cannot work on a run of {setup.spec.name}: it has no policies to merge")
    setup = dataclasses.replace(setup, trains=False, episodes=settings.final_episodes or trained.final_episodes)
    return with_max_envs(setup, trained.env, settings.max_envs), trained


def block_size(params: PyTree, platform: str) -> int:
    """Return the number of policies of one compiled evaluation in JAX, by the size of n stacked ones."""
    one: int = sum(np.asarray(x)[0].nbytes for x in jax.tree.leaves(params))
    return max(1, min(BLOCK.get(platform, MOST_BLOCK), BLOCK_BYTES // max(one, 1)))


@contextlib.contextmanager
def _new_directory(out: Path | None, source: Path) -> Iterator[Path]:
    """Make a run directory, which goes again where nothing comes to be written to it."""
    path = directory.create(out, f"{source.resolve().name}-filled")
    try:
        yield path
    except BaseException:
        if not (path / "config.yaml").exists():
            shutil.rmtree(path / "checkpoints", ignore_errors=True)
            with contextlib.suppress(OSError):
                path.rmdir()
        raise


class _Filling:
    """Filling of the front of one training seed."""

    def __init__(
        self, setup: Setup, trainer: Trainer, block: int, front: Front, settings: FillSettings, seed: int
    ) -> None:
        self._setup, self._trainer, self._block = setup, trainer, block
        self._front, self._settings, self._seed = front, settings, seed
        self._key = evaluation_key(settings.seed, seed)
        self._steps = 0

    def run(self, episodes: int) -> tuple[Front, SeedReport]:
        """Search on ``episodes`` each, confirm on fresh ones, and return the filled front and what was found."""
        front, epsilon = self._front, self._setup.archive_epsilon
        inner = inner_products(front.params)
        rng = np.random.default_rng([self._settings.seed, self._seed])

        def evaluate(weights: Floats) -> Floats:
            return np.asarray(self._evaluate(weights, SEARCH, episodes).discounted, np.float64)

        pool = search(evaluate, inner, epsilon, self._settings, rng)
        own = len(front)
        better = pool.front(epsilon)
        better = better[better >= own]
        if len(better) > (most := max(own, MOST_CONFIRMED)):
            better = np.sort(better[np.argsort(-crowding_distance(pool.means[better]), kind="stable")[:most]])
        weights = np.concatenate([pool.weights[:own], pool.weights[better]])
        evaluation = self._evaluate(weights, CONFIRMATION, self._setup.episodes)
        samples = np.asarray(evaluation.discounted, np.float64)
        rows = distinct_rows(samples, epsilon)
        chosen: Evaluation = jax.tree.map(lambda x: np.asarray(x)[rows], evaluation)
        preferences = self._preferences(weights[rows])
        filled = self._setup.front(chosen, merged(front.params, weights[rows]), preferences)
        kept = rows[list(filled.evaluated)]
        return filled, report_of(
            pool=pool,
            weights=weights[kept],
            confirmed=filled.returns,
            alone=samples[:own].mean(axis=1)[distinct_rows(samples[:own], epsilon)],
            tried=len(pool.weights) - own,
            promising=len(better),
            steps=self._steps,
            reference_point=self._setup.reference_point,
        )

    def _evaluate(self, weights: Floats, stage: int, episodes: int) -> Evaluation:
        """Evaluate merges (K, n), all on the same episodes of a stage; policies are made a block at a time."""
        key = jax.random.fold_in(self._key, stage)
        parts = []
        for begin in range(0, len(weights), self._block):
            rows = weights[begin : begin + self._block]
            policies: PyTree = merged(self._front.params, rows)
            keys = jnp.repeat(key[None], len(rows), axis=0)
            parts.append(self._trainer.evaluate(policies, self._preferences(rows), keys, episodes))
        evaluation: Evaluation = jax.tree.map(lambda *x: np.concatenate(x), *parts)
        self._steps += int(np.asarray(evaluation.length).sum())
        return evaluation

    def _preferences(self, weights: Floats) -> Floats:
        return merged_preferences(self._front.preferences, weights)


def _write(found: Filled, setup: Setup, new: TrainSettings, settings: FillSettings, device: str) -> None:
    """Write the run directory; ``front.csv``, which makes it a finished run, comes last but for its picture."""
    out, source = found.run.path, found.source
    notes = {"filled": {"from": str(source), **_plain(settings), **found.cost()}}
    try:
        write_config(out, setup, new, device, notes)
        if (source / "metrics.csv").is_file():
            shutil.copyfile(source / "metrics.csv", out / "metrics.csv")
        files.write_text(out / "fill.json", json.dumps(found.as_dict(), indent=1) + "\n")
        write_fronts(out, setup, dict(found.run.fronts), f"{new.env}, filled")
    except OSError as error:
        raise UserError(f"cannot write to the run directory {out}: {error.strerror or error}") from error


def _plain(settings: FillSettings) -> dict[str, Any]:
    """Return settings that decide what is found."""
    names = ("candidates", "rounds", "members", "base", "episodes", "seed")
    return {name: getattr(settings, name) for name in names}
