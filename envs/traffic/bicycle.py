"""The kinematic bicycle model of a controlled vehicle."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gippo_jax.envs.traffic.limits import at_least, at_most

Array = jax.Array

MAX_STEERING = 0.3490658503988659  # 20 degrees
MAX_ACCELERATION = 8.0
SPEED_LIMIT = 40.0
REAR_AXLE_DISTANCE = 2.5


class Bicycle(NamedTuple):
  """State of the vehicle.

  Attributes:
    x, y: position of the centre, m.
    heading: rad, 0 along +x, not wrapped.
    speed: m/s, negative in reverse.
  """

  x: Array
  y: Array
  heading: Array
  speed: Array


def limit_acceleration(acceleration: Array, speed: Array) -> Array:
  """The original simulator's rule above 40 m/s.

  Its lower and upper bound are swapped: it does not limit the speed, it only forbids to brake harder than the speed
  above 40 m/s would need in a second. Kept, since the published results were made with it.

  Args:
    acceleration: m/s^2.
    speed: m/s.

  Returns:
    Acceleration in m/s^2.
  """
  acceleration = jnp.where(speed > SPEED_LIMIT, at_least(acceleration, SPEED_LIMIT - speed), acceleration)
  return jnp.where(speed < -SPEED_LIMIT, at_most(acceleration, -SPEED_LIMIT - speed), acceleration)


def bicycle_step(state: Bicycle, steering: Array, acceleration: Array, time_step: Array | float) -> Bicycle:
  """Explicit Euler step; all right-hand sides take old values.

  With `beta = atan(tan(steering) / 2)` the vehicle moves along `heading + beta` and turns by `speed sin(beta) / 2.5`.

  Args:
    state: before the step, of scalars.
    steering: angle of the front wheel, rad.
    acceleration: m/s^2.
    time_step: s.

  Returns:
    State after the step.
  """
  x, y, heading, speed = state
  # cos and sin of the slip angle beta follow from its tangent without atan.
  tangent = 0.5 * jnp.tan(steering)
  cos_slip = jax.lax.rsqrt(1.0 + tangent * tangent)
  sin_slip = tangent * cos_slip
  cos_heading, sin_heading = jnp.cos(heading), jnp.sin(heading)
  distance = speed * time_step
  return Bicycle(
    x=x + distance * (cos_heading * cos_slip - sin_heading * sin_slip),
    y=y + distance * (sin_heading * cos_slip + cos_heading * sin_slip),
    heading=heading + distance * sin_slip / REAR_AXLE_DISTANCE,
    speed=speed + limit_acceleration(acceleration, speed) * time_step,
  )
