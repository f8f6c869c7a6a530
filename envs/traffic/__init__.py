"""Traffic environments: a pace car ahead of Intelligent Driver Model vehicles, and a ring road."""

from gippo_jax.envs.traffic.idm import IDMParameters
from gippo_jax.envs.traffic.pace_car import PaceCar
from gippo_jax.envs.traffic.ring import Ring

__all__ = ["IDMParameters", "PaceCar", "Ring"]
