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


@pytest.fixture(scope="module")
def rolled():
  """Where ten steps lead from a push and a place, and the derivative by both, `held` or not, in both widths."""
  start = jnp.asarray([[0.0, 0.0], [0.4, 0.0], [1.0, 0.099], [-2.0, -0.0999], [0.3, 0.101]])
  single = mujoco.MjModel.from_xml_string(SLIDER)
  model = mjx.put_model(single, impl="jax")
  single.opt.iterations, single.opt.ls_iterations, single.opt.tolerance = 50, 50, 0.0
  exact = mjx.put_model(single, impl="jax")

  def reached(x, model=model):
    with standard_promotion():
      data = mjx.make_data(model)
      data = mjx.forward(model, data.replace(qpos=data.qpos.at[0].set(x[1]), ctrl=jnp.ones(1) * x[0]))
      for _ in range(2):
        data = mjx.step(model, data)
      return jnp.sum(data.qpos * jnp.asarray([1.0, 0.3])) + jnp.sum(data.qvel)

  def held(x):
    with finite_line_search():
      return reached(x)

  both = {
    name: jax.jit(jax.vmap(jax.value_and_grad(function))) for name, function in (("held", held), ("own", reached))
  }
  step = 1e-6
  wide = {name: function(start) for name, function in both.items()}
  # Differences of the exact solution, which a single iteration misses a little where the slider is at its limit.
  ends = jax.jit(jax.vmap(lambda x: reached(x, exact)))
  slopes = [(ends(start + step * unit[None]) - ends(start - step * unit[None])) / (2 * step) for unit in jnp.eye(2)]
  return wide, np.stack(slopes, -1)


def test_the_values_are_the_same(rolled):
  wide, _ = rolled
  np.testing.assert_array_equal(wide["held"][0], wide["own"][0])


def test_the_derivative_is_that_of_finite_differences(rolled):
  wide, slopes = rolled
  np.testing.assert_allclose(wide["held"][1], slopes, rtol=1e-4, atol=1e-6)


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
