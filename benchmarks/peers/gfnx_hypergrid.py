"""gfnx's rate of training on the four-dimensional hypergrid, with its own environment, rollout and log-probabilities.

    .venv-gfnx/bin/python benchmarks/peers/gfnx_hypergrid.py --updates 500

Trajectory balance as its `baselines/tb_hypergrid.py` trains, less what that does beside it: no metrics, no log, and no
backward policy to be trained (P_B is uniform, as it is for whom this is held against). All updates are one compiled
loop. Prints a line of JSON when it is ready, and for each line of its input one more: it trains on for so many updates
and says how many a second.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time

import jax

jax.tree_map = jax.tree.map  # gfnx 0.0.1 calls what JAX has taken out

import gfnx  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import optax  # noqa: E402


def mlp(key: jax.Array, sizes: tuple[int, ...]) -> list[tuple[jax.Array, jax.Array]]:
    """Weights (in, out) and biases."""
    keys = jax.random.split(key, len(sizes) - 1)
    make = jax.nn.initializers.he_uniform()
    return [(make(k, shape), jnp.zeros(shape[1])) for k, shape in zip(keys, itertools.pairwise(sizes), strict=True)]


def logits_of(layers: list[tuple[jax.Array, jax.Array]], x: jax.Array) -> jax.Array:
    for weight, bias in layers[:-1]:
        x = jax.nn.relu(x @ weight + bias)
    weight, bias = layers[-1]
    return x @ weight + bias


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, required=True)
    parser.add_argument("--dim", type=int, default=4)
    parser.add_argument("--side", type=int, default=20)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--hidden", type=int, default=256)
    a = parser.parse_args()

    env = gfnx.environment.HypergridEnvironment(gfnx.EasyHypergridRewardModule(), dim=a.dim, side=a.side)
    env_params = env.init(jax.random.PRNGKey(0))
    sizes = (a.dim * a.side, a.hidden, a.hidden, a.dim + 1)
    params = {"network": mlp(jax.random.PRNGKey(1), sizes), "log_z": jnp.array(0.0)}
    labels = {"network": "network", "log_z": "log_z"}
    optimiser = optax.multi_transform({"network": optax.adam(1e-3), "log_z": optax.adam(0.1)}, labels)

    def policy(key: jax.Array, obs: jax.Array, layers: list) -> tuple[jax.Array, dict[str, jax.Array]]:
        logits = logits_of(layers, obs)
        return logits, {"forward_logits": logits, "backward_logits": jnp.zeros((len(obs), a.dim))}

    def loss(params: dict, trajectories: object) -> jax.Array:
        logits = logits_of(params["network"], trajectories.obs)
        again = trajectories.replace(info=trajectories.info | {"forward_logits": logits})
        forward, backward = gfnx.utils.forward_trajectory_log_probs(env, again, env_params)
        log_reward = jnp.where(trajectories.pad, 0.0, trajectories.log_gfn_reward).sum(axis=1)
        return jnp.mean((params["log_z"] + forward - backward - log_reward) ** 2)

    def update(carry: tuple, key: jax.Array) -> tuple:
        params, opt_state = carry
        trajectories, _ = gfnx.utils.forward_rollout(key, a.batch, policy, params["network"], env, env_params)
        value, gradient = jax.value_and_grad(loss)(params, trajectories)
        step, opt_state = optimiser.update(gradient, opt_state, params)
        return (optax.apply_updates(params, step), opt_state), value

    run = jax.jit(lambda carry, key: jax.lax.scan(update, carry, jax.random.split(key, a.updates)))
    carry = params, optimiser.init(params)
    run = run.lower(carry, jax.random.PRNGKey(2)).compile()
    print(json.dumps({"ready": jax.__version__}), flush=True)
    for i, _ in enumerate(sys.stdin):
        started = time.perf_counter()
        carry, losses = jax.block_until_ready(run(carry, jax.random.PRNGKey(3 + i)))
        rate = a.updates / (time.perf_counter() - started)
        print(json.dumps({"rate": rate, "loss": float(losses[-a.updates // 4 :].mean())}), flush=True)


if __name__ == "__main__":
    main()
