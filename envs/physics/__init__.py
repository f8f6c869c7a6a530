"""Mechanisms under forces: on Brax, imported when the first of them is made; cart-pole and quadrotor in closed form."""

from gippo_jax.envs.physics.cartpole import Cartpole
from gippo_jax.envs.physics.cartpole_swing_up import CartpoleSwingUp
from gippo_jax.envs.physics.cartpole_walls import CartpoleWalls
from gippo_jax.envs.physics.planar import HalfCheetah, Hopper, Walker2d
from gippo_jax.envs.physics.quadrotor import Quadrotor
from gippo_jax.envs.physics.spatial import Ant, Humanoid

__all__ = [
  "Ant",
  "Cartpole",
  "CartpoleSwingUp",
  "CartpoleWalls",
  "HalfCheetah",
  "Hopper",
  "Humanoid",
  "Quadrotor",
  "Walker2d",
]
