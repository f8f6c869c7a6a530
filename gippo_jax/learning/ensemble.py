"""Several critics in the place of one: each regresses onto the same targets, and one number is made of their values."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gippo_jax.config import ActorConfig
from gippo_jax.envs.base import PyTree
from gippo_jax.fields import Real
from gippo_jax.learning.agents import Networks, actor_in_order, after_step
from gippo_jax.learning.setup import Setup


def least(values: jax.Array) -> jax.Array:
  """The least of the critics' values, `[num_critics, ...] -> [...]`, pair by pair.

  The derivative of `jnp.min` divides by the number of entries that equal the least: none, where the compiler computes
  them twice and rounds them differently.
  """
  return functools.reduce(jnp.minimum, values)


class Ensemble(NamedTuple):
  """Networks whose critic's parameters are a tuple, one entry per critic; see `agents.Networks`.

  The critics are drawn from keys of their own. Two that share their layers, as in AHAC's released code, are one.

  Attributes:
    networks: actor and critic.
    num_critics: at least 2.
    pessimistic: a value is the least of the critics' (Fujimoto et al. 2018), not their mean.
  """

  networks: Networks
  num_critics: int
  pessimistic: bool

  def init(self, key: jax.Array, config: ActorConfig) -> tuple[PyTree, PyTree]:
    """Draws the parameters of the actor and of all critics."""
    first, *others = jax.random.split(key, self.num_critics)
    actor, critic = self.networks.init(first, config)
    return actor, (critic, *(self.networks.init(other, config)[1] for other in others))

  def policy(self, actor: PyTree, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and log standard deviation at normalised observations."""
    return self.networks.policy(actor, obs)

  def value(self, critic: PyTree, obs: jax.Array) -> jax.Array:
    """The least or the mean of the critics' values, `[..., O] -> [...]`."""
    values = self.values(critic, obs)
    return least(values) if self.pessimistic else jnp.mean(values, axis=0)

  def values(self, critic: PyTree, obs: jax.Array) -> jax.Array:
    """Each critic's value, `[..., O] -> [num_critics, ...]`."""
    return jnp.stack([self.networks.value(one, obs) for one in critic])

  def in_order(self, actor: PyTree) -> list[jax.Array]:
    """The actor's parameters in the networks' own order."""
    return [actor_in_order(self.networks, actor)]

  def after_step(self, actor: PyTree) -> PyTree:
    """As the networks have it."""
    return after_step(self.networks, actor)


def make_ensemble(networks: Networks, num_critics: int, pessimistic: bool) -> Networks:
  """Networks with that many critics; with one, the networks themselves."""
  return networks if num_critics == 1 else Ensemble(networks, num_critics, pessimistic)


def with_critics(setup: Setup, num_critics: int, pessimistic: bool, target_decay: Real) -> Setup:
  """A setup of that many critics, whose target follows them at a rate of its own: 0 means no target critic."""
  config = setup.config
  return setup._replace(
    networks=make_ensemble(setup.networks, num_critics, pessimistic),
    config=config.replace(critic=config.critic.replace(target_decay=target_decay)),
  )
