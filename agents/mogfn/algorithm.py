"""MOGFN-PC: one sampler p(x | w, β) ∝ R(x | w)^β for every preference w (Jain et al., 2023, arXiv 2210.12765).

A conditional GFlowNet builds objects x step by step; after training it draws them in proportion to the scalarised
reward of any preference, without being trained again. :meth:`MOGFN.update` is one iteration of the paper's algorithm:

1. draw a condition (w, β) for each trajectory (:mod:`.conditions`);
2. build objects with the policy, exploring a little, and ask for their objectives (:mod:`.trajectories`);
3. add stored objects with new conditions, taken apart by backward steps;
4. scalarise: β log R(x | w) (:mod:`.rewards`);
5. take one gradient step on the mean balance loss (:mod:`.losses`), with a learning rate of its own for log Z.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from numpy.typing import ArrayLike

from morl.agents.mogfn import conditions, diagnostics, rewards
from morl.agents.mogfn import losses as mogfn_losses
from morl.agents.mogfn.conditions import Condition
from morl.agents.mogfn.config import MOGFNConfig
from morl.agents.mogfn.networks import GraphNetwork, Network, StateNetwork, StringNetwork, with_rows
from morl.agents.mogfn.trajectories import AnyTask, Finished, Trajectories, backward, forward, log_forward
from morl.errors import UserError
from morl.networks.mlp import MLP, mlp
from morl.ops import replay as replays
from morl.ops.initial import generator
from morl.ops.masking import mask_logits
from morl.ops.optimisers import in_float32
from morl.ops.replay import Replay
from morl.ops.scalarisation import FocusRegion, temper
from morl.types import LearnerState, Metrics, PyTree

LOG_Z_HIDDEN = (64, 64)


class Params(NamedTuple):
    """Trainable parameters; each part has a learning rate of its own.

    Attributes:
        policy: network of the forward policy, and of the inner flows where the loss has them.
        log_z: network of log Z.
    """

    policy: PyTree
    log_z: MLP


class Learning(NamedTuple):
    """State of the optimisation.

    Attributes:
        opt_state: Adam's moments.
        average: moving average of the policy's parameters; ``()`` without one.
        updates: () int32.
    """

    opt_state: PyTree
    average: PyTree
    updates: jax.Array


@dataclass(frozen=True)
class MOGFN:
    """Learner of one conditional sampler on one constructive task.

    Its ``LearnerState`` has :class:`Params`, :class:`Learning` and a ring of finished objects (``()`` without one).
    Its policy, which all methods for drawing take, is :class:`Params` with the moving average where there is one.

    Args:
        config: settings.
        env: the task.
        total_updates: updates that learning rates are annealed over.

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
        """Number of objects built for an update."""
        return self.config.batch

    @property
    def rollout_steps(self) -> int:
        """Return 1: objects are counted, each of them rewarded once, and not the steps that build them."""
        return 1

    def init(self, key: jax.Array) -> LearnerState:
        """Return a fresh sampler, about uniform over actions; not to be called under ``jit``."""
        c = self.config
        rng = generator(key)
        size = conditions.encoded_size(self._num_objectives, c.beta_range, c.bins)
        fresh = Params(
            policy=self._network.init(rng, size, self._num_actions + self._has_flows),
            log_z=mlp(rng, (size, *LOG_Z_HIDDEN, 1), c.activation, output_scale=0.01),
        )
        params = jax.tree.map(jnp.asarray, fresh)
        replay: Any = ()
        if c.replay_batch:
            state, obs = self.env.reset(key, self.env.default_params)
            replay = replays.empty(
                c.replay_capacity, Finished(state, obs, jnp.zeros(self._num_objectives, jnp.float32))
            )
        average = params.policy if c.ema else ()
        learning = Learning(self._optimiser.init(params), average, jnp.int32(0))
        return LearnerState(params, learning, replay=replay)

    def policy(self, state: LearnerState) -> Params:
        """Extract the parameters that draw, and log Z."""
        policy = state.learning.average if self.config.ema else state.params.policy
        return Params(policy, state.params.log_z)

    def act(self, policy: Params, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        """Return next steps (B,) from observations (B, *shape) under preferences (R,) or (B, R) and the highest β.

        Drawn step by step they build objects as :meth:`sample` does; the most probable steps lead to one of them, which
        need not be the most probable.
        """
        weights = jnp.broadcast_to(preference, (len(obs), self._num_objectives))
        encoded = self._encode(Condition(weights, jnp.full(len(obs), self.config.beta_range[1], jnp.float32)))
        logits = self._logits(policy, obs, encoded)
        chosen = jnp.argmax(logits, axis=-1) if greedy else jax.random.categorical(key, logits)
        return chosen.astype(jnp.int32)

    def to_env(self, action: jax.Array) -> jax.Array:
        """Return the action as it is."""
        return action

    def update(self, state: LearnerState, key: jax.Array) -> tuple[LearnerState, Metrics]:
        """Build a batch of objects and learn from them; return the new state and scalar metrics."""
        c = self.config
        key_condition, key_forward, key_replay, key_backward = jax.random.split(key, 4)

        # 1. Draw a condition for each trajectory.
        condition = self.draw_condition(key_condition, c.batch + c.replay_batch)
        built_for = Condition(*(x[: c.batch] for x in condition))

        # 2. Build objects, with a random step now and then.
        batch = self.rollout(self.policy(state), built_for, key_forward, self.env.default_params, c.epsilon)

        # 3. Store them, and add stored ones by trajectories that P_B draws.
        if c.replay_batch:
            state = state._replace(replay=replays.add(state.replay, batch.end))
            stored_for = Condition(*(x[c.batch :] for x in condition))
            stored = self._draw_stored(state.replay, key_replay, stored_for)
            again = backward(self.env, self.env.default_params, stored, key_backward)
            batch = jax.tree.map(lambda *parts: jnp.concatenate(parts), batch, again)

        # 4. Reward every object for its condition.
        log_reward = self.log_reward(batch.end.values, condition.preference, condition.beta)

        # 5. Take one gradient step on the mean of the losses.
        state, loss = self.learn(state, batch, condition, log_reward)
        return state, {
            "loss": loss,
            "log_z": jnp.mean(self._log_z(state.params, self._encode(condition))),
            "log_reward": jnp.mean(log_reward[: c.batch]),
            "length": jnp.mean(batch.length[: c.batch].astype(jnp.float32)),
        }

    # Parts of an update

    def draw_condition(self, key: jax.Array, number: int) -> Condition:
        """Draw ``number`` conditions for training, see :func:`morl.agents.mogfn.conditions.draw`."""
        c = self.config
        return conditions.draw(
            key, self._num_objectives, number, concentration=c.concentration, beta_range=c.beta_range
        )

    def rollout(
        self, policy: Params, condition: Condition, key: jax.Array, env_params: PyTree, epsilon: float = 0.0
    ) -> Trajectories:
        """Sample a trajectory for each of n conditions, with random steps of probability ``epsilon``."""
        encoded = self._encode(condition)
        reader = self._network.reader(policy.policy, encoded)
        return forward(self.env, env_params, reader, len(encoded), epsilon, key)

    def _draw_stored(self, replay: Replay, key: jax.Array, condition: Condition) -> Finished:
        """Draw stored objects for n conditions: for each the best of ``replay_candidates``."""
        number, candidates = len(condition.beta), self.config.replay_candidates
        drawn = replays.sample(replay, key, number * candidates)
        values = drawn.values.reshape(number, candidates, -1)
        log_reward = self.log_reward(values, condition.preference[:, None], condition.beta[:, None])
        best = jnp.arange(number, dtype=jnp.int32) * candidates + jnp.argmax(log_reward, axis=1).astype(jnp.int32)
        chosen: Finished = jax.tree.map(lambda x: x[best], drawn)
        return chosen

    def log_reward(self, values: Any, preference: Any, beta: Any) -> Any:
        """Compute β log R(x | w) of objectives (..., R), preferences (..., R) and exponents (...), in JAX or NumPy."""
        c = self.config
        region = FocusRegion(c.focus_cosine, c.focus_edge)
        log_reward = rewards.log_reward(values, preference, c.scalarisation, c.floor, region)
        return temper(log_reward, beta, c.min_log_reward)

    def learn(
        self, state: LearnerState, batch: Trajectories, condition: Condition, log_reward: jax.Array
    ) -> tuple[LearnerState, jax.Array]:
        """Take one step on the mean loss of trajectories (B, T) under conditions (B) with β log R (B,); return both."""
        decay, learning = self.config.ema, state.learning
        of_loss = partial(jax.value_and_grad(self.loss), state.params, batch, self._encode(condition), log_reward)
        loss, gradient = with_rows(self._network, batch, of_loss)
        step, opt_state = self._optimiser.update(gradient, learning.opt_state, state.params)
        params = optax.apply_updates(state.params, step)
        average = learning.average
        if decay:
            average = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, average, params.policy)
        return state._replace(params=params, learning=Learning(opt_state, average, learning.updates + 1)), loss

    def loss(
        self,
        params: Params,
        batch: Trajectories,
        encoded: jax.Array,
        log_reward: jax.Array,
        rows: int | None = None,
    ) -> jax.Array:
        """Compute the mean loss of trajectories (B, T) under encoded conditions (B, C), with β log R (B,).

        ``rows``: see :func:`~morl.agents.mogfn.networks.with_rows`.
        """
        c = self.config
        output = self._network.outputs(params.policy, batch, encoded, rows)
        log_prob = self._log_forward(output, batch)
        log_z = self._log_z(params, encoded)
        if not self._has_flows:
            each = jax.vmap(mogfn_losses.trajectory_balance)(log_z, log_prob, batch.log_backward, log_reward)
            return jnp.mean(each)
        flow = mogfn_losses.log_flows(output[..., -1], batch.length, log_z, log_reward)
        parts = flow, log_prob, batch.log_backward, batch.length
        if c.loss == "detailed_balance":
            return jnp.mean(jax.vmap(mogfn_losses.detailed_balance)(*parts))
        decayed = partial(mogfn_losses.subtrajectory_balance, decay=c.subtrajectory_decay)
        return jnp.mean(jax.vmap(decayed)(*parts))

    # Sampler

    def condition(self, weights: ArrayLike, beta: float | None = None) -> Condition:
        """Return the condition (n) of preferences (n, R), see :func:`morl.agents.mogfn.conditions.checked`.

        Raises:
            UserError: not preferences, or an exponent it was not trained for.
        """
        return conditions.checked(weights, beta, self._num_objectives, self.config.beta_range)

    @partial(jax.jit, static_argnames="self")
    def sample(self, policy: Params, condition: Condition, key: jax.Array) -> Trajectories:
        """Sample a trajectory for each of n conditions; its ``end`` is the object built."""
        return self.rollout(policy, condition, key, self.env.default_params)

    @partial(jax.jit, static_argnames="self")
    def log_z(self, policy: Params, condition: Condition) -> jax.Array:
        """Return the learnt log Z (n,) of n conditions."""
        return self._log_z(policy, self._encode(condition))

    @partial(jax.jit, static_argnames="self")
    def log_probability(self, policy: Params, condition: Condition, trajectories: Trajectories) -> jax.Array:
        """Compute Σ log P_F (n,) of n trajectories.

        It is the log-probability of an object that can be built in one way only, as strings are, else a lower bound.
        """
        of_rows = partial(self._network.outputs, policy.policy, trajectories, self._encode(condition))
        output = with_rows(self._network, trajectories, of_rows)
        return self._log_forward(output, trajectories).sum(axis=1)

    @partial(jax.jit, static_argnames="self")
    def distribution(self, policy: Params, condition: Condition) -> jax.Array:
        """Return the exact probabilities (n, objects) of a tabular task's objects for n conditions.

        Raises:
            UserError: the task is not tabular (:mod:`morl.envs.constructive.base`).
        """
        return diagnostics.exact_distribution(self.env, partial(self._logits, policy), self._encode(condition))

    # Networks and optimiser

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
        """Return whether the loss needs flows between start and end, which are one more output of the network."""
        return self.config.loss != "trajectory_balance"

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        """Adam with a learning rate for each group of parameters."""
        c = self.config

        def adam(rate: float) -> optax.GradientTransformation:
            steps = max(1, self.total_updates)
            return optax.adam(optax.cosine_decay_schedule(rate, steps, alpha=0.01) if c.anneal else rate)

        each = {"policy": adam(c.learning_rate), "log_z": adam(c.log_z_learning_rate)}
        grouped = optax.multi_transform(each, parameter_groups)
        clip = optax.identity() if c.max_grad_norm is None else optax.clip_by_global_norm(c.max_grad_norm)
        return in_float32(optax.chain(clip, grouped))

    def _encode(self, condition: Condition) -> jax.Array:
        return conditions.encode(*condition, self.config.beta_range, self.config.bins)

    def _logits(self, policy: Params, obs: jax.Array, encoded: jax.Array) -> jax.Array:
        """Return masked logits (B, A) for observations (B, *shape) under encoded conditions (B, C)."""
        output = self._network.of(policy.policy, obs, encoded)
        return mask_logits(output[:, : self._num_actions], self.env.action_mask(obs))

    def _log_forward(self, output: jax.Array, trajectories: Trajectories) -> jax.Array:
        return log_forward(output[..., : self._num_actions], trajectories, self.env.action_mask(trajectories.obs))

    @staticmethod
    def _log_z(params: Params, encoded: jax.Array) -> jax.Array:
        log_z: jax.Array = params.log_z(encoded)[:, 0]
        return log_z


def parameter_groups(params: Params) -> Params:
    """Return the name of every parameter's group, which is the field it is in."""
    groups = Params(*(jax.tree.map(lambda _, name=name: name, part) for name, part in params._asdict().items()))
    grouped: Any = jax.tree.structure(groups)
    assert grouped == jax.tree.structure(params)  # noqa: S101  # none is without a learning rate
    return groups
