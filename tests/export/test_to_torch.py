"""Functions of JAX in PyTorch: operation by operation, and the policies of every kind of learner."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

torch = pytest.importorskip("torch")

from morl.agents.sac import action_space as sac  # noqa: E402
from morl.errors import UserError  # noqa: E402
from morl.export.to_torch import Translated  # noqa: E402
from morl.ops import distributions  # noqa: E402
from morl.registry import agent_spec, load  # noqa: E402
from morl.settings import TrainSettings  # noqa: E402
from morl.training.setup import prepare  # noqa: E402

TABLE = np.arange(12, dtype=np.float32).reshape(3, 4) - 5
X = np.array([[0.5, -1.5, 2.0], [3.0, 0.0, -0.25], [1.0, 1.0, -7.0], [9.0, 8.0, 0.1]], np.float32)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x @ TABLE,
        lambda x: jnp.tanh(x) / (1 + x**2) - jnp.exp(-jnp.abs(x)),
        lambda x: jnp.where(x > 0, x, -2 * x),
        lambda x: jnp.clip(x, -1, 1) + jnp.sqrt(jnp.maximum(x, 0)),
        lambda x: jax.nn.softmax(x),
        lambda x: jax.nn.one_hot(jnp.argmax(x), 3) * jnp.argmin(x),
        lambda x: jnp.concatenate([x[1:], x[:1] * 2, jnp.zeros(2)]),
        lambda x: jnp.stack([x, x + 1])[:, ::2].T,
        lambda x: (x.astype(jnp.int32) // 2) % 3,
        lambda x: jnp.sum(x[:, None] * TABLE, axis=0) + jnp.max(x),
        lambda x: jnp.einsum("i,ij,kj->k", x, TABLE, TABLE),
        lambda x: jax.nn.silu(x) + jax.nn.relu(x) + jax.nn.sigmoid(x) + jnp.log1p(jnp.abs(x)),
        lambda x: jnp.stack([x[0], x.sum(), jnp.float32(3)]),
        lambda x: (x > 0) & ~(x > 1),
        lambda x: jnp.full(2, 7.0),  # of no argument
    ],
)
@pytest.mark.parametrize("number", [4, 1])
def test_operations(function, number):
    batch = X[:number]
    module = Translated(function, [jax.ShapeDtypeStruct((3,), jnp.float32)])
    wanted = np.asarray(jax.vmap(function)(batch))
    got = module(torch.from_numpy(batch)).expand(wanted.shape).numpy()
    assert got.dtype == wanted.dtype
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "space",
    [
        spaces.MultiDiscrete([[3, 2], [2, 4]], start=[[1, 0], [0, -1]]),
        spaces.Box(0, 900, (3,), np.int32),
        spaces.Box(np.array([-0.9, -np.inf, 3]), np.array([0.1, np.inf, np.inf]), dtype=np.float64),
    ],
)
def test_actions_of_every_kind(space):
    """Check actions of PPO, and joint choices of soft actor-critics, as the environment takes them."""
    for family in (distributions.for_space(space), sac.for_space(space)):
        size = family.num_outputs
        outputs = 3 * np.random.default_rng(0).standard_normal((64, size)).astype(np.float32)

        def act(output, family=family):
            single = isinstance(family, sac.DiscreteActions | sac.SquashedGaussian)
            return family.to_env(family.mode(output) if single else family.mode(output, jnp.zeros(())))

        module = Translated(act, [jax.ShapeDtypeStruct((size,), jnp.float32)])
        wanted, got = np.asarray(jax.vmap(act)(outputs)), module(torch.from_numpy(outputs)).numpy()
        assert got.dtype == wanted.dtype
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_what_is_not_known_is_refused():
    with pytest.raises(UserError, match="uses the operation sort, which cannot be put into PyTorch here; use jax"):
        Translated(lambda x: jnp.sort(x), [jax.ShapeDtypeStruct((3,), jnp.float32)])
    Translated(lambda x: (jnp.sort(x), x)[1], [jax.ShapeDtypeStruct((3,), jnp.float32)])  # nothing depends on it


@pytest.mark.parametrize(
    ("agent", "env", "own"),
    [
        ("cmorl", "minecart-v0", {"activation": "silu"}),
        ("cmorl", "deep-sea-treasure-v0", {}),  # one-hot
        ("cmorl", "building-9d-v0", {}),  # continuous
        ("cmorl", "mec-offloading-v0", {}),  # masked
        ("d3po", "minecart-v0", {"conditioning": "concat"}),
        ("d3po", "deep-sea-treasure-v0", {"conditioning": "film"}),
        ("d3po", "building-9d-v0", {"conditioning": "hypernetwork"}),
        ("gmorl", "minecart-v0", {"network": "flat"}),
        ("gmorl", "mec-offloading-v0", {"network": "rows"}),
        ("gmorl", "mec-offloading-v0", {"network": "convolution", "channels": 8}),
        ("gmorl", "building-9d-v0", {}),  # continuous
        ("capql", "minecart-v0", {}),
        ("capql", "building-9d-v0", {}),
        ("dsac", "deep-sea-treasure-v0", {}),
        ("gpi-ls", "minecart-v0", {"conditioning": "product"}),
        ("gpi-ls", "mec-offloading-v0", {}),  # masked
        ("gpi-ls", "deep-sea-treasure-v0", {"gpi_evaluation": False}),
        ("gpi-ls", "building-9d-v0", {}),  # continuous
    ],
)
def test_policies(agent, env, own):
    config = load(agent_spec(agent).config)(hidden=(16, 16), **own)
    plan = prepare(agent, TrainSettings(env=env), config)
    learner, space, rng = plan.agent.learner, plan.env.observation_space, np.random.default_rng(0)

    def trained(x):  # like no network at its start: away from ties, with statistics of observations
        return x if np.ndim(x) == 0 else (np.asarray(x) + 0.3 * np.abs(rng.normal(size=np.shape(x)))).astype(np.float32)

    policy = jax.tree.map(trained, learner.policy(learner.init(jax.random.key(0))))
    key = jax.random.key(0)

    def one(obs, weights):
        return learner.to_env(learner.act(policy, obs[None], weights, key, greedy=True))[0]

    space.seed(0)
    obs = np.stack([space.sample() for _ in range(200)])
    if env.startswith("mec"):
        obs = np.abs(obs) % 3  # tasks and links that exist
    weights = rng.dirichlet(np.ones(len(plan.objectives)), 200).astype(np.float32)
    dtype = jax.dtypes.canonicalize_dtype(space.dtype)
    examples = [jax.ShapeDtypeStruct(space.shape, dtype), jax.ShapeDtypeStruct(weights.shape[1:], jnp.float32)]
    wanted = np.asarray(jax.vmap(one)(obs, weights))
    got = Translated(one, examples)(torch.from_numpy(obs), torch.from_numpy(weights)).numpy()
    assert got.dtype == wanted.dtype
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
    if agent == "gmorl":

        def logits(obs, weights):
            inputs = learner.networks.inputs(policy.obs_stats, obs[None])
            return learner.networks.actor_output(policy.actor, inputs, weights[None])[0]

        wanted = np.asarray(jax.vmap(logits)(obs, weights))
        got = Translated(logits, examples)(torch.from_numpy(obs), torch.from_numpy(weights)).numpy()
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
        assert len(np.unique(wanted.argmax(axis=-1))) > 1
