"""Yardsticks of the registered environments: returns of policies that do not learn, published and best-found fronts.

    python benchmarks/make_yardsticks.py                 # all registered environments that are installed; ten minutes
    python benchmarks/make_yardsticks.py minecart ant    # those whose id has one of these
    python benchmarks/make_yardsticks.py --add RUN...    # merge the fronts of runs into the best-found ones

Writes morl/yardsticks/data/ENVIRONMENT.json. Anchors are means over 200 episodes (50 on the host) of the zero action
and of uniform random actions, from seed 7. The zero action is 0 in a continuous space, the action that does nothing
where a discrete space has one, and else the first action; of robots with an alive bonus there is also what standing is
worth. Environments that compute their front have none here. Fronts that are merged are those of front.csv, whose
returns are of fresh episodes; points that others dominate go, and of more than 200 points the most crowded. Give --add
runs with many episodes a policy: what is kept is the best of several estimates, and so a little lucky.
"""

from __future__ import annotations

import argparse
import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

import morl
from morl.analysis.results import read_front
from morl.errors import UserError
from morl.ops.pareto import crowding_distance, non_dominated
from morl.registry import env_spec, env_specs
from morl.training.evaluation import MAX_STEPS
from morl.training.rollout import start_batch, step
from morl.yardsticks.protocol import package_of
from morl.yardsticks.stored import plain

DATA = Path(morl.__file__).parent / "yardsticks" / "data"
EPISODES, SEED = 200, 7
GAMMAS = (0.98, 0.99, 1.0)  # besides the registered discount
MOST_POINTS = 200
NO_OP = {
    "minecart": 5,
    "mo-mountaincar": 1,
    "mo-lunar-lander-v3": 0,
    "mo-highway": 1,
    "mo-reacher": 4,
}  # by the start of the id
PUBLISHED = ("minecart-v0", "minecart-deterministic-v0", "minecart-rgb-v0")
ROBOTS = ("mo-ant", "mo-halfcheetah", "mo-hopper", "mo-humanoid", "mo-swimmer", "mo-walker2d")
KEYWORDS: dict[str, list[dict[str, Any]]] = {  # other keywords that fronts are reported with
    "fruit-tree-v0": [{"depth": 5}, {"depth": 7}],
    "mec-offloading-v0": [{"num_edges": 6}],
}
HOST_EPISODES = 50
SLOW = {"minecart-rgb-v0": 3, "mo-highway-v0": 20, "mo-highway-fast-v0": 20}  # fewer episodes


def zero_action(env: Any) -> tuple[str, Any]:
    """Return what the action that does nothing is called, and the action."""
    space = env.action_space
    if isinstance(space, spaces.Box):
        return "zero action", np.clip(np.zeros(space.shape, space.dtype), space.low, space.high)
    for start, action in NO_OP.items():
        if env.id.startswith(start) and isinstance(space, spaces.Discrete):
            return "no-op action", action
    return "first action", np.zeros(space.shape, space.dtype)


def in_jax(env: Any, act: Callable[[jax.Array, jax.Array], jax.Array], gammas: list[float]) -> np.ndarray:
    """Return the discounted returns (episodes, discounts, R) of a policy on an environment in JAX."""
    params, discounts = env.default_params, jnp.asarray(gammas, jnp.float32)

    @jax.jit
    def run(key: jax.Array) -> jax.Array:
        key_start, key_steps = jax.random.split(key)
        runners = start_batch(env, params, key_start, EPISODES)
        returns = jnp.zeros((EPISODES, len(gammas), len(env.objectives)), jnp.float32)

        def advance(carry: Any) -> Any:
            t, runners, alive, returns = carry
            key_act, key_env = jax.random.split(jax.random.fold_in(key_steps, t))
            action = jax.vmap(act)(jax.random.split(key_act, EPISODES), runners.obs)
            keys = jax.random.split(key_env, EPISODES)
            runners, out = jax.vmap(lambda key, r, a: step(env, params, key, r, a))(keys, runners, action)
            reward = jnp.where(alive[:, None], out.reward, 0.0)
            returns += (discounts ** t.astype(jnp.float32))[None, :, None] * reward[:, None]
            return t + 1, runners, alive & ~(out.terminated | out.truncated), returns

        limit = env.max_episode_steps or MAX_STEPS
        carry = jnp.int32(0), runners, jnp.ones(EPISODES, bool), returns
        return jax.lax.while_loop(lambda c: jnp.any(c[2]) & (c[0] < limit), advance, carry)[3]

    return np.asarray(run(jax.random.key(SEED)), np.float64)


