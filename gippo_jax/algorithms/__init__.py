"""Training algorithms, one file each. Importing this package registers them; see `gippo_jax.registry`."""

from gippo_jax.algorithms import (
  ahac,
  aobg,
  ddcg,
  dva,
  gippo,
  ivw_h,
  learned_model,
  lr,
  lrp,
  pe,
  ppo,
  rp,
  rpo,
  sapo,
  shac,
  tp,
  value_expansion,
)
from gippo_jax.algorithms.base import Algorithm, Draws
from gippo_jax.registry import register

# In the order of the paper's tables; behind them the rivals of docs/rivals.md.
for module in (lr, rp, shac, ppo, lrp, pe, tp, gippo, rpo, dva, ahac, sapo, ivw_h, aobg, ddcg):
  register(module.SPEC)
for spec in (learned_model.SHAC, learned_model.GIPPO, value_expansion.DP, value_expansion.DR):
  register(spec)

__all__ = ["Algorithm", "Draws"]
