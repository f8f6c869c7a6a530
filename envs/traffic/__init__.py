"""Traffic environments: a pace car ahead of Intelligent Driver Model vehicles, and a ring road."""

from envs.traffic.idm import IDMParameters
from envs.traffic.pace_car import PaceCar
from envs.traffic.ring import Ring

__all__ = ["IDMParameters", "PaceCar", "Ring"]
