"""Action-value critics: drawn apart, the squashed action beside the observation, soft one-step targets."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.learning import gaussian
from gippo_jax.learning.action_value import (
  Experience,
  in_units_of_rewards,
  regression_loss,
  soft_targets,
  with_action_critics,
)
from gippo_jax.learning.agents import actor_in_order
from gippo_jax.learning.normalization import init_statistics
from tests.algorithms.settings import config_of, setting

RNG = np.random.default_rng(0)
BATCH = Experience(
  obs=jnp.asarray(RNG.normal(size=(5, 4))),
  action=jnp.asarray(RNG.uniform(-1, 1, size=(5, 2))),
  reward=jnp.asarray(RNG.normal(size=5)),
  reached=jnp.asarray(RNG.normal(size=(5, 4))),
  terminal=jnp.asarray([0.0, 1.0, 0.0, 0.0, 1.0]),
)


@functools.cache
def drawn():
  setup, networks = with_action_critics(setting(config_of("shac"))[0], 2)
  actor, critic = jax.jit(networks.init)(jax.random.key(0), setup.config.actor)
  return setup, networks, actor, critic


def test_critics_are_drawn_apart_and_see_the_action():
  setup, networks, actor, critic = drawn()
  assert setup.networks is networks
  action_values = jax.jit(networks.action_values)
  values = action_values(critic, BATCH.obs, BATCH.action)
  assert values.shape == (2, 5)
  assert np.min(np.abs(values[0] - values[1])) > 1e-6
  moved = action_values(critic, BATCH.obs, BATCH.action + 0.1)
  assert np.min(np.abs(moved - values)) > 1e-6
  np.testing.assert_array_equal(networks.value(critic, BATCH.obs), 0.0)
  policy = setting(config_of("shac"))[0].networks
  found, wanted = (jax.jit(each.policy)(actor, BATCH.obs)[0] for each in (networks, policy))
  np.testing.assert_array_equal(found, wanted)
  np.testing.assert_array_equal(actor_in_order(networks, actor), actor_in_order(policy, actor))
  assert hash(networks) == hash(with_action_critics(setting(config_of("shac"))[0], 2)[1])


def test_targets_are_the_soft_ones():
  """One by one; nothing is worth anything after an early end."""
  _, networks, actor, critic = drawn()
  noise = jnp.asarray(RNG.normal(size=(5, 2)))

  def values(obs, action):
    return 3.0 * networks.action_values(critic, obs, action) + 1.0

  found = jax.jit(lambda noise: soft_targets(networks, actor, values, BATCH, noise, 0.9, 0.2))(noise)

  @jax.jit
  def alone(reward, reached, terminal, noise):
    mean, log_std = networks.policy(actor, reached)
    action = mean + jnp.exp(log_std) * noise
    least = jnp.min(values(reached, jnp.tanh(action)))
    soft = least - 0.2 * gaussian.squashed_log_prob(mean, log_std, action)
    return reward + 0.9 * (1.0 - terminal) * soft

  for i in range(5):
    wanted = alone(BATCH.reward[i], BATCH.reached[i], BATCH.terminal[i], noise[i])
    np.testing.assert_allclose(found[i], wanted, rtol=1e-12)


def test_the_loss_is_the_sum_of_the_critics_errors():
  values = jnp.asarray([[1.0, 2.0, 0.0, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0, 0.0]])
  found = regression_loss(lambda obs, action: values, BATCH, jnp.zeros(5))
  np.testing.assert_allclose(found, (1.0 + 4.0 + 9.0) / 5.0)


def test_the_unit_of_the_values_is_the_rewards_root_mean_square():
  rewards = jnp.asarray([-3.0, 1.0, 4.0, -2.0])
  found = in_units_of_rewards(jnp.asarray([0.0, 2.0]), init_statistics().update(rewards))
  np.testing.assert_allclose(found, [0.0, 2.0 * np.sqrt(7.5)], rtol=1e-5)
