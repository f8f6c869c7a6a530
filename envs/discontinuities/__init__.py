"""Small problems with jumps, corners, stiff contacts and chaos, on which estimators of gradients are told apart.

Those of Suh, Simchowitz, Zhang, Tedrake, "Do Differentiable Simulators Give Better Policy Gradients?" (ICML 2022).
"""

from gippo_jax.envs.discontinuities.angles import BallOverWall, MomentumTransfer
from gippo_jax.envs.discontinuities.double_pendulum import DoublePendulum
from gippo_jax.envs.discontinuities.tennis import Tennis
from gippo_jax.envs.discontinuities.two_bodies import Friction, Pushing

__all__ = ["BallOverWall", "DoublePendulum", "Friction", "MomentumTransfer", "Pushing", "Tennis"]
