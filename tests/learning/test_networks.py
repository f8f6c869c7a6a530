"""Start values, activation and forward pass of actor and critic."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gippo_jax.config import ActorConfig, CriticConfig
from gippo_jax.errors import UserError
from gippo_jax.learning.agents import actor_in_order, make_networks
from gippo_jax.learning.networks import elu

OBSERVATION_SIZE, ACTION_SIZE = 5, 3


def networks_of(fixed_std=False, units=(64, 16), **fields):
  actor, critic = ActorConfig(units=units, fixed_std=fixed_std, **fields), CriticConfig(units=units, **fields)
  return make_networks(OBSERVATION_SIZE, ACTION_SIZE, actor, critic)


@pytest.fixture(scope="module")
def networks():
  return networks_of()


@pytest.fixture(scope="module")
def parameters(networks):
  return init(networks, 0)


@functools.partial(jax.jit, static_argnums=0)
def draw(networks, key, initial_log_std):
  return networks.init(key, ActorConfig(initial_log_std=initial_log_std))


def init(networks, seed, initial_log_std=0.0):
  return draw(networks, jax.random.key(seed), jnp.asarray(initial_log_std))


def numpy_hidden(params, x):
  """Dense, ELU and LayerNorm, as long as there are layers."""
  index = 0
  while f"dense_{index}" in params:
    dense, norm = params[f"dense_{index}"], params[f"norm_{index}"]
    x = x @ np.asarray(dense["kernel"]) + np.asarray(dense["bias"])
    x = np.where(x > 0.0, x, np.expm1(np.minimum(x, 0.0)))
    mean, variance = np.mean(x, -1, keepdims=True), np.var(x, -1, keepdims=True)
    x = (x - mean) / np.sqrt(variance + 1e-5) * np.asarray(norm["scale"]) + np.asarray(norm["bias"])
    index += 1
  assert index == 2
  return x


def shaken(params, seed):
  """Moved parameters, so that no scale is 1 and no bias 0."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(lambda leaf: leaf + 0.1 * rng.normal(size=leaf.shape), params)


@pytest.mark.parametrize(
  ("layer", "fan_in"), [("dense_0", OBSERVATION_SIZE), ("dense_1", 64), ("mean", 16), ("log_std", 16)]
)
def test_actor_starts_uniform_within_the_fan_in(parameters, layer, fan_in):
  actor, _ = parameters
  bound = 1.0 / np.sqrt(fan_in)
  kernel, bias = np.asarray(actor[layer]["kernel"]), np.asarray(actor[layer]["bias"])
  assert kernel.shape[0] == fan_in
  assert np.max(np.abs(kernel)) <= bound
  assert np.max(np.abs(bias)) <= bound
  assert np.max(np.abs(kernel)) > 0.9 * bound
  # Four standard errors of the spread of a uniform draw: bound / sqrt(3), kurtosis 1.8.
  tolerance = 4.0 * np.sqrt(0.2 / kernel.size)
  np.testing.assert_allclose(np.sqrt(np.mean(kernel**2)), bound / np.sqrt(3.0), rtol=tolerance)
  assert np.all(bias != 0.0)


def test_actor_biases_fill_their_range(parameters):
  bias = np.asarray(parameters[0]["dense_0"]["bias"]) * np.sqrt(OBSERVATION_SIZE)
  assert np.min(bias) < -0.8
  assert np.max(bias) > 0.8


@pytest.mark.parametrize("layer", ["dense_0", "dense_1", "value"])
def test_critic_starts_orthogonal_with_zero_biases(parameters, layer):
  kernel, bias = (np.asarray(parameters[1][layer][name]) for name in ("kernel", "bias"))
  gram = kernel @ kernel.T if kernel.shape[0] < kernel.shape[1] else kernel.T @ kernel
  np.testing.assert_allclose(gram, np.eye(min(kernel.shape)), atol=1e-12)
  np.testing.assert_array_equal(bias, np.zeros_like(bias))


def test_layer_norms_start_as_identities(parameters):
  for params, heads in zip(parameters, ({"mean", "log_std"}, {"value"}), strict=True):
    assert set(params) == {"dense_0", "norm_0", "dense_1", "norm_1"} | heads
    for index, units in enumerate((64, 16)):
      np.testing.assert_array_equal(params[f"norm_{index}"]["scale"], np.ones(units))
      np.testing.assert_array_equal(params[f"norm_{index}"]["bias"], np.zeros(units))


