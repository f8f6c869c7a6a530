"""Mechanisms under forces: on Brax, imported when the first of them is made, and a cart-pole in closed form."""

from envs.physics.cartpole import Cartpole
from envs.physics.cartpole_swing_up import CartpoleSwingUp
from envs.physics.planar import HalfCheetah, Hopper, Walker2d
from envs.physics.spatial import Ant, Humanoid

__all__ = ["Ant", "Cartpole", "CartpoleSwingUp", "HalfCheetah", "Hopper", "Humanoid", "Walker2d"]
