"""A pace car that holds the vehicles behind it at 10 m/s (the paper's traffic problem).

One controlled vehicle drives ahead of Intelligent Driver Model (IDM) vehicles on straight parallel lanes. It is paid
for *their* speed being near 10 m/s. See docs/traffic.md for the full definition.
"""

import dataclasses
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from gippo_jax.envs.base import State, Trajectory, require_choice, require_positive_integer, require_positive_real
from gippo_jax.envs.traffic import idm, road
from gippo_jax.envs.traffic.bicycle import MAX_ACCELERATION, MAX_STEERING, Bicycle, bicycle_step
from gippo_jax.envs.traffic.idm import IDMParameters
from gippo_jax.envs.traffic.limits import at_most, usable_action

if TYPE_CHECKING:
  from matplotlib.axes import Axes

Array = jax.Array

# Number of lanes and of IDM vehicles in each.
SCENARIOS = {"a": (1, 1), "b": (2, 2), "c": (3, 3), "d": (4, 4), "e": (10, 1)}
PAPER_IDM = IDMParameters(
  max_acceleration=35.0, comfortable_deceleration=25.0, target_speed=20.0, minimum_gap=1.5, time_headway=0.4
)
START_SPACING = 10.0
START_LEAD = 50.0
COLLISION_DISTANCE = 2.5
LARGEST_DISTANCE = 100.0
FAILURE_REWARD = -1.0


class PaceCarPhysics(struct.PyTreeNode):
  """Inner state.

  Attributes:
    x: positions of the IDM vehicles along their lanes, m, `[num_lanes, vehicles_per_lane]`; they never change lane.
    speed: of the IDM vehicles, m/s, same shape.
    pace_car: position, heading and speed of the pace car.
    lane: of the pace car, -1 when out of lane, int32.
    collision, out_of_lane, too_far, behind: 1 for each reason for which the last step failed, else 0.
    replaced_actions: NaN or infinite action entries met in this episode, int32.
  """

  x: Array
  speed: Array
  pace_car: Bicycle
  lane: Array
  collision: Array
  out_of_lane: Array
  too_far: Array
  behind: Array
  replaced_actions: Array


