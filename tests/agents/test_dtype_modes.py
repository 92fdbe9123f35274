"""A tiny training of every registered agent in JAX's dtype modes gives the front that it gives in none of them.

One of them runs with all other tests, the others by ``pytest -m dtypes``.
"""

import numpy as np
import pytest

import morl
from morl import loading
from morl.export import export
from tests.agents.test_conformance import CASES, settings_of
from tests.envs.dtype_modes import MODES, dtype_mode

ALWAYS = ("cmorl", "x64-strict")  # both stages
OTHERS = {  # environments, networks and options that the conformance cases lack
    "cmorl": [({"env": "minecart-v0", "env_kwargs": {}}, {}), ({"env": "mec-offloading-v0", "env_kwargs": {}}, {})],
    "ppo": [({"env": "mo-mountaincarcontinuous-v0", "env_kwargs": {}}, {}), ({"backend": "host"}, {})],
    "d3po": [
        ({"env": "mo-mountaincarcontinuous-v0", "env_kwargs": {}}, {"conditioning": "hypernetwork"}),
        (
            {"env": "minecart-v0", "env_kwargs": {}},
            {"conditioning": "concat", "normalise_advantages": "together", "preference_concentration": (0.5,)},
        ),
    ],
    "capql": [
        (
            {"env": "mo-mountaincarcontinuous-v0", "env_kwargs": {}},
            {"critic_network": "batch_norm", "target_networks": False, "prioritised_replay": True},
        ),
        ({"env": "minecart-v0", "env_kwargs": {}}, {"critic_network": "residual", "twin_minimum": "objective"}),
    ],
    "gmorl": [
        ({"env": "mec-offloading-v0", "env_kwargs": {}}, {"n_step": 3, "learn_temperature": True}),
        ({"env": "mo-mountaincarcontinuous-v0", "env_kwargs": {}}, {}),
    ],
    "gpi-ls": [
        (
            {"env": "minecart-v0", "env_kwargs": {}},
            {"n_step": 3, "importance_exponent": 0.5, "conditioning": "product"},
        ),
        ({"env": "mo-mountaincarcontinuous-v0", "env_kwargs": {}}, {"gradient_steps": 2, "preference_units": "scaled"}),
    ],
    "mogfn": [
        ({"env": "ngrams-v0"}, {"network": "transformer", "width": 8, "num_blocks": 1, "num_heads": 2}),
        ({}, {"loss": "subtrajectory_balance"}),
        ({}, {"loss": "detailed_balance", "ema": 0.9, "replay_batch": 4}),
    ],
    "mogfn-al": [({}, {"proposer": "random"})],
}


def trained(name, mode, out, training, own):
    settings, config = settings_of(name, out=out)
    settings, config = (
        type(given)(**{**vars(given), **changes}) for given, changes in ((settings, training), (config, own))
    )
    with dtype_mode(mode):
        return morl.train(name, settings, config)


def cases():
    for name in sorted(CASES):
        for i, (training, own) in enumerate([({}, {}), *OTHERS.get(name, [])]):
            for mode in MODES:
                marks = [] if i == 0 and (name, mode) == ALWAYS else pytest.mark.dtypes
                yield pytest.param(name, mode, training, own, marks=marks, id=f"{name}-{i}-{mode}")


@pytest.mark.parametrize(("name", "mode", "training", "own"), list(cases()))
def test_the_front_is_that_of_no_mode(name, mode, training, own, tmp_path, finished_run):
    changed = training or own
    plain = trained(name, "plain", tmp_path / "plain", training, own) if changed else finished_run(name)
    run = trained(name, mode, tmp_path / "run", training, own)
    assert run.finished
    # XLA compiles what has indices of 64 bits to other loops, which round some sums otherwise
    np.testing.assert_allclose(run.front.returns, plain.front.returns, rtol=1e-6)
    setup, _ = loading.setup_of(run.path)
    with dtype_mode(mode):
        if "export" not in setup.solution_set.unsupported:
            formats = ("torch",) if name != "mogfn" else ("jax",)
            for format in formats:
                suffix = {"torch": ".pt2", "jax": ".jax"}[format]
                assert export(run.path, tmp_path / f"policy{suffix}", format=format, policy=0).difference <= 1e-5
        if "evaluate" not in setup.solution_set.unsupported:
            again = morl.evaluate(run.path, morl.EvaluateSettings(episodes=2))
            assert all(np.isfinite(front.returns).all() for front in again.values())
