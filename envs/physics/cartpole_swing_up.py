"""Swing-up of a pole on a cart, on Brax."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.envs.physics.articulated import Articulated, uniform_start
from gippo_jax.envs.physics.engine import Model

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class CartpoleSwingUp(Articulated):
  """A force on a cart swings up the pole that hangs from it and keeps it there (the paper's cartpole).

  Cart 1 kg on a rail without end; pole 10 kg, a uniform rod of 1 m hinged at its end (10/12 kg m^2 about its centre);
  no friction. Force `200 N * action` (the paper's 1000 N belongs to dflex's inertias). The angle `th` is 0 upright,
  positive towards +x. 4 substeps of 1/240 s on every backend. `generalized` and `mjx` obey the equations of motion; on
  `spring` an episode drifts by centimetres in a second, on `positional` by decimetres.

  Observation: `x, xdot, sin th, cos th, thdot` in m, m/s and rad/s. Reward, with `th` in [-pi, pi]:

      -(th^2 + 0.1 thdot^2 + 0.05 x^2 + 0.1 xdot^2)

  Start: `x` within pi/2 of 0, `th` within pi/2 of -pi, velocities within 0.25, each uniform. No early end.
  """

  episode_length: int = 240

  model = Model("cartpole_swing_up.xml", time_step=1 / 240, maximal_time_step=1 / 240)
  observation_size = 5
  action_size = 1

  def draw_start(self, key: Array) -> tuple[Array, Array]:
    return uniform_start(key, np.array([0.0, -np.pi]), np.full(2, np.pi / 2), np.full(2, 0.25))

  def observe(self, q: Array, qd: Array, action: Array) -> Array:
    del action
    return jnp.stack([q[0], qd[0], jnp.sin(q[1]), jnp.cos(q[1]), qd[1]])

  def reward(self, q: Array, qd: Array, action: Array) -> Array:
    del action
    angle = jnp.arctan2(jnp.sin(q[1]), jnp.cos(q[1]))
    return -(angle**2 + 0.1 * qd[1] ** 2 + 0.05 * q[0] ** 2 + 0.1 * qd[0] ** 2)
