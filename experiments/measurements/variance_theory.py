"""Variances of the reparameterised and the score-function gradient of a Gaussian expectation, in theory and measured.

Xu, Quiroz, Kohn, Sisson, "Variance reduction properties of the reparameterization trick", AISTATS 2019: for
`q = N(mu, diag(s^2))` and a quadratic integrand every marginal variance of the reparameterised gradient is smaller than
that of the score-function gradient. The closed forms here are derived anew, and the tests draw against them.

With `z = mu + s e`, `beta_i = s_i b_i`, `M_ij = s_i s_j C_ij`, `R_i = sum_j M_ij^2` and `m = E f = a + tr(M) / 2`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# Maps a point `[D]` to a scalar.
Integrand = Callable[[jax.Array], jax.Array]


class Quadratic(NamedTuple):
  """`f(z) = a + b . (z - mu) + (z - mu)' C (z - mu) / 2`.

  Attributes:
    value: `a`.
    slope: `b`, `[D]`.
    curvature: `C`, `[D, D]`, symmetric.
  """

  value: jax.Array
  slope: jax.Array
  curvature: jax.Array

  def integrand(self, mean: jax.Array) -> Integrand:
    """`f` around a mean."""

    def f(z):
      away = z - mean
      return self.value + self.slope @ away + 0.5 * away @ self.curvature @ away

    return f


class Marginals(NamedTuple):
  """A number for each entry of the mean and of the standard deviation, `[D]` each."""

  mean: jax.Array
  std: jax.Array


class Variances(NamedTuple):
  """Of single-sample gradients.

  Attributes:
    pathwise: `(f'(z)_i, e_i f'(z)_i)`.
    score: `f(z) (e_i, e_i^2 - 1) / s_i`.
    controlled: the score's, less the best constant times the score itself.
  """

  pathwise: Marginals
  score: Marginals
  controlled: Marginals


def taylor(f: Integrand, mean: jax.Array) -> Quadratic:
  """Second-order expansion at the mean."""
  return Quadratic(f(mean), jax.grad(f)(mean), jax.hessian(f)(mean))


def theory(quadratic: Quadratic, std: jax.Array) -> Variances:
  """The closed forms.

  Args:
    quadratic: the integrand.
    std: `s`, `[D]`.
  """
  beta, scaled = std * quadratic.slope, std[:, None] * std[None] * quadratic.curvature
  diagonal, rows = jnp.diag(scaled), jnp.sum(scaled**2, axis=1)
  expectation = quadratic.value + 0.5 * jnp.sum(diagonal)
  slopes, all_entries = jnp.sum(beta**2), jnp.sum(scaled**2)
  of_mean = slopes + beta**2 + 0.5 * all_entries + 2.0 * rows - diagonal**2
  of_std = 8.0 * beta**2 + 8.0 * rows + 2.0 * slopes + all_entries - 3.0 * diagonal**2
  return Variances(
    pathwise=Marginals(rows / std**2, (beta**2 + rows + diagonal**2) / std**2),
    score=Marginals(
      ((expectation + diagonal) ** 2 + of_mean) / std**2,
      (2.0 * (expectation + 2.0 * diagonal) ** 2 + of_std) / std**2,
    ),
    controlled=Marginals(of_mean / std**2, of_std / std**2),
  )


def gradients(f: Integrand, mean: jax.Array, std: jax.Array, noise: jax.Array) -> tuple[Marginals, Marginals]:
  """Single-sample gradients of `E f` by mean and standard deviation.

  Args:
    f: the integrand.
    mean, std: of `q`, `[D]`.
    noise: `e`, `[D]`.

  Returns:
    The reparameterised one and the score function's.
  """
  value, slope = jax.value_and_grad(f)(mean + std * noise)
  score = Marginals(noise / std, (noise**2 - 1.0) / std)
  return Marginals(slope, noise * slope), Marginals(value * score.mean, value * score.std)


def measure(
  f: Integrand, mean: jax.Array, std: jax.Array, key: jax.Array, num_draws: int, num_batches: int = 20
) -> Variances:
  """Variances over draws; the control variate's constant is the best one of the same draws.

  Args:
    f, mean, std: as for `gradients`.
    key: of the draws.
    num_draws: in all.
    num_batches: which are drawn one after the other.
  """
  shape = (num_draws // num_batches, mean.shape[0])

  def moments(key):
    noise = jax.random.normal(key, shape)
    pathwise, score = jax.vmap(lambda noise: gradients(f, mean, std, noise))(noise)
    plain = Marginals(noise / std[None], (noise**2 - 1.0) / std[None])

    def of(pathwise, score, plain):
      entries = (pathwise, pathwise**2, score, score**2, score * plain, plain, plain**2)
      return jnp.stack([jnp.mean(entry, axis=0) for entry in entries])

    return Marginals(*map(of, pathwise, score, plain))

  batches = jax.jit(lambda keys: jax.lax.map(moments, keys))(jax.random.split(key, num_batches))
  of_mean, of_std = (_variances(np.mean(part, axis=0)) for part in batches)
  return Variances(*(Marginals(*pair) for pair in zip(of_mean, of_std, strict=True)))


def _variances(moments: np.ndarray) -> tuple[jax.Array, jax.Array, jax.Array]:
  pathwise, pathwise2, score, score2, cross, plain, plain2 = moments
  variance = score2 - score**2
  covariance, spread = cross - score * plain, plain2 - plain**2
  controlled = variance - covariance**2 / spread
  return jnp.asarray(pathwise2 - pathwise**2), jnp.asarray(variance), jnp.asarray(controlled)
