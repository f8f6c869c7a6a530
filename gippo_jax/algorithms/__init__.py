"""Training algorithms, one file each. Importing this package registers them; see `gippo_jax.registry`."""

from gippo_jax.algorithms import gippo, lr, lrp, pe, ppo, rp, shac, tp
from gippo_jax.algorithms.base import Algorithm, Draws
from gippo_jax.registry import register

# In the order of the paper's tables.
for module in (lr, rp, shac, ppo, lrp, pe, tp, gippo):
  register(module.SPEC)

__all__ = ["Algorithm", "Draws"]
