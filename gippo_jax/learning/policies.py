"""The policy as an object: the one place where "normalise, apply, squash" is written."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from gippo_jax.envs.base import PyTree
from gippo_jax.learning import gaussian
from gippo_jax.learning.agents import Networks
from gippo_jax.learning.normalization import RunningStatistics
from gippo_jax.learning.setup import Setup
from gippo_jax.learning.state import PolicyState


class Gaussian(NamedTuple):
  """Mean and log standard deviation of the unsquashed action, `[..., A]` each."""

  mean: jax.Array
  log_std: jax.Array


class Policy(struct.PyTreeNode):
  """A Gaussian policy over raw observations; a pytree, to be jitted over and vmapped.

  `policy(obs)` is the mean action, `policy(obs, key)` a draw, both as the environment receives them: within [-1, 1].
  Observations are `[O]`, or have leading axes.

  Attributes:
    actor: parameters of the network.
    observation_statistics: running statistics of raw observations, `[O]`.
    networks: the network without its parameters; static.
    normalizes: whether observations are normalised; static.
  """

  actor: PyTree
  observation_statistics: RunningStatistics
  networks: Networks = struct.field(pytree_node=False)
  normalizes: bool = struct.field(pytree_node=False)

  def __call__(self, obs: jax.Array, key: jax.Array | None = None) -> jax.Array:
    """Action at raw observations, `[..., O] -> [..., A]`: the mean without `key`, else a draw."""
    mean, log_std = self.distribution(obs)
    if key is None:
      return gaussian.squash(mean)
    return gaussian.squash(gaussian.sample(mean, log_std, jax.random.normal(key, mean.shape, mean.dtype)))

  def act(self, obs: jax.Array, noise: jax.Array) -> jax.Array:
    """Action at raw observations under given noise: `squash(mean + std * noise)`, `[..., A]`."""
    return gaussian.squash(gaussian.sample(*self.distribution(obs), noise))

  def distribution(self, obs: jax.Array) -> Gaussian:
    """Distribution of the unsquashed action at raw observations, `[..., O]`."""
    return Gaussian(*self.networks.policy(self.actor, self.normalize(obs)))

  def normalize(self, obs: jax.Array) -> jax.Array:
    """What the network sees, `[..., O]`."""
    obs = jnp.asarray(obs, self.observation_statistics.mean.dtype)
    return self.observation_statistics.normalize(obs) if self.normalizes else obs


def policy_of(setup: Setup, state: PolicyState) -> Policy:
  """The policy of a training's networks and statistics."""
  return make_policy(setup.networks, setup.config.normalize_observations, state)


def make_policy(networks: Networks, normalizes: bool, state: PolicyState) -> Policy:
  """The policy of these parameters and statistics."""
  return Policy(state.actor, state.observation_statistics, networks, normalizes)
