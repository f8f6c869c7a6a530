"""Physics: a closed-form cart-pole in plain JAX."""

from envs.physics.cartpole import Cartpole

__all__ = ["Cartpole"]
