"""gymnax's environments behind our contract."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax import envs
from gippo_jax.programs.probe import probe_gradients
from tests.stepping import GRADIENT_CONFIG, check_gradient, run, total_reward

GYMNAX_BOXES = [
  "MountainCarContinuous-v0",
  *(pytest.param(name, marks=pytest.mark.slow) for name in ("PointRobot-misc", "Reacher-misc", "Swimmer-misc")),
]


@pytest.fixture
def gymnax():
  return pytest.importorskip("gymnax")


@pytest.mark.parametrize("name", GYMNAX_BOXES)
def test_gymnax_environments_run_and_have_gradients(gymnax, name):
  env = envs.make(f"gymnax:{name}", episode_length=3, **({"dense_reward": True} if name == "PointRobot-misc" else {}))
  assert isinstance(env, envs.Environment)
  assert env.differentiable
  batch = envs.vectorize(env, 2)
  actions = jnp.full((4, 2, env.action_size), 0.3)
  states = run(batch, batch.reset(jax.random.key(0)), actions)
  assert states.current.obs.shape == (4, 2, env.observation_size)
  np.testing.assert_array_equal(states.current.truncated[:, 0], [0, 0, 1, 0])
  assert np.any(states.current.obs[2] != states.final_obs[2])
  gradient = jax.jit(jax.grad(lambda actions: total_reward(env, jax.random.key(0), actions)))(actions[:, 0])
  assert np.all(np.isfinite(gradient))
  assert np.any(gradient != 0.0)


def test_pendulum_step_by_step(gymnax):
  env = envs.make("gymnax:Pendulum-v1", g=9.0)
  assert env.episode_length == 200
  inner, params = gymnax.make("Pendulum-v1")
  params = params.replace(g=9.0)
  actions = jnp.array([[-1.0], [-0.25], [0.5], [3.0]])
  start = env.reset(jax.random.key(0))
  states = run(env, start, actions)
  inner_state = start.physics.inner
  with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
    for t, torque in enumerate([-2.0, -0.5, 1.0, 2.0]):
      obs, inner_state, reward, _, _ = inner.step_env(jax.random.key(0), inner_state, jnp.array([torque]), params)
      np.testing.assert_allclose(states.obs[t], obs, rtol=1e-12)
      np.testing.assert_allclose(states.reward[t], reward, rtol=1e-12)
  np.testing.assert_array_equal(states.terminated, np.zeros(4))


def test_gradient_of_the_pendulum(gymnax):
  env = envs.make("gymnax:Pendulum-v1")
  check_gradient(env, 8, tolerance=1e-6)
  probe_gradients(env, GRADIENT_CONFIG)


def test_the_environments_key_moves_on(gymnax):
  env = envs.make("gymnax:Pendulum-v1")
  start = env.reset(jax.random.key(0))
  after = env.step(start, jnp.zeros(1))
  assert np.any(jax.random.key_data(start.physics.key) != jax.random.key_data(after.physics.key))


@pytest.mark.parametrize(
  ("name", "parameters", "message"),
  [
    ("Pendulum-v2", {}, r"env\.name: 'gymnax:Pendulum-v2' is unknown; known: gymnax:CartPole-v1"),
    ("CartPole-v1", {}, r"env\.name: 'gymnax:CartPole-v1' has the actions Discrete\(2.*allowed: .* Pendulum-v1"),
    ("Pendulum-v1", {"gravity": 9.8}, r"env\.gravity: .* no such parameter; known: episode_length, max_speed"),
    ("Pendulum-v1", {"episode_length": -1}, r"env\.episode_length: -1 is not allowed"),
  ],
)
def test_what_gymnax_names_and_parameters_are_allowed(gymnax, name, parameters, message):
  with pytest.raises(ValueError, match=message):
    envs.make(f"gymnax:{name}", **parameters)
