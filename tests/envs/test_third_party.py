"""Methods of other packages' objects that are traced once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax.envs.third_party import traced_once


class Counting:
  """A step that counts how often its Python runs."""

  def __init__(self, factor):
    self.factor, self.runs = factor, 0

  @traced_once
  def step(self, state, action):
    self.runs += 1
    return {"x": jnp.sin(state["x"]) * self.factor + action @ action}


@pytest.fixture
def state():
  return {"x": jnp.asarray(0.3)}


def test_python_runs_once_in_several_programs_and_their_derivatives(state):
  own, action = Counting(2.0), jnp.asarray([0.1, 0.2])
  many = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), (state, action))

  def slope(state, action):
    return jax.grad(lambda action: own.step(state, action)["x"])(action)

  jax.jit(own.step)(state, action)
  np.testing.assert_allclose(jax.jit(slope)(state, action), 2 * action, rtol=1e-12)
  np.testing.assert_allclose(jax.jit(jax.vmap(slope))(*many), 2 * many[1], rtol=1e-12)
  jax.lax.scan(lambda state, _: (own.step(state, action), None), state, None, 3)
  assert own.runs == 1


def test_other_types_and_other_precision_are_traced_anew(state):
  own, action = Counting(2.0), jnp.asarray([0.1, 0.2])
  own.step(state, action)
  own.step(state, action.astype(jnp.float32).astype(float))
  assert own.runs == 1
  own.step({"x": state["x"].astype(jnp.float32)}, action.astype(jnp.float32))
  assert own.runs == 2
  with jax.default_matmul_precision("highest"):
    text = str(jax.make_jaxpr(own.step)(state, action))
  assert own.runs == 3
  assert "HIGHEST" in text


def test_objects_do_not_share_what_was_traced(state):
  action = jnp.zeros(2)
  one, other = Counting(2.0), Counting(3.0)
  assert 3 * one.step(state, action)["x"] == pytest.approx(2 * other.step(state, action)["x"])


def test_without_jit_it_is_plain_python(state):
  own = Counting(2.0)
  with jax.disable_jit():
    own.step(state, jnp.zeros(2))
    own.step(state, jnp.zeros(2))
  assert own.runs == 2
