"""Mechanisms in the x-z plane: hopper, walker and half cheetah."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.envs.physics.articulated import Articulated, height_reward, uniform_start
from gippo_jax.envs.physics.engine import Model

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Planar(Articulated):
  """A mechanism whose torso slides along x and z and pitches.

  Observation: height of the torso (m), pitch (rad, positive forwards), the joints' angles, then all velocities: x, z,
  pitch, joints (m/s, rad/s).

  Start: the model's own posture, every position and angle within plus and minus `start_range`, every velocity within
  `start_velocity_range`, uniformly.
  """

  standing_height: ClassVar[float]
  start_range: ClassVar[float] = 0.05
  start_velocity_range: ClassVar[float] = 0.05

  def draw_start(self, key: Array) -> tuple[Array, Array]:
    size = self.action_size + 3
    velocity_range = np.full(size, self.start_velocity_range)
    return uniform_start(key, np.zeros(size), np.full(size, self.start_range), velocity_range)

  def height(self, q: Array) -> Array:
    """Of the torso's centre, m."""
    return self.standing_height + q[1]

  def observe(self, q: Array, qd: Array, action: Array) -> Array:
    del action
    return jnp.concatenate([self.height(q)[None], q[2:], qd])


@dataclasses.dataclass(frozen=True)
class Upright(Planar):
  """A planar mechanism that is to go forwards without falling: the paper's hopper and what is paid like it.

  With `h_term` 0.45 m below the standing height and `dh = height - (h_term + 0.15)`:

      reward = forward velocity + clip(dh, -1, 0.3) + 1 - pitch^2 / (pi/6)^2 - 0.1 |action|^2

  where a negative `clip(dh, -1, 0.3)` is replaced by `-200 clip(dh, -1, 0.3)^2`. The episode ends when the height is
  below `h_term`.
  """

  @property
  def lowest_height(self) -> float:
    """Of the torso's centre, below which the episode ends, m."""
    return self.standing_height - 0.45

  def reward(self, q: Array, qd: Array, action: Array) -> Array:
    upright = 1.0 - (q[2] / (np.pi / 6)) ** 2
    standing = height_reward(self.height(q), self.lowest_height, 0.15, 0.3)
    return qd[0] + standing + upright - 0.1 * jnp.sum(action**2)

  def has_fallen(self, q: Array) -> Array:
    return self.height(q) < self.lowest_height


@dataclasses.dataclass(frozen=True)
class Hopper(Upright):
  """One leg of thigh, shin and foot under a torso (the paper's hopper; see `Upright`).

  11 observations, 3 actions (torques of 200 N m). Brax's time step is 2 ms on every backend, so a control step has 9
  substeps of 1.85 ms.
  """

  model = Model("hopper.xml", time_step=0.002, maximal_time_step=0.002)
  observation_size = 11
  action_size = 3
  standing_height = 1.25


@dataclasses.dataclass(frozen=True)
class Walker2d(Upright):
  """Two legs of the hopper's kind; paid as the hopper (not in the paper; see `Upright`).

  17 observations, 6 actions (torques of 100 N m). 9 substeps of 1.85 ms.
  """

  model = Model("walker2d.xml", time_step=0.002, maximal_time_step=0.002)
  observation_size = 17
  action_size = 6
  standing_height = 1.25


@dataclasses.dataclass(frozen=True)
class HalfCheetah(Planar):
  """A torso on a fore and a hind leg (not in the paper; paid as in SHAC).

  17 observations, 6 actions. Reward: forward velocity less `0.1 |action|^2`. No early end. Start noise: 0.1 in position
  and angle, 0.25 in velocity. Torques as in Brax's own environment: 120, 90, 60, 120, 60, 30 N m, on `spring` and
  `positional` 120, 90, 60, 120, 100, 100. Substeps: 6 of 2.78 ms there, 2 of 8.33 ms on `generalized` and `mjx`.
  """

  model = Model(
    "half_cheetah.xml",
    time_step=0.01,
    maximal_time_step=0.003125,
    spring_gear=(120.0, 90.0, 60.0, 120.0, 100.0, 100.0),
    positional_gear=(120.0, 90.0, 60.0, 120.0, 100.0, 100.0),
  )
  observation_size = 17
  action_size = 6
  standing_height = 0.7
  start_range = 0.1
  start_velocity_range = 0.25

  def reward(self, q: Array, qd: Array, action: Array) -> Array:
    del q
    return qd[0] - 0.1 * jnp.sum(action**2)
