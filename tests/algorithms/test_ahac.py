"""AHAC: SHAC at a fixed horizon, a horizon that moves the right way, and a stiffness known in closed form."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax.algorithms.rp import collect_with_return_gradient, total_return
from gippo_jax.envs.base import State
from gippo_jax.envs.wrappers import vectorize
from gippo_jax.learning.adaptive_horizon import adapt_horizon, cut_window, cuts, init_horizon
from gippo_jax.learning.critic import Convergence, fit_critic
from gippo_jax.learning.gradient_flow import cut_gradient
from gippo_jax.learning.rollout import collect_in_pieces
from gippo_jax.learning.stiffness import mean_norm, squared_jacobian_norm
from tests.algorithms.settings import assert_same_epoch, config_of, epoch, setting, shac_epoch

SHAC_LIKE = {"num_critics": 1, "target_decay": 0.2, "critic_tolerance": 0.0, "max_critic_passes": 1}


def test_at_a_fixed_horizon_with_one_critic_it_is_shac():
  found = epoch("ahac", ahac={**SHAC_LIKE, "learning_rate": 0.01})
  assert_same_epoch(found, shac_epoch())
  assert found[1]["ahac_horizon"] == 6
  assert found[1]["critic_passes"] == 1
  np.testing.assert_allclose(found[1]["critic_loss"], shac_epoch()[1]["critic_loss"], rtol=1e-12)


def test_a_piece_is_a_window_of_its_own():
  """Derivatives in pieces of 4 and 2 steps are those of a window of 4 and of one of 2 behind it, episodes and all."""
  config = config_of("ahac", ahac=SHAC_LIKE | {"min_horizon": 4})
  setup, state, draws = setting(config)
  cut = cuts(init_horizon(4), 6)
  np.testing.assert_array_equal(cut, [True, False, False, False, True, False])

  @jax.jit
  def all_three(noise):
    def objective(window):
      return total_return(cut_window(window, cut), config.discount, 1.0)

    _, window, whole, states = collect_in_pieces(objective, setup, state, noise, cut)
    environment, first, early, _ = collect_with_return_gradient(setup, state, noise[:4], 1.0)
    later = state.replace(environment=environment, episode_start=first.done[-1])
    _, second, late, _ = collect_with_return_gradient(setup, later, noise[4:], 1.0)
    sums = total_return(first, config.discount, 1.0) + total_return(second, config.discount, 1.0)
    return objective(window), whole, sums, jnp.concatenate([early, late]), states.current.obs, window.raw_observation

  found, whole, expected, parts, seen, observed = all_three(draws.noise)
  np.testing.assert_allclose(found, expected, rtol=1e-12)
  assert np.min(np.max(np.abs(parts), axis=(1, 2))) > 1e-4
  np.testing.assert_allclose(whole, parts, rtol=1e-9, atol=1e-12)
  np.testing.assert_array_equal(seen, observed)


def test_nothing_passes_a_cut_not_even_what_is_no_number():
  def end(x, cut):
    return jnp.sqrt(cut_gradient({"x": x, "steps": jnp.zeros((), int)}, cut)["x"] * 0.0)

  assert np.isnan(jax.grad(end)(1.0, jnp.asarray(False)))
  assert jax.grad(end)(1.0, jnp.asarray(True)) == 0.0


@pytest.mark.parametrize(("stiffness", "ends_at"), [(400.0, 32), (600.0, 8), (500.0, 16)])
def test_the_horizon_grows_where_there_is_slack_and_shrinks_where_there_is_none(stiffness, ends_at):
  """The released code adds what is subtracted here."""
  state = init_horizon(8).replace(horizon=jnp.asarray(16.0))
  for _ in range(300):
    state = adapt_horizon(state, jnp.asarray(stiffness), 500.0, 5e-4, 8, 32)
  assert state.horizon == ends_at
  assert np.sign(state.multiplier) == np.sign(stiffness - 500.0)


class Spring:
  """A point mass against a spring wall at x < 0: `v += dt (a - k min(x, 0) / m)`, then `x += dt v`."""

  observation_size, action_size, episode_length, differentiable = 2, 1, 5, True
  dt, k, m = 0.1, 30.0, 2.0

  def reset(self, key):
    physics = jnp.where(jax.random.bernoulli(key), 1.0, -1.0) * jnp.array([0.5, 0.0])
    zero = jnp.zeros(())
    return State(physics=physics, obs=physics, reward=zero, terminated=zero, truncated=zero)

  def step(self, state, action):
    x, v = state.physics
    v = v + self.dt * (action[0] - self.k / self.m * jnp.minimum(x, 0.0))
    physics = jnp.stack([x + self.dt * v, v])
    return state.replace(physics=physics, obs=physics, reward=-(x**2))


def test_the_stiffness_of_a_spring_is_its_jacobians_norm():
  env = vectorize(Spring(), 6)
  state = env.reset(jax.random.key(0))
  touches = np.asarray(state.current.obs)[:, 0] < 0.0
  assert 0 < touches.sum() < 6
  draws = 4000
  many = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (draws, *leaf.shape)), state)
  squares = jax.jit(squared_jacobian_norm, static_argnums=0)(env, many, jnp.zeros((draws, 6, 1)), jax.random.key(1))
  dt, ratio = Spring.dt, Spring.k / Spring.m
  norms = []
  for touching in touches:
    stiff = ratio if touching else 0.0
    jacobian = np.array([[1 - dt**2 * stiff, dt, dt**2], [-dt * stiff, 1.0, dt]])
    norms.append(np.sum(jacobian**2))
  error = np.std(squares, axis=0) / np.sqrt(draws)
  assert np.all(np.abs(np.mean(squares, axis=0) - np.array(norms)) < 4.0 * error)
  assert np.max(error / np.array(norms)) < 0.03


def test_a_norm_that_is_no_number_is_in_no_mean():
  np.testing.assert_allclose(mean_norm(jnp.array([9.0, jnp.inf, jnp.nan, 25.0])), np.sqrt(17.0))
  assert mean_norm(jnp.array([jnp.nan])) == 0.0


def test_the_regression_ends_when_it_stands_still():
  config = config_of("ahac", ahac=SHAC_LIKE)
  setup, state, _ = setting(config)
  rng = np.random.default_rng(0)
  obs = jnp.asarray(rng.normal(size=(6, 4, 4)))
  window = types.SimpleNamespace(observation=obs, target=obs[..., 0])

  @jax.jit
  def fit(tolerance, rate):
    return fit_critic(setup, state, window, rate, Convergence(12, tolerance))[-1]

  for tolerance, rate, passes in ((0.0, 1e-3, 12), (1e9, 1e-3, 5), (1e-9, 0.0, 5)):
    assert fit(tolerance, rate)["critic_passes"] == passes