def test_parameters_are_double_where_doubles_are_on(parameters):
  assert {leaf.dtype for leaf in jax.tree.leaves(parameters)} == {jnp.dtype(jnp.float64)}


def test_keys_decide_the_start(networks, parameters):
  again = init(networks, 0)
  other = init(networks, 1)
  jax.tree.map(np.testing.assert_array_equal, parameters, again)
  assert np.all(parameters[0]["mean"]["kernel"] != other[0]["mean"]["kernel"])
  assert np.all(parameters[1]["value"]["kernel"] != other[1]["value"]["kernel"])


def test_forward_pass_is_dense_elu_layer_norm(networks, parameters):
  actor, critic = shaken(parameters[0], 1), shaken(parameters[1], 2)
  obs = np.random.default_rng(0).normal(size=(4, 6, OBSERVATION_SIZE))
  mean, log_std = jax.jit(networks.policy)(actor, jnp.asarray(obs))
  value = jax.jit(networks.value)(critic, jnp.asarray(obs))
  assert mean.shape == log_std.shape == (4, 6, ACTION_SIZE)
  assert value.shape == (4, 6)
  for name, output in (("mean", mean), ("log_std", log_std)):
    expected = numpy_hidden(actor, obs) @ np.asarray(actor[name]["kernel"]) + np.asarray(actor[name]["bias"])
    np.testing.assert_allclose(output, expected, rtol=1e-10, atol=1e-11)
  expected = numpy_hidden(critic, obs) @ np.asarray(critic["value"]["kernel"]) + np.asarray(critic["value"]["bias"])
  np.testing.assert_allclose(value, expected[..., 0], rtol=1e-10, atol=1e-11)


def test_a_constant_observation_leaves_the_actor_alive(networks, parameters):
  """With zero biases the hidden units would be equal and LayerNorm would erase them or blow up their gradient."""
  zero = jnp.zeros((OBSERVATION_SIZE,))
  gradient = jax.jit(jax.grad(lambda params: jnp.sum(networks.policy(params, zero)[0])))(parameters[0])
  norm = np.linalg.norm(gradient["dense_0"]["bias"])
  assert 1e-3 < norm < 100.0


def test_fixed_std_does_not_depend_on_the_state():
  networks = networks_of(fixed_std=True)
  actor, _ = init(networks, 0, -1.5)
  assert set(actor) == {"dense_0", "norm_0", "dense_1", "norm_1", "mean", "log_std"}
  np.testing.assert_array_equal(actor["log_std"], np.full(ACTION_SIZE, -1.5))
  obs = jax.random.normal(jax.random.key(1), (7, OBSERVATION_SIZE))
  mean, log_std = jax.jit(networks.policy)(actor, obs)
  np.testing.assert_array_equal(log_std, np.full((7, ACTION_SIZE), -1.5))
  assert np.std(mean[:, 0]) > 1e-3
  learned = actor | {"log_std": jnp.array([0.1, 0.2, 0.3])}
  np.testing.assert_array_equal(networks.policy(learned, obs)[1], np.tile([0.1, 0.2, 0.3], (7, 1)))


def test_without_fixed_std_it_depends_on_the_state(networks, parameters):
  obs = jax.random.normal(jax.random.key(1), (7, OBSERVATION_SIZE))
  assert np.all(np.std(networks.policy(parameters[0], obs)[1], axis=0) > 1e-3)


elu_with_derivatives = jax.jit(lambda x: (elu(x), jax.grad(elu)(x)))


@settings(max_examples=25, deadline=None)
@given(x=st.floats(-1e3, 1e3, allow_subnormal=False))
def test_elu_and_its_derivative(x):
  value, derivative = elu_with_derivatives(jnp.asarray(x))
  np.testing.assert_allclose(value, jax.nn.elu(jnp.asarray(x)), rtol=1e-15, atol=2.3e-16)
  np.testing.assert_allclose(derivative, jax.grad(jax.nn.elu)(jnp.asarray(x)), rtol=1e-14, atol=2.3e-16)


