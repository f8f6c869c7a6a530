"""Training algorithms, one file each; `ALGORITHMS` maps the configuration's name to the constructor."""

from gippo_jax.algorithms import gippo, lr, lrp, pe, ppo, rp, shac
from gippo_jax.algorithms.base import Algorithm, Draws

# In the order of the paper's tables.
ALGORITHMS = {
  "lr": lr.make,
  "rp": rp.make,
  "shac": shac.make,
  "ppo": ppo.make,
  "lrp": lrp.make,
  "pe": pe.make,
  "gippo": gippo.make,
}

__all__ = ["ALGORITHMS", "Algorithm", "Draws"]
