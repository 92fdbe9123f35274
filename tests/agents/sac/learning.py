"""Training of one soft actor-critic on a probe by the library's own loop."""

import jax
import jax.numpy as jnp
import numpy as np

from morl.agents.sac.algorithm import SAC
from morl.agents.sac.config import SACConfig
from morl.ops.preferences import equally_spaced_weights
from tests.probes import Probe, train_together, training

GAMMA = 0.9
SMALL = {
    "num_envs": 8,
    "rollout_steps": 4,
    "gradient_steps": 8,
    "batch_size": 32,
    "replay_capacity": 1024,
    "learning_starts": 64,
    "learning_rate": 5e-3,
    "tau": 0.05,
    "temperature": 1e-3,
    "objective_scales": (1.0, 1.0),
    "hidden": (32,),
    "relabel_preferences": False,  # drawing preferences takes long to compile
}


def learner_for(env, updates=250, gamma=GAMMA, **changes):
    """Return the learner of an environment with two objectives."""
    mask = getattr(env, "action_mask", None)
    config = SACConfig(**{**SMALL, **changes})
    return SAC(config, env.observation_space, env.action_space, 2, gamma, updates, mask)


def learn(env, updates=250, preferences=None, chunk=10, **changes):
    """Return a trained learner, its state, and the means of its metrics over each ``chunk`` of updates."""
    learner = learner_for(env, updates, **changes)
    if preferences is None:
        preferences = equally_spaced_weights(2, learner.num_envs)
    state, metrics = training(env, learner)(preferences, updates, chunk=chunk)
    return learner, state, metrics


def learn_together(wanted, updates=250, **changes):
    """Return a learner, and the state and metrics of one policy for each kind and temperature of ``wanted``.

    The kinds have the same spaces, and one program trains all.
    """
    learners = [learner_for(Probe(kind), updates, temperature=temperature, **changes) for kind, temperature in wanted]
    begun = [learner.init(jax.random.key(3)) for learner in learners]
    preferences = [equally_spaced_weights(2, SMALL["num_envs"])] * len(wanted)
    trained = train_together([kind for kind, _ in wanted], learners[0], preferences, updates, begun)
    return learners[0], dict(zip(wanted, trained, strict=True))


def act(learner, state, preference, obs=(0.0, 0.0), number=1, *, greedy=True, key=1):
    """Return actions (number, ...) of a learner for one observation, as the environment takes them."""
    obs = jnp.broadcast_to(jnp.asarray(obs, jnp.float32), (number, 2))
    action = learner.act(learner.policy(state), obs, jnp.array(preference), jax.random.key(key), greedy=greedy)
    return np.asarray(learner.to_env(action))
