"""SAPO: SHAC without its bonus; the bonus's gradient, its critics' targets, its temperature and its entropy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gippo_jax.algorithms.rp import total_return
from gippo_jax.algorithms.sapo import estimate_soft_return, sampled_entropy, soft_rewards
from gippo_jax.learning import gaussian, rollout
from gippo_jax.learning.advantages import generalized_advantages
from gippo_jax.learning.optimization import Optimizer
from gippo_jax.learning.temperature import adapt_temperature, init_temperature, normalized_entropy, target_entropy
from tests.algorithms.settings import assert_same_epoch, config_of, epoch, setting, shac_epoch


def test_without_a_bonus_and_with_one_critic_it_is_shac():
  options = {"initial_temperature": 0.0, "num_critics": 1, "target_decay": 0.2, "learning_rate": 0.01}
  found = epoch("sapo", sapo=options)
  assert_same_epoch(found, shac_epoch())
  assert found[1]["sapo_temperature"] == found[0].algorithm.own.alpha == 0.0


def test_the_gradient_is_that_of_the_soft_return():
  """Central differences by the actor's parameters, over windows with several episodes; the bonus is not small."""
  config = config_of("sapo")
  setup, state, draws = setting(config)
  entropy_noise = jax.random.normal(draws.key, draws.noise.shape)
  flat, unravel = ravel_pytree(state.actor)
  alpha = 0.7

  @jax.jit
  def loss(flat):
    _, window = rollout.collect(setup, state, unravel(flat), draws.noise)
    soft = window.replace(reward=soft_rewards(window, alpha, entropy_noise)[0])
    return -total_return(soft, config.discount, 1.0) / window.reward.size, window.reward

  estimated = jax.jit(lambda alpha: estimate_soft_return(setup, state, draws.noise, entropy_noise, alpha))(alpha)
  np.testing.assert_allclose(estimated.loss, loss(flat)[0], rtol=1e-12)
  chosen = np.random.default_rng(1).choice(flat.size, 12, replace=False)
  step = 1e-6
  differences = [(loss(flat.at[i].add(step))[0] - loss(flat.at[i].add(-step))[0]) / (2 * step) for i in chosen]
  np.testing.assert_allclose(estimated.gradient[chosen], differences, rtol=1e-6, atol=1e-8)
  hard = jax.jit(lambda alpha: estimate_soft_return(setup, state, draws.noise, entropy_noise, alpha))(0.0)
  assert np.linalg.norm(hard.gradient - estimated.gradient) > 0.1 * np.linalg.norm(hard.gradient)


def test_the_critics_regress_onto_the_soft_returns():
  """Broken by targets of the window's own rewards: the critics would not see the entropy."""
  (hard, hard_metrics), (soft, soft_metrics) = (
    epoch("sapo", sapo={"initial_temperature": alpha, "num_critics": 2}) for alpha in (0.0, 0.7)
  )
  assert abs(soft_metrics["critic_loss"] - hard_metrics["critic_loss"]) > 0.1 * hard_metrics["critic_loss"]
  assert np.any(ravel_pytree(soft.critic)[0] != ravel_pytree(hard.critic)[0])


def test_constant_rewards_and_entropies_have_a_geometric_series_as_their_value():
  reward, alpha, entropy, discount = 0.3, 0.5, 0.8, 0.9
  value = jnp.full((7, 2), (reward + alpha * entropy) / (1 - discount))
  soft = jnp.full((7, 2), reward + alpha * entropy)
  advantage = generalized_advantages(soft, value, value, jnp.zeros((7, 2)), discount, 0.95)
  np.testing.assert_allclose(advantage + value, value, rtol=1e-12)


def test_the_normalised_entropy_is_0_at_the_target_and_1_at_its_mirror_image():
  target = target_entropy(3)
  assert target == -1.5
  np.testing.assert_allclose(normalized_entropy(jnp.array([target, 0.0, -target]), target), [0.0, 0.5, 1.0])


@pytest.mark.parametrize(("excess", "direction"), [(0.4, -1), (-0.4, 1), (0.0, 0)])
def test_the_temperature_falls_where_there_is_too_much_entropy(excess, direction):
  optimizer = Optimizer(0.7, 0.95, None)
  temperature = init_temperature(0.5, optimizer)
  target = target_entropy(2)
  after = adapt_temperature(temperature, jnp.asarray(target + excess), target, optimizer, 5e-3)
  np.testing.assert_allclose(jnp.sign(after.log_alpha - temperature.log_alpha), [direction])


@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.5), (1.0, 1.5), (-3.0, 0.2)])
def test_the_sampled_entropy_is_the_squashed_normals_in_the_mean(mean, std):
  """Quadrature over the action itself, on [-1, 1]; and the derivative by the log standard deviation."""
  nodes, weights = np.polynomial.hermite_e.hermegauss(150)
  weights = weights / weights.sum()

  def entropy(log_std):
    shape = jnp.zeros((len(nodes), 1))
    return jnp.asarray(weights) @ sampled_entropy(shape + mean, shape + log_std, jnp.asarray(nodes)[:, None])

  def truth(log_std):
    a = mean + np.exp(log_std) * np.linspace(-12, 12, 200_001)
    density = np.exp(-0.5 * ((a - mean) / np.exp(log_std)) ** 2) / np.sqrt(2 * np.pi) / np.exp(log_std)
    log_squashed = np.log(np.maximum(density, 1e-300)) - 2 * (np.log(2) - a - np.logaddexp(0, -2 * a))
    return -np.trapezoid(density * log_squashed, a)

  value, slope = jax.jit(jax.value_and_grad(entropy))(jnp.log(std))
  np.testing.assert_allclose(value, truth(np.log(std)), rtol=1e-6)
  step = 1e-4
  difference = (truth(np.log(std) + step) - truth(np.log(std) - step)) / (2 * step)
  np.testing.assert_allclose(slope, difference, rtol=1e-5)


def test_the_squashed_density_is_one():
  action = np.linspace(-1 + 1e-6, 1 - 1e-6, 400_001)
  unsquashed = jnp.asarray(np.arctanh(action))[:, None]
  shape = jnp.zeros_like(unsquashed)
  density = np.exp(gaussian.squashed_log_prob(shape + 0.3, shape + np.log(0.6), unsquashed))
  np.testing.assert_allclose(np.trapezoid(density, action), 1.0, rtol=1e-6)


def test_the_entropy_is_finite_far_out():
  far = jnp.array([[30.0], [-400.0]])
  assert np.all(np.isfinite(sampled_entropy(far, jnp.zeros((2, 1)), jnp.zeros((2, 1)))))
