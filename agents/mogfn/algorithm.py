"""MOGFN-PC: one sampler p(x | w, β) ∝ R(x | w)^β for every preference w (Jain et al., 2023, arXiv 2210.12765).

A conditional GFlowNet builds objects x step by step; after training it draws them in proportion to the scalarised
reward of any preference, without being trained again. :meth:`MOGFN.update` is one iteration of the paper's algorithm:

1. draw a condition (w, β) for each trajectory (:mod:`.conditions`);
2. build objects with the policy, exploring a little, or breed them (:mod:`.genetics`), and ask for their objectives
   (:mod:`.trajectories`);
3. add stored objects with new conditions, taken apart by backward steps (:mod:`.memory`);
4. scalarise: β log R(x | w) (:mod:`.rewards`);
5. take one gradient step on the mean balance loss (:mod:`.losses`), with a learning rate of its own for log Z, and
   more steps on stored objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from numpy.typing import ArrayLike

from morl.agents.mogfn import conditions, diagnostics, optimiser, rewards
from morl.agents.mogfn import losses as mogfn_losses
from morl.agents.mogfn.conditions import Condition
from morl.agents.mogfn.config import MOGFNConfig
from morl.agents.mogfn.genetics import GenomeReader, JoinedReader, bred
from morl.agents.mogfn.memory import Memory, MemoryRules
from morl.agents.mogfn.networks import GraphNetwork, Network, StateNetwork, StringNetwork, with_rows
from morl.agents.mogfn.optimiser import Params
from morl.agents.mogfn.trajectories import AnyTask, Finished, Reader, Trajectories, backward, forward, log_forward
from morl.errors import UserError
from morl.networks.mlp import mlp
from morl.ops.initial import generator
from morl.ops.masking import mask_logits
from morl.ops.scalarisation import FocusRegion, temper
from morl.types import LearnerState, Metrics, PyTree

LOG_Z_HIDDEN = (64, 64)


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

    Its ``LearnerState`` has :class:`Params`, :class:`Learning` and, as ``replay``, a
    :class:`~morl.agents.mogfn.memory.Memory`.
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
        average = params.policy if c.ema else ()
        learning = Learning(self._optimiser.init(params), average, jnp.int32(0))
        return LearnerState(params, learning, replay=self._rules.empty(key))

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
        state, metrics, _ = self.iterate(state, key)
        return state, metrics

    def iterate(self, state: LearnerState, key: jax.Array) -> tuple[LearnerState, Metrics, Finished]:
        """Run one update; return the new state, scalar metrics and the objects (B, ...) that were rewarded."""
        c = self.config
        key_condition, key_forward, key_replay, key_again = jax.random.split(key, 4)

        # 1. Draw a condition for each trajectory.
        condition = self.draw_condition(key_condition, c.batch)

        # 2. Build objects, with a random step now and then, or breed them.
        built = batch = self._build(state, condition, key_forward)

        # 3. Store them, and add stored ones by trajectories that P_B draws.
        state = state._replace(replay=self._rules.add(state.replay, built.end))
        if c.replay_batch:
            both = (batch, condition), self._stored(state.replay, key_replay)
            batch, condition = jax.tree.map(lambda *parts: jnp.concatenate(parts), *both)

        # 4. Reward every object for its condition.
        share = conditions.warmed_up(state.learning.updates, c.beta_warmup * self.total_updates)
        log_reward = self.log_reward(batch.end.values, condition.preference, condition.beta * share)

        # 5. Take one gradient step on the mean of the losses, and more on stored objects.
        state, loss = self.learn(state, batch, condition, log_reward)
        if c.gradient_steps > 1:
            keys = jax.random.split(key_again, c.gradient_steps - 1)
            state, _ = jax.lax.scan(partial(self._learn_again, share), state, keys)
        state = state._replace(learning=state.learning._replace(updates=state.learning.updates + 1))
        metrics = {
            "loss": loss,
            "log_z": jnp.mean(self._log_z(state.params, self._encode(condition))),
            "log_reward": jnp.mean(log_reward[: c.batch]),
            "length": jnp.mean(built.length.astype(jnp.float32)),
        }
        return state, metrics, built.end

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

    def _build(self, state: LearnerState, condition: Condition, key: jax.Array) -> Trajectories:
        """Build an object for each condition of a batch: the first by the policy, the last ``genetic_batch`` bred."""
        c, policy = self.config, self.policy(state)
        own = c.batch - c.genetic_batch
        if not c.genetic_batch:
            return self.rollout(policy, condition, key, self.env.default_params, c.epsilon)
        key_parents, key_breed, key_forward = jax.random.split(key, 3)
        first, second, known = self._rules.parents(state.replay, condition.preference[own:], key_parents)
        reader: Reader[Any] = GenomeReader(self.env, bred(self.env, first, second, known, c.mutations, key_breed))
        if own:
            encoded = self._encode(Condition(*(x[:own] for x in condition)))
            reader = JoinedReader(self._network.reader(policy.policy, encoded), reader, own)
        explores = jnp.where(jnp.arange(c.batch, dtype=jnp.int32)[:, None] < own, c.epsilon, 0.0)
        return forward(self.env, self.env.default_params, reader, c.batch, explores, key_forward)

    def _stored(self, memory: Memory, key: jax.Array) -> tuple[Trajectories, Condition]:
        """Draw ``replay_batch`` stored objects, with trajectories that P_B draws and new conditions."""
        key_condition, key_replay, key_backward = jax.random.split(key, 3)
        condition = self.draw_condition(key_condition, self.config.replay_batch)
        objects = self._rules.draw(memory, condition, key_replay)
        return backward(self.env, self.env.default_params, objects, key_backward), condition

    def _learn_again(self, share: jax.Array, state: LearnerState, key: jax.Array) -> tuple[LearnerState, jax.Array]:
        """Take a gradient step on stored objects alone, with this share of β."""
        batch, condition = self._stored(state.replay, key)
        log_reward = self.log_reward(batch.end.values, condition.preference, condition.beta * share)
        return self.learn(state, batch, condition, log_reward)

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
        return state._replace(params=params, learning=learning._replace(opt_state=opt_state, average=average)), loss

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
        return optimiser.adam(self.config, self.total_updates * self.config.gradient_steps)

    @property
    def _rules(self) -> MemoryRules:
        return MemoryRules(self.config, self.env, self.log_reward)

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
