"""The operation that breaks a derivative is found, with its operands and the line that wrote it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gippo_jax.programs.nonfinite import broken_operations, hint_of


def find(function, *values):
  """The broken operations of a function as an environment's step is looked at: in a batch of one."""
  values = [jnp.asarray(value)[None] for value in values]
  return broken_operations(jax.make_jaxpr(jax.vmap(function))(*values), values, [True] * len(values))


def length(x):
  return jnp.sqrt(jnp.sum(x * x))


def library_norm(x):
  return jnp.linalg.norm(x)


def ratio(x):
  return jnp.sum(x / x)


def one_where(x):
  return jnp.sum(jnp.where(x > 0, jnp.sqrt(x), 0.0))


def two_wheres(x):
  safe = jnp.where(x > 0, x, 1.0)
  return jnp.sum(jnp.where(x > 0, jnp.sqrt(safe), 0.0))


def angle(x):
  return jnp.arccos(x[0] + 1.0)


def power(x):
  return jnp.sum((x + 0.0) ** 0.5)


def logarithm(x):
  return jnp.sum(jnp.log(jnp.abs(x)))


def in_scan(x):
  def body(carry, row):
    return carry + root_of_row(row), None

  return jax.lax.scan(body, jnp.zeros(()), jnp.stack([x + 1.0, x, x + 2.0]))[0]


def root_of_row(row):
  return jnp.sqrt(jnp.sum(row))


def in_cond(x):
  return jax.lax.cond(jnp.sum(x) > 1.0, jnp.sum, bad_branch, x)


def bad_branch(x):
  return jnp.sum(jnp.sqrt(x))


def in_remat(x):
  return jax.checkpoint(bad_branch)(x)


@jax.custom_jvp
def own_rule(x):
  return jnp.sum(x)


@own_rule.defjvp
def own_rule_jvp(primals, tangents):
  (x,), (t,) = primals, tangents
  return own_rule(x), jnp.sum(t / x)


def in_custom_jvp(x):
  return own_rule(x)


def in_vmap(x):
  return jnp.sum(jax.vmap(jnp.arcsin)(jnp.stack([0.5 + x[0], 1.0 + x[1]])))


def in_jit(x):
  return jitted_root(x)


@jax.jit
def jitted_root(x):
  return jnp.sum(jnp.sqrt(x))


def in_loop(x):
  return jax.lax.fori_loop(0, 3, lambda _, y: y * power(x), jnp.ones(()))


CASES = [
  (length, "sqrt", "length"),
  (library_norm, "sqrt", "library_norm"),
  (ratio, "div", "ratio"),
  (one_where, "sqrt", "one_where"),
  (angle, "acos", "angle"),
  (power, "pow", "power"),
  (logarithm, "log", "logarithm"),
  (in_scan, "sqrt", "root_of_row"),
  (in_cond, "sqrt", "bad_branch"),
  (in_remat, "sqrt", "bad_branch"),
  (in_custom_jvp, "div", "own_rule_jvp"),
  (in_vmap, "asin", "in_vmap"),
  (in_jit, "sqrt", "jitted_root"),
  (in_loop, "pow", "power"),
]


@pytest.mark.parametrize(("function", "primitive", "name"), CASES, ids=[case[0].__name__ for case in CASES])
def test_the_culprit_and_its_line(function, primitive, name):
  assert not np.all(np.isfinite(jax.grad(function)(jnp.zeros(2))))  # as JAX says
  first = find(function, jnp.zeros(2))[0]
  assert (first.primitive, first.lines[0].function) == (primitive, name)
  assert first.lines[0].file == __file__
  assert "jax" not in [frame.function for frame in first.lines]


@pytest.mark.parametrize("function", [in_scan, in_cond, in_custom_jvp, two_wheres])
def test_nothing_is_found_where_the_derivative_is_finite(function):
  assert find(function, jnp.asarray([0.4, 0.5])) == []


def test_two_wheres_are_safe():
  assert find(two_wheres, jnp.zeros(2)) == []


def test_operands_at_the_broken_entry():
  operation = find(lambda x, y: jnp.sum(x / y), jnp.asarray([1.0, 2.0, 3.0]), jnp.asarray([4.0, 0.0, 5.0]))[0]
  assert [operand.value for operand in operation.operands] == [2.0, 0.0]
  assert [operand.shape for operand in operation.operands] == [(1, 3), (1, 3)]


def test_a_hidden_value_is_traced_to_where_it_came_from():
  def hidden(x):
    quotient = x / (x - 1.0)
    return jnp.sum(jnp.where(x == 1.0, 0.0, quotient * x))

  operation = find(hidden, jnp.asarray([1.0, 2.0]))[-1]
  assert (operation.primitive, operation.value_broken) == ("div", True)
  assert [operand.value for operand in operation.operands] == [1.0, 0.0]


def test_every_culprit_of_a_step_is_found():
  """Broken by stopping at the first one."""
  found = find(lambda x: length(x) + ratio(x), jnp.zeros(2))
  assert {operation.primitive for operation in found} == {"sqrt", "div"}


def test_what_no_derivative_runs_through_is_no_culprit():
  def detached(x):
    return jnp.sum(x) + jax.lax.stop_gradient(length(x)) + jnp.sum(jnp.floor(jnp.sqrt(x)))

  def compared(x):
    return jnp.sum(jnp.where(jnp.sqrt(x) > 1.0, x, 2.0 * x))

  for function in (detached, compared):
    assert np.all(np.isfinite(jax.grad(function)(jnp.zeros(2))))
    assert find(function, jnp.zeros(2)) == []


def test_functions_that_jax_keeps_are_named_by_their_own_call():
  """`jnp.linalg.norm` is traced at its first call; the second one is meant."""

  def first(x):
    return jnp.linalg.norm(x)

  def second(x):
    return jnp.linalg.norm(x)

  found = find(lambda x: first(x + 1.0) + second(x), jnp.zeros(2))
  assert [operation.lines[0].function for operation in found] == ["second"]


@pytest.mark.parametrize(
  ("function", "words"),
  [
    (length, "no derivative at 0"),
    (ratio, "division by 0"),
    (angle, "acos has no finite derivative"),
    (power, "pow has no finite derivative"),
    (logarithm, "log has no finite derivative"),
    (lambda x: jnp.sum(jnp.tan(x)) + jnp.sum(x * 1e200 * 1e200), ""),
  ],
)
def test_hints_are_of_the_known_kinds(function, words):
  hint = hint_of(find(function, jnp.zeros(2))[0])
  assert words in hint
  assert bool(words) == bool(hint)


@given(st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=2, max_size=2))
def test_a_culprit_is_found_exactly_where_jax_s_derivative_is_not_finite(values):
  def function(x):
    root = jnp.sqrt(x[0]) + jnp.arccos(x[1])
    return jnp.where(root > 0.5, root * x[1], 1.0 / (1.0 + x[0]))

  x = jnp.asarray(values)
  broken = not np.all(np.isfinite(jax.grad(function)(x)))
  assert bool(find(function, x)) == broken
