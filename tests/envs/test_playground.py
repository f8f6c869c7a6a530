"""MuJoCo Playground's environments behind our contract."""

import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax import envs
from gippo_jax.errors import UserError
from gippo_jax.programs.probe import probe_gradients
from tests.stepping import GRADIENT_CONFIG, run, total_reward


@pytest.fixture
def playground():
  return pytest.importorskip("mujoco_playground")


def test_what_playground_names_and_parameters_are_allowed(playground):
  with pytest.raises(ValueError, match=r"env\.name: 'playground:Cow' is unknown; known: playground:AcrobotSwingup"):
    envs.make("playground:Cow")
  with pytest.raises(ValueError, match=r"env\.mass: .* known: episode_length, iterations, observation, ctrl_dt"):
    envs.make("playground:CartpoleSwingup", mass=1.0)
  with pytest.raises(ValueError, match=r"env\.iterations: 0 is not allowed"):
    envs.make("playground:CartpoleSwingup", iterations=0)
  with pytest.raises(ValueError, match=r"env\.ctrl_dt: 'fast' is not allowed; allowed: a value of type float"):
    envs.make("playground:CartpoleSwingup", ctrl_dt="fast")


def test_robot_models_that_cannot_be_downloaded(playground, monkeypatch):
  def load(*arguments, **keywords):
    raise subprocess.CalledProcessError(128, ["git", "clone"])

  monkeypatch.setattr(playground.registry, "load", load)
  with pytest.raises(ValueError, match=r"env\.name: 'playground:Go1Getup' needs the robot models"):
    envs.make("playground:Go1Getup")


@pytest.mark.slow
def test_playground_cartpole_runs_and_has_a_gradient(playground):
  env = envs.make("playground:CartpoleSwingup", episode_length=3, iterations=1)
  assert (env.observation_size, env.action_size, env.gradient_advice) == (5, 1, "")
  assert env.many_kernels
  batch = envs.vectorize(env, 2)
  states = run(batch, batch.reset(jax.random.key(0)), jnp.full((4, 2, 1), 0.3))
  np.testing.assert_array_equal(states.current.truncated[:, 0], [0, 0, 1, 0])
  gradient = jax.jit(jax.grad(lambda actions: total_reward(env, jax.random.key(0), actions)))(jnp.full((4, 1), 0.3))
  assert np.all(np.isfinite(gradient))
  assert np.all(gradient != 0.0)


@pytest.mark.slow
def test_the_probe_says_what_makes_playground_differentiable(playground):
  with pytest.raises(UserError, match=r"playground:CartpoleSwingup, but .*; try env.iterations=1; allowed: lr, ppo, "):
    probe_gradients(envs.make("playground:CartpoleSwingup", iterations=4), GRADIENT_CONFIG)