def random_in_jax(env: Any) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Return the policy of uniform random actions, among the allowed ones where some are masked."""
    space, mask = env.action_space, getattr(env, "action_mask", None)
    if isinstance(space, spaces.Box):
        low, high = jnp.asarray(space.low), jnp.asarray(space.high)
        if not np.isfinite(space.high).all():  # bounded below alone: exponential, as Gymnasium samples it
            return lambda key, obs: low + jax.random.exponential(key, space.shape, low.dtype)
        return lambda key, obs: jax.random.uniform(key, space.shape, low.dtype, low, high)
    if isinstance(space, spaces.MultiDiscrete):
        return lambda key, obs: jax.random.randint(key, space.shape, 0, jnp.asarray(space.nvec), jnp.int32)
    if mask is None:
        return lambda key, obs: jax.random.randint(key, (), 0, int(space.n), jnp.int32)
    return lambda key, obs: jax.random.categorical(key, jnp.where(mask(obs) > 0, 0.0, -jnp.inf))


def fixed_in_jax(env: Any, action: Any) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Return the policy of one action, or of the first that is allowed where it is masked."""
    fixed, mask = jnp.asarray(action), getattr(env, "action_mask", None)
    if mask is None:
        return lambda key, obs: fixed
    return lambda key, obs: jnp.argmax(mask(obs)).astype(jnp.int32)


def on_host(env: Any, action: Any, gammas: list[float], episodes: int) -> np.ndarray:
    """Return the discounted returns (episodes, discounts, R) of one action, or of random ones for None."""
    made = env.make_single()
    made.action_space.seed(SEED)
    returns = np.zeros((episodes, len(gammas), len(env.objectives)))
    for episode in range(episodes):
        made.reset(seed=SEED + episode)
        for t in range(MAX_STEPS):
            chosen = made.action_space.sample() if action is None else action
            _, reward, terminated, truncated, _ = made.step(chosen)
            returns[episode] += np.power(gammas, t)[:, None] * np.asarray(reward, np.float64)
            if terminated or truncated:
                break
    made.close()
    return returns


def alive_and_still(env: Any, gammas: list[float], episodes: int) -> dict[str, np.ndarray]:
    """Return the alive bonus to the time limit, which MO-Gymnasium adds to every objective: a robot that only stands.

    Speed and height are 0 and energy costs nothing, so that it is a little more than standing is worth.
    """
    if not env.id.startswith(("mo-ant", "mo-hopper", "mo-humanoid", "mo-walker2d")):
        return {}
    made = env.make_single()
    bonus = float(made.unwrapped._healthy_reward)
    made.close()
    total = [bonus * np.power(gamma, np.arange(env.max_episode_steps)).sum() for gamma in gammas]
    one = np.repeat(np.array(total)[:, None], len(env.objectives), axis=1)
    return {"alive and still": np.repeat(one[None], episodes, axis=0)}


def measured(env: Any, gammas: list[float]) -> tuple[dict[str, np.ndarray], int]:
    """Return the discounted returns (episodes, discounts, R) of each anchor by its name, and the episodes."""
    name, action = zero_action(env)
    if hasattr(env, "make_single"):
        episodes = SLOW.get(env.id, HOST_EPISODES)
        chosen = int(action) if isinstance(env.action_space, spaces.Discrete) else action
        anchors = {name: chosen, "random actions": None}
        returns = {name: on_host(env, action, gammas, episodes) for name, action in anchors.items()}
        return returns | alive_and_still(env, gammas, episodes), episodes
    policies = {name: fixed_in_jax(env, action), "random actions": random_in_jax(env)}
    return {name: in_jax(env, act, gammas) for name, act in policies.items()}, EPISODES


