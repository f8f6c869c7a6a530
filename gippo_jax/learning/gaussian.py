"""The Gaussian policy `a = mu(s) + sigma(s) * eps`; the environment receives `tanh(a)`.

Log-probabilities are those of the unsquashed action, without a correction for the tanh. "Eq."
numbers here and in the algorithms are those of docs/algorithms.md.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gippo_jax.fields import Real

_HALF_LOG_TWO_PI = 0.9189385332046727
_LOG_TWO = 0.6931471805599453


def sample(
  mean: Float[Array, "*batch A"], log_std: Float[Array, "*batch A"], noise: Float[Array, "*batch A"]
) -> Float[Array, "*batch A"]:
  """Reparameterised action `mu + sigma * eps` (Eq. 1); all of shape `[..., A]`."""
  return mean + jnp.exp(log_std) * noise


def squash(action: Float[Array, "*batch A"]) -> Float[Array, "*batch A"]:
  """What the environment receives: `tanh(a)`, within [-1, 1] whatever the rounding."""
  return jnp.clip(jnp.tanh(action), -1.0, 1.0)


def log_prob(
  mean: Float[Array, "*batch A"], log_std: Float[Array, "*batch A"], action: Float[Array, "*batch A"]
) -> Float[Array, "*batch"]:
  """Log density of the unsquashed `action`, summed over action entries: `[..., A] -> [...]`."""
  standardized = (action - mean) * jnp.exp(-log_std)
  return jnp.sum(-0.5 * standardized**2 - log_std - _HALF_LOG_TWO_PI, axis=-1)


def entropy(log_std: Float[Array, "*batch A"]) -> Float[Array, "*batch"]:
  """Differential entropy of the unsquashed action, summed over action entries: `[..., A] -> [...]`."""
  return jnp.sum(log_std + (_HALF_LOG_TWO_PI + 0.5), axis=-1)


def squashed_log_prob(
  mean: Float[Array, "*batch A"], log_std: Float[Array, "*batch A"], action: Float[Array, "*batch A"]
) -> Float[Array, "*batch"]:
  """Log density of `tanh(action)` on [-1, 1], summed over action entries; of the unsquashed `action`, `[..., A]`."""
  return log_prob(mean, log_std, action) - _log_slope(action)


def squashed_log_prob_of_noise(
  log_std: Float[Array, "*batch A"], action: Float[Array, "*batch A"], noise: Float[Array, "*batch A"]
) -> Float[Array, "*batch"]:
  """`squashed_log_prob` of `action = mu + sigma noise`, whose derivative at a fixed noise holds no `noise^2`.

  Told by the action, the square is of `(a - mu) / sigma`, whose derivative by mean and deviation is 0 but for rounding,
  which a noise far outside the policy's reach makes large.
  """
  return jnp.sum(-0.5 * noise**2 - log_std - _HALF_LOG_TWO_PI, axis=-1) - _log_slope(action)


def _log_slope(action: jax.Array) -> jax.Array:
  """`log (1 - tanh^2 a) = 2 (log 2 - a - softplus(-2 a))`, summed; it keeps its digits where the tanh is nearly 1."""
  return jnp.sum(2.0 * (_LOG_TWO - action - jax.nn.softplus(-2.0 * action)), axis=-1)


def kl_divergence(
  mean: Float[Array, "*batch A"],
  log_std: Float[Array, "*batch A"],
  other_mean: Float[Array, "*batch A"],
  other_log_std: Float[Array, "*batch A"],
) -> Float[Array, "*batch"]:
  """`KL(N(mean, std) || N(other_mean, other_std))`, summed over action entries: four times `[..., A] -> [...]`."""
  log_ratio = log_std - other_log_std
  distance = (mean - other_mean) * jnp.exp(-other_log_std)
  return jnp.sum(0.5 * (jnp.exp(2.0 * log_ratio) + distance**2 - 1.0) - log_ratio, axis=-1)


def weighted_divergence(
  mean: Float[Array, "*batch A"],
  log_std: Float[Array, "*batch A"],
  other_mean: Float[Array, "*batch A"],
  other_log_std: Float[Array, "*batch A"],
  log_std_weight: Real = 1.0,
) -> Float[Array, "*batch"]:
  """`kl_divergence` with the part of the standard deviations counted `log_std_weight` times.

  It keeps its digits where the two are nearly the same, down to divergences far below the rounding of 1.
  """
  log_ratio = log_std - other_log_std
  distance = (mean - other_mean) * jnp.exp(-other_log_std)
  return jnp.sum(0.5 * distance**2 + log_std_weight * (0.5 * jnp.expm1(2.0 * log_ratio) - log_ratio), axis=-1)
