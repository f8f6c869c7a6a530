"""A ring road whose traffic breaks down into stop-and-go waves, and one vehicle that may calm it.

The experiment of Sugiyama et al. (2008, New J. Phys. 10, 033001) as a control problem: "stabilizing the ring" of Flow
(Wu, Kreidieh, Parvate, Vinitsky & Bayen 2017, arXiv 1710.05465; `WaveAttenuationPOEnv`), whose observation, reward,
sizes and driver model are taken over. Three things differ: no driver's acceleration is noisy (the start is perturbed
instead), there is no warm-up before the episode, and cars move by this module's Euler step instead of SUMO's.
"""

import dataclasses
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from gippo_jax.envs.base import State, Trajectory, require_choice, require_positive_integer, require_positive_real
from gippo_jax.envs.traffic import idm
from gippo_jax.envs.traffic.idm import IDMParameters
from gippo_jax.envs.traffic.limits import at_least, usable_action
from gippo_jax.envs.traffic.road import VEHICLE_LENGTH

if TYPE_CHECKING:
  from matplotlib.axes import Axes

Array = jax.Array

LEAST_GAP = 1e-3
# Flow's driver model; its desired gap never falls below the gap at rest.
FLOW_IDM = IDMParameters(
  max_acceleration=1.0,
  comfortable_deceleration=1.5,
  target_speed=30.0,
  minimum_gap=2.0,
  time_headway=1.0,
  least_desired_gap=2.0,
)
# Flow's scales of the observation and weights of the reward.
SPEED_SCALE = 15.0
SPEED_WEIGHT = 4.0 / 20.0
ACTION_WEIGHT = 4.0


class RingPhysics(struct.PyTreeNode):
  """Inner state.

  Attributes:
    position: along the ring, m, not wrapped, `[num_vehicles]`; vehicle `i + 1` leads vehicle `i`, vehicle 0 the last.
    speed: m/s, `[num_vehicles]`.
    circumference: of this episode's ring, m.
    collision: 1 if the last step ended in a collision, else 0.
    replaced_actions: NaN or infinite action entries met in this episode, int32.
  """

  position: Array
  speed: Array
  circumference: Array
  collision: Array
  replaced_actions: Array


