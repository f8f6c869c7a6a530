"""Two functions of one angle whose best values stand beside a cliff, as episodes of one step."""

import dataclasses
from abc import ABC, abstractmethod

import jax
import jax.numpy as jnp

from gippo_jax.envs.base import State, require_positive_real

_GRAVITY = 9.81
_LAUNCH_SPEED = 1.0  # m/s


class OneAngle(ABC):
  """Maximise minus a cost of `pi / 2` times the action, clipped to [-1, 1]; the observation is the constant 0."""

  observation_size = 1
  action_size = 1
  episode_length = 1
  differentiable = True

  @abstractmethod
  def cost(self, angle: jax.Array) -> jax.Array:
    """Of an angle in rad; a scalar of a scalar."""

  def reset(self, key: jax.Array) -> State:
    del key  # every episode starts alike
    zero = jnp.zeros(())
    return State(physics=(), obs=jnp.zeros((1,)), reward=zero, terminated=zero, truncated=zero)

  def step(self, state: State, action: jax.Array) -> State:
    return state.replace(reward=-self.cost(0.5 * jnp.pi * jnp.clip(action[0], -1.0, 1.0)))


@dataclasses.dataclass(frozen=True)
class BallOverWall(OneAngle):
  """Throw a ball as far as possible, over a wall that stops it.

  Launched from the ground at 1 m/s and an angle `t` it lands at `2 sin t cos t / g`, or drops at the wall if it meets
  it. The cost is minus the squared distance: below the best angle it jumps where the ball clears the wall.

  Attributes:
    distance: of the wall, m.
    height: of the wall, m.
  """

  distance: float = 0.06
  height: float = 0.02

  def __post_init__(self):
    require_positive_real("distance", self.distance)
    require_positive_real("height", self.height)

  def cost(self, angle: jax.Array) -> jax.Array:
    sine, cosine = jnp.sin(angle), jnp.cos(angle)
    reach = 2.0 * _LAUNCH_SPEED**2 * sine * cosine / _GRAVITY
    at_wall = self.distance * sine / cosine - 0.5 * _GRAVITY * (self.distance / (_LAUNCH_SPEED * cosine)) ** 2
    is_free = (reach <= self.distance) | (at_wall > self.height)
    return -(jnp.where(is_free, reach, self.distance) ** 2)


@dataclasses.dataclass(frozen=True)
class MomentumTransfer(OneAngle):
  """Hit a body at an angle that gives it as much momentum as possible, and do not miss it.

  The cost is `-sin^2` of the angle within 45 degrees, where the bodies touch, and 0 beyond: the best angle is at the
  edge of the cliff.
  """

  def cost(self, angle: jax.Array) -> jax.Array:
    return jnp.where(jnp.abs(angle) <= 0.25 * jnp.pi, -(jnp.sin(angle) ** 2), 0.0)
