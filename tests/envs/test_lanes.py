"""Many environments along the last axis: the numbers and derivatives of `jax.vmap`."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr

from gippo_jax import envs
from gippo_jax.envs.lanes.indexing import Run, runs_of
from gippo_jax.envs.lanes.program import _evaluate, vectorized
from gippo_jax.envs.lanes.values import Lanes, Value
from gippo_jax.envs.wrappers import AutoReset, TimeLimit

_INDEXED = ("gather", "scatter", "scatter-add")


def _kinds(function, *values):
  """The primitives of a program and of all programs in it, but for branches that a batch turns into choices."""

  def is_program(x):
    return isinstance(x, (Jaxpr, ClosedJaxpr))

  def of(jaxpr: Jaxpr):
    for equation in jaxpr.eqns:
      yield equation.primitive.name
      for value in jax.tree.leaves(list(equation.params.values()), is_leaf=is_program):
        if is_program(value):
          yield from of(value.jaxpr if isinstance(value, ClosedJaxpr) else value)

  return list(of(jax.make_jaxpr(function)(*values).jaxpr))


def _indexed(function, *values):
  return [kind for kind in _kinds(function, *values) if kind in _INDEXED]


def _slope(function):
  def weigh(leaf):
    return jnp.sum(jnp.sin(leaf) * (1.0 + jnp.arange(leaf.size, dtype=leaf.dtype).reshape(leaf.shape)))

  def total(*values):
    leaves = [leaf for leaf in jax.tree.leaves(function(*values)) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return sum(weigh(leaf) for leaf in leaves)

  return lambda *values: jax.grad(total, argnums=tuple(range(len(values))))(*values)


def _require_equal(function, *values, num_envs=3, slope=True, sliced=False):
  """Value and derivative of a batch are those of `jax.vmap`; `values` are one environment's."""
  batch = [jnp.stack([value * (1.0 + 0.5 * index) for index in range(num_envs)]) for value in values]
  ours, theirs = vectorized(function), jax.vmap(function)

  def compare(a, b):
    assert a.dtype == b.dtype
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)

  jax.tree.map(compare, jax.jit(ours)(*batch), jax.jit(theirs)(*batch))
  if slope:
    expected = jax.jit(_slope(theirs))(*batch)
    assert any(np.any(leaf) for leaf in expected)  # else the test shows nothing
    jax.tree.map(compare, jax.jit(_slope(ours))(*batch), expected)
  if sliced:
    assert _indexed(theirs, *batch)
    assert not _indexed(ours, *batch)
    assert not _indexed(_slope(ours), *batch)


@pytest.mark.parametrize(
  ("rows", "expected"),
  [
    ([0, 1, 2], [Run(0, 1, 3)]),
    ([1, 3, 5, 0, 0], [Run(1, 2, 3), Run(0, 0, 2)]),
    ([-1, -1, 4, -1], [Run(-1, 0, 2), Run(4, 0, 1), Run(-1, 0, 1)]),
    ([3, 2, 1], [Run(3, 0, 1), Run(2, 0, 1), Run(1, 0, 1)]),
    ([], []),
  ],
)
def test_runs_are_rows_at_equal_steps(rows, expected):
  assert runs_of(rows) == expected


@hypothesis.given(st.lists(st.integers(-1, 9), max_size=20))
def test_runs_together_are_all_rows_in_their_order(rows):
  again = [first + step * index for first, step, number in runs_of(rows) for index in range(number)]
  assert again == rows


_INTEGERS = st.integers(-7, 7)


@hypothesis.given(st.lists(st.tuples(_INTEGERS, _INTEGERS), min_size=1, max_size=5))
def test_constants_are_what_jax_makes_of_them(pairs):
  def function(a, b):
    which = (a < b) | ~(a >= 2) & (b != a) | (a == 3) | (a <= -6) | (b > 5)
    chosen = jnp.where(which, a % 5 - b, jnp.maximum(a * b, jnp.minimum(a, -b)))
    spread = jnp.reshape(jnp.broadcast_to(chosen[:, None], (*chosen.shape, 2)), (-1,)) + jax.lax.rem(a, b)[0]
    truth = jnp.where(a > 0, which, ~which)
    counted = jax.lax.broadcasted_iota(jnp.int32, (2, 3), 1)
    return jnp.concatenate([spread, a]).astype(jnp.int16), counted, jnp.squeeze(counted[:1], 0), a // 3, truth

  values = [jnp.asarray(side, jnp.int32) for side in zip(*pairs, strict=True)]
  program = jax.make_jaxpr(function)(*values)
  known = [Value(value, False, True) for value in values]
  made = [value.array for value in _evaluate(Lanes(3), program, known)]
  for ours, theirs in zip(made, function(*values), strict=True):
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


