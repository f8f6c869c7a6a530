"""Two bodies on a line, of which the first is pushed and is to bring the second one to its goal."""

import dataclasses
import math
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.envs.base import State, require_positive_integer, require_positive_real

_TIME_STEP = 0.005  # s
_MASS = 0.1  # kg, of either body
_POSITION_WEIGHTS, _SPEED_WEIGHT = np.array([0.1, 10.0]), 0.1


class TwoBodiesPhysics(NamedTuple):
  """Positions (m) and velocities (m/s) of the bodies, `[2]` each."""

  position: jax.Array
  velocity: jax.Array


class TwoBodies(ABC):
  """What both problems share: the integration, the costs, and the environment around them.

  The observation is positions and velocities; the action, clipped to [-1, 1], is a share of the largest force on the
  first body. The reward is minus `cost`. An episode ends by its time limit alone, and all start alike.
  """

  observation_size = 4
  action_size = 1
  differentiable = True
  start: ClassVar[tuple[float, float]]
  goal: ClassVar[tuple[float, float]]
  force: float

  @property
  def velocity_factor(self) -> float:
    """Of the velocities in each step."""
    return 1.0

  @abstractmethod
  def contact(self, physics: TwoBodiesPhysics) -> jax.Array:
    """Force on the second body, N; the first one has its opposite."""

  def begin(self) -> TwoBodiesPhysics:
    """The bodies at rest where they start."""
    return TwoBodiesPhysics(jnp.asarray(self.start), jnp.zeros(2))

  def advance(self, physics: TwoBodiesPhysics, push: jax.Array) -> TwoBodiesPhysics:
    """The physics after 5 ms (semi-implicit Euler) under a force on the first body, N."""
    contact = self.contact(physics)
    force = jnp.stack([push - contact, contact])
    velocity = self.velocity_factor * (physics.velocity + _TIME_STEP / _MASS * force)
    return TwoBodiesPhysics(physics.position + _TIME_STEP * velocity, velocity)

  def cost(self, reached: TwoBodiesPhysics, push: jax.Array) -> jax.Array:
    """Of a step: squared distance to the goal, squared speed, squared force, weighted as in the paper's scripts."""
    distance = reached.position - jnp.asarray(self.goal)
    return jnp.sum(_POSITION_WEIGHTS * distance**2) + _SPEED_WEIGHT * jnp.sum(reached.velocity**2) + jnp.sum(push**2)

  def reset(self, key: jax.Array) -> State:
    del key  # every episode starts alike
    physics, zero = self.begin(), jnp.zeros(())
    return State(physics=physics, obs=jnp.concatenate(physics), reward=zero, terminated=zero, truncated=zero)

  def step(self, state: State, action: jax.Array) -> State:
    push = self.force * jnp.clip(action[0], -1.0, 1.0)
    physics = self.advance(state.physics, push)
    return state.replace(physics=physics, obs=jnp.concatenate(physics), reward=-self.cost(physics, push))


@dataclasses.dataclass(frozen=True)
class Pushing(TwoBodies):
  """Push a body with another one through a spring that is soft or stiff.

  The bodies start 1 m apart and repel each other by `stiffness` times what their distance lacks of 1 m. Goal: 1 m and
  2 m.

  Attributes:
    stiffness: N/m; 10 is soft, 1000 stiff.
    damping: share of the velocities that is lost in each step of 5 ms; 0.002 with the soft spring, 0.01 with the stiff.
    force: N, at action 1.
    episode_length: time limit in steps.
  """

  stiffness: float = 10.0
  damping: float = 0.002
  force: float = 1.0
  episode_length: int = 400

  start = (0.0, 1.0)
  goal = (1.0, 2.0)

  def __post_init__(self):
    for name in ("stiffness", "damping", "force"):
      require_positive_real(name, getattr(self, name), 1.0 if name == "damping" else math.inf)
    require_positive_integer("episode_length", self.episode_length)

  @property
  def velocity_factor(self) -> float:
    return 1.0 - self.damping

  def contact(self, physics: TwoBodiesPhysics) -> jax.Array:
    return self.stiffness * jnp.maximum(1.0 - (physics.position[1] - physics.position[0]), 0.0)


@dataclasses.dataclass(frozen=True)
class Friction(TwoBodies):
  """Carry a body that is held by friction alone, without losing it.

  The friction is `viscosity` times the difference of the velocities, held within that of `slip`, as long as the bodies
  are within 0.1 m: whoever pulls too hard loses the second body for good. Goal: 2 m for both.

  Attributes:
    viscosity: N s/m.
    slip: difference of velocities above which the friction is constant, m/s.
    force: N, at action 1.
    episode_length: time limit in steps.
  """

  viscosity: float = 1.8
  slip: float = 0.1
  force: float = 1.0
  episode_length: int = 400

  start = (0.0, 0.0)
  goal = (2.0, 2.0)

  def __post_init__(self):
    for name in ("viscosity", "slip", "force"):
      require_positive_real(name, getattr(self, name))
    require_positive_integer("episode_length", self.episode_length)

  def contact(self, physics: TwoBodiesPhysics) -> jax.Array:
    difference = jnp.clip(physics.velocity[0] - physics.velocity[1], -self.slip, self.slip)
    touches = jnp.abs(physics.position[1] - physics.position[0]) < 0.1
    return jnp.where(touches, self.viscosity * difference, 0.0)
