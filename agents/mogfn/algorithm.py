"""MOGFN-PC: one sampler p(x | w, β) ∝ R(x | w)^β for every preference w (Jain et al., 2023, arXiv 2210.12765).

A conditional GFlowNet builds objects x step by step; after training it draws them in proportion to the scalarised
reward of any preference, without being trained again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import ArrayLike

from morl.agents.mogfn import encoding, rewards
from morl.agents.mogfn import losses as mogfn_losses
from morl.agents.mogfn import replay as mogfn_replay
from morl.agents.mogfn.config import MOGFNConfig
from morl.agents.mogfn.networks import GraphNetwork, Network, StateNetwork, StringNetwork, with_rows
from morl.agents.mogfn.replay import Replay
from morl.agents.mogfn.rewards import Focus
from morl.agents.mogfn.trajectories import (
    AnyTask,
    Finished,
    Trajectories,
    backward,
    forward,
    log_forward,
    masked,
)
from morl.envs.constructive.host_values import oracle_errors
from morl.errors import UserError
from morl.networks.mlp import MLP, mlp
from morl.ops import preferences
from morl.types import Metrics, PyTree

LOG_Z_HIDDEN = (64, 64)


class Condition(NamedTuple):
    """What a trajectory is sampled for.

    Attributes:
        preference: (..., R) w.
        beta: (...) β.
    """

    preference: jax.Array
    beta: jax.Array


class Params(NamedTuple):
    """What the optimiser moves: each part has a learning rate of its own."""

    policy: PyTree
    log_z: MLP


class MOGFNState(NamedTuple):
    """One sampler.

    Attributes:
        params: networks.
        opt_state: Adam's moments.
        average: of the policy's parameters over time; ``None`` where it is not wanted.
        replay: finished objects; ``None`` where they are not wanted.
        updates: () int32.
    """

    params: Params
    opt_state: PyTree
    average: PyTree
    replay: Replay | None
    updates: jax.Array


@dataclass(frozen=True)
class MOGFN:
    """The learner of :class:`MOGFNState` on one constructive task. ``total_updates`` is for annealing only.

    Raises:
        UserError: the task is not constructive (:mod:`morl.envs.constructive.base`), or not for this network.
    """

    config: MOGFNConfig
    env: AnyTask
    total_updates: int

    def __post_init__(self) -> None:
        if not hasattr(self.env, "backward_step"):
            raise UserError(f"MOGFN is for constructive tasks, which {self.env.id} is not")
        _ = self._network  # checks the task

    @property
    def num_envs(self) -> int:
        """Objects built for an update."""
        return self.config.batch

    @property
    def rollout_steps(self) -> int:
        """Of each: what is counted is objects, every one of them rewarded once, and not the steps that build it."""
        return 1

    @property
    def _network(self) -> Network:
        c = self.config
        if c.network == "transformer":
            return StringNetwork(self.env, c.width, c.num_blocks, c.num_heads)
        if c.network == "graph":
            return GraphNetwork(self.env, c.width, c.num_blocks, c.num_heads)
        return StateNetwork(self.env, c.hidden, c.activation)

    @property
    def _num_actions(self) -> int:
        return int(self.env.action_space.n)  # type: ignore[attr-defined]

    @property
    def _num_objectives(self) -> int:
        return len(self.env.objectives)

    @property
    def _has_flows(self) -> bool:
        """The loss looks at flows between the start and the end, which are one more output of the policy."""
        return self.config.loss != "trajectory_balance"

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        c = self.config

        def adam(rate: float) -> optax.GradientTransformation:
            steps = max(1, self.total_updates)
            return optax.adam(optax.cosine_decay_schedule(rate, steps, alpha=0.01) if c.anneal else rate)

        grouped = optax.multi_transform(
            {"policy": adam(c.learning_rate), "log_z": adam(c.log_z_learning_rate)}, parameter_groups
        )
        clip = optax.identity() if c.max_grad_norm is None else optax.clip_by_global_norm(c.max_grad_norm)
        return optax.chain(clip, grouped)

    # Training

    def init(self, key: jax.Array, preference: Any = None) -> MOGFNState:
        """A fresh sampler, about uniform over actions; not to be called under ``jit``. It is for any preference."""
        c = self.config
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        size = encoding.encoded_size(self._num_objectives, c.beta_range, c.bins)
        fresh = Params(
            policy=self._network.init(rng, size, self._num_actions + self._has_flows),
            log_z=mlp(rng, (size, *LOG_Z_HIDDEN, 1), c.activation, output_scale=0.01),
        )
        params = jax.tree.map(jnp.asarray, fresh)
        replay = None
        if c.replay_batch:
            state, obs = self.env.reset(key, self.env.default_params)
            replay = mogfn_replay.empty(Finished(state, obs, jnp.zeros(self._num_objectives)), c.replay_capacity)
        return MOGFNState(
            params=params,
            opt_state=self._optimiser.init(params),
            average=params.policy if c.ema else None,
            replay=replay,
            updates=jnp.int32(0),
        )

    @partial(jax.jit, static_argnames=("self", "updates"))
    def run(self, state: MOGFNState, key: jax.Array, updates: int) -> tuple[MOGFNState, Metrics]:
        """``updates`` updates, and their scalar metrics (updates,).

        With the same key, a number of updates and then another are the same as both at once.
        """
        keys = jax.vmap(partial(jax.random.fold_in, key))(state.updates + jnp.arange(updates))
        return jax.lax.scan(self.update, state, keys)

    def learnt(self, state: MOGFNState) -> PyTree:
        """What gradients move."""
        return state.params

    def undone(self, before: MOGFNState, after: MOGFNState) -> MOGFNState:
        """As before, with the objects since."""
        return before._replace(replay=after.replay)

    def update(self, state: MOGFNState, key: jax.Array) -> tuple[MOGFNState, Metrics]:
        """Sample a batch, a preference for each trajectory, and take one step on the mean of their losses."""
        c = self.config
        key_condition, key_forward, key_draw, key_backward = jax.random.split(key, 4)
        env_params = self.env.default_params
        condition = self.draw_condition(key_condition, c.batch + c.replay_batch)
        encoded = self._encode(condition)

        reader = self._network.reader(self._sampler(state), encoded[: c.batch])
        batch = forward(self.env, env_params, reader, c.batch, c.epsilon, key_forward)
        replay = state.replay
        if replay is not None:
            replay = mogfn_replay.add(replay, batch.end)
            again = self._draw_again(replay, key_draw, Condition(*(part[c.batch :] for part in condition)))
            old = backward(self.env, env_params, again, key_backward)
            batch = jax.tree.map(lambda *parts: jnp.concatenate(parts), batch, old)

        log_reward = self.log_reward(batch.end.values, condition.preference, condition.beta)
        after, loss = self.learn(state._replace(replay=replay), batch, condition, log_reward)
        metrics = {
            "loss": loss,
            "log_z": jnp.mean(after.params.log_z(encoded)),
            "log_reward": jnp.mean(log_reward[: c.batch]),
            "length": jnp.mean(batch.length[: c.batch].astype(jnp.float32)),
        }
        return after, metrics

    def _draw_again(self, replay: Replay, key: jax.Array, condition: Condition) -> Finished:
        """For n conditions the best of so many candidates each."""
        number, candidates = len(condition.beta), self.config.replay_candidates
        drawn = mogfn_replay.draw(replay, key, number * candidates)
        values = drawn.values.reshape(number, candidates, -1)
        log_reward = self.log_reward(values, condition.preference[:, None], condition.beta[:, None])
        best = jnp.arange(number) * candidates + jnp.argmax(log_reward, axis=1)
        chosen: Finished = jax.tree.map(lambda x: x[best], drawn)
        return chosen

    def learn(
        self, state: MOGFNState, batch: Trajectories, condition: Condition, log_reward: jax.Array
    ) -> tuple[MOGFNState, jax.Array]:
        """One step on the mean loss, given with it, of trajectories (B, T) under conditions (B) with β log R (B,)."""
        decay = self.config.ema
        of_loss = partial(jax.value_and_grad(self.loss), state.params, batch, self._encode(condition), log_reward)
        loss, gradient = with_rows(self._network, batch, of_loss)
        step, opt_state = self._optimiser.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, step)
        average = state.average
        if decay:
            average = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, average, params.policy)
        return MOGFNState(params, opt_state, average, state.replay, state.updates + 1), loss

    def loss(
        self,
        params: Params,
        batch: Trajectories,
        encoded: jax.Array,
        log_reward: jax.Array,
        rows: int | None = None,
    ) -> jax.Array:
        """Mean loss of trajectories (B, T) under encoded conditions (B, C), with β log R (B,).

        ``rows``: see :func:`~morl.agents.mogfn.networks.with_rows`.
        """
        c = self.config
        output = self._network.outputs(params.policy, batch, encoded, rows)
        log_prob = self._log_forward(output, batch)
        log_z = self._log_z(params, encoded)
        if not self._has_flows:
            each = jax.vmap(mogfn_losses.trajectory_balance)(log_z, log_prob, batch.log_backward, log_reward)
            return jnp.mean(each)
        flow = self._flows(output[..., -1], batch.length, log_z, log_reward)
        parts = flow, log_prob, batch.log_backward, batch.length
        if c.loss == "detailed_balance":
            return jnp.mean(jax.vmap(mogfn_losses.detailed_balance)(*parts))
        decayed = partial(mogfn_losses.subtrajectory_balance, decay=c.subtrajectory_decay)
        return jnp.mean(jax.vmap(decayed)(*parts))

    @staticmethod
    def _flows(inner: jax.Array, length: jax.Array, log_z: jax.Array, log_reward: jax.Array) -> jax.Array:
        """(B, T + 1) log flows: of the start log Z, of the finished object β log R, else the network's (B, T)."""
        place = jnp.arange(inner.shape[1] + 1)
        flow = jnp.where(place == 0, log_z[:, None], jnp.pad(inner, ((0, 0), (0, 1))))
        return jnp.where(place == length[:, None], log_reward[:, None], flow)

    def draw_condition(self, key: jax.Array, number: int) -> Condition:
        """What ``number`` trajectories are sampled for in training: w ~ Dirichlet(α), β uniform in its range."""
        key_preference, key_beta = jax.random.split(key)
        low, high = self.config.beta_range
        return Condition(
            preferences.dirichlet(key_preference, self._num_objectives, number, self.config.concentration),
            jax.random.uniform(key_beta, (number,), minval=low, maxval=high) if low < high else jnp.full(number, low),
        )

    # What is learnt

    def log_reward(self, values: Any, preference: Any, beta: Any) -> Any:
        """β log R(x | w) of objectives (..., R), preferences (..., R) and exponents (...): JAX's arrays or NumPy's."""
        c = self.config
        if c.scalarisation == "focus":
            log_reward = rewards.focus(values, preference, c.floor, Focus(c.focus_cosine, c.focus_edge))
        else:
            log_reward = rewards.WEIGHTED[c.scalarisation](values, preference, c.floor)
        return rewards.tempered(log_reward, beta, c.min_log_reward)

    def condition(self, weights: ArrayLike, beta: float | None = None) -> Condition:
        """A condition (n) of preferences (n, R); β is the highest of its range unless it is given.

        Raises:
            UserError: not preferences, or an exponent outside of the range.
        """
        low, high = self.config.beta_range
        beta = high if beta is None else beta
        if not low <= beta <= high:
            raise UserError(f"beta must be from {low:g} to {high:g}, as the sampler was trained, not {beta:g}")
        rows = np.atleast_2d(np.asarray(weights, np.float64))
        checked = [preferences.check_preference(row, self._num_objectives) for row in rows]
        return Condition(jnp.asarray(checked, jnp.float32), jnp.full(len(rows), beta, jnp.float32))

    def policy(self, state: MOGFNState) -> Params:
        """What samples, and log Z: all that the methods below need of a state, in place of which they take it."""
        return Params(self._sampler(state), state.params.log_z)

    def act(self, policy: Params, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        """Next steps (B,) from observations (B, *shape) under preferences (R,) or (B, R) and the highest β.

        Drawn step by step they build objects as :meth:`sample` does; the most probable steps lead to one of them, which
        need not be the most probable.
        """
        weights = jnp.broadcast_to(preference, (len(obs), self._num_objectives))
        encoded = self._encode(Condition(weights, jnp.full(len(obs), self.config.beta_range[1])))
        output = self._network.of(policy.policy, obs, encoded)
        logits = masked(output[:, : self._num_actions], self.env.action_mask(obs))
        chosen = jnp.argmax(logits, axis=-1) if greedy else jax.random.categorical(key, logits)
        return chosen.astype(jnp.int32)

    def to_env(self, action: jax.Array) -> jax.Array:
        """The same."""
        return action

    @partial(jax.jit, static_argnames="self")
    def sample(self, state: MOGFNState | Params, condition: Condition, key: jax.Array) -> Trajectories:
        """A trajectory of the sampler for each of n conditions; what was built is its ``end``."""
        return self.rollout(state, condition, key, self.env.default_params)

    def rollout(
        self,
        state: MOGFNState | Params,
        condition: Condition,
        key: jax.Array,
        env_params: PyTree,
        epsilon: float = 0.0,
    ) -> Trajectories:
        """As :meth:`sample`, of a task with these constants, and with random steps of probability ``epsilon``."""
        encoded = self._encode(condition)
        reader = self._network.reader(self._sampler(state), encoded)
        return forward(self.env, env_params, reader, len(encoded), epsilon, key)

    @partial(jax.jit, static_argnames="self")
    def log_z(self, state: MOGFNState | Params, condition: Condition) -> jax.Array:
        """(n,) learnt log Z of n conditions."""
        params = state if isinstance(state, Params) else state.params
        return self._log_z(params, self._encode(condition))

    @partial(jax.jit, static_argnames="self")
    def log_probability(
        self, state: MOGFNState | Params, condition: Condition, trajectories: Trajectories
    ) -> jax.Array:
        """(n,) Σ log P_F of n trajectories.

        Of an object that can be built in one way only, as strings are, it is its log-probability, else a lower bound.
        """
        of_rows = partial(self._network.outputs, self._sampler(state), trajectories, self._encode(condition))
        output = with_rows(self._network, trajectories, of_rows)
        return self._log_forward(output, trajectories).sum(axis=1)

    @partial(jax.jit, static_argnames="self")
    def log_weight(self, state: MOGFNState | Params, condition: Condition, trajectories: Trajectories) -> jax.Array:
        """(n,) β log R + Σ log P_B − Σ log P_F of n trajectories.

        Its mean over the sampler's own is a lower bound of log Z, over those that P_B draws from objects of the target
        an upper one (Blessing et al., 2024, ELBO and EUBO).
        """
        log_reward: jax.Array = self.log_reward(trajectories.end.values, *condition)
        log_built: jax.Array = self.log_probability(state, condition, trajectories)
        return log_reward + trajectories.log_backward.sum(axis=1) - log_built

    @partial(jax.jit, static_argnames="self")
    def distribution(self, state: MOGFNState | Params, condition: Condition) -> jax.Array:
        """(n, objects) exact probabilities that the sampler builds each object, of a tabular task and n conditions.

        Raises:
            UserError: the task is not tabular (:mod:`morl.envs.constructive.base`).
        """
        env: Any = self.env
        if not hasattr(env, "distribution"):
            raise UserError(f"{env.id} is not tabular: the distribution over its objects cannot be had exactly")
        obs = jnp.asarray(env.decision_points())
        mask = self.env.action_mask(obs)

        def one(encoded: jax.Array) -> jax.Array:
            repeated = jnp.broadcast_to(encoded, (len(obs), len(encoded)))
            _, output = self._network.reader(self._sampler(state), repeated).read((), obs)
            probabilities = jax.nn.softmax(jnp.where(mask > 0, output[:, : self._num_actions], -1e9))
            found: jax.Array = env.distribution(probabilities)
            return found

        rows: jax.Array = jax.lax.map(one, self._encode(condition))
        return rows

    def _sampler(self, state: MOGFNState | Params) -> PyTree:
        if isinstance(state, Params):
            return state.policy
        return state.average if self.config.ema else state.params.policy

    def _encode(self, condition: Condition) -> jax.Array:
        return encoding.encode(*condition, self.config.beta_range, self.config.bins)

    @staticmethod
    def _log_z(params: Params, encoded: jax.Array) -> jax.Array:
        log_z: jax.Array = params.log_z(encoded)[:, 0]
        return log_z

    def _log_forward(self, output: jax.Array, trajectories: Trajectories) -> jax.Array:
        mask = self.env.action_mask(trajectories.obs)
        return log_forward(output[..., : self._num_actions], trajectories, mask)


def parameter_groups(params: Params) -> Params:
    """The group of every parameter, by the field it is in."""
    groups = Params(*(jax.tree.map(lambda _, name=name: name, part) for name, part in params._asdict().items()))
    grouped: Any = jax.tree.structure(groups)
    assert grouped == jax.tree.structure(params)  # noqa: S101  # none is without a learning rate
    return groups


@oracle_errors()
def train_sampler(
    env: AnyTask, config: MOGFNConfig, updates: int, seed: int = 0
) -> tuple[MOGFN, MOGFNState, dict[str, np.ndarray[Any, Any]]]:
    """Train a sampler in one compiled call: the learner, what it has learnt, and its metrics (updates,).

    Raises:
        UserError: a task the learner is not made for, or whose oracle failed.
    """
    agent = MOGFN(config, env, updates)
    key_init, key_run = jax.random.split(jax.random.key(seed))
    state, metrics = agent.run(agent.init(key_init), key_run, updates)
    return agent, state, {name: np.asarray(values) for name, values in metrics.items()}
