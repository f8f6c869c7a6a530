"""How estimates of one gradient become one: small pure functions, used by the algorithms."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

_SMALLEST_VARIANCE = 1e-8


def total_variance(samples: Float[Array, "S P"], used: Bool[Array, " S"]) -> Float[Array, ""]:
  """Trace of the unbiased sample covariance.

  Args:
    samples: `[S, P]`.
    used: which samples count, `[S]`; NaN comes of fewer than two.

  Returns:
    A scalar.
  """
  weight = used.astype(samples.dtype)[:, None]
  count = jnp.sum(weight)
  mean = jnp.sum(weight * samples, axis=0, keepdims=True) / count
  return jnp.sum(weight * (samples - mean) ** 2) / (count - 1.0)


def inverse_variance_weight(variance: Float[Array, "*shape"], other: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
  """Weight of the first of two estimators, `other / (variance + other)` (Eq. 15; Parmas et al., PIPPS, ICML 2018).

  Args:
    variance: of the first, `[...]`.
    other: of the second, `[...]`.

  Returns:
    The weight in [0, 1], `[...]`; one half where a variance is not a finite number.
  """
  weight = other / (variance + other + _SMALLEST_VARIANCE)
  return jnp.where(jnp.isfinite(weight), weight, 0.5)


def second_share(variance: Float[Array, "*shape"], other: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
  """Weight of the second of two estimators, `variance / (variance + other)`, whatever the unit of the two.

  Args:
    variance: of the first, `[...]`.
    other: of the second, `[...]`.

  Returns:
    The weight in [0, 1], `[...]`; one half where both are zero, or one is not a finite number.
  """
  total = variance + other
  known = jnp.isfinite(total) & (total > 0.0)
  return jnp.where(known, variance / jnp.where(known, total, 1.0), 0.5)
