"""MJX's line search with its length held fixed: the same values, and derivatives that are finite and right."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from gippo_jax.envs.adapters.mjx_search import finite_line_search
from gippo_jax.envs.third_party import quiet_brax, standard_promotion

with quiet_brax():
  from mujoco import mjx
  from mujoco.mjx._src import solver

SLIDER = """
<mujoco>
  <option timestep="0.01" iterations="1" ls_iterations="4"/>
  <worldbody>
    <body><joint name="x" type="slide" axis="1 0 0" limited="true" range="-0.1 0.1"/><geom size="0.1" mass="1"/>
      <body><joint name="y" type="hinge" axis="0 1 0"/><geom size="0.1" pos="0 0 0.5" mass="0.3"/></body></body>
  </worldbody>
  <actuator><motor joint="x"/></actuator>
</mujoco>
"""


def make_reached():
  """Where two steps lead from a push and a place."""
  model = mjx.put_model(mujoco.MjModel.from_xml_string(SLIDER), impl="jax")

  def reached(x):
    with standard_promotion():
      data = mjx.make_data(model)
      data = mjx.forward(model, data.replace(qpos=data.qpos.at[0].set(x[1]), ctrl=jnp.ones(1) * x[0]))
      for _ in range(2):
        data = mjx.step(model, data)
      return jnp.sum(data.qpos * jnp.asarray([1.0, 0.3])) + jnp.sum(data.qvel)

  def held(x):
    with finite_line_search():
      return reached(x)

  return reached, held


def values_and_slopes(function, start):
  return jax.jit(jax.vmap(jax.value_and_grad(function)))(start)


@pytest.fixture(scope="module")
def rolled():
  """Values and derivatives, held and MJX's own, and central differences; the last row lies beyond its limit."""
  start = jnp.asarray([[0.0, 0.0], [0.4, 0.0], [1.0, 0.099], [-2.0, -0.0999], [0.3, 0.101]])
  reached, held = make_reached()
  step = 1e-6
  ends = jax.jit(jax.vmap(reached))
  slopes = [(ends(start + step * unit[None]) - ends(start - step * unit[None])) / (2 * step) for unit in jnp.eye(2)]
  return values_and_slopes(held, start), values_and_slopes(reached, start), np.stack(slopes, -1)


@pytest.mark.slow
def test_the_values_are_the_same(rolled):
  held, own, _ = rolled
  np.testing.assert_array_equal(held[0], own[0])


@pytest.mark.slow
def test_a_derivative_that_was_finite_is_the_same(rolled):
  held, own, _ = rolled
  np.testing.assert_allclose(held[1], own[1], rtol=1e-10, atol=1e-13)
  assert np.max(np.abs(held[1])) > 1.0


@pytest.mark.slow
def test_the_derivative_is_that_of_finite_differences(rolled):
  """Within the limits; beyond them MJX's own misses a ten-thousandth."""
  held, _, slopes = rolled
  np.testing.assert_allclose(held[1][:4], slopes[:4], rtol=1e-6, atol=1e-8)


def test_derivatives_that_were_lost_are_found():
  """In float32, pushes so small that the square of what rounding leaves of them is nothing."""
  with jax.enable_x64(False):
    pushes = np.random.default_rng(0).uniform(-1.0, 1.0, 200) * np.logspace(-14.0, -2.0, 200)
    start = jnp.asarray(np.stack([pushes, 0.05 * pushes], axis=-1), jnp.float32)
    reached, held = make_reached()
    own, found = (np.asarray(values_and_slopes(function, start)[1]) for function in (reached, held))
    assert found.dtype == np.float32
  lost = ~np.all(np.isfinite(own), axis=-1)
  assert 0 < np.sum(lost) < len(lost)
  # The last digits of a push are lost against those of gravity.
  np.testing.assert_allclose(found, np.broadcast_to([-1.920014e-02, 1.0], found.shape), rtol=1e-3)


def test_a_window_of_a_batch_can_be_differentiated():
  """As in training: the derivative of a scan over steps of a batch; shapes only."""
  model = mjx.put_model(mujoco.MjModel.from_xml_string(SLIDER), impl="jax")

  def total(controls):
    def step(data, control):
      with finite_line_search():
        data = jax.vmap(lambda data, control: mjx.step(model, data.replace(ctrl=control)))(data, control)
      return data, data.qpos[:, 0]

    with standard_promotion():
      start = jax.vmap(lambda _: mjx.make_data(model))(jnp.zeros(3))
      return jnp.sum(jax.lax.scan(step, start, controls)[1])

  assert jax.eval_shape(jax.grad(total), jnp.zeros((2, 3, 1))).shape == (2, 3, 1)


def test_the_solver_is_itself_again():
  before = solver._linesearch
  with finite_line_search():
    assert solver._linesearch is not before
  assert solver._linesearch is before
