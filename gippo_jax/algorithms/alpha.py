"""Adaptation of alpha (Algorithm 1 of the paper; Eq. 6 to 9): a pure transition from statistics to the next alpha."""

import jax
import jax.numpy as jnp
from flax import struct

from gippo_jax.config import Config
from gippo_jax.errors import UserError
from gippo_jax.fields import Real, choice, integer, real
from gippo_jax.learning.normalization import RunningStatistics, init_statistics


class AlphaConfig(struct.PyTreeNode):
  """GI-PPO's alpha-policy and the adaptation of alpha."""

  rule: str = choice(
    "paper", ("paper", "safe"), "how the alpha-policy is made: the paper's alpha, or the natural step of the group safe"
  )
  initial: Real = real(1e-5, "alpha of the first epoch: step of the actions along the gradient", above=0)
  maximum: Real = real(1.0, "largest alpha", above=0)
  update_factor: Real = real(1.1, "alpha is multiplied or divided by this once an epoch (beta in the paper)", minimum=1)
  determinant_interval: Real = real(
    0.4, "allowed distance from 1 of the estimated det(I + alpha Hessian) (delta_det in the paper)", minimum=0
  )
  max_out_of_range_ratio: Real = real(
    0.5, "tolerated share of ratios outside the clip range (delta_oorr in the paper)", minimum=0, maximum=1
  )
  learning_rate: Real = real(1e-3, "Adam rate of the regression onto the moved actions", minimum=0)
  min_learning_rate: Real = real(1e-5, "the rate does not fall below this after failures", minimum=0)
  num_steps: int = integer(16, "full-batch gradient steps of that regression per epoch")


def check_alpha(config: Config) -> None:
  """Checks the first alpha against the largest.

  Raises:
    UserError: when it is above.
  """
  if config.alpha.initial > config.alpha.maximum:
    raise UserError(
      f"config.alpha.initial: {config.alpha.initial!r} is not allowed; allowed: at most alpha.maximum = "
      f"{config.alpha.maximum:g}"
    )


class AlphaState(struct.PyTreeNode):
  """What adaptation carries from epoch to epoch.

  Attributes:
    alpha: step of the actions along the advantage gradient.
    performance: running statistics of the estimated improvement of past alpha-policies, scalar.
  """

  alpha: jax.Array
  performance: RunningStatistics


class AlphaEvidence(struct.PyTreeNode):
  """What an epoch tells about its alpha; all scalars.

  Attributes:
    converged: whether the regression onto the moved actions lowered its loss.
    min_determinant, max_determinant: extremes over the samples of the estimate of `|det(I + alpha Hess_a A)|`.
    out_of_range_ratio: share of samples whose `pi_alpha / pi_old` left the clip range.
    performance: `sum(A pi_alpha / pi_old) - sum(A)`, the estimated improvement.
  """

  converged: jax.Array
  min_determinant: jax.Array
  max_determinant: jax.Array
  out_of_range_ratio: jax.Array
  performance: jax.Array


def init_alpha(config: AlphaConfig) -> AlphaState:
  """State before the first epoch."""
  return AlphaState(alpha=jnp.asarray(config.initial), performance=init_statistics(prior="paper"))


def adapt_alpha(state: AlphaState, evidence: AlphaEvidence, config: AlphaConfig) -> tuple[AlphaState, jax.Array]:
  """The next alpha (Eq. 9; the adaptation in the paper's Algorithm 1).

  *Variance*: with a converged regression, alpha shrinks by `update_factor` when a determinant left `1 +-
  determinant_interval` (Lemma 4.4: the determinant shows how the gradient varies), and grows by it otherwise.
  *Distance and bias*: whatever that said, alpha shrinks when too many ratios left the clip range (Eq. 7), or when the
  estimated improvement (Eq. 8) is negative and more than one standard deviation below its running mean.

  Args:
    state: current alpha and statistics.
    evidence: statistics of the epoch.
    config: factor, interval and limits.

  Returns:
    The next state, and the standardised performance (by the statistics before this epoch).
  """
  shrunk, grown = state.alpha / config.update_factor, state.alpha * config.update_factor
  # Asked so that NaN, which compares false, shrinks alpha.
  in_interval = (evidence.min_determinant >= 1.0 - config.determinant_interval) & (
    evidence.max_determinant <= 1.0 + config.determinant_interval
  )
  alpha = jnp.where(evidence.converged, jnp.where(in_interval, grown, shrunk), state.alpha)

  standardized = state.performance.normalize(evidence.performance)
  too_far = ~(evidence.out_of_range_ratio <= config.max_out_of_range_ratio)
  biased = (evidence.performance < 0.0) & (standardized < -1.0)
  alpha = jnp.where(too_far | biased, shrunk, alpha)
  return (
    AlphaState(
      alpha=jnp.minimum(alpha, config.maximum), performance=state.performance.update(evidence.performance[None])
    ),
    standardized,
  )
