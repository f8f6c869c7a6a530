"""Networks of your own: a linear policy beside a small value network, in plain JAX."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class LinearPolicy(NamedTuple):
  """A policy that is linear in the observation; its log standard deviation is one learned vector."""

  observation_size: int
  action_size: int
  width: int

  def init(self, key, config):
    first, second = jax.random.split(key)
    actor = {
      "gain": jnp.zeros((self.observation_size, self.action_size)),
      "offset": jnp.zeros((self.action_size,)),
      "log_std": jnp.full((self.action_size,), config.initial_log_std),
    }
    critic = {
      "hidden": jax.random.normal(first, (self.observation_size, self.width)) / self.observation_size**0.5,
      "shift": jnp.linspace(-1.0, 1.0, self.width),
      "out": jax.random.normal(second, (self.width,)) / self.width**0.5,
    }
    return actor, critic

  def policy(self, actor, obs):
    mean = obs @ actor["gain"] + actor["offset"]
    return mean, jnp.broadcast_to(actor["log_std"], mean.shape)

  def value(self, critic, obs):
    return jnp.tanh(obs @ critic["hidden"] + critic["shift"]) @ critic["out"]


def make(observation_size, action_size, actor, critic):
  """The factory: `--config.actor.network=my_package.nets:make`."""
  del actor
  return LinearPolicy(observation_size, action_size, critic.units[-1])
