"""A double pendulum: smooth, and chaotic, so that derivatives by where it starts grow without bound."""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gippo_jax.envs.base import State, require_positive_integer, require_positive_real, require_real

GRAVITY = 9.81
TIME_STEP = 0.001  # s


class DoublePendulumPhysics(NamedTuple):
  """Angles from hanging (rad, not wrapped) of the upper and the lower rod, and their rates (rad/s), `[2]` each."""

  angle: jax.Array
  rate: jax.Array


@dataclasses.dataclass(frozen=True)
class DoublePendulum:
  """Bring the end of a double pendulum to its highest place by a torque on the upper hinge.

  Two rods without mass, 1 m each, with a mass of 1 kg at the lower end of each, without friction; 1 ms steps of the
  classical Runge-Kutta method. The observation is the sines and cosines of the two angles from hanging and their rates;
  the action, clipped to [-1, 1], is a share of the largest torque. The reward is minus the squared distance of the
  lower mass from its highest place, m^2. All episodes start alike, both rods at `angle`, at rest; nothing ends one
  early.

  Attributes:
    angle: of both rods at the start, rad.
    torque: N m, at action 1.
    num_substeps: steps of 1 ms in each step.
    episode_length: time limit in steps.
  """

  angle: float = 0.5 * math.pi
  torque: float = 10.0
  num_substeps: int = 10
  episode_length: int = 200

  def __post_init__(self):
    require_real("angle", self.angle)
    require_positive_real("torque", self.torque)
    require_positive_integer("num_substeps", self.num_substeps)
    require_positive_integer("episode_length", self.episode_length)

  observation_size = 6
  action_size = 1
  differentiable = True

  def begin(self) -> DoublePendulumPhysics:
    """Both rods where they start, at rest."""
    return DoublePendulumPhysics(jnp.full(2, self.angle), jnp.zeros(2))

  def advance(
    self, physics: DoublePendulumPhysics, torque: jax.Array, time_step: float = TIME_STEP
  ) -> DoublePendulumPhysics:
    """The physics after a step of the classical Runge-Kutta method under a torque on the upper hinge, N m."""

    def moved(slope, share):
      return DoublePendulumPhysics(
        *(value + share * time_step * change for value, change in zip(physics, slope, strict=True))
      )

    first = _slope(physics, torque)
    second = _slope(moved(first, 0.5), torque)
    third = _slope(moved(second, 0.5), torque)
    fourth = _slope(moved(third, 1.0), torque)
    mean = ((a + 2.0 * (b + c) + d) / 6.0 for a, b, c, d in zip(first, second, third, fourth, strict=True))
    return moved(tuple(mean), 1.0)

  def cost(self, physics: DoublePendulumPhysics) -> jax.Array:
    """Squared distance of the lower mass from its highest place, m^2."""
    across, down = jnp.sum(jnp.sin(physics.angle)), jnp.sum(jnp.cos(physics.angle))
    return across**2 + (2.0 + down) ** 2

  def reset(self, key: jax.Array) -> State:
    del key  # every episode starts alike
    physics, zero = self.begin(), jnp.zeros(())
    return State(physics=physics, obs=_observe(physics), reward=zero, terminated=zero, truncated=zero)

  def step(self, state: State, action: jax.Array) -> State:
    torque = self.torque * jnp.clip(action[0], -1.0, 1.0)
    physics, _ = jax.lax.scan(
      lambda physics, _: (self.advance(physics, torque), None), state.physics, None, self.num_substeps
    )
    return state.replace(physics=physics, obs=_observe(physics), reward=-self.cost(physics))


def energy(physics: DoublePendulumPhysics) -> jax.Array:
  """Kinetic and potential energy, J: -3 `GRAVITY` where both rods hang at rest."""
  (upper, lower), (upper_rate, lower_rate) = physics.angle, physics.rate
  kinetic = upper_rate**2 + 0.5 * lower_rate**2 + upper_rate * lower_rate * jnp.cos(upper - lower)
  return kinetic - GRAVITY * (2.0 * jnp.cos(upper) + jnp.cos(lower))


def _slope(physics: DoublePendulumPhysics, torque: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Rates and angular accelerations, by Lagrange's equations with unit masses and lengths."""
  difference = physics.angle[0] - physics.angle[1]
  coupling, pull = jnp.cos(difference), jnp.sin(difference)
  upper = torque - pull * physics.rate[1] ** 2 - 2.0 * GRAVITY * jnp.sin(physics.angle[0])
  lower = pull * physics.rate[0] ** 2 - GRAVITY * jnp.sin(physics.angle[1])
  # Of the mass matrix [[2, c], [c, 1]].
  acceleration = jnp.stack([upper - coupling * lower, 2.0 * lower - coupling * upper]) / (2.0 - coupling**2)
  return physics.rate, acceleration


def _observe(physics: DoublePendulumPhysics) -> jax.Array:
  return jnp.concatenate([jnp.sin(physics.angle), jnp.cos(physics.angle), physics.rate])
