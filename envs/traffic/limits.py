"""Bounds whose derivative is 0 where they are active and 1 elsewhere, equality included.

`jnp.maximum` and `jnp.clip` halve the derivative at equality, which states such as a vehicle at rest meet exactly.
"""

import jax
import jax.numpy as jnp


def at_least(x: jax.Array, bound: jax.Array | float) -> jax.Array:
  """Returns `max(x, bound)`; at equality the derivative is that of `x`."""
  return jnp.where(x < bound, bound, x)


def at_most(x: jax.Array, bound: jax.Array | float) -> jax.Array:
  """Returns `min(x, bound)`; at equality the derivative is that of `x`."""
  return jnp.where(x > bound, bound, x)


def usable_action(action: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Clips an action to [-1, 1] and replaces NaN by 0.

  Args:
    action: shape `[action_size]`, without unit.

  Returns:
    The action in [-1, 1], whose derivative by the entries replaced or clipped is 0, and the number of entries that were
    NaN or infinite, an int32 scalar.
  """
  number = jnp.where(jnp.isnan(action), 0.0, action)
  replaced = jnp.sum(~jnp.isfinite(action), dtype=jnp.int32)
  return at_most(at_least(number, -1.0), 1.0), replaced
