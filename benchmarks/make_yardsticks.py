"""Yardsticks of the registered environments: returns of policies that do not learn, published and best-found fronts.

    python benchmarks/make_yardsticks.py                 # all registered environments that are installed; ten minutes
    python benchmarks/make_yardsticks.py minecart ant    # those whose id has one of these
    python benchmarks/make_yardsticks.py --add RUN...    # merge the fronts of runs into the best-found ones

Writes morl/yardsticks/data/ENVIRONMENT.json. Anchors are means over 200 episodes (50 on the host) of the zero action
and of uniform random actions, from seed 7. The zero action is 0 in a continuous space, the action that does nothing
where a discrete space has one, and else the first action; of robots with an alive bonus there is also what standing is
worth. Environments that compute their front have none here. Fronts that are merged are those of front.csv, whose
returns are of fresh episodes; points that others dominate go, and of more than 200 points the most crowded. Give --add
runs with many episodes a policy: what is kept is the best of several estimates, and so a little lucky. Best-found
fronts have the anchors among their candidates, and the reservoir's constant releases.
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

Act = Callable[[jax.Array, jax.Array], jax.Array]  # from a key and an observation to an action
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
ALIVE = "alive and still"
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


def in_jax(env: Any, act: Act, gammas: list[float]) -> np.ndarray:
    """Return the discounted returns (episodes, discounts, R) of a policy on an environment in JAX."""
    return np.asarray(jax.jit(lambda key: episodes_of(env, act, gammas, key))(jax.random.key(SEED)), np.float64)


def episodes_of(env: Any, act: Act, gammas: list[float], key: jax.Array) -> jax.Array:
    """Return what :func:`in_jax` does, to be jitted."""
    params, discounts = env.default_params, jnp.asarray(gammas, jnp.float32)
    key_start, key_steps = jax.random.split(key)
    runners = start_batch(env, params, key_start, EPISODES)

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
    returns = jnp.zeros((EPISODES, len(gammas), len(env.objectives)), jnp.float32)
    carry = jnp.int32(0), runners, jnp.ones(EPISODES, bool), returns
    return jax.lax.while_loop(lambda c: jnp.any(c[2]) & (c[0] < limit), advance, carry)[3]


def random_in_jax(env: Any) -> Act:
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


def fixed_in_jax(env: Any, action: Any) -> Act:
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
    return {ALIVE: np.repeat(one[None], episodes, axis=0)}


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


def entry(id: str, kwargs: dict[str, Any], before: dict[str, Any] | None, gamma: float | None = None) -> dict[str, Any]:
    """Return the entry of an environment with these keywords, at the discounts of the entry before and at ``gamma``.

    Best-found fronts of the entry before stay, and get what takes no learning: the anchors, and constant actions.
    """
    env = morl.make(id, **kwargs)
    fronts = {found["gamma"]: found.get("front") for found in (before or {}).get("discounts", [])}
    gammas = sorted({env_spec(id).gamma, *GAMMAS, *fronts, *(() if gamma is None else (gamma,))})
    returns, episodes = measured(env, gammas)
    constant = None if is_known(env) else constant_actions(env, gammas)
    discounts = []
    for i, each in enumerate(gammas):
        anchors = {
            name: {
                "returns": digits(values[:, i].mean(axis=0)),
                "stderr": digits(values[:, i].std(axis=0, ddof=1) / np.sqrt(episodes)),
            }
            for name, values in returns.items()
        }
        front = published(id, each) if id in PUBLISHED else fronts.get(each)
        if constant is not None:
            front = merged(front, {f"constant actions, {EPISODES} episodes each": rows(constant[:, i])})
        if front is not None and front["kind"] == "best":
            front = merged(front, simple(anchors))
        discounts.append({"gamma": each, "anchors": anchors, **({"front": front} if front else {})})
    return {
        "kwargs": plain(kwargs),
        "package": package_of(env),
        "max_episode_steps": env.max_episode_steps,
        "episodes": episodes,
        "seed": SEED,
        "discounts": discounts,
    }


def constant_actions(env: Any, gammas: list[float]) -> np.ndarray | None:
    """Return the returns (n, discounts, R) of 100 constant actions; None but for an unbounded number in JAX.

    That is the release of a reservoir: learners whose actions begin at 0 find few of those that prevent floods.
    """
    space = env.action_space
    if hasattr(env, "make_single") or not isinstance(space, spaces.Box) or np.isfinite(space.high).all():
        return None
    key = jax.random.key(SEED)

    def mean(level: jax.Array) -> jax.Array:
        action = jnp.full(space.shape, level, jnp.float32)
        return episodes_of(env, lambda key, obs: action, gammas, key).mean(axis=0)

    return np.asarray(jax.jit(lambda levels: jax.lax.map(mean, levels))(jnp.linspace(2.0, 200.0, 100)), np.float64)


def published(id: str, gamma: float) -> dict[str, Any]:
    """Return MO-Gymnasium's own, approximate front of minecart at a discount."""
    import mo_gymnasium

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the precision of its spaces
        made = mo_gymnasium.make(id.replace("-rgb", "")).unwrapped
        points = np.asarray(made.pareto_front(gamma), np.float64)
    points = points[non_dominated(points, keep_duplicates=False)]
    version = mo_gymnasium.__version__
    return {"kind": "published", "sources": {f"pareto_front of MO-Gymnasium {version}, approximate": rows(points)}}


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
    if id not in env_specs():
        raise UserError(f"{id} is not registered with morl")
    env = morl.make(id, backend=result.settings.get("backend"), **kwargs)
    if is_known(env):
        raise UserError(f"{id} has a known front, which no run replaces")
    settings = read(id)
    there = next((e for e in settings if e["kwargs"] == kwargs), None)
    if there is None or result.gamma not in [found["gamma"] for found in there["discounts"]]:
        settings = [e for e in settings if e["kwargs"] != kwargs]
        there = entry(id, kwargs, there, result.gamma)
        settings.append(there)
    found = next(d for d in there["discounts"] if d["gamma"] == result.gamma)
    steps = result.settings.get("steps")
    text = f"{result.agent}, {steps:,} steps, seed {' '.join(map(str, result.tables))}, {result.episodes} episodes each"
    before = sum(map(len, found.get("front", {"sources": {}})["sources"].values()))
    points = np.concatenate([table["returns"] for table in result.tables.values()])
    found["front"] = merged(found.get("front"), {text: rows(points), **simple(found["anchors"])})
    write(id, settings)
    sources = found["front"]["sources"]
    return (
        f"{run}: {len(sources.get(text, []))} of its points are in the best front of {id}, which had {before} and has "
        f"{sum(map(len, sources.values()))}"
    )


