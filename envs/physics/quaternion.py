"""Unit quaternions `w, x, y, z` as rotations from a body's frame to the world's.

Written out by components: a derivative through many steps compiles several times faster than through cross products.
"""

import jax
import jax.numpy as jnp

Array = jax.Array


def multiply(left: Array, right: Array) -> Array:
  """Hamilton's product of two quaternions, `[4]` each: of rotations, `right` first."""
  w, x, y, z = left
  a, b, c, d = right
  return jnp.stack(
    [
      w * a - x * b - y * c - z * d,
      w * b + x * a + y * d - z * c,
      w * c - x * d + y * a + z * b,
      w * d + x * c - y * b + z * a,
    ]
  )


def matrix(orientation: Array) -> Array:
  """Rotation matrix of a unit quaternion, `[3, 3]`: its columns are the body's axes along the world's."""
  w, x, y, z = orientation
  return jnp.stack(
    [
      jnp.stack([1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)]),
      jnp.stack([2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)]),
      jnp.stack([2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)]),
    ]
  )


def up_axis(orientation: Array) -> Array:
  """The body's upward axis along the world's axes, `[3]`: the last column of `matrix`."""
  w, x, y, z = orientation
  return jnp.stack([2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y)])


def rate_of_change(orientation: Array, body_rate: Array) -> Array:
  """Time derivative `q (0, omega) / 2` of an orientation, `[4]`, in 1/s.

  Args:
    orientation: `[4]`.
    body_rate: angular velocity in the body's frame, rad/s, `[3]`.
  """
  return 0.5 * multiply(orientation, jnp.concatenate([jnp.zeros_like(body_rate[:1]), body_rate]))


def normalize(quaternion: Array) -> Array:
  """The unit quaternion of the same direction; smooth but at 0, which no rotation is near."""
  return quaternion * jax.lax.rsqrt(jnp.sum(quaternion**2))
