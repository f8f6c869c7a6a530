"""The functions of the optimisation suite against their definitions, and the environment around them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from gippo_jax import envs
from gippo_jax.envs.functions import FUNCTIONS, FunctionOptimization, ackley

DIMENSIONS = (1, 64)
STYBLINSKI_TANG_OPTIMUM = -2.903534027771177
OPTIMA = {
  "dejong": 0.0,
  "ackley": 0.0,
  "rosenbrock": 1.0,
  "rastrigin": 0.0,
  "griewank": 0.0,
  "styblinski_tang": STYBLINSKI_TANG_OPTIMUM,
}
BOUNDS = {
  "dejong": 5.12,
  "ackley": 32.768,
  "rosenbrock": 2.048,
  "rastrigin": 5.12,
  "griewank": 600.0,
  "styblinski_tang": 5.0,
}


def numpy_dejong(x):
  return np.sum(x**2)


def numpy_ackley(x):
  root = np.sqrt(np.mean(x**2))
  return -20.0 * np.exp(-0.2 * root) - np.exp(np.mean(np.cos(2.0 * np.pi * x))) + 20.0 + np.e


def numpy_rosenbrock(x):
  if x.size == 1:
    return (1.0 - x[0]) ** 2
  return sum(100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2 for i in range(x.size - 1))


def numpy_rastrigin(x):
  return 10.0 * x.size + np.sum(x**2 - 10.0 * np.cos(2.0 * np.pi * x))


def numpy_griewank(x):
  return 1.0 + np.sum(x**2) / 4000.0 - np.prod([np.cos(x[i] / np.sqrt(i + 1.0)) for i in range(x.size)])


def numpy_styblinski_tang(x):
  def plain(y):
    return np.sum(y**4 - 16.0 * y**2 + 5.0 * y) / 2.0

  return plain(x) - plain(np.full_like(x, STYBLINSKI_TANG_OPTIMUM))


REFERENCES = {
  "dejong": numpy_dejong,
  "ackley": numpy_ackley,
  "rosenbrock": numpy_rosenbrock,
  "rastrigin": numpy_rastrigin,
  "griewank": numpy_griewank,
  "styblinski_tang": numpy_styblinski_tang,
}

each_function = pytest.mark.parametrize("name", sorted(FUNCTIONS))
each_dimension = pytest.mark.parametrize("dimension", DIMENSIONS)


@functools.cache
def value_and_gradient(name):
  return jax.jit(jax.value_and_grad(FUNCTIONS[name].value))


def directions(dimension):
  """Points in the unit box."""
  return hypothesis_numpy.arrays(np.float64, (dimension,), elements=st.floats(-1.0, 1.0, allow_subnormal=False))


def test_every_function_has_a_reference():
  assert set(FUNCTIONS) == set(REFERENCES) == set(OPTIMA)
  assert {name: function.bound for name, function in FUNCTIONS.items()} == BOUNDS


@each_function
@each_dimension
def test_value_and_gradient_vanish_at_the_optimum(name, dimension):
  value, gradient = value_and_gradient(name)(jnp.full((dimension,), OPTIMA[name]))
  np.testing.assert_allclose(value, 0.0, atol=1e-11)
  np.testing.assert_allclose(gradient, 0.0, atol=1e-12)


@each_dimension
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_ackley_is_exactly_flat_at_zero(dimension, dtype):
  value, gradient = value_and_gradient("ackley")(jnp.zeros((dimension,), dtype))
  assert value == 0.0
  np.testing.assert_array_equal(gradient, np.zeros(dimension))  # NaN would not be equal


def test_ackley_is_flat_at_zero_inside_a_longer_chain():
  """The derivative must also survive the clip and the scaling of the environment, under vmap."""
  env = FunctionOptimization("ackley", 3)

  def reward(action):
    return env.step(env.reset(jax.random.key(0)), action).reward

  actions = jnp.array([[0.0, 0.0, 0.0], [0.0, 0.1, 0.0]])
  gradients = jax.vmap(jax.grad(reward))(actions)
  np.testing.assert_array_equal(gradients[0], np.zeros(3))
  assert gradients[1, 1] < 0.0
  assert np.all(np.isfinite(gradients))


@each_function
@each_dimension
def test_values_follow_the_definition(name, dimension):
  points = BOUNDS[name] * np.random.default_rng(0).uniform(-1.0, 1.0, (5, dimension))
  for point in points:
    value, _ = value_and_gradient(name)(jnp.asarray(point))
    np.testing.assert_allclose(value, REFERENCES[name](point), rtol=1e-11)


@pytest.mark.parametrize(
  ("name", "point", "value"),
  [
    ("dejong", [1.0, -2.0, 3.0], 14.0),
    ("ackley", [1.0, -1.0], 20.0 - 20.0 * np.exp(-0.2)),
    ("rosenbrock", [0.0, 0.0, 0.0], 2.0),
    ("rosenbrock", [-1.0, 2.0], 104.0),
    ("rosenbrock", [3.0], 4.0),
    ("rastrigin", [0.5, 1.0], 0.25 + 20.0 + 1.0),
    ("griewank", [np.pi], 2.0 + np.pi**2 / 4000.0),
    ("griewank", [0.0, np.pi * np.sqrt(2.0)], 2.0 + 2.0 * np.pi**2 / 4000.0),
    ("styblinski_tang", [0.0, 0.0], 2.0 * 39.166165703771416),
    ("styblinski_tang", [1.0], 39.166165703771416 - 5.0),
  ],
)
def test_values_known_by_hand(name, point, value):
  np.testing.assert_allclose(value_and_gradient(name)(jnp.asarray(point))[0], value, rtol=1e-12)


@each_function
@each_dimension
def test_gradients_match_central_differences(name, dimension):
  point = BOUNDS[name] * np.random.default_rng(1).uniform(-0.9, 0.9, dimension)
  _, gradient = value_and_gradient(name)(jnp.asarray(point))
  step = 1e-5 * max(1.0, BOUNDS[name] / 30.0)
  shifts = step * np.eye(dimension)
  differences = [(REFERENCES[name](point + shift) - REFERENCES[name](point - shift)) / (2.0 * step) for shift in shifts]
  largest = np.max(np.abs(gradient))
  assert largest > 1e-3  # a flat point would test nothing
  np.testing.assert_allclose(gradient, differences, atol=2e-6 * largest)


@each_function
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_no_value_lies_below_the_minimum(name, data):
  dimension = data.draw(st.sampled_from(DIMENSIONS))
  value, gradient = value_and_gradient(name)(BOUNDS[name] * jnp.asarray(data.draw(directions(dimension))))
  assert value >= -1e-11
  assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("name", ["dejong", "ackley", "rastrigin", "griewank"])
@settings(max_examples=25, deadline=None)
@given(direction=directions(8))
def test_even_functions_have_odd_gradients(name, direction):
  point = BOUNDS[name] * jnp.asarray(direction)
  value, gradient = value_and_gradient(name)(point)
  mirrored_value, mirrored_gradient = value_and_gradient(name)(-point)
  np.testing.assert_allclose(mirrored_value, value, rtol=1e-14, atol=1e-300)
  np.testing.assert_allclose(mirrored_gradient, -gradient, rtol=1e-14, atol=1e-300)


@pytest.mark.parametrize("dimension", [1, 7, 64])
@pytest.mark.parametrize("scale", [1e-5, 1e-3])
def test_ackley_keeps_its_digits_in_float32(dimension, scale):
  """Near the minimum the textbook formula loses all digits of float32: its value is then a multiple of 2e-6."""
  point = scale * np.random.default_rng(2).uniform(0.5, 1.5, dimension).astype(np.float32)
  point = point.astype(np.float32)
  value, gradient = value_and_gradient("ackley")(jnp.asarray(point))
  exact_value, exact_gradient = value_and_gradient("ackley")(jnp.asarray(point, jnp.float64))
  assert value.dtype == gradient.dtype == jnp.float32
  np.testing.assert_allclose(value, exact_value, rtol=2e-6)
  np.testing.assert_allclose(gradient, exact_gradient, rtol=2e-6, atol=2e-6 * np.max(np.abs(exact_gradient)))


def test_ackley_near_zero_is_four_times_the_root_mean_square():
  point = jnp.asarray([3e-7, -4e-7])
  np.testing.assert_allclose(ackley(point), 4.0 * np.sqrt(12.5e-14), rtol=1e-5)


@each_function
@each_dimension
def test_environment_contract(name, dimension):
  env = envs.make(name, dimension=dimension)
  assert isinstance(env, envs.Environment)
  assert (env.observation_size, env.action_size, env.episode_length) == (1, dimension, 1)
  assert env.differentiable
  action = jnp.asarray(np.random.default_rng(3).uniform(-1.0, 1.0, dimension))
  start = env.reset(jax.random.key(0))
  reached = env.step(start, action)
  for state in (start, reached):
    assert state.obs.shape == (1,)
    assert state.reward.shape == state.terminated.shape == state.truncated.shape == ()
    np.testing.assert_array_equal(state.obs, np.zeros(1))
  assert start.reward == 0.0
  np.testing.assert_allclose(reached.reward, -REFERENCES[name](BOUNDS[name] * np.asarray(action)), rtol=1e-11)
  assert jax.tree.structure(start) == jax.tree.structure(reached)


@pytest.mark.parametrize("name", ["dejong", "ackley"])
def test_actions_are_clipped_to_the_box(name):
  env = FunctionOptimization(name, 2)
  start = env.reset(jax.random.key(0))
  inside, outside = jnp.array([1.0, -1.0]), jnp.array([7.0, -1.5])
  assert env.step(start, outside).reward == env.step(start, inside).reward
  assert env.step(start, outside).reward != env.step(start, 0.9 * inside).reward
  gradient = jax.grad(lambda action: env.step(start, action).reward)(jnp.array([7.0, 0.3]))
  assert gradient[0] == 0.0
  assert gradient[1] != 0.0


def test_the_one_step_ends_by_the_time_limit():
  batch = envs.vectorize(envs.make("rastrigin", dimension=2), 3)
  state = batch.reset(jax.random.key(0))
  np.testing.assert_array_equal(state.done, np.zeros(3))
  for _ in range(2):
    state = batch.step(state, jnp.full((3, 2), 0.1))
    np.testing.assert_array_equal(state.current.truncated, np.ones(3))
    np.testing.assert_array_equal(state.current.terminated, np.zeros(3))
    np.testing.assert_array_equal(state.done, np.ones(3))
    assert state.final_obs.shape == state.current.obs.shape == (3, 1)
    np.testing.assert_allclose(state.current.reward, -numpy_rastrigin(np.full(2, 0.512)), rtol=1e-12)


@pytest.mark.parametrize(
  ("name", "parameters", "message"),
  [
    ("sphere", {"dimension": 2}, r"env\.name: 'sphere' is unknown; known: .*dejong"),
    ("ackley", {"dimension": 0}, r"env\.dimension: 0 is not allowed; allowed: an integer >= 1"),
    ("ackley", {"dimension": -3}, r"env\.dimension: -3 is not allowed"),
    ("ackley", {"dimension": 2, "size": 3}, r"env\.size: ackley has no such parameter; known: dimension$"),
    ("point_mass", {"dimension": 4}, r"env\.dimension: 4 is not allowed; allowed: 1, 2 or 3"),
    ("point_mass", {"episode_length": 0}, r"env\.episode_length: 0 is not allowed"),
    ("linear_quadratic", {"mass": 1.0}, r"env\.mass: linear_quadratic has no such parameter; known: decay"),
  ],
)
def test_make_says_what_is_allowed(name, parameters, message):
  with pytest.raises(ValueError, match=message):
    envs.make(name, **parameters)


def test_the_environment_itself_rejects_an_unknown_function():
  with pytest.raises(ValueError, match=r"env\.name: 'sphere' is not a function"):
    FunctionOptimization("sphere", 2)


@pytest.mark.parametrize("name", envs.known())
def test_every_known_name_can_be_made(name):
  parameters = {"dimension": 2} if name in FUNCTIONS else {}
  env = envs.make(name, **parameters)
  action = jnp.zeros((env.action_size,))
  state = jax.eval_shape(lambda key: env.step(env.reset(key), action), jax.random.key(0))
  assert state.obs.shape == (env.observation_size,)


@pytest.mark.parametrize("dimension", [0, -3, 2.5, "3", True])
def test_dimension_must_be_a_positive_integer(dimension):
  with pytest.raises(ValueError, match="an integer >= 1"):
    envs.make("ackley", dimension=dimension)


def test_a_missing_parameter_is_named():
  with pytest.raises(ValueError, match=r"env\.dimension: missing"):
    envs.make("ackley")
