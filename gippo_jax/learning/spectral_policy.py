"""A policy whose hidden layers, but for the first, are divided by their largest singular value.

Zhang, Liu, Wang, Zhao, NeurIPS 2023: the layers that are neither the first nor the last. The directions of the power
iteration lie beside the parameters; their gradient is 0, so that an optimiser leaves them where they are.
"""

from typing import NamedTuple

import jax

from gippo_jax.config import ActorConfig
from gippo_jax.envs.base import PyTree
from gippo_jax.learning.networks import MultilayerPerceptrons
from gippo_jax.learning.spectral import init_direction, normalized, power_iteration


class NormalizedPolicy(NamedTuple):
  """Networks with spectral normalisation of the actor; see `agents.Networks`.

  The actor is `{"network": parameters, "directions": {layer: [I]}}`.

  Attributes:
    networks: the built-in ones, without LayerNorm in the actor, of two hidden layers or more.
  """

  networks: MultilayerPerceptrons

  @property
  def layers(self) -> tuple[str, ...]:
    """Names of the layers that are normalised."""
    return tuple(f"dense_{index}" for index in range(1, len(self.networks.actor.hidden.units)))

  def init(self, key: jax.Array, config: ActorConfig) -> tuple[PyTree, PyTree]:
    """Draws the parameters of actor and critic, and the directions."""
    networks_key, *keys = jax.random.split(key, 1 + len(self.layers))
    actor, critic = self.networks.init(networks_key, config)
    directions = {
      layer: init_direction(layer_key, actor[layer]["kernel"])
      for layer, layer_key in zip(self.layers, keys, strict=True)
    }
    return {"network": actor, "directions": directions}, critic

  def policy(self, actor: PyTree, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and log standard deviation at normalised observations."""
    return self.networks.policy(self.divided(actor), obs)

  def divided(self, actor: PyTree) -> PyTree:
    """The parameters that `networks` compute with: the layers' kernels are divided."""
    network, directions = dict(actor["network"]), actor["directions"]
    for layer in self.layers:
      network[layer] = network[layer] | {"kernel": normalized(network[layer]["kernel"], directions[layer])}
    return network

  def value(self, critic: PyTree, obs: jax.Array) -> jax.Array:
    """The critic's value, which is not normalised, at normalised observations."""
    return self.networks.value(critic, obs)

  def in_order(self, actor: PyTree) -> list[jax.Array]:
    """The actor's parameters in the networks' own order."""
    return self.networks.in_order(actor["network"])

  def after_step(self, actor: PyTree) -> PyTree:
    """The actor with its directions one power iteration further."""
    directions = {
      layer: power_iteration(actor["network"][layer]["kernel"], actor["directions"][layer]) for layer in self.layers
    }
    return {"network": actor["network"], "directions": directions}
