"""Algorithms through a learned model: with an exact one they are themselves; the simulator may be a black box."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gippo_jax
from gippo_jax import envs
from gippo_jax.envs.linear_quadratic import LinearQuadratic
from gippo_jax.errors import UserError
from gippo_jax.learning import world_model
from gippo_jax.programs.epochs import make_epochs
from gippo_jax.runs.environments import make_environment
from tests.algorithms.settings import assert_same_epoch, config_of, setting

PROBE = LinearQuadratic(start_noise=0.5, episode_length=5)


def exact(state, config, obs, action):
  del state, config
  position = PROBE.decay * obs + PROBE.gain * action
  return position, -jnp.sum(position**2) - PROBE.action_cost * jnp.sum(action**2)


def epoch_of(algorithm, model=None):
  """An epoch from SHAC's start, which has the model beside it."""
  config = config_of(algorithm, shac={"learning_rate": 0.01})
  _, state, draws = setting(config_of("shac"), PROBE)
  if model is not None:
    state = state.replace(model=model)
  return jax.jit(lambda state, config: make_epochs(PROBE, config).update(state, config, draws))(state, config)


def test_with_an_exact_model_it_is_shac(monkeypatch):
  monkeypatch.setattr(world_model, "predict", exact)
  model = world_model.init_model(jax.random.key(0), 1, 1, config_of("shac_model").model)
  found, expected = epoch_of("shac_model", model), epoch_of("shac")
  assert_same_epoch(found, expected)
  assert found[1]["model_loss"] > 0.0
  assert jax.tree.leaves(found[0].model.layers)[0].shape == (2, 128)


def test_with_the_wrong_model_values_are_shacs_and_the_step_is_not(monkeypatch):
  monkeypatch.setattr(world_model, "predict", lambda *arguments: tuple(-2.0 * leaf for leaf in exact(*arguments)))
  model = world_model.init_model(jax.random.key(0), 1, 1, config_of("shac_model").model)
  found, expected = epoch_of("shac_model", model), epoch_of("shac")
  np.testing.assert_allclose(found[1]["actor_loss"], expected[1]["actor_loss"], rtol=1e-9)
  assert abs(found[1]["actor_gradient_norm"] / expected[1]["actor_gradient_norm"] - 1.0) > 0.1


@dataclasses.dataclass(frozen=True)
class BlackBox(LinearQuadratic):
  """It says that it has no gradient, and has none: its state lives on the host."""

  differentiable = False

  def step(self, state, action):
    shape = jax.ShapeDtypeStruct(state.physics.shape, state.physics.dtype)
    position = jax.pure_callback(
      lambda x, a: np.asarray(self.decay * x + self.gain * a, shape.dtype),
      shape,
      state.physics,
      action,
      vmap_method="expand_dims",
    )
    reward = -jnp.sum(position**2) - self.action_cost * jnp.sum(action**2)
    return state.replace(physics=position, obs=position, reward=reward)


@pytest.mark.parametrize("algorithm", ["shac_model", pytest.param("gippo_model", marks=pytest.mark.slow)])
def test_a_simulator_without_gradient_is_trained_on(algorithm):
  name = f"{__name__}:BlackBox"
  config = (
    config_of(algorithm, num_envs=4, ppo={"minibatch_size": 12}) if "gippo" in algorithm else config_of(algorithm)
  )
  env = make_environment({"name": name})
  with pytest.raises(UserError, match=f"needs the gradient of .*; allowed: .*{algorithm}"):
    make_epochs(env, config_of("shac"))
  epochs = make_epochs(env, config)
  state = jax.jit(epochs.init)(jax.random.key(0), config)
  before = state.actor
  for _ in range(2):
    state, metrics = jax.jit(epochs.update)(state, config)
  assert metrics["model_transitions"] > 0
  moved = jax.tree.map(lambda one, two: np.max(np.abs(one - two)), before, state.actor)
  assert max(jax.tree.leaves(moved)) > 0.0


def test_bad_settings_are_one_line():
  epochs = make_epochs(envs.make("dejong", dimension=1), config_of("shac_model"))
  with pytest.raises(UserError, match=r"config\.algorithm: 'shac_model' is not allowed on episodes of one step"):
    epochs.init(jax.random.key(0), config_of("shac_model"))
  with pytest.raises(UserError, match=r"config\.model\.capacity: 10 is not allowed; allowed: at least 2048"):
    gippo_jax.Config(algorithm="shac_model", num_envs=64, horizon=32, model={"capacity": 10})
