"""Straight parallel lanes: which lane a position lies in, and who leads whom.

Lane `i` runs along +x from `(0, LANE_WIDTH i)`. Vehicles that keep their lane for ever are stored by lane,
`[num_lanes, vehicles_per_lane]`, so that a search within the lanes needs no table of all pairs of vehicles.
"""

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.envs.traffic.limits import at_least

Array = jax.Array

LANE_WIDTH = 4.0
LANE_LENGTH = 1e6
VEHICLE_LENGTH = 5.0
TARGET_SPEED = 10.0  # that the pace car is to keep all vehicles at, m/s
# Without a leader a driver sees this gap; the interaction it makes is below 1e-8 m/s^2. A finite number keeps the
# arithmetic, and its derivative, free of infinities.
FREE_GAP = 1e6
LEAST_GAP = 1e-3
OUT_OF_LANE = -1


def lane_of(x: Array, y: Array, num_lanes: int) -> Array:
  """Lane that holds a point.

  The distance to lane `i` is `|y - LANE_WIDTH i|` plus what `x` lies before the start or behind the end. The nearest
  lane counts, the lower one at equal distance, if the distance is less than half the lane's width.

  Args:
    x: position along the lanes, m, any shape.
    y: position across the lanes, m, same shape.
    num_lanes: number of lanes.

  Returns:
    Lane index or `OUT_OF_LANE`, int32, same shape.
  """
  nearest = jnp.clip(jnp.ceil(y / LANE_WIDTH - 0.5), 0.0, num_lanes - 1.0)
  distance = jnp.abs(y - LANE_WIDTH * nearest) + jnp.maximum(-x, 0.0) + jnp.maximum(x - LANE_LENGTH, 0.0)
  return jnp.where(distance < 0.5 * LANE_WIDTH, nearest, float(OUT_OF_LANE)).astype(jnp.int32)


def lane_weights(y: Array, num_lanes: int, softness: Array | float) -> Array:
  """Smooth membership of a lateral position in every lane.

  With the lateral distance `d = |y - LANE_WIDTH i|` to the lane's centre and the ramp
  `u = clip((LANE_WIDTH / 2 + softness - d) / (2 softness), 0, 1)` the weight is `u^2 (3 - 2 u)`: 1 well inside, 0 well
  outside, 1/2 on the border. As `softness` goes to 0 it becomes the indicator of the lane. The weights of two
  neighbouring lanes add up to 1 between their centres.

  Args:
    y: position across the lanes, m, a scalar.
    num_lanes: number of lanes.
    softness: half the width of the ramp, m, at most half a lane's width.

  Returns:
    Weights, `[num_lanes]`.
  """
  centre = jnp.asarray(LANE_WIDTH * np.arange(num_lanes), y.dtype)
  ramp = jnp.clip((0.5 * LANE_WIDTH + softness - jnp.abs(y - centre)) / (2.0 * softness), 0.0, 1.0)
  return ramp * ramp * (3.0 - 2.0 * ramp)


def leaders_in_lane(x: Array, speed: Array) -> tuple[Array, Array]:
  """Nearest vehicle of the same lane at the same place or ahead; the lowest index where two are equally near.

  Args:
    x: positions, m, `[num_lanes, vehicles_per_lane]`.
    speed: m/s, same shape.

  Returns:
    Distance of the centres in m (`FREE_GAP + VEHICLE_LENGTH` where nobody leads) and the approach rate in m/s (0 where
    nobody leads), same shape.
  """
  size = x.shape[1]
  nobody = jnp.full_like(x, FREE_GAP + VEHICLE_LENGTH), jnp.zeros_like(x)
  if size == 1:
    return nobody
  ahead = x[:, None, :] - x[:, :, None]
  index = jax.lax.iota(jnp.int32, size)  # no NumPy array of all pairs, which the program would hold as a constant
  is_candidate = (ahead >= 0) & (index[:, None] != index[None])[None]
  # The choice has no derivative; the distance gets its own below, by a sum that picks the leader. On a CPU this is much
  # faster than argmin and gather, and it is exact: a sum with one term that is not 0.
  distance = jax.lax.stop_gradient(jnp.where(is_candidate, ahead, jnp.inf))
  is_nearest = is_candidate & (distance == jnp.min(distance, axis=2, keepdims=True))
  first = jnp.min(jnp.where(is_nearest, index[None, None], size), axis=2)
  is_leader = index[None, None] == first[:, :, None]
  has_leader = first < size
  leader_distance = jnp.sum(jnp.where(is_leader, ahead, 0.0), axis=2)
  approach = jnp.sum(jnp.where(is_leader, speed[:, :, None] - speed[:, None, :], 0.0), axis=2)
  return jnp.where(has_leader, leader_distance, nobody[0]), approach


def bumper_gap(distance: Array) -> Array:
  """Bumper-to-bumper gap for a distance of centres, m, not below `LEAST_GAP`."""
  return at_least(distance - VEHICLE_LENGTH, LEAST_GAP)
