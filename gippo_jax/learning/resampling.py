"""Gaussian resampling: a cloud's particles are replaced by draws from the Gaussian of its mean and covariance.

From the first author's later library to Parmas et al., "PIPPS", ICML 2018: the moment matching of PILCO (Deisenroth and
Rasmussen, ICML 2011), with particles in the place of integrals. Derivatives pass by the mean and the Cholesky factor
alone, so that a cloud's folds, which are what makes them explode, are forgotten.
"""

import jax
import jax.numpy as jnp

_JITTER = 1e-10


def resample(states: jax.Array, noise: jax.Array) -> jax.Array:
  """`m + L z` with `m`, `L L^T` mean and covariance of the states.

  The noise is centred and whitened first, so that the draws have the cloud's mean and covariance themselves.

  Args:
    states: `[N, D]`, `N > D`.
    noise: standard normal, `[N, D]`.
  """
  mean, factor = _moments(states)
  noise_mean, noise_factor = _moments(noise)
  white = jax.scipy.linalg.solve_triangular(noise_factor, (noise - noise_mean[None]).T, lower=True)
  return mean[None] + (factor @ white).T


def _moments(samples: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Mean, and Cholesky factor of the covariance."""
  mean = jnp.mean(samples, axis=0)
  centred = samples - mean[None]
  covariance = centred.T @ centred / (len(samples) - 1.0)
  # Relative to the largest variance, so that a cloud without extent along an axis has a factor.
  jitter = _JITTER * jnp.max(jnp.diagonal(covariance)) + jnp.finfo(samples.dtype).tiny
  return mean, jnp.linalg.cholesky(covariance + jitter * jnp.eye(len(mean), dtype=samples.dtype))