def test_a_key_and_floats_among_the_constants():
  key, turning = jax.random.key(3), np.array([2.7, -1.2])

  def function(x):
    return x * jax.random.bits(key, (2,)).astype(x.dtype) + jnp.asarray(turning).astype(jnp.int32).astype(x.dtype)

  _require_equal(function, jnp.asarray([1.5, 2.5]))


_X = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3, 4)))


@hypothesis.settings(max_examples=6)
@hypothesis.given(
  st.lists(st.integers(-5, 4), min_size=1, max_size=8), st.integers(0, 2), st.sampled_from(["wrap", "clip"])
)
def test_takes_along_any_axis(rows, axis, mode):
  # One index alone is a slice in JAX already.
  _require_equal(lambda x: jnp.take(x, np.asarray([*rows, 0]), axis=axis, mode=mode), _X, sliced=True)


@hypothesis.settings(max_examples=6)
@hypothesis.given(st.lists(st.integers(-1, 6), min_size=1, max_size=9))
def test_sums_by_segment_and_what_lies_outside_is_dropped(segments):
  values = jnp.asarray(np.random.default_rng(1).normal(size=(len(segments) + 1, 3)))
  _require_equal(lambda x: jax.ops.segment_sum(x, np.asarray([*segments, 0]), 5), values, sliced=True)


@pytest.mark.parametrize(
  "function",
  [
    pytest.param(lambda x: x[np.array([0, 2, 1]), :, np.array([3, 0, 3])], id="points of two axes"),
    pytest.param(lambda x: x[np.array([[0, 2], [1, 4]])], id="a matrix of indices"),
    pytest.param(lambda x: x[:, np.array([2, 0, 0])], id="the second axis"),
    pytest.param(lambda x: x.at[np.array([4, 1])].set(x[:2] ** 2), id="rows set"),
    pytest.param(lambda x: x.at[np.array([1, 1])].add(x[:2] ** 2), id="one row added to twice"),
    pytest.param(lambda x: x.at[np.array([0, 3]), np.array([1, 1])].add(x[:2, 0]), id="points added to"),
    pytest.param(lambda x: x.at[:, np.array([0, 2])].set(x[:, 1:] * x[:, :2]), id="columns set"),
  ],
)
def test_indices_of_all_shapes(function):
  _require_equal(function, _X, sliced=True)


def test_a_row_set_twice_holds_the_last():
  x = jnp.arange(3.0)
  function = vectorized(lambda x: x.at[np.array([1, 1])].set(jnp.stack([x[0] + 5.0, x[2] + 7.0])))
  np.testing.assert_array_equal(function(x[None]), [[0.0, 9.0, 2.0]])


_V, _M = _X[0, 0, :3], _X[1, :, :3]


