"""A level figure of eight, flown at a constant rate of its phase: Gerono's lemniscate.

    p(phase) = A (sin phase, sin phase cos phase, 0)

It crosses itself at the origin, where it is fastest: `sqrt(2) A` times the phase's rate.
"""

import jax
import jax.numpy as jnp


def position(phase: jax.Array, half_width: float) -> jax.Array:
  """Point of the path, m, `[..., 3]`.

  Args:
    phase: rad, any shape; the path has a period of 2 pi.
    half_width: its largest x, m.
  """
  sine, cosine = jnp.sin(phase), jnp.cos(phase)
  return half_width * jnp.stack([sine, sine * cosine, jnp.zeros_like(phase)], -1)


def velocity(phase: jax.Array, half_width: float, phase_rate: float) -> jax.Array:
  """Velocity along the path, m/s, `[..., 3]`.

  Args:
    phase: rad, any shape.
    half_width: the path's largest x, m.
    phase_rate: rad/s.
  """
  slope = jnp.stack([jnp.cos(phase), jnp.cos(2.0 * phase), jnp.zeros_like(phase)], -1)
  return half_width * phase_rate * slope