@pytest.mark.parametrize("x", [-800.0, -1.0, -1e-12, 0.0, 1e-12, 2.0, 800.0])
def test_elu_at_the_edges(x):
  value, derivative = elu_with_derivatives(jnp.asarray(x))
  np.testing.assert_allclose(value, x if x > 0.0 else np.expm1(x), rtol=1e-15, atol=2.3e-16)
  np.testing.assert_allclose(derivative, 1.0 if x >= 0.0 else np.exp(x), rtol=1e-15)


@pytest.mark.parametrize("x", [-2.0, -0.3, 0.4, 3.0])
def test_second_derivative_of_elu(x):
  np.testing.assert_allclose(jax.grad(jax.grad(elu))(x), np.exp(x) if x < 0.0 else 0.0, rtol=1e-14)


@pytest.mark.parametrize("fixed_std", [False, True])
def test_many_samples_at_once_are_computed_as_each_alone(fixed_std):
  """From some number of samples on, the scale and bias of a LayerNorm are folded into the next layer."""
  networks = networks_of(fixed_std, units=(32, 8))
  actor, critic = (shaken(params, seed) for seed, params in enumerate(init(networks, 0)))
  obs = jax.random.normal(jax.random.key(1), (20, 25, OBSERVATION_SIZE))
  weights = jax.random.normal(jax.random.key(2), (20, 25, 2 * ACTION_SIZE + 1))

  def together(params, obs):
    mean, log_std = networks.policy(params[0], obs)
    value = networks.value(params[1], obs)
    return jnp.concatenate([mean, log_std, value[..., None]], axis=-1)

  def alone(params, obs):
    return jax.vmap(jax.vmap(lambda x: together(params, x)))(obs)

  def score(function):
    return jax.jit(jax.value_and_grad(lambda arguments: jnp.sum(weights * function(*arguments))))(
      (
        (actor, critic),
        obs,
      )
    )

  (value, gradient), (expected_value, expected_gradient) = score(together), score(alone)
  np.testing.assert_allclose(value, expected_value, rtol=1e-12)
  for ours, theirs in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected_gradient), strict=True):
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


PLAIN = {"elu": lambda x: np.where(x > 0.0, x, np.expm1(np.minimum(x, 0.0))), "tanh": np.tanh}
PLAIN |= {"relu": lambda x: np.maximum(x, 0.0), "silu": lambda x: x / (1.0 + np.exp(-x))}


@pytest.mark.parametrize("activation", PLAIN)
@pytest.mark.parametrize("samples", [3, 300])
def test_other_activations_without_layer_norm(activation, samples):
  networks = networks_of(units=(16, 8), activation=activation, layer_norm=False)
  actor, critic = (shaken(params, seed) for seed, params in enumerate(init(networks, 0)))
  assert set(critic) == {"dense_0", "dense_1", "value"}
  obs = np.random.default_rng(0).normal(size=(samples, OBSERVATION_SIZE))
  x = obs
  for index in range(2):
    layer = critic[f"dense_{index}"]
    x = PLAIN[activation](x @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"]))
  expected = x @ np.asarray(critic["value"]["kernel"]) + np.asarray(critic["value"]["bias"])
  np.testing.assert_allclose(networks.value(critic, jnp.asarray(obs)), expected[:, 0], rtol=1e-10, atol=1e-12)
  in_order = actor_in_order(networks, actor)
  assert in_order.size == sum(leaf.size for leaf in jax.tree.leaves(actor))


@pytest.mark.parametrize(
  ("name", "words"),
  [
    ("cnn", "config.actor.network: 'cnn' is not allowed; allowed: mlp, or the import path"),
    ("tests.nosuch:make", "there is no module 'tests.nosuch', of 'tests.nosuch:make'"),
    ("tests.configs:nosuch", "module 'tests.configs' has no 'nosuch'"),
    ("tests.configs:ALGORITHMS", "'tests.configs:ALGORITHMS' is a tuple"),
    ("tests.learning.test_networks:useless", "made a object, which has no init, policy, value"),
  ],
)
def test_a_network_that_is_none_is_told(name, words):
  with pytest.raises(UserError) as caught:
    make_networks(2, 1, ActorConfig(network=name), CriticConfig())
  assert words in str(caught.value)


def useless(*_):
  return object()
