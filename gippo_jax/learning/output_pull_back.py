"""From gradients by the policy's outputs (`learning.output_gradients`) to the gradient by its parameters."""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from gippo_jax.envs.base import PyTree
from gippo_jax.learning.agents import Networks
from gippo_jax.learning.rollout import Window


def gradient_of_outputs(networks: Networks, actor: PyTree, window: Window, gradient: jax.Array) -> jax.Array:
  """The gradient by the flattened actor of `sum of g^T y(theta)`, `y` the outputs; `[T, N, 2 A] -> [P]`.

  One product with the network's transposed Jacobian, whatever the estimates are made of.

  Args:
    networks: actor and critic.
    actor: parameters of the policy.
    window: rolled out by it; its deviations divide the mean.
    gradient: by the outputs `y = (mu / sigma_old, log sigma)` of every sample, `[T, N, 2 A]`.
  """
  # A sample that holds numbers which are not finite is replaced before the network: behind it, 0 * NaN would still
  # reach the parameters.
  numbers = jnp.concatenate([window.observation, window.log_std], axis=-1)
  usable = jnp.all(jnp.isfinite(numbers), axis=-1)[..., None]
  obs, log_std = jnp.where(usable, window.observation, 0.0), jnp.where(usable, window.log_std, 0.0)
  gradient = jnp.where(usable, gradient, 0.0)

  def total(actor: PyTree) -> jax.Array:
    mean, own_log_std = networks.policy(actor, obs)
    return jnp.sum(gradient * jnp.concatenate([mean * jnp.exp(-log_std), own_log_std], axis=-1))

  return ravel_pytree(jax.grad(total)(actor))[0]
