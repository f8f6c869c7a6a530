"""The variance of samples' gradients by layers is that of the gradients made one by one, of every kind of parameter."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gippo_jax.config import ActorConfig, CriticConfig
from gippo_jax.learning.agents import gradient_variance, make_networks
from gippo_jax.learning.normalization import RunningStatistics
from gippo_jax.learning.sample_gradients import DENSE, OFFSET, SCALED, ByOutputs, by_layers, by_samples, watch

OBSERVATION_SIZE, ACTION_SIZE, NUM_SAMPLES = 5, 3, 7
NETWORKS = {
  "learned std": {"fixed_std": True},
  "std of the state": {},
  "no LayerNorm": {"layer_norm": False},
  "tanh, one layer": {"fixed_std": True, "activation": "tanh", "units": (6,)},
}


def networks_of(units=(8, 6), **fields):
  return make_networks(OBSERVATION_SIZE, ACTION_SIZE, ActorConfig(units=units, **fields), CriticConfig(units=units))


def drawn(num_samples=NUM_SAMPLES):
  """Raw observations, and what is pulled back."""
  rng = np.random.default_rng(0)
  obs = jnp.asarray(rng.normal(2.0, 3.0, (num_samples, OBSERVATION_SIZE)))
  return obs, ByOutputs(*jnp.asarray(rng.normal(0.5, 1.0, (2, num_samples, ACTION_SIZE))))


def moved(networks):
  """Parameters of which no scale is 1 and no bias 0."""
  actor, _ = networks.init(jax.random.key(0), ActorConfig(initial_log_std=-1.0))
  rng = np.random.default_rng(1)
  return jax.tree.map(lambda leaf: leaf + 0.3 * rng.normal(size=leaf.shape), actor)


@functools.partial(jax.jit, static_argnums=0)
def both(networks, obs, by_outputs, used):
  """By layers and one by one."""
  actor = moved(networks)
  quick, plain = gradient_variance(networks, actor, obs), by_samples(networks.policy, actor, obs)
  return quick(by_outputs, used), plain(by_outputs, used)


@pytest.mark.parametrize("normalizes", [False, True], ids=["raw", "normalised"])
@pytest.mark.parametrize("fields", NETWORKS.values(), ids=NETWORKS)
def test_by_layers_it_is_what_the_gradients_one_by_one_say(fields, normalizes):
  networks = networks_of(**fields)
  obs, by_outputs = drawn()
  if normalizes:
    statistics = RunningStatistics(jnp.full(OBSERVATION_SIZE, 1.5), jnp.full(OBSERVATION_SIZE, 4.0), jnp.asarray(9.0))
    obs = statistics.normalize(obs)
  used = jnp.arange(NUM_SAMPLES) != 2

  found, expected = both(networks, obs, by_outputs, used)
  assert expected > 1.0
  np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_many_samples_whose_norm_is_otherwise_folded_into_the_next_layer():
  np.testing.assert_allclose(*both(networks_of(), *drawn(300), jnp.ones(300, bool)), rtol=1e-12)


def test_of_equal_samples_it_is_zero_and_of_one_no_number():
  same = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1], leaf.shape), drawn())
  assert 0.0 <= both(networks_of(), *same, jnp.ones(NUM_SAMPLES, bool))[0] < 1e-11
  assert np.isnan(both(networks_of(), *same, jnp.arange(NUM_SAMPLES) == 0)[0])


class OwnModule(nn.Module):
  """A module of someone else's, of which each layer is shown."""

  @nn.compact
  def __call__(self, obs):
    kernel = self.param("kernel", nn.initializers.normal(), (OBSERVATION_SIZE, ACTION_SIZE), jnp.float64)
    bias, scale, log_std = (
      self.param(name, nn.initializers.ones, (ACTION_SIZE,), jnp.float64) for name in ("bias", "scale", "log_std")
    )
    shift = self.param("shift", nn.initializers.ones, (ACTION_SIZE,), jnp.float64)
    x = jnp.tanh(watch(self, DENSE, "first", obs, obs @ kernel + bias[None]))
    mean = watch(self, SCALED, "second", x, x * scale[None] + shift[None])
    return mean, watch(self, OFFSET, "third", log_std, jnp.broadcast_to(log_std, mean.shape))


def test_a_module_of_ones_own_shows_its_layers():
  module = OwnModule()
  obs, by_outputs = drawn()
  parameters = module.init(jax.random.key(0), obs)["params"]
  used = jnp.ones(NUM_SAMPLES, bool)
  expected = by_samples(lambda parameters, obs: module.apply({"params": parameters}, obs), parameters, obs[:, None])
  cotangents = ByOutputs(*(leaf[:, None] for leaf in by_outputs))
  found = by_layers(module, parameters, obs)(by_outputs, used)
  np.testing.assert_allclose(found, expected(cotangents, used), rtol=1e-12)