@dataclasses.dataclass(frozen=True)
class PaceCar:
  """Drive ahead of IDM vehicles so that their mean speed error `mean |v_i - 10| / 10` is small.

  The action is (steering, acceleration) in [-1, 1] for 20 degrees and 8 m/s^2. The observation holds, for the pace car
  and then each IDM vehicle, x and y relative to the pace car (m), then the velocities along x and y (m/s): 4 numbers a
  vehicle, grouped by quantity, not scaled. The reward is `1 - min(mean |v_i - 10| / 10, 1)`; a failure (collision, out
  of lane, more than 100 m from every vehicle, behind some vehicle) ends the episode with reward -1.

  Attributes:
    scenario: the paper's "a" to "e" (lanes x IDM vehicles in each: 1 x 1, 2 x 2, 3 x 3, 4 x 4, 10 x 1); or `None`, then
      the next two fields count.
    num_lanes: number of lanes.
    vehicles_per_lane: IDM vehicles in each lane.
    lane_membership: "hard": an IDM vehicle follows the pace car if that is in its lane (the paper's). "soft": it does
      so by a weight that changes smoothly with the pace car's lateral position (`road.lane_weights`).
    lane_softness: half the width of that change in m, above 0, at most 2; unused with "hard".
    episode_length: time limit in steps.
    time_step: s.
    idm: parameters of the IDM vehicles.

  Raises:
    ValueError: for a field out of range; the message says what is allowed.
  """

  scenario: str | None = None
  # None stands for the scenario's.
  num_lanes: int = None  # pyright: ignore[reportAssignmentType]
  vehicles_per_lane: int = None  # pyright: ignore[reportAssignmentType]
  lane_membership: str = "hard"
  lane_softness: float = 0.75
  episode_length: int = 1000
  time_step: float = 0.03
  idm: IDMParameters = PAPER_IDM

  def __post_init__(self):
    object.__setattr__(self, "idm", idm.checked(self.idm, PAPER_IDM))  # the dataclass is frozen
    sizes = {"num_lanes": 1, "vehicles_per_lane": 1}
    if self.scenario is not None:
      require_choice("scenario", self.scenario, SCENARIOS)
      sizes = dict(zip(sizes, SCENARIOS[self.scenario], strict=True))
    for name, value in sizes.items():
      given = getattr(self, name)
      if given is None:
        object.__setattr__(self, name, value)  # the dataclass is frozen
      elif self.scenario is not None and given != value:
        raise ValueError(f"env.{name}: {given!r} is not allowed; allowed: {value} with scenario {self.scenario!r}")
      require_positive_integer(name, getattr(self, name))
    require_choice("lane_membership", self.lane_membership, ("hard", "soft"))
    require_positive_real("lane_softness", self.lane_softness, 0.5 * road.LANE_WIDTH)
    require_positive_integer("episode_length", self.episode_length)
    require_positive_real("time_step", self.time_step)

  action_size = 2
  differentiable = True
  figure_size = (9.0, 1.9)

  @property
  def num_vehicles(self) -> int:
    """Number of IDM vehicles."""
    return self.num_lanes * self.vehicles_per_lane

  @property
  def observation_size(self) -> int:
    return 4 * (self.num_vehicles + 1)

  def reset(self, key: Array) -> State:
    # One draw of bits is cheaper than randint; the remainder's bias is below num_lanes / 2^32.
    lane = jax.random.bits(key, (), jnp.uint32) % np.uint32(self.num_lanes)
    return self.start(lane.astype(jnp.int32))

  def start(self, lane: Array) -> State:
    """Start of an episode with the pace car in a given lane.

    Args:
      lane: of the pace car, an int32 scalar in `[0, num_lanes)`.

    Returns:
      The state: IDM vehicles at rest 10 m apart from x = 0, the pace car at rest 50 m ahead of the front ones.
    """
    zero = jnp.zeros(())
    x = jnp.asarray(np.tile(START_SPACING * np.arange(self.vehicles_per_lane), (self.num_lanes, 1)), zero.dtype)
    pace_car = Bicycle(
      x=zero + (START_SPACING * (self.vehicles_per_lane - 1) + START_LEAD),
      y=road.LANE_WIDTH * lane.astype(zero.dtype),
      heading=zero,
      speed=zero,
    )
    physics = PaceCarPhysics(
      x=x,
      speed=jnp.zeros_like(x),
      pace_car=pace_car,
      lane=lane,
      collision=zero,
      out_of_lane=zero,
      too_far=zero,
      behind=zero,
      replaced_actions=jnp.zeros((), jnp.int32),
    )
    return State(physics=physics, obs=self.observe(physics), reward=zero, terminated=zero, truncated=zero)

  def step(self, state: State, action: Array) -> State:
    physics = state.physics
    action, replaced = usable_action(action)
    x, speed = self._drive(physics)
    pace_car = bicycle_step(physics.pace_car, MAX_STEERING * action[0], MAX_ACCELERATION * action[1], self.time_step)
    lane = road.lane_of(pace_car.x, pace_car.y, self.num_lanes)
    failures = self._failures(x, pace_car, lane)
    failed = jnp.stack(failures).any()
    dtype = x.dtype
    physics = PaceCarPhysics(
      x,
      speed,
      pace_car,
      lane,
      *(failure.astype(dtype) for failure in failures),
      replaced_actions=physics.replaced_actions + replaced,
    )
    error = at_most(jnp.mean(jnp.abs(speed - road.TARGET_SPEED)) / road.TARGET_SPEED, 1.0)
    return state.replace(
      physics=physics,
      obs=self.observe(physics),
      reward=jnp.where(failed, FAILURE_REWARD, 1.0 - error),
      terminated=failed.astype(dtype),
    )

  def observe(self, physics: PaceCarPhysics) -> Array:
    """Observation of a state, `[observation_size]`, in m and m/s."""
    car = physics.pace_car
    lateral = jnp.asarray(np.repeat(road.LANE_WIDTH * np.arange(self.num_lanes), self.vehicles_per_lane), car.y.dtype)
    zero = jnp.zeros((1,), car.x.dtype)
    return jnp.concatenate(
      [
        zero,
        physics.x.ravel() - car.x,
        zero,
        lateral - car.y,
        (car.speed * jnp.cos(car.heading))[None],
        physics.speed.ravel(),
        (car.speed * jnp.sin(car.heading))[None],
        jnp.zeros_like(lateral),
      ]
    )

  def leaders(self, physics: PaceCarPhysics) -> tuple[Array, Array]:
    """Gap and approach rate of every IDM vehicle to its leader, the pace car included if it is in the lane.

    Args:
      physics: the state.

    Returns:
      Gap in m (`road.FREE_GAP` where nobody leads) and approach rate in m/s, `[num_lanes, vehicles_per_lane]`.
    """
    distance, approach = road.leaders_in_lane(physics.x, physics.speed)
    is_in_lane = (np.arange(self.num_lanes, dtype=np.int32) == physics.lane)[:, None]
    distance, approach = self._behind_pace_car(physics, distance, approach, is_in_lane)
    return road.bumper_gap(distance), approach

  def _behind_pace_car(self, physics, distance, approach, is_candidate):
    """Distance and approach with the pace car where it is a candidate and the nearest; it wins ties."""
    car = physics.pace_car
    ahead = car.x - physics.x
    leads = is_candidate & (ahead >= 0) & (ahead <= distance)
    return jnp.where(leads, ahead, distance), jnp.where(leads, physics.speed - car.speed, approach)

  def _drive(self, physics: PaceCarPhysics) -> tuple[Array, Array]:
    """New positions and speeds of the IDM vehicles."""
    x = physics.x + physics.speed * self.time_step
    if self.lane_membership == "hard":
      return x, self._follow(physics, *self.leaders(physics))
    distance, approach = road.leaders_in_lane(physics.x, physics.speed)
    without = self._follow(physics, road.bumper_gap(distance), approach)
    distance, approach = self._behind_pace_car(physics, distance, approach, True)
    behind = self._follow(physics, road.bumper_gap(distance), approach)
    # The new speeds are blended, not the accelerations: those have no bound, so that the least weight would stop a car.
    weight = road.lane_weights(physics.pace_car.y, self.num_lanes, self.lane_softness)[:, None]
    return x, (1.0 - weight) * without + weight * behind

  def _follow(self, physics, gap, approach):
    acceleration = idm.acceleration(self.idm, physics.speed, gap, approach)
    return idm.next_speed(physics.speed, acceleration, self.time_step)

  def _failures(self, x: Array, pace_car: Bicycle, lane: Array) -> tuple[Array, Array, Array, Array]:
    """Collision, out of lane, too far, behind: Boolean scalars."""
    x, pace_car = jax.lax.stop_gradient((x, pace_car))
    lateral = jnp.asarray(road.LANE_WIDTH * np.arange(self.num_lanes), x.dtype)[:, None]
    nearest = jnp.sqrt(jnp.min((pace_car.x - x) ** 2 + (pace_car.y - lateral) ** 2))
    return (
      nearest - COLLISION_DISTANCE < 0,
      lane == road.OUT_OF_LANE,
      nearest > LARGEST_DISTANCE,
      pace_car.x < jnp.max(x),
    )

  def page(self, trajectory: Trajectory, title: str) -> str:
    from gippo_jax.envs import viewer
    from gippo_jax.envs.traffic import rendering

    return viewer.page(rendering.pace_car_scene(self, trajectory, title))

  def draw(self, axes: "Axes", trajectory: Trajectory, step: int) -> None:
    from gippo_jax.envs.traffic import rendering

    rendering.draw(axes, rendering.pace_car_scene(self, trajectory, ""), step)