@dataclasses.dataclass(frozen=True)
class Ring:
  """Drive vehicle 0 on a ring of Intelligent Driver Model vehicles so that all are fast and the drive is smooth.

  The action, in [-1, 1], is the acceleration in units of `max_acceleration`. The observation is Flow's: own speed / 15,
  leader's speed less own / 15, distance of the centres / largest circumference. The reward is
  `0.2 mean_i v_i - 4 |acceleration|`, and 0 on a collision, which ends the episode. Speeds never fall below 0.

  Attributes:
    num_vehicles: vehicles on the ring, the controlled one included.
    min_circumference, max_circumference: the length of the ring is drawn uniformly from between them, m.
    control: "acceleration": vehicle 0 obeys the action. "idm": it is a driver like the others, the action does nothing
      and costs nothing.
    perturbation: every vehicle starts up to this far from its place in even spacing, m.
    max_acceleration: m/s^2.
    episode_length: time limit in steps.
    time_step: s.
    idm: parameters of the drivers.

  Raises:
    ValueError: for a field out of range; the message says what is allowed.
  """

  num_vehicles: int = 22
  min_circumference: float = 220.0
  max_circumference: float = 270.0
  control: str = "acceleration"
  perturbation: float = 1.0
  max_acceleration: float = 1.0
  episode_length: int = 3000
  time_step: float = 0.1
  idm: IDMParameters = FLOW_IDM

  def __post_init__(self):
    object.__setattr__(self, "idm", idm.checked(self.idm, FLOW_IDM))  # the dataclass is frozen
    require_positive_integer("num_vehicles", self.num_vehicles)
    require_choice("control", self.control, ("acceleration", "idm"))
    for name in ("min_circumference", "max_circumference", "perturbation", "max_acceleration", "time_step"):
      require_positive_real(name, getattr(self, name))
    require_positive_integer("episode_length", self.episode_length)
    if self.num_vehicles < 2:
      raise ValueError(f"env.num_vehicles: {self.num_vehicles} is not allowed; allowed: an integer >= 2")
    sizes = (self.min_circumference, self.max_circumference, self.perturbation)
    if any(isinstance(size, jax.Array) for size in sizes):
      return  # traced, so that their values are not known here
    if self.max_circumference < self.min_circumference:
      raise ValueError(
        f"env.max_circumference: {self.max_circumference!r} is not allowed; "
        f"allowed: at least min_circumference = {self.min_circumference:g}"
      )
    most = int((self.min_circumference - LEAST_GAP) / (VEHICLE_LENGTH + 2.0 * self.perturbation))
    if self.num_vehicles > most:
      raise ValueError(
        f"env.num_vehicles: {self.num_vehicles} is not allowed; allowed: at most {most}, which fit without overlap on "
        f"min_circumference = {self.min_circumference:g} with perturbation {self.perturbation:g}"
      )

  action_size = 1
  observation_size = 3
  differentiable = True
  figure_size = (4.0, 4.0)

  def reset(self, key: Array) -> State:
    draws = jax.random.uniform(key, (self.num_vehicles + 1,))
    circumference = self.min_circumference + (self.max_circumference - self.min_circumference) * draws[0]
    displacement = self.perturbation * (2.0 * draws[1:] - 1.0)
    return self.start(circumference, displacement, jnp.zeros_like(displacement))

  def start(self, circumference: Array, displacement: Array, speed: Array) -> State:
    """Start of an episode.

    Args:
      circumference: length of the ring, m, a scalar.
      displacement: of each vehicle from its place in even spacing, m, `[num_vehicles]`.
      speed: m/s, `[num_vehicles]`.

    Returns:
      The state.
    """
    place = jnp.asarray(np.arange(self.num_vehicles) / self.num_vehicles, displacement.dtype)
    zero = jnp.zeros((), displacement.dtype)
    physics = RingPhysics(
      position=circumference * place + displacement,
      speed=speed,
      circumference=circumference,
      collision=zero,
      replaced_actions=jnp.zeros((), jnp.int32),
    )
    return State(physics=physics, obs=self.observe(physics), reward=zero, terminated=zero, truncated=zero)

  def step(self, state: State, action: Array) -> State:
    physics = state.physics
    action, replaced = usable_action(action)
    approach = physics.speed - jnp.roll(physics.speed, -1)
    gap = at_least(self.distances(physics) - VEHICLE_LENGTH, LEAST_GAP)
    acceleration = idm.acceleration(self.idm, physics.speed, gap, approach)
    cost = 0.0
    if self.control == "acceleration":
      own = self.max_acceleration * action[0]
      acceleration = jnp.where(np.arange(self.num_vehicles) == 0, own, acceleration)
      cost = ACTION_WEIGHT * jnp.abs(own)
    moved = physics.replace(
      position=physics.position + physics.speed * self.time_step,
      speed=idm.next_speed(physics.speed, acceleration, self.time_step),
      replaced_actions=physics.replaced_actions + replaced,
    )
    collided = jnp.min(self.distances(moved)) < VEHICLE_LENGTH
    moved = moved.replace(collision=collided.astype(physics.position.dtype))
    return state.replace(
      physics=moved,
      obs=self.observe(moved),
      reward=jnp.where(collided, 0.0, SPEED_WEIGHT * jnp.mean(moved.speed) - cost),
      terminated=moved.collision,
    )

  def distances(self, physics: RingPhysics) -> Array:
    """Distance of each vehicle's centre to its leader's, m, `[num_vehicles]`."""
    ahead = jnp.roll(physics.position, -1) - physics.position
    is_last = np.arange(self.num_vehicles) == self.num_vehicles - 1
    return ahead + jnp.where(is_last, physics.circumference, 0.0)

  def observe(self, physics: RingPhysics) -> Array:
    """Observation of a state, `[3]`, without unit."""
    distance = physics.position[1] - physics.position[0]
    approach = physics.speed[1] - physics.speed[0]
    return jnp.stack([physics.speed[0] / SPEED_SCALE, approach / SPEED_SCALE, distance / self.max_circumference])

  def page(self, trajectory: Trajectory, title: str) -> str:
    from gippo_jax.envs import viewer
    from gippo_jax.envs.traffic import rendering

    return viewer.page(rendering.ring_scene(self, trajectory, title))

  def draw(self, axes: "Axes", trajectory: Trajectory, step: int) -> None:
    from gippo_jax.envs.traffic import rendering

    rendering.draw(axes, rendering.ring_scene(self, trajectory, ""), step)
