"""D.Va: SHAC over one step; over more, SHAC without the policy's answer to what an action changed."""

import jax
import numpy as np
import pytest

from gippo_jax.algorithms import shac
from gippo_jax.algorithms.rp import collect_with_return_gradient
from gippo_jax.envs.linear_quadratic import LinearQuadratic
from tests.algorithms.settings import config_of, setting

GAIN = -0.7


class LinearPolicy:
  """`a = -0.7 x + 0.3 eps`; a critic that knows nothing."""

  def policy(self, actor, obs):
    del actor
    return GAIN * obs, 0.0 * obs + np.log(0.3)

  def value(self, critic, obs):
    del critic
    return 0.0 * obs[..., 0]


def estimates(horizon):
  """D.Va's loss and gradient, and SHAC's."""
  config = config_of("dva", horizon=horizon)
  setup, state, draws = setting(config)

  @jax.jit
  def both(config):
    rivals = [
      shac.estimate(setup._replace(config=config), state, draws, *before) for before in ([], [jax.lax.stop_gradient])
    ]
    return [(each.loss, each.gradient) for each in rivals]

  return both(config)


def test_over_one_step_it_is_shac():
  (loss, gradient), (other_loss, other) = estimates(1)
  assert np.max(np.abs(gradient)) > 1e-3
  np.testing.assert_allclose(loss, other_loss, rtol=1e-12)
  np.testing.assert_allclose(gradient, other, rtol=1e-12)


@pytest.mark.parametrize("answers", [True, False], ids=["shac", "dva"])
def test_on_a_linear_chain_it_lacks_the_feedback(answers):
  """`p_t = -2 g^t x' + decay p_{t+1} + K dR/da_{t+1}`, the last term with feedback alone."""
  probe = LinearQuadratic(start_noise=0.3, episode_length=50)
  config = config_of("dva", normalize_observations=False, normalize_values=False)
  setup, state, draws = setting(config, probe)
  setup = setup._replace(networks=LinearPolicy())
  before_policy = (lambda obs: obs) if answers else jax.lax.stop_gradient
  collect = jax.jit(lambda noise: collect_with_return_gradient(setup, state, noise, 1.0, before_policy))
  _, window, found, _ = collect(draws.noise)

  x, action = np.asarray(window.raw_observation)[..., 0], np.tanh(np.asarray(window.action)[..., 0])
  expected, message = np.zeros_like(action), 0.0
  for t in reversed(range(len(x))):
    discount = 0.9**t
    message = message - 2.0 * discount * (probe.decay * x[t] + probe.gain * action[t])
    by_action = message * probe.gain - 2.0 * discount * probe.action_cost * action[t]
    expected[t] = by_action * (1.0 - action[t] ** 2)
    message = probe.decay * message + (GAIN * expected[t] if answers else 0.0)
  assert np.min(np.abs(expected)) > 1e-4
  np.testing.assert_allclose(found[..., 0], expected, rtol=1e-9)


def test_over_more_steps_they_differ():
  (loss, gradient), (other_loss, other) = estimates(6)
  np.testing.assert_allclose(loss, other_loss, rtol=1e-12)  # the same window
  assert np.linalg.norm(gradient - other) > 0.01 * np.linalg.norm(other)
