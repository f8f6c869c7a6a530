"""The learned model: what it learns of, that it learns, and how steep it can be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax.envs.linear_quadratic import LinearQuadratic
from gippo_jax.learning import world_model
from gippo_jax.learning.rollout import collect
from gippo_jax.learning.setup import make_setup
from gippo_jax.learning.world_model import ModelConfig
from gippo_jax.programs.epochs import make_epochs
from tests.algorithms.settings import config_of

PROBE = LinearQuadratic(start_noise=1.0, episode_length=5)
CONFIG = ModelConfig(units=(16,), num_steps=400, minibatch_size=32, capacity=256, learning_rate=1e-2)


@pytest.fixture(scope="module")
def window():
  config = config_of("shac", num_envs=16, horizon=12)
  setup = make_setup(PROBE, config)
  state = jax.jit(make_epochs(PROBE, config).init)(jax.random.key(3), config)
  noise = jax.random.normal(jax.random.key(8), (12, 16, 1))
  environment, window = jax.jit(lambda noise: collect(setup, state, state.actor, noise))(noise)
  return window, environment.current.obs


def fresh(config=CONFIG):
  return world_model.init_model(jax.random.key(1), 1, 1, config)


def test_it_learns_of_steps_that_end_nothing(window):
  batch, usable = world_model.transitions_of(*window)
  assert usable.shape == (12 * 16,)
  assert int(usable.sum()) == 10 * 16  # two of the steps end an episode
  expected = (PROBE.decay - 1.0) * batch.obs + PROBE.gain * batch.action
  np.testing.assert_allclose(batch.change[usable], expected[usable], rtol=1e-9, atol=1e-12)
  assert np.max(np.abs((batch.change - expected)[~usable])) > 0.1


def test_what_is_not_finite_is_not_learned_of(window):
  window, last = window
  broken = window.replace(reward=window.reward.at[2, 3].set(jnp.nan), fault=window.fault.at[0, 1].set(1.0))
  _, usable = world_model.transitions_of(broken, last)
  assert int(usable.sum()) == 10 * 16 - 2
  state, metrics = jax.jit(lambda window: world_model.learn(fresh(), CONFIG, window, last))(broken)
  assert (metrics["model_transitions"], metrics["model_skipped_share"]) == (10 * 16 - 2, 0.0)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.layers))


@pytest.mark.parametrize("spectral_norm", [False, True])
def test_it_learns_a_linear_chain_and_its_derivative(window, spectral_norm):
  config = CONFIG.replace(spectral_norm=spectral_norm)
  state = fresh(config)
  learn = jax.jit(lambda state: world_model.learn(state, config, *window))
  for _ in range(3):
    state, metrics = learn(state)
  assert metrics["model_loss"] < 0.02
  obs, action = jnp.asarray([0.4]), jnp.asarray([0.2])
  by_obs, by_action = jax.jacobian(lambda *args: world_model.predict(state, config, *args)[0], argnums=(0, 1))(
    obs, action
  )
  np.testing.assert_allclose([by_obs[0, 0], by_action[0, 0]], [PROBE.decay, PROBE.gain], atol=0.15)


def test_hidden_layers_are_as_steep_as_their_activation_at_most():
  """Under spectral normalisation the network is no steeper than its last layer times the activation's 1.1 each."""
  config = CONFIG.replace(units=(16, 16), spectral_norm=True)
  state = fresh(config)
  state = state.replace(layers=[layer._replace(kernel=5.0 * layer.kernel) for layer in state.layers])
  last = np.linalg.svd(state.layers[-1].kernel, compute_uv=False)[0]

  def outputs(x):
    change, reward = world_model._outputs(state, config, state.layers, x[:1], x[1:])
    return jnp.append(change, reward)

  steepness = [
    np.linalg.svd(jax.jacobian(outputs)(x), compute_uv=False)[0] for x in jax.random.normal(jax.random.key(2), (20, 2))
  ]
  assert 0.05 * last < max(steepness) < 1.1**2 * 1.05 * last
  plain = config.replace(spectral_norm=False)
  state = state.replace(directions=[])
  config = plain
  assert np.linalg.svd(jax.jacobian(outputs)(jnp.asarray([0.3, 0.2])), compute_uv=False)[0] > 5.0 * last
