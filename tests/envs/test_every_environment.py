"""What holds of every environment that needs no simulator: derivatives, batches of any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax import envs

STEPS = 32
FUNCTION = {"dimension": 3}
ENVIRONMENTS = {
  **{name: envs.make(name, **FUNCTION) for name in ("dejong", "ackley", "rastrigin")},
  **{name: envs.make(name) for name in ("point_mass", "linear_quadratic", "cartpole", "cartpole_walls", "quadrotor")},
  **{name: envs.make(name) for name in ("ball_over_wall", "momentum_transfer", "pushing", "friction", "tennis")},
  "double_pendulum": envs.make("double_pendulum"),
  "pace_car": envs.make("pace_car", scenario="b", lane_membership="soft"),
  "ring": envs.make("ring", num_vehicles=5),
}


def test_none_is_forgotten():
  """An environment in closed form has its place here; those on Brax are in `test_physics.py`."""
  on_brax = {"cartpole_swing_up", "ant", "hopper", "half_cheetah", "walker2d", "humanoid"}
  more_functions = {"rosenbrock", "griewank", "styblinski_tang"}
  assert ENVIRONMENTS.keys() == set(envs.known()) - on_brax - more_functions


# The others have such a test of their own, or take long to compile.
QUICK = set(ENVIRONMENTS) - {"quadrotor", "pace_car", "ring", "cartpole", "pushing", "friction"}


@pytest.mark.parametrize(
  "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in ENVIRONMENTS]
)
def test_derivatives_of_a_step_and_of_a_window_are_those_of_central_differences(name):
  """Broken by a `stop_gradient`, a clipped action and a loop without reverse mode."""
  env = ENVIRONMENTS[name]
  keys = jax.random.split(jax.random.key(1), 2)
  direction = jax.random.uniform(keys[0], (STEPS, env.action_size), minval=-0.5, maxval=0.5)
  start = env.reset(keys[1])

  def total(shift, length):
    def step(state, action):
      state = env.step(state, action)
      return state, state.reward

    return jnp.sum(jax.lax.scan(step, start, (0.3 + shift) * direction[:length])[1])

  for length in (1, STEPS):
    value = jax.jit(lambda shift, length=length: total(shift, length))
    slope = jax.jit(jax.grad(lambda shift, length=length: total(shift, length)))(0.0)
    difference = (value(1e-6) - value(-1e-6)) / 2e-6
    np.testing.assert_allclose(slope, difference, rtol=1e-4, atol=1e-7 * float(jnp.abs(value(0.0)) + 1.0))
    assert length == 1 or abs(slope) > 1e-6


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_one_object_steps_batches_of_any_size(name):
  """A member's path does not depend on who is beside it; broken by a number of environments kept in the object."""
  env = ENVIRONMENTS[name]
  keys = jax.random.split(jax.random.key(2), 3)
  actions = jax.random.uniform(jax.random.key(3), (4, 3, env.action_size), minval=-1.0, maxval=1.0)

  def roll(keys, actions):
    def step(states, action):
      states = jax.vmap(env.step)(states, action)
      return states, states

    return jax.lax.scan(step, jax.vmap(env.reset)(keys), actions)[1]

  three, two = (jax.jit(roll)(keys[:size], actions[:, :size]) for size in (3, 2))
  np.testing.assert_allclose(three.obs[:, :2], two.obs, rtol=1e-12, atol=1e-12)
  np.testing.assert_allclose(three.reward[:, :2], two.reward, rtol=1e-12, atol=1e-12)
