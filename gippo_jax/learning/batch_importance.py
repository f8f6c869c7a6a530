"""Batch importance weights: what a particle reached tells of every particle that could have led there.

Parmas, Rasmussen, Peters, Doya, "PIPPS: Flexible Model-Based Policy Search Robust to the Curse of Chaos", ICML 2018. A
next state `x'_j` was drawn by its own parent `x_j`, but another one, `x_i`, may have led to it as well: with
`w_ji = p(x'_j | x_i) / sum_n p(x'_j | x_n)`, the sum `sum_j w_ji (G_j - b_i) dlog p(x'_j | x_i) / dzeta_i` says of
`x_i`'s distribution `zeta_i` what the likelihood ratio says. Under a baseline `b_i` that does not know the outcomes it
is unbiased for every number of particles. For a small noise the weights are the identity: the likelihood ratio.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gippo_jax.learning.gaussian import log_prob


def log_densities(
  reached: Float[Array, "M D"], mean: Float[Array, "N D"], log_std: Float[Array, "N D"]
) -> Float[Array, "M N"]:
  """`log p(x'_j | x_i)`.

  Args:
    reached: `x'`, `[M, D]`.
    mean, log_std: of what each parent leads to, `[N, D]`.
  """
  return jax.vmap(lambda outcome: log_prob(mean, log_std, jnp.broadcast_to(outcome, mean.shape)))(reached)


def weighted_messages(
  cost: Float[Array, " N"],
  reached: Float[Array, "N D"],
  mean: Float[Array, "N D"],
  log_std: Float[Array, "N D"],
  baseline: Float[Array, " N"],
) -> Float[Array, "N B"]:
  """Messages of one step to `y = (mean / std, log std)` under a given baseline.

  Args:
    cost: `G`, from what the particle reached on, `[N]`.
    reached: `x'`, `[N, D]`.
    mean, log_std: of its distribution, `[N, D]`.
    baseline: `b`, `[N]`.

  Returns:
    `[N, 2 D]`; their mean estimates the same as that of `output_gradients.likelihood_ratio`.
  """
  weights = jax.nn.softmax(log_densities(reached, mean, log_std), axis=1)
  weights = weights * (cost[:, None] - baseline[None])
  standardized = (reached[:, None] - mean[None]) * jnp.exp(-log_std)[None]
  by_mean = jnp.einsum("ji,jid->id", weights, standardized)
  by_log_std = jnp.einsum("ji,jid->id", weights, standardized**2 - 1.0)
  return jnp.concatenate([by_mean, by_log_std], axis=-1)


def batch_importance(
  cost: Float[Array, " N"], reached: Float[Array, "N D"], mean: Float[Array, "N D"], log_std: Float[Array, "N D"]
) -> Float[Array, "N B"]:
  """`weighted_messages` with a baseline that keeps them unbiased.

  Each half of the particles is a batch of its own. The baseline of its particle `x_i` is what the other half's outcomes
  say of it, `b_i = sum_j w_ji G_j / sum_j w_ji`. (The particle's own half would say more, with a bias.)

  Args:
    cost, reached, mean, log_std: as for `weighted_messages`, `N` even.

  Returns:
    `[N, 2 D]`.
  """

  def of_half(half, other):
    cost, reached, mean, log_std = half
    other_cost, other_reached, other_mean, other_log_std = other
    mixture = jax.nn.logsumexp(log_densities(other_reached, other_mean, other_log_std), axis=1)
    # Normalised as logarithms: where no outcome is near, the nearest counts, and nothing is divided by 0.
    share = jax.nn.softmax(log_densities(other_reached, mean, log_std) - mixture[:, None], axis=0)
    return weighted_messages(cost, reached, mean, log_std, other_cost @ share)

  halves = [jnp.stack(jnp.split(rows, 2)) for rows in (cost, reached, mean, log_std)]
  return jnp.concatenate(jax.vmap(of_half)(halves, [rows[::-1] for rows in halves]))
