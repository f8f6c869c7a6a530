"""The policy as an object: the same numbers as in the rollout, batched or not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax import envs
from gippo_jax.config import Config, traced
from gippo_jax.learning import rollout
from gippo_jax.learning.normalization import RunningStatistics
from gippo_jax.learning.policies import policy_of
from gippo_jax.learning.setup import make_setup
from gippo_jax.programs.epochs import make_epochs


@pytest.fixture(scope="module", params=[True, False], ids=["normalised", "raw"])
def case(request):
  config = traced(
    Config(
      algorithm="lr",
      num_envs=3,
      horizon=4,
      normalize_observations=request.param,
      actor={"units": (8,)},
      critic={"units": (8,), "num_minibatches": 1},
    )
  )
  env = envs.make("point_mass", dimension=2)
  setup = make_setup(env, config)
  state = jax.jit(make_epochs(env, config).init)(jax.random.key(0), config)
  statistics = RunningStatistics(jnp.linspace(-0.2, 0.4, 4), jnp.linspace(0.5, 2.0, 4), jnp.asarray(50.0))
  state = state.replace(observation_statistics=statistics)
  noise = jax.random.normal(jax.random.key(1), (4, 3, 2))
  window = jax.jit(lambda state: rollout.collect(setup, state, state.actor, noise)[1])(state)
  return policy_of(setup, state.policy), window, noise


def test_it_acts_as_the_rollout_does(case):
  policy, window, noise = case

  @jax.jit
  def asked(obs, noise):
    return *policy.distribution(obs), policy(obs), policy.act(obs, noise)

  mean, log_std, by_mean, drawn = asked(window.raw_observation, noise)
  np.testing.assert_allclose(mean, window.mean, rtol=1e-12)
  np.testing.assert_allclose(log_std, window.log_std, rtol=1e-12)
  np.testing.assert_allclose(by_mean, np.tanh(window.mean), rtol=1e-12)
  np.testing.assert_allclose(drawn, np.tanh(window.action), rtol=1e-12)


def test_one_observation_or_many_are_the_same(case):
  policy, window, _ = case
  together = policy(window.raw_observation)
  alone = policy(window.raw_observation[1, 2])
  assert alone.shape == (2,)
  np.testing.assert_allclose(together[1, 2], alone, rtol=1e-12)


def test_draws_have_the_distribution(case):
  policy, window, _ = case
  obs = window.raw_observation[0, 0]
  draws = jax.jit(jax.vmap(lambda key: policy(obs, key)))(jax.random.split(jax.random.key(3), 4000))
  mean, log_std = policy.distribution(obs)
  latent = np.arctanh(np.clip(draws, -1 + 1e-12, 1 - 1e-12))
  np.testing.assert_allclose(latent.mean(axis=0), mean, atol=0.1)
  np.testing.assert_allclose(latent.std(axis=0), np.exp(log_std), rtol=0.1)
  assert np.all(np.abs(draws) <= 1.0)


def test_it_is_a_pytree_and_takes_numbers_of_any_width(case):
  policy, window, _ = case
  obs = np.asarray(window.raw_observation[0, 0], np.float32)
  expected = policy(obs)
  assert expected.dtype == jnp.float64
  np.testing.assert_allclose(jax.jit(lambda policy, obs: policy(obs))(policy, obs), expected, rtol=1e-12)
  two = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), policy)
  np.testing.assert_allclose(jax.vmap(lambda policy: policy(obs))(two)[0], expected, rtol=1e-12)
