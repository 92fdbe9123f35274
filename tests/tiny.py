"""An agent that learns nothing and compiles fast: for what the training loop does around any agent."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from morl.ops.preferences import equally_spaced_weights
from morl.registry import AgentSpec
from morl.types import Agent, LearnerState

SPEC = AgentSpec("tiny", "of tests", "tests.tiny:Tiny", "tests.tiny:TinyConfig")


@dataclass(frozen=True)
class TinyConfig:
    step: float = 0.5
    rounds: int = 2


@dataclass(frozen=True)
class Wanderer:
    """Learner whose linear policy takes a random step per update; it sums rewards, as learners with statistics do."""

    observations: int
    actions: int
    num_objectives: int
    step: float
    num_envs: int = 4
    rollout_steps: int = 4

    def init(self, key):
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        weights = rng.normal(size=(self.observations, self.actions)).astype(np.float32)
        return self.begin(weights)

    def begin(self, weights):
        total = np.zeros(self.num_objectives, np.float32)
        return LearnerState(params={"weights": weights}, learning={"total": total, "updates": np.int32(0)})

    def policy(self, state):
        return state.params

    def act(self, policy, obs, preference, key, *, greedy):
        logits = obs.astype(jnp.float32) @ policy["weights"]
        return jnp.argmax(logits, -1) if greedy else jax.random.categorical(key, logits)

    def to_env(self, action):
        return action

    def update(self, state, batch, key):
        weights = state.params["weights"]
        walked = weights + self.step * jax.random.normal(key, weights.shape)
        total = state.learning["total"] + batch.reward.mean((0, 1))
        learning = {"total": total, "updates": state.learning["updates"] + 1}
        after = state._replace(params={"weights": walked}, learning=learning)
        return after, {"total": total.sum(), "size": jnp.abs(walked).mean()}


@dataclass(frozen=True)
class Rounds:
    """Rounds that start from policies no earlier round started from, as long as there are any."""

    learner: Wanderer
    num_objectives: int
    rounds: int
    updates: int = 2
    extra_metrics: tuple = ()

    def preferences(self, index):
        return np.eye(self.num_objectives)[np.arange(4) % self.num_objectives]

    def begin(self, index, returns, policies, reference_point, taken):
        rows = [i for i in range(len(returns)) if returns[i].tobytes() not in taken] or [0]
        rows = (rows * 4)[:4]
        taken.update(returns[i].tobytes() for i in rows)
        return [self.learner.begin(policies["weights"][i]) for i in rows]


@dataclass(frozen=True)
class Tiny(Agent):
    config: TinyConfig
    task: object
    notes: tuple = ("tiny",)

    @property
    def learner(self):
        size = int(np.prod(self.task.observation_space.shape))
        return Wanderer(size, int(self.task.action_space.n), self.task.num_objectives, self.config.step)

    @property
    def preferences(self):
        return equally_spaced_weights(self.task.num_objectives, 4)

    @property
    def updates(self):
        return self.task.steps // 64 - 2 * self.config.rounds

    @property
    def extension(self):
        return Rounds(self.learner, self.task.num_objectives, self.config.rounds) if self.config.rounds else None
