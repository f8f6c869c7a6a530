"""The Gaussian policy `a = mu(s) + sigma(s) * eps`; the environment receives `tanh(a)`.

Log-probabilities are those of the unsquashed action, without a correction for the tanh. "Eq."
numbers here and in the algorithms are those of docs/algorithms.md.
"""

import jax
import jax.numpy as jnp

_HALF_LOG_TWO_PI = 0.9189385332046727


def sample(mean: jax.Array, log_std: jax.Array, noise: jax.Array) -> jax.Array:
  """Reparameterised action `mu + sigma * eps` (Eq. 1); all of shape `[..., A]`."""
  return mean + jnp.exp(log_std) * noise


def squash(action: jax.Array) -> jax.Array:
  """What the environment receives: `tanh(a)`, within [-1, 1] whatever the rounding."""
  return jnp.clip(jnp.tanh(action), -1.0, 1.0)


def log_prob(mean: jax.Array, log_std: jax.Array, action: jax.Array) -> jax.Array:
  """Log density of the unsquashed `action`, summed over action entries: `[..., A] -> [...]`."""
  standardized = (action - mean) * jnp.exp(-log_std)
  return jnp.sum(-0.5 * standardized**2 - log_std - _HALF_LOG_TWO_PI, axis=-1)


def kl_divergence(mean: jax.Array, log_std: jax.Array, other_mean: jax.Array, other_log_std: jax.Array) -> jax.Array:
  """`KL(N(mean, std) || N(other_mean, other_std))`, summed over action entries: four times `[..., A] -> [...]`."""
  log_ratio = log_std - other_log_std
  distance = (mean - other_mean) * jnp.exp(-other_log_std)
  return jnp.sum(0.5 * (jnp.exp(2.0 * log_ratio) + distance**2 - 1.0) - log_ratio, axis=-1)
