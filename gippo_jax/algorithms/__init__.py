"""Training algorithms, one file each; `ALGORITHMS` maps the configuration's name to the constructor."""

from gippo_jax.algorithms import gippo, ppo
from gippo_jax.algorithms.base import Algorithm, Draws

ALGORITHMS = {"gippo": gippo.make, "ppo": ppo.make}

__all__ = ["ALGORITHMS", "Algorithm", "Draws"]