def is_known(env: Any) -> bool:
    """Return whether the front of an environment is computed or published."""
    return env.id in PUBLISHED or hasattr(env, "true_front") or hasattr(env, "true_coverage_set")


def simple(anchors: dict[str, Any]) -> dict[str, list[list[float]]]:
    """Return the returns of those anchors that are policies, by their names, as candidates for a best-found front."""
    return {name: [numbers["returns"]] for name, numbers in anchors.items() if name != ALIVE}


def merged(front: dict[str, Any] | None, more: dict[str, list[list[float]]]) -> dict[str, Any]:
    """Return a best-found front with more points by their source: non-dominated ones, and at most 200 of them."""
    sources = {**(front or {"sources": {}})["sources"], **more}
    labels = [text for text, points in sources.items() for _ in points]
    points = np.array([point for points in sources.values() for point in points])
    rest = np.flatnonzero(non_dominated(points, keep_duplicates=False))
    while len(rest) > MOST_POINTS:
        rest = np.delete(rest, int(np.argmin(crowding_distance(points[rest]))))
    kept = {text: rows(points[[i for i in rest if labels[i] == text]]) for text in sources}
    return {"kind": "best", "sources": {text: points for text, points in kept.items() if points}}


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
    """Return the keywords that an environment is measured with: none, those that fronts are reported with, and those of
    runs that were merged.
    """
    limited = [{"max_episode_steps": 500}] if id.startswith(ROBOTS) else []
    found = [{}, *KEYWORDS.get(id, []), *limited]
    return found + [e["kwargs"] for e in read(id) if e["kwargs"] not in found]


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