@pytest.mark.parametrize(
  "function",
  [
    pytest.param(lambda v, m: m @ v + v @ m, id="matrix and vector"),
    pytest.param(lambda v, m: m @ m.T, id="two matrices"),
    pytest.param(lambda v, m: jnp.eye(3) @ m + jnp.ones((3, 3)) * jnp.dot(v, v), id="a constant matrix"),
    pytest.param(lambda v, m: jnp.einsum("ij,kj,k->ik", m, m, v), id="einsum"),
    pytest.param(lambda v, m: jax.vmap(jnp.dot)(m, m), id="products of a batch"),
    pytest.param(lambda v, m: jnp.outer(v, v) + jnp.tensordot(m, m, 2), id="outer and full"),
    pytest.param(lambda v, m: jnp.tile(m, (4, 4)) @ jnp.tile(m, (4, 4)), id="12 x 12"),
    pytest.param(lambda v, m: jnp.tile(v, 40) * (jnp.ones((120, 120)) @ jnp.tile(v, 40)), id="a large constant matrix"),
    pytest.param(lambda v, m: jnp.tile(m, (20, 20)) @ jnp.tile(m, (20, 20)), id="60 x 60"),
    pytest.param(lambda v, m: jnp.zeros((2, 0)) @ jnp.zeros((0, 2)) + v[0], id="nothing to sum"),
    pytest.param(lambda v, m: jnp.cross(v, m) + jnp.linalg.norm(v), id="cross product"),
    pytest.param(lambda v, m: jnp.linalg.solve(m, v) + jnp.linalg.inv(m @ m.T)[0], id="solved"),
    pytest.param(lambda v, m: jnp.linalg.cholesky(m @ m.T + jnp.eye(3)), id="Cholesky"),
    pytest.param(lambda v, m: v[1:] * v[:2] + m[1, 2] * m[::2, 0], id="entries"),
    pytest.param(lambda v, m: jnp.concatenate([v, m[0], jnp.ones(2)]).reshape(2, 4), id="put together"),
    pytest.param(lambda v, m: jnp.where(v > 0, v, 2.0 * v) + jnp.where(v[0] > 0, m, m.T), id="choices"),
    pytest.param(lambda v, m: jnp.clip(v, -0.2, v[0] ** 2 + 0.1) + jnp.maximum(m, 0.1), id="limits"),
    pytest.param(lambda v, m: jnp.sum(m, 0) + jnp.mean(m) + jnp.max(m, 1) + jnp.prod(v), id="sums and their kind"),
    pytest.param(lambda v, m: jnp.cumsum(m, 1) + jnp.sort(m, 0) + m[::-1], id="along axes"),
    pytest.param(lambda v, m: jnp.pad(m, ((1, 0), (0, 2)), constant_values=3.0), id="padded"),
    pytest.param(lambda v, m: jnp.pad(m, 1, mode="edge") * jnp.roll(jnp.pad(m, 1), 1), id="padded with entries"),
    pytest.param(lambda v, m: m[jnp.argmax(v)] * v[jnp.argmin(m[0])], id="an index that depends on the state"),
    pytest.param(lambda v, m: jax.lax.dynamic_slice(m, (1, 0), (2, 2)), id="a constant window"),
    pytest.param(lambda v, m: jax.lax.dynamic_update_slice(m, v[None] ** 2, (1, 0)), id="a window written"),
    pytest.param(lambda v, m: m.at[1].set(v**2).at[0, 1].add(v[0] ** 2), id="entries written"),
    pytest.param(lambda v, m: jax.nn.relu(v) + jax.nn.softplus(m), id="derivatives of their own"),
    pytest.param(lambda v, m: jnp.atleast_2d(v) * jnp.arctan2(m, v) + jnp.sqrt(jnp.abs(m)), id="entry by entry"),
    pytest.param(lambda v, m: v * jnp.asarray([1, 2, 3]) + jnp.asarray(3), id="integers"),
    pytest.param(lambda v, m: (v * v[0], {"n": m.T, "sign": v > 0, "count": jnp.arange(3)}), id="a pytree"),
  ],
)
def test_operations(function):
  with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
    _require_equal(function, _V, _M)


def test_loops_branches_and_calls_are_searched():
  rows = np.array([2, 0, 1])

  def function(x):
    turned = jax.jit(lambda x: x[rows])(x)
    scanned, ys = jax.lax.scan(lambda carry, y: (jnp.sin(carry[jnp.asarray(rows)]) + y, carry), turned, jnp.arange(4.0))
    shared = jax.lax.cond(jnp.arange(3)[1] > 0, lambda x: x[rows] * 2.0, lambda x: x[rows[::-1]], scanned)
    return shared, ys, jax.lax.cond(scanned[0] > 0, lambda x: x * 2.0, lambda x: x**2, scanned)

  _require_equal(function, jnp.array([1.0, -2.0, 0.5]), sliced=True)


def test_a_loop_goes_on_as_long_as_one_environment_needs():
  rows = np.array([1, 2, 0])

  def function(x):
    return jax.lax.while_loop(lambda x: x[0] < 9.0, lambda x: x[rows] * 2.0 + 1.0, x)

  _require_equal(function, jnp.array([1.0, 2.0, 3.0]), slope=False)
  assert not _indexed(vectorized(function), jnp.ones((2, 3)))


def test_what_all_share_inside_a_loop_stays_shared():
  table = jnp.asarray(np.random.default_rng(3).normal(size=(3, 3)))

  def function(x):
    scaled = x * 2.0
    carry, _ = jax.lax.scan(lambda c, _: (c * scaled[0] + scaled[1:2] + table[0], None), jnp.zeros(3), length=3)
    return carry + scaled[0] + scaled[2]

  with jax.numpy_rank_promotion("allow"):
    _require_equal(function, jnp.array([0.3, -0.2, 0.5]))


def test_random_numbers_are_those_of_vmap():
  keys = jax.random.split(jax.random.key(0), 4)

  def function(key):
    return jax.random.normal(jax.random.split(key)[0], (3,))

  np.testing.assert_array_equal(vectorized(function)(keys), jax.vmap(function)(keys))


