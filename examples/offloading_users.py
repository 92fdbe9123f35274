"""One offloading policy, two users: one whose battery is nearly empty, and one who cannot wait.

GMORL learns a single network for every preference. Its front says what the same system can be: from fast to thrifty.
Each user says what they need as a limit in a unit of their own, an energy for a task or a delay of it, and gets the
point of the front that is best within it. The two then use the same network with two preferences, also in a system that
training did not see::

    python offloading_users.py            # about two minutes on two cores
    python offloading_users.py --quick    # a tenth of the training, to see that it runs
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import morl
from morl.agents.gmorl import GMORLConfig
from morl.runs.front import Front

SYSTEM = {"num_edges": 6, "cloud_frequency": 4.0, "edge_frequency": 2.0}  # GHz
OTHER = {"num_edges": 9, "cloud_frequency": 4.0, "edge_frequency": 2.0, "max_edges": 10}
DELAY, ENERGY = 0, 1  # objectives, both as minus what an episode costs


def train(out: Path, steps: int) -> Path:
    """Train one policy for all preferences on systems of 1 to 8 servers of random speed; return its run directory."""
    settings = morl.TrainSettings(
        env="mec-offloading-v0", steps=steps, out=out, evaluations=2, eval_episodes=8, final_episodes=16
    )
    config = GMORLConfig(hidden=(32, 32), train_gamma=0.95, objective_scales=(0.003, 1.5), num_preferences=41)
    return morl.train("gmorl", settings, config).path


def least(front: Front, objective: int, within: float) -> int:
    """Return the row of the front that costs least in the other objective and at most ``within`` in this one.

    Raises:
        ValueError: no point of the front costs so little.
    """
    costs = -front.undiscounted
    rows = np.flatnonzero(costs[:, objective] <= within)
    if not len(rows):
        raise ValueError(f"no policy costs {within:g} or less; the least is {costs[:, objective].min():g}")
    return int(rows[np.argmin(costs[rows, 1 - objective])])


def limit(front: Front, objective: int, share: float) -> float:
    """Return the cost at this share of the way from the front's least to its greatest cost in an objective."""
    costs = -front.undiscounted[:, objective]
    return float(costs.min() + share * (costs.max() - costs.min()))


def main() -> None:
    """Train, choose for both users, look at both choices in another system."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=320_000)
    parser.add_argument("--quick", action="store_true", help="a tenth of the training, 8 episodes of each preference")
    parser.add_argument("--out", type=Path, default=None, help="run directory, by default a temporary one")
    args = parser.parse_args()
    out = args.out or Path(tempfile.mkdtemp(prefix="offloading-")) / "run"
    run = train(out, args.steps // 10 if args.quick else args.steps)
    episodes = 8 if args.quick else 100

    front = morl.evaluate(run, morl.EvaluateSettings(episodes=episodes, env_kwargs=SYSTEM))[0]
    delay, energy = -front.undiscounted.T
    print(
        f"\n{len(front)} points: {delay.min():.0f} to {delay.max():.0f} s, {energy.min():.2f} to {energy.max():.2f} J"
    )
    users = {
        "battery-poor": (ENERGY, limit(front, ENERGY, 0.1)),
        "latency-bound": (DELAY, limit(front, DELAY, 0.05)),
    }
    chosen = {}
    for user, (objective, within) in users.items():
        row = least(front, objective, within)
        chosen[user] = front.preferences[row]
        unit = ("s of delay", "J")[objective]
        print(
            f"{user}: at most {within:.2f} {unit} an episode -> {delay[row]:.0f} s, {energy[row]:.2f} J, "
            f"preference {front.preferences[row].round(3)}"
        )

    other = morl.evaluate(run, morl.EvaluateSettings(episodes=episodes, env_kwargs=OTHER))[0]
    print(f"\nthe same network with {OTHER['num_edges']} servers, which training had at most 8 of:")
    for user, preference in chosen.items():
        row = int(np.abs(other.preferences - preference).sum(axis=1).argmin())
        cost = -other.undiscounted[row]
        print(f"{user}: {cost[DELAY]:.0f} s, {cost[ENERGY]:.2f} J, preference {other.preferences[row].round(3)}")

    policy = front.at(0)
    env = morl.make("mec-offloading-v0", **SYSTEM)
    import jax

    _, observations = jax.vmap(env.reset, in_axes=(0, None))(
        jax.random.split(jax.random.key(0), 500), env.default_params
    )
    first, second = (policy(np.asarray(observations), preference) for preference in chosen.values())
    print(f"\nof 500 first tasks the two send {np.mean(first != second):.0%} to different servers")


if __name__ == "__main__":
    main()
