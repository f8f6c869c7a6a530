"""The swing-up task, whatever simulates it: its angle, its reward, its control step."""

import jax
import jax.numpy as jnp

CONTROL_STEP = 1.0 / 60.0  # s


def wrap_angle(angle: jax.Array) -> jax.Array:
  """The same angle within [-pi, pi]; its derivative is 1 everywhere."""
  turns = jnp.round(jax.lax.stop_gradient(angle) / (2.0 * jnp.pi))
  return angle - 2.0 * jnp.pi * turns


def swing_up_reward(
  position: jax.Array, angle: jax.Array, velocity: jax.Array, angular_velocity: jax.Array
) -> jax.Array:
  """`-(angle^2 + 0.1 angular_velocity^2 + 0.05 position^2 + 0.1 velocity^2)`, the angle wrapped (Xu et al. 2022)."""
  return -(wrap_angle(angle) ** 2 + 0.1 * angular_velocity**2 + 0.05 * position**2 + 0.1 * velocity**2)