def test_many_scattered_rows_stay_a_gather():
  rows = np.random.default_rng(0).permutation(400)
  x = jnp.arange(800.0).reshape(2, 400)
  function = vectorized(lambda x: x[rows])
  np.testing.assert_array_equal(function(x), x[:, rows])
  assert _indexed(function, x)


def test_what_reads_outside_is_filled():
  function = vectorized(lambda x: jnp.take(x, np.array([1, 7]), mode="fill", fill_value=-3.0))
  np.testing.assert_array_equal(function(jnp.arange(4.0)[None]), [[1.0, -3.0]])


def test_effects_happen_when_the_program_runs_and_not_when_it_is_made():
  said = []

  def function(x):
    jax.debug.callback(said.append, np.int32(1))
    return x * 2.0

  program = jax.jit(vectorized(function)).lower(jnp.ones(2)).compile()
  assert not said
  program(jnp.ones(2))
  jax.effects_barrier()
  assert said


def test_derivatives_forward_and_twice():
  def total(mapped):
    return lambda x: jnp.sum(mapped(lambda x: jnp.sum(jnp.sin(x[np.array([0, 0, 2])]) ** 2) * x[1])(x))

  x = jnp.array([[0.3, 0.5, -0.7], [0.1, -0.4, 0.2]])
  np.testing.assert_allclose(jax.hessian(total(vectorized))(x), jax.hessian(total(jax.vmap))(x), rtol=1e-12)


def test_a_product_of_two_batched_arrays_needs_no_matrix_product():
  function = vectorized(lambda v, m: m @ v)
  batch = (jnp.stack([_V, _V]), jnp.stack([_M, _M]))
  assert "dot_general" not in _kinds(_slope(function), *batch)


@pytest.mark.parametrize(
  ("task", "backend"),
  [
    ("inverted_pendulum", "spring"),
    pytest.param("hopper", "spring", marks=pytest.mark.slow),
    pytest.param("hopper", "generalized", marks=pytest.mark.slow),
    pytest.param("hopper", "positional", marks=pytest.mark.slow),
  ],
)
def test_brax_has_the_same_step_and_derivative(task, backend):
  env = AutoReset(TimeLimit(envs.make(f"brax:{task}", backend=backend)))
  states = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 2))
  actions = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (2, env.env.env.action_size)), jnp.float32)

  def slope(advance):
    def reward(actions):
      reached, _ = advance(states, actions)
      return jnp.sum(reached.current.reward) + jnp.sum(reached.current.obs), reached.current

    return jax.jit(jax.value_and_grad(reward, has_aux=True))

  (value, reached), gradient = slope(vectorized(env.advance))(actions)
  (expected_value, expected), expected_gradient = slope(jax.vmap(env.advance))(actions)
  np.testing.assert_allclose(value, expected_value, rtol=1e-5)
  np.testing.assert_allclose(reached.obs, expected.obs, rtol=1e-4, atol=1e-5)
  assert np.linalg.norm(expected_gradient) > 1e-3
  np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-3, atol=1e-5)


class _Turning:
  """A point that a matrix of its own turns."""

  observation_size, action_size, episode_length, differentiable = 2, 2, 5, True

  def __init__(self, batch_last):
    self.batch_last = batch_last

  def reset(self, key):
    position = jax.random.normal(key, (2,))
    return envs.State(position, position, jnp.zeros(()), jnp.zeros(()), jnp.zeros(()))

  def step(self, state, action):
    turn = jnp.eye(2) + jnp.outer(action, state.physics)
    position = jnp.tanh(turn @ state.physics)
    return state.replace(physics=position, obs=position, reward=-position @ position)


def test_an_environment_says_that_its_copies_lie_along_the_last_axis():
  first, last = (envs.vectorize(_Turning(batch_last), 4) for batch_last in (False, True))
  state = first.reset(jax.random.key(0))
  actions = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (7, 4, 2)))  # beyond the time limit

  def rollout(batch):
    return lambda actions: jnp.sum(jax.lax.scan(lambda *x: (batch.step(*x), None), state, actions)[0].final_obs ** 2)

  expected = jax.value_and_grad(rollout(first))(actions)
  actual = jax.value_and_grad(rollout(last))(actions)
  assert np.any(expected[1])
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), actual, expected)
  assert "dot_general" in _kinds(first.step, state, actions[0])
  assert "dot_general" not in _kinds(last.step, state, actions[0])
