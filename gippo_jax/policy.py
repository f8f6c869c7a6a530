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
