"""Training algorithms, one file each; `ALGORITHMS` maps the configuration's name to the constructor."""

from gippo_jax.algorithms.base import Algorithm, Draws
from gippo_jax.algorithms.gippo import gippo
from gippo_jax.algorithms.ppo import ppo

ALGORITHMS = {"gippo": gippo, "ppo": ppo}

__all__ = ["ALGORITHMS", "Algorithm", "Draws"]