def entry(id: str, kwargs: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """Return the entry of an environment with these keywords; best-found fronts of the entry before stay."""
    env = morl.make(id, **kwargs)
    spec = env_spec(id)
    gammas = sorted({spec.gamma, *GAMMAS})
    returns, episodes = measured(env, gammas)
    fronts = {found["gamma"]: found.get("front") for found in (before or {}).get("discounts", [])}
    discounts = []
    for i, gamma in enumerate(gammas):
        anchors = {
            name: {
                "returns": digits(values[:, i].mean(axis=0)),
                "stderr": digits(values[:, i].std(axis=0, ddof=1) / np.sqrt(episodes)),
            }
            for name, values in returns.items()
        }
        front = published(id, gamma) if id in PUBLISHED else fronts.get(gamma)
        discounts.append({"gamma": gamma, "anchors": anchors, **({"front": front} if front else {})})
    others = [found for found in (before or {}).get("discounts", []) if found["gamma"] not in gammas]
    return {
        "kwargs": plain(kwargs),
        "package": package_of(env),
        "max_episode_steps": env.max_episode_steps,
        "episodes": episodes,
        "seed": SEED,
        "discounts": sorted(discounts + others, key=lambda found: found["gamma"]),
    }


def published(id: str, gamma: float) -> dict[str, Any]:
    """Return MO-Gymnasium's own, approximate front of minecart at a discount."""
    import mo_gymnasium

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the precision of its spaces
        made = mo_gymnasium.make(id.replace("-rgb", "")).unwrapped
        points = np.asarray(made.pareto_front(gamma), np.float64)
    points = points[non_dominated(points, keep_duplicates=False)]
    version = mo_gymnasium.__version__
    return {
        "kind": "published",
        "source": f"pareto_front of MO-Gymnasium {version}, approximate",
        "points": rows(points),
    }


def digits(numbers: Any) -> list[float]:
    """Return numbers with seven digits, and no negative zero."""
    return [float(f"{x:.7g}") + 0.0 for x in np.asarray(numbers, np.float64)]


def rows(points: np.ndarray) -> list[list[float]]:
    """Return points by falling first objective."""
    return sorted((digits(p) for p in points), reverse=True)


def add(run: Path) -> str:
    """Merge the fronts of a run into the best-found front of its environment, keywords and discount; say how it went.

    Raises:
        UserError: not a run, or an environment whose front is known.
    """
    result = read_front(run)
    id, kwargs = result.env, plain(result.settings.get("env_kwargs", {}))
    env = morl.make(id, backend=result.settings.get("backend"), **kwargs)
    if id in PUBLISHED or hasattr(env, "true_front") or hasattr(env, "true_coverage_set"):
        raise UserError(f"{id} has a known front, which no run replaces")
    if id not in env_specs():
        raise UserError(f"{id} is not registered with morl")
    settings = read(id)
    there = next((e for e in settings if e["kwargs"] == kwargs), None)
    if there is None:
        there = entry(id, kwargs, None)
        settings.append(there)
    found = next((d for d in there["discounts"] if d["gamma"] == result.gamma), None)
    if found is None:
        found = {"gamma": result.gamma, "anchors": {}}
        there["discounts"] = sorted([*there["discounts"], found], key=lambda d: d["gamma"])
    front = found.get("front", {"kind": "best", "source": "", "points": []})
    before, runs = len(front["points"]), [text for text in front["source"].split("; ") if text]
    points = np.concatenate(
        [
            np.reshape(front["points"], (-1, len(result.objectives))),
            *(np.array(rows(table["returns"])) for table in result.tables.values()),
        ]
    )
    points = points[non_dominated(points, keep_duplicates=False)]
    while len(points) > MOST_POINTS:
        points = np.delete(points, int(np.argmin(crowding_distance(points))), axis=0)
    steps = result.settings.get("steps")
    text = f"{result.agent}, {steps:,} steps, seed {' '.join(map(str, result.tables))}, {result.episodes} episodes each"
    mine = {tuple(row) for table in result.tables.values() for row in rows(table["returns"])}
    kept = sum(tuple(row) in mine for row in rows(points))
    if kept and text not in runs:
        runs.append(text)
    found["front"] = {"kind": "best", "source": "; ".join(runs), "points": rows(points)}
    write(id, settings)
    return f"{run}: {kept} of its points are in the best front of {id}, which had {before} and has {len(points)}"


def read(id: str) -> list[dict[str, Any]]:
    """Return the entries of an environment, empty where there are none yet."""
    path = DATA / f"{id}.json"
    return json.loads(path.read_text())["settings"] if path.is_file() else []


def write(id: str, settings: list[dict[str, Any]]) -> None:
    """Write the entries of an environment, each list of numbers on a line of its own."""
    text = json.dumps({"env": id, "settings": sorted(settings, key=lambda e: str(e["kwargs"]))}, indent=1)
    text = re.sub(r"\[\s+([-\d.e+,\s]+?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)
    DATA.mkdir(exist_ok=True)
    (DATA / f"{id}.json").write_text(text + "\n")


def keywords_of(id: str) -> list[dict[str, Any]]:
    """Return the keywords that an environment is measured with: none, and those that fronts are reported with."""
    limited = [{"max_episode_steps": 500}] if id.startswith(ROBOTS) else []
    return [{}, *KEYWORDS.get(id, []), *limited]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="parts of the ids of the environments; by default all")
    parser.add_argument("--add", nargs="+", type=Path, metavar="RUN", help="run directories to merge")
    args = parser.parse_args()
    for run in args.add or ():
        print(add(run), flush=True)
    if args.add:
        return
    for id in env_specs(plug_ins=False):
        if args.parts and not any(part in id for part in args.parts):
            continue
        before = {str(e["kwargs"]): e for e in read(id)}
        try:
            made = {str(kwargs): entry(id, kwargs, before.get(str(kwargs))) for kwargs in keywords_of(id)}
        except UserError as error:
            print(f"{id}: left out: {error}", flush=True)
            continue
        write(id, list({**before, **made}.values()))
        print(f"{id}: {DATA / f'{id}.json'}", flush=True)


if __name__ == "__main__":
    main()
