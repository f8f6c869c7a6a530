"""Mechanisms that move freely in space: ant and humanoid."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.envs.physics.articulated import Articulated, height_reward
from gippo_jax.envs.physics.engine import Model

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Spatial(Articulated):
  """A mechanism with a free torso that is to go along +x.

  Observation: height of the torso (m); its orientation (a quaternion `w, x, y, z`); its linear (m/s), then its angular
  velocity (rad/s), both along the world's axes; the joints' angles (rad); 0.1 times the joints' velocities (rad/s); the
  projection of its upward axis on the vertical; that of its forward axis on +x; the last action.

  Start: the model's posture, position within 0.1 m, joints within 0.2 rad, velocities within 0.25, each uniform; the
  orientation is turned by an angle within pi/24 about a random axis (through a point uniform in a cube, as in SHAC).
  """

  start_height: ClassVar[float]
  start_joints: ClassVar[tuple[float, ...]]

  def draw_start(self, key: Array) -> tuple[Array, Array]:
    joints = self.action_size
    noise = jax.random.uniform(key, (3 + 3 + 1 + joints + 6 + joints,), minval=-1.0, maxval=1.0)
    position, axis, angle, angles, velocities = jnp.split(noise, [3, 6, 7, 7 + joints])
    position = 0.1 * position + jnp.asarray(np.array([0.0, 0.0, self.start_height]), noise.dtype)
    half = 0.5 * (np.pi / 24) * angle
    axis = axis / jnp.maximum(jnp.sqrt(jnp.sum(axis**2)), 1e-6)
    angles = jnp.asarray(np.array(self.start_joints), noise.dtype) + 0.2 * angles
    return jnp.concatenate([position, jnp.cos(half), jnp.sin(half) * axis, angles]), 0.25 * velocities

  def observe(self, q: Array, qd: Array, action: Array) -> Array:
    up, heading = projections(q[3:7])
    return jnp.concatenate(
      [q[2:7], qd[:3], rotate(qd[3:6], q[3:7]), q[7:], 0.1 * qd[6:], jnp.stack([up, heading]), action]
    )


def projections(orientation: Array) -> tuple[Array, Array]:
  """Projection of a body's upward axis on the vertical and of its forward axis on +x; orientation is `w, x, y, z`."""
  w, x, y, z = orientation**2
  return w - x - y + z, w + x - y - z


def rotate(vector: Array, orientation: Array) -> Array:
  """A vector of a body's frame, `[3]`, along the world's axes; orientation is a unit quaternion `w, x, y, z`."""
  w, axis = orientation[0], orientation[1:]
  return vector + 2.0 * jnp.cross(axis, jnp.cross(axis, vector) + w * vector)


@dataclasses.dataclass(frozen=True)
class Ant(Spatial):
  """Four legs of two joints (the paper's ant; see `Spatial`).

  37 observations, 8 actions (torques of 150 N m; on `positional` 200, as in Brax's own environment).

      reward = forward velocity + 0.1 up projection + heading projection + (height - 0.27)

  The episode ends when the height is below 0.27 m. It starts 0.75 m above the ground, the legs bent by 1 rad: lower,
  the start noise would put feet into the ground. Substeps: 4 of 4.17 ms on `spring` and `positional`, 2 of 8.33 ms on
  `generalized` and `mjx`.
  """

  model = Model("ant.xml", time_step=0.01, maximal_time_step=0.005, positional_gear=(200.0,) * 8)
  observation_size = 37
  action_size = 8
  start_height = 0.75
  start_joints = (0.0, 1.0, 0.0, -1.0, 0.0, -1.0, 0.0, 1.0)
  lowest_height = 0.27

  def reward(self, q: Array, qd: Array, action: Array) -> Array:
    del action
    up, heading = projections(q[3:7])
    return qd[0] + 0.1 * up + heading + (q[2] - self.lowest_height)

  def has_fallen(self, q: Array) -> Array:
    return q[2] < self.lowest_height


@dataclasses.dataclass(frozen=True)
class Humanoid(Spatial):
  """A body of 17 joints on two legs (not in the paper; paid as in SHAC).

  64 observations, 17 actions. Its reward is

      forward velocity + 0.1 up projection + heading projection + height reward - 0.002 |action|^2

  with `dh = clip(height - 0.84, -1, 0.1)`; the height reward is `10 dh`, or `-200 dh^2` where `dh` is negative. The
  episode ends when the height is below 0.74 m. Torques at action 1 are 0.4 of the gear, as in Brax's own environment:
  gears of 350 N m, arms 100, on `spring` and `positional`, otherwise the model's 25 to 300. Substeps: 12 of 1.39 ms on
  `spring` and `positional`, 6 of 2.78 ms on `generalized` and `mjx`.
  """

  model = Model(
    "humanoid.xml",
    time_step=0.003,
    maximal_time_step=0.0015,
    spring_gear=(350.0,) * 11 + (100.0,) * 6,
    positional_gear=(350.0,) * 11 + (100.0,) * 6,
  )
  observation_size = 64
  action_size = 17
  start_height = 1.4
  start_joints = (0.0,) * 17
  lowest_height = 0.74

  def reward(self, q: Array, qd: Array, action: Array) -> Array:
    up, heading = projections(q[3:7])
    standing = height_reward(q[2], self.lowest_height, 0.1, 0.1)
    standing = jnp.where(standing > 0.0, 10.0 * standing, standing)
    return qd[0] + 0.1 * up + heading + standing - 0.002 * jnp.sum(action**2)

  def has_fallen(self, q: Array) -> Array:
    return q[2] < self.lowest_height
