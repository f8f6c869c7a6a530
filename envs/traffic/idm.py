"""The Intelligent Driver Model (Treiber, Hennecke & Helbing 2000, Phys. Rev. E 62, 1805), as pure functions.

All functions work entry by entry on arrays of vehicles. With speed `v`, bumper-to-bumper gap `g` to the leader and
approach rate `w = v - v_leader`:

  s = max(s0 + v T + v w / (2 sqrt(A B)), s_min)           desired gap
  acceleration = A (1 - (v / v0)^delta - (s / g)^2)
"""

import dataclasses
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import struct

from gippo_jax.envs.base import require_positive_real, require_real
from gippo_jax.envs.traffic.limits import at_least

Array = jax.Array


class IDMParameters(struct.PyTreeNode):
  """Parameters of the model; all but the exponent may be traced.

  Attributes:
    max_acceleration: `A`, m/s^2.
    comfortable_deceleration: `B`, m/s^2, positive.
    target_speed: `v0`, the speed on an empty road, m/s.
    minimum_gap: `s0`, the gap at rest, m.
    time_headway: `T`, s.
    least_desired_gap: `s_min`, lower bound of the desired gap, m.
    exponent: `delta`, without unit; an integer is fastest.
  """

  max_acceleration: float
  comfortable_deceleration: float
  target_speed: float
  minimum_gap: float
  time_headway: float
  least_desired_gap: float = 0.0
  exponent: float = struct.field(pytree_node=False, default=4)


def checked(parameters: IDMParameters | Mapping[str, float], default: IDMParameters) -> IDMParameters:
  """Parameters that make sense.

  Args:
    parameters: of the model; or some of them by name, the others being the default's.
    default: of the environment.

  Raises:
    ValueError: for an unknown parameter, or one out of range; the message says what is allowed.
  """
  names = [field.name for field in dataclasses.fields(IDMParameters)]
  if isinstance(parameters, Mapping):
    for name in parameters:
      if name not in names:
        raise ValueError(f"env.idm.{name}: there is no such parameter; known: {', '.join(names)}")
    parameters = default.replace(**parameters)
  if not isinstance(parameters, IDMParameters):
    raise ValueError(f"env.idm: {parameters!r} is not allowed; allowed: some of {', '.join(names)} by name")
  for name in names:
    check = require_real if name in _MAY_BE_ZERO else require_positive_real
    check(f"idm.{name}", getattr(parameters, name), *((0.0,) if name in _MAY_BE_ZERO else ()))
  return parameters


_MAY_BE_ZERO = ("minimum_gap", "time_headway", "least_desired_gap")


def desired_gap(parameters: IDMParameters, speed: Array, approach: Array) -> Array:
  """Gap a driver wants to the leader.

  Args:
    parameters: of the model.
    speed: of the vehicle, m/s, any shape.
    approach: speed minus the leader's speed, m/s, same shape.

  Returns:
    Desired gap in m, same shape.
  """
  root = (parameters.max_acceleration * parameters.comfortable_deceleration) ** 0.5
  gap = parameters.minimum_gap + speed * parameters.time_headway + speed * approach / (2.0 * root)
  return at_least(gap, parameters.least_desired_gap)


def acceleration(parameters: IDMParameters, speed: Array, gap: Array, approach: Array) -> Array:
  """Acceleration of a vehicle behind its leader.

  Args:
    parameters: of the model.
    speed: of the vehicle, m/s, any shape.
    gap: from its front bumper to the leader's rear bumper, m, positive, same shape.
    approach: speed minus the leader's speed, m/s, same shape.

  Returns:
    Acceleration in m/s^2, same shape. It is not bounded below.
  """
  interaction = desired_gap(parameters, speed, approach) / gap
  free_road = (speed / parameters.target_speed) ** parameters.exponent
  return parameters.max_acceleration * (1.0 - free_road - interaction * interaction)


def next_speed(speed: Array, acceleration: Array, time_step: Array | float) -> Array:
  """Explicit Euler step of the speed; a vehicle that would go backwards stops.

  A stop makes the new speed exactly 0 and independent of everything before it.

  Args:
    speed: m/s, any shape.
    acceleration: m/s^2, same shape.
    time_step: s.

  Returns:
    New speed in m/s, same shape, never negative.
  """
  return at_least(speed + acceleration * time_step, 0.0)


def equilibrium_gap(parameters: IDMParameters, speed: Array) -> Array:
  """Gap at which a platoon of equal speed neither accelerates nor brakes.

  Args:
    parameters: of the model.
    speed: m/s, at least 0 and below the target speed, any shape.

  Returns:
    Gap in m, same shape.
  """
  free_road = (speed / parameters.target_speed) ** parameters.exponent
  return desired_gap(parameters, speed, jnp.zeros_like(speed)) / jnp.sqrt(1.0 - free_road)


def equilibrium_speed(parameters: IDMParameters, gap: Array) -> Array:
  """Speed at which a platoon with this gap neither accelerates nor brakes: the inverse of `equilibrium_gap`.

  Found by bisection, to the precision of the float type; 0 for gaps up to the minimum gap. It has no derivative.

  Args:
    parameters: of the model.
    gap: m, any shape.

  Returns:
    Speed in m/s, same shape.
  """
  gap = jax.lax.stop_gradient(gap)

  def halve(_, bounds):
    low, high = bounds
    middle = 0.5 * (low + high)
    too_fast = acceleration(parameters, middle, gap, jnp.zeros_like(middle)) < 0
    return jnp.where(too_fast, low, middle), jnp.where(too_fast, middle, high)

  low, high = jnp.zeros_like(gap), jnp.full_like(gap, parameters.target_speed)
  num_halvings = 4 + math.ceil(-math.log2(jnp.finfo(gap.dtype).eps))
  low, high = jax.lax.fori_loop(0, num_halvings, halve, (low, high))
  return low
