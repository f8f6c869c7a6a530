"""A rigid body that is to follow a moving point, and what it is paid for that."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array

# Lengths of the kernels of `tracking_reward`: m, m/s, rad/s.
POSITION_SCALE, SPEED_SCALE, RATE_SCALE = 0.5, 1.0, 5.0


class Body(NamedTuple):
  """A rigid body.

  Attributes:
    position: m, `[3]`, z up.
    velocity: m/s, `[3]`, along the world's axes.
    attitude: unit quaternion `w, x, y, z` from the body's frame to the world's, `[4]`.
    body_rate: angular velocity in the body's frame, rad/s, `[3]`.
  """

  position: Array
  velocity: Array
  attitude: Array
  body_rate: Array


def tracking_reward(body: Body, target: Array, target_velocity: Array) -> Array:
  """A weighted mean of how near, how slow, how calm and how upright a vehicle is, in [0, 1].

      0.4 k(|p - target| / 0.5 m) + 0.2 k(|v - target velocity| / 1 m/s) + 0.2 k(|omega| / 5 rad/s)
      + 0.2 (1 + cos tilt) / 2

  with `k(x) = (1 + x^2)^(-1/2)`, the inverse multiquadric: smooth at 0, and its slope falls as slowly as `1 / x^2` far
  away. A mean and not a product, so that one that is lost far away still learns to be calm and upright.

  Args:
    body: the vehicle.
    target: position, m, `[3]`.
    target_velocity: m/s, `[3]`.
  """
  _, x, y, _ = body.attitude
  near = _kernel(body.position - target, POSITION_SCALE)
  slow = _kernel(body.velocity - target_velocity, SPEED_SCALE)
  calm = _kernel(body.body_rate, RATE_SCALE)
  return 0.4 * near + 0.2 * slow + 0.2 * calm + 0.2 * (1.0 - (x**2 + y**2))


def _kernel(vector: Array, scale: float) -> Array:
  return jax.lax.rsqrt(1.0 + jnp.sum(vector**2) / scale**2)
