"""SHAC and policy enhancement: closed forms, and each against the other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gippo_jax import envs
from gippo_jax.algorithms import Draws
from gippo_jax.algorithms.pe import collect_with_action_values
from gippo_jax.config import traced
from gippo_jax.envs.linear_quadratic import LinearQuadratic
from gippo_jax.envs.point_mass import PointMass
from gippo_jax.learning.gradient_health import drop_nonfinite
from gippo_jax.learning.setup import make_setup
from gippo_jax.programs.epochs import make_epochs
from tests import configs

SMALL = {
  "num_envs": 3,
  "horizon": 6,
  "discount": 0.9,
  "normalize_observations": False,
  "normalize_values": False,
  "clip_gradients": False,
  "actor": {"units": (8,)},
  "critic": {"units": (8,), "num_iterations": 1, "num_minibatches": 1},
}


def config_of(algorithm, **options):
  return traced(configs.config_of(algorithm, **(SMALL | options)))


def setting(probe, config):
  state = jax.jit(make_epochs(probe, config).init)(jax.random.key(3), config)
  moved = jax.tree.map(lambda leaf: leaf + 0.2 * np.random.default_rng(0).normal(size=leaf.shape), state.critic)
  noise = jax.random.normal(jax.random.key(4), (config.horizon, config.num_envs, probe.action_size))
  return make_setup(probe, config), state.replace(target_critic=moved), noise


class QuadraticValue:
  """Networks whose value is `-curvature * x^2`, whatever the parameters."""

  def __init__(self, networks, curvature):
    self.policy = networks.policy
    self._curvature = curvature

  def value(self, params, obs):
    del params
    return -self._curvature * obs[..., 0] ** 2


def test_action_values_have_the_closed_form_of_linear_quadratic_control():
  """`q_a = dr/da + discount (ds'/da) V'(s')`, times the slope of the tanh in front of the environment."""
  probe = LinearQuadratic(start_noise=0.5, episode_length=4)
  config = config_of("pe")
  setup, state, noise = setting(probe, config)
  curvature = 1.7
  quadratic = setup._replace(networks=QuadraticValue(setup.networks, curvature))
  window, gradient = jax.jit(lambda: collect_with_action_values(quadratic, state, noise)[1:3])()
  x, action = window.raw_observation[..., 0], jnp.tanh(window.action[..., 0])
  reached = probe.decay * x + probe.gain * action
  by_action = -2.0 * probe.gain * reached * (1.0 + 0.9 * curvature) - 2.0 * probe.action_cost * action
  assert np.min(np.abs(by_action)) > 1e-4
  np.testing.assert_allclose(gradient[..., 0], by_action * (1.0 - action**2), rtol=1e-9)


def test_nothing_is_behind_an_early_end():
  """A point mass that leaves its box: the last sample's derivative is the reward's alone."""
  probe = envs.make("point_mass", dimension=1, episode_length=100)
  config = config_of("pe", horizon=12)
  setup, state, noise = setting(probe, config)

  @jax.jit
  def collect(config):
    _, window, gradient, _ = collect_with_action_values(setup._replace(config=config), state, noise + 3.0)
    return window, gradient

  window, gradient = collect(config)
  ended = np.asarray(window.done) > 0
  assert ended.any()
  assert np.all(np.asarray(window.next_value)[ended] == 0.0)
  _, of_reward = collect(config.replace(discount=jnp.zeros_like(config.discount)))
  np.testing.assert_allclose(gradient[ended], of_reward[ended], rtol=1e-12)
  assert np.all(np.abs(gradient[~ended] - of_reward[~ended]) > 1e-9)


@functools.cache
def gradient_norm(algorithm, probe, **options):
  if "rp_lambda" in options:
    options["rp"] = {"gae_lambda": options.pop("rp_lambda")}
  config = config_of(algorithm, **options)
  _, state, noise = setting(probe, config)
  after, metrics = jax.jit(make_epochs(probe, config).update)(state, config, Draws(noise, jax.random.key(0)))
  return after, metrics


def test_over_one_step_shac_and_policy_enhancement_are_the_same():
  """SVG(1): both differentiate `r + discount V'(s')` through one step."""
  probe = envs.make("point_mass", dimension=2, episode_length=5)
  shac, metrics = gradient_norm("shac", probe, horizon=1)
  pe, _ = gradient_norm("pe", probe, horizon=1)
  assert metrics["actor_gradient_norm"] > 1e-3
  np.testing.assert_allclose(ravel_pytree(shac.actor)[0], ravel_pytree(pe.actor)[0], rtol=1e-10)


def test_over_more_steps_they_differ():
  probe = envs.make("point_mass", dimension=2, episode_length=5)
  shac, _ = gradient_norm("shac", probe)
  pe, _ = gradient_norm("pe", probe)
  assert not np.allclose(ravel_pytree(shac.actor)[0], ravel_pytree(pe.actor)[0], rtol=1e-3)


def test_shac_is_rp_at_lambda_one_over_another_number():
  """RP divides by the segments (episodes of 5 in windows of 6: two each), SHAC by the samples."""
  probe = envs.make("point_mass", dimension=2, episode_length=5)
  _, shac = gradient_norm("shac", probe)
  _, rp = gradient_norm("rp", probe, rp_lambda=1.0)
  np.testing.assert_allclose(shac["actor_gradient_norm"] * 18, rp["actor_gradient_norm"] * 6, rtol=1e-10)
  np.testing.assert_allclose(shac["actor_loss"] * 18, rp["actor_loss"] * 6, rtol=1e-10)


def test_lost_samples_are_in_no_norm():
  gradient = jnp.ones((16, 2, 4)).at[:8].multiply(3.0).at[0, 0, 1].set(jnp.nan).at[9, 1, 0].set(jnp.inf)
  kept, metrics = drop_nonfinite(gradient)
  np.testing.assert_array_equal(kept[0, 0], 0.0)
  np.testing.assert_array_equal(kept[9, 1], 0.0)
  assert metrics["sample_gradient_dropped"] == pytest.approx(2 / 32)
  np.testing.assert_allclose(metrics["sample_gradient_norm"], (15 * 6.0 + 15 * 2.0) / 30)
  np.testing.assert_allclose(metrics["sample_gradient_norm_by_age"], [6.0] * 4 + [2.0] * 4)
  assert metrics["sample_gradient_zero"] == 0.0
  _, lost = drop_nonfinite(jnp.full((3, 1, 1), jnp.nan))
  assert (lost["sample_gradient_dropped"], lost["sample_gradient_zero"]) == (1.0, 0.0)
  np.testing.assert_array_equal(lost["sample_gradient_norm_by_age"], np.zeros(3))


def test_samples_without_a_derivative_are_counted():
  gradient = np.ones((4, 2, 3))
  gradient[0], gradient[1, 0, :2], gradient[2, 0], gradient[3, 1] = 0.0, 0.0, 1e-300, np.nan
  assert jax.jit(drop_nonfinite)(gradient)[1]["sample_gradient_zero"] == pytest.approx(2 / 8)


class HardClipped(PointMass):
  """A point mass whose push has no derivative beyond half of its range."""

  def step(self, state, action):
    return super().step(state, jnp.clip(action, -0.5, 0.5))


@pytest.mark.slow
def test_the_log_shows_actions_at_their_limit_and_those_that_a_simulator_clips():
  """With one action: `|tanh a| > 0.5` has no derivative, `|tanh a| > 0.99` is at the limit; `a` is the noise."""
  config = config_of("shac", num_envs=64, horizon=16, actor={"fixed_std": True, "units": (4,)})
  epochs = make_epochs(HardClipped(dimension=1), config)
  state = jax.jit(epochs.init)(jax.random.key(0), config)
  actor = jax.tree.map(jnp.zeros_like, state.actor)
  noise = 2.0 * jax.random.normal(jax.random.key(1), (16, 64, 1))
  _, metrics = jax.jit(lambda state, draws: epochs.update(state, config, draws))(
    state.replace(actor=actor), Draws(noise, jax.random.key(2))
  )
  expected = np.mean(np.abs(noise) > np.arctanh(0.5)), np.mean(np.abs(noise) > np.arctanh(0.99))
  np.testing.assert_allclose((metrics["sample_gradient_zero"], metrics["action_limit_share"]), expected, rtol=1e-12)
