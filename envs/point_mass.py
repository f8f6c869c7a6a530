"""A point mass in a bumpy potential: small, smooth, not chaotic; the golden traces run on it."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gippo_jax.envs.base import State, require_positive_integer

_START_POSITION = (0.8, -0.6, 0.4)
_START_VELOCITY = (0.62, -0.2, 0.1)
_TIME_STEP = 0.1


class PointMassPhysics(NamedTuple):
  """Position and velocity, each `[dimension]`, and the steps taken in the episode."""

  position: jax.Array
  velocity: jax.Array
  steps: jax.Array


@dataclasses.dataclass(frozen=True)
class PointMass:
  """Push a point to the origin against the force `-0.3 sin(3 x)`.

  `v' = v + 0.1 (2 a - 0.3 sin(3 x))`, `x' = x + 0.1 v'`, reward `1 - |x'|^2 - 0.05 |v'|^2 - 0.01 |a|^2`; ends
  early when `max |x'| > 1`. A step that leaves the box and is the last one allowed counts as the time limit's, as in
  the authors' runs, whose traces are on this environment. All episodes start alike.

  Attributes:
    dimension: 1, 2 or 3.
    episode_length: time limit in steps.
  """

  dimension: int = 2
  episode_length: int = 32

  def __post_init__(self):
    require_positive_integer("dimension", self.dimension)
    if self.dimension > len(_START_POSITION):
      raise ValueError(f"env.dimension: {self.dimension} is not allowed; allowed: 1, 2 or 3")
    require_positive_integer("episode_length", self.episode_length)

  differentiable = True

  @property
  def observation_size(self) -> int:
    return 2 * self.dimension

  @property
  def action_size(self) -> int:
    return self.dimension

  def reset(self, key: jax.Array) -> State:
    del key
    physics = PointMassPhysics(
      jnp.asarray(_START_POSITION[: self.dimension]),
      jnp.asarray(_START_VELOCITY[: self.dimension]),
      jnp.zeros((), jnp.int32),
    )
    zero = jnp.zeros(())
    return State(physics=physics, obs=jnp.concatenate(physics[:2]), reward=zero, terminated=zero, truncated=zero)

  def step(self, state: State, action: jax.Array) -> State:
    action = jnp.clip(action, -1.0, 1.0)
    position, velocity, steps = state.physics
    steps = steps + 1
    velocity = velocity + _TIME_STEP * (2.0 * action - 0.3 * jnp.sin(3.0 * position))
    position = position + _TIME_STEP * velocity
    reward = 1.0 - jnp.sum(position**2) - 0.05 * jnp.sum(velocity**2) - 0.01 * jnp.sum(action**2)
    return state.replace(
      physics=PointMassPhysics(position, velocity, steps),
      obs=jnp.concatenate([position, velocity]),
      reward=reward,
      terminated=((jnp.max(jnp.abs(position)) > 1.0) & (steps < self.episode_length)).astype(reward.dtype),
    )
