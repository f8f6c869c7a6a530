"""IVW-H: its two estimates are of one quantity, its weights are those of the variances, and its limits SHAC and LR."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax.algorithms import shac
from gippo_jax.algorithms.ivw_h import estimates_of_outputs, weight_of_first
from gippo_jax.algorithms.rp import collect_with_return_gradient
from gippo_jax.envs.linear_quadratic import LinearQuadratic
from gippo_jax.errors import UserError
from gippo_jax.learning import gaussian
from gippo_jax.learning.advantages import segment_discounts
from gippo_jax.learning.output_gradients import mix_by_step
from gippo_jax.learning.output_pull_back import gradient_of_outputs
from tests import configs
from tests.algorithms.settings import SMALL, config_of, setting


def test_its_limits_are_shac_and_the_likelihood_ratio():
  """Both estimates through one product with the network's Jacobian, over windows with several episodes."""
  config = config_of("ivw_h")
  setup, state, draws = setting(config)

  @jax.jit
  def gradients(noise):
    _, window, return_gradient, _ = collect_with_return_gradient(setup, state, noise, 1.0)
    first, second = estimates_of_outputs(window, return_gradient, config.discount, 1.0)
    found = [gradient_of_outputs(setup.networks, state.actor, window, each) for each in (first, second)]
    # The advantages at lambda 1, and their score, written out.
    discounts = segment_discounts(window.segment_start, config.discount)
    returns, following = [], jnp.zeros_like(window.reward[0])
    for t in reversed(range(6)):
      behind = jnp.where((window.done[t] > 0) | (t == 5), window.next_value[t], following)
      following = window.reward[t] + config.discount * behind
      returns.insert(0, following)
    advantage = jnp.stack(returns) - window.value
    others = (jnp.sum(advantage, axis=1, keepdims=True) - advantage) / 3.0

    def score(actor):
      log_prob = gaussian.log_prob(*setup.networks.policy(actor, window.observation), window.action)
      return jnp.sum(discounts * (advantage - others) * log_prob)

    by_score = jax.flatten_util.ravel_pytree(jax.grad(score)(state.actor))[0]
    return found, -24 * shac.estimate(setup, state, draws).gradient, by_score

  (by_first, by_second), by_shac, by_score = gradients(draws.noise)
  assert np.max(np.abs(by_shac)) > 1e-3
  np.testing.assert_allclose(by_first, by_shac, rtol=1e-9, atol=1e-12)
  np.testing.assert_allclose(by_second, by_score, rtol=1e-8, atol=1e-11)


class Linear:
  """`a = -0.7 x + 0.3 eps`, and a quadratic critic."""

  def policy(self, actor, obs):
    del actor
    return -0.7 * obs, 0.0 * obs + np.log(0.3)

  def value(self, critic, obs):
    del critic
    return -1.3 * obs[..., 0] ** 2


@pytest.mark.parametrize("gae_lambda", [1.0, 0.6])
def test_both_estimates_have_the_same_mean_at_every_step(gae_lambda):
  """Broken by a lambda in the advantages that is not the one of the differentiated return."""
  num_envs, num_steps = 60_000, 4
  config = config_of(
    "ivw_h",
    num_envs=num_envs,
    horizon=num_steps,
    normalize_observations=False,
    normalize_values=False,
  )
  setup, state, draws = setting(config, LinearQuadratic(start=0.4, start_noise=0.3, episode_length=50))
  setup = setup._replace(networks=Linear())

  @jax.jit
  def estimates(noise):
    _, window, return_gradient, _ = collect_with_return_gradient(setup, state, noise, gae_lambda)
    return estimates_of_outputs(window, return_gradient, config.discount, gae_lambda), window.observation

  (first, second), _ = estimates(draws.noise)
  difference = np.asarray(first - second)
  error = difference.std(axis=1) / np.sqrt(num_envs)
  assert np.all(np.abs(difference.mean(axis=1)) < 3.5 * error)
  assert np.all(np.abs(np.asarray(first).mean(axis=1)[:, 0]) > 8.0 * error[:, 0])  # so that the test can fail


def draws_of(num_steps=5, num_envs=40, size=3):
  keys = jax.random.split(jax.random.key(0), 2)
  return [jax.random.normal(key, (num_steps, num_envs, size)) for key in keys]


def mixed(first, second):
  return mix_by_step(first, second, jnp.ones(first.shape[:2], bool), weigh=weight_of_first)


def test_a_linear_return_takes_the_derivative_and_a_noisy_one_the_likelihood_ratio():
  noise, second = draws_of()
  steady = jnp.full_like(second, 2.0)
  estimate, weight = mixed(steady, second)
  np.testing.assert_array_equal(weight, 1.0)
  np.testing.assert_array_equal(estimate, steady)
  weights = [float(jnp.mean(mixed(steady + scale * noise, second)[1])) for scale in (0.1, 1.0, 10.0, 1000.0)]
  assert weights == sorted(weights, reverse=True)
  assert weights[0] > 0.98
  assert weights[-1] < 1e-5


def test_the_weights_are_the_variances_over_the_environments_step_by_step():
  first, second = draws_of()
  first = first * jnp.arange(1.0, 6.0)[:, None, None] * jnp.arange(1.0, 4.0)[None, None]
  _, weight = mixed(first, second)
  variances = [np.var(np.asarray(each), axis=1, ddof=1) for each in (first, second)]
  np.testing.assert_allclose(weight, variances[1] / (variances[0] + variances[1]), rtol=1e-9)
  order = np.random.default_rng(0).permutation(40)
  np.testing.assert_allclose(mixed(first[:, order], second[:, order])[1], weight, rtol=1e-9)
  confused = mixed(first.reshape(40, 5, 3).swapaxes(0, 1), second.reshape(40, 5, 3).swapaxes(0, 1))[1]
  assert np.max(np.abs(confused - weight)) > 0.1


@pytest.mark.parametrize("unit", [1e-9, 1e6])
def test_the_weights_have_no_unit(unit):
  first, second = draws_of()
  np.testing.assert_allclose(mixed(unit * first, unit * second)[1], mixed(first, second)[1], rtol=1e-9)


def test_one_environment_alone_has_no_variance():
  with pytest.raises(UserError, match=r"config\.num_envs: 1 is not allowed with the algorithm 'ivw_h'"):
    configs.config_of("ivw_h", **(SMALL | {"num_envs": 1}))
