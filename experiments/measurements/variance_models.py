"""What the variance laboratory infers: log joint densities `log p(y, z)` of small Bayesian models."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gippo_jax.experiments.measurements.variance_theory import Integrand

_PRIOR_VARIANCE = 10.0


class Regression(NamedTuple):
  """Covariates `[N, D]` and responses `[N]`."""

  covariates: jax.Array
  responses: jax.Array


def _log_normal(z: jax.Array, log_variance: jax.Array) -> jax.Array:
  """Log density of independent `N(0, exp(log_variance))`, summed."""
  return -0.5 * jnp.sum(z**2 * jnp.exp(-log_variance) + log_variance + jnp.log(2.0 * jnp.pi))


def _prior(z: jax.Array) -> jax.Array:
  return _log_normal(z, jnp.full_like(z, jnp.log(_PRIOR_VARIANCE)))


def draw_logistic(key: jax.Array, num_samples: int = 200, size: int = 10) -> Regression:
  """Standard normal covariates, coefficients from N(0, 1), binary responses."""
  covariate_key, coefficient_key, response_key = jax.random.split(key, 3)
  covariates = jax.random.normal(covariate_key, (num_samples, size))
  logits = covariates @ jax.random.normal(coefficient_key, (size,))
  responses = jax.random.bernoulli(response_key, jax.nn.sigmoid(logits)).astype(covariates.dtype)
  return Regression(covariates, responses)


def logistic(data: Regression) -> Integrand:
  """Logistic regression under independent N(0, 10) priors."""

  def log_joint(z):
    logits = data.covariates @ z
    return jnp.sum(data.responses * logits - jax.nn.softplus(logits)) + _prior(z)

  return log_joint


def draw_poisson(key: jax.Array, num_samples: int = 200, size: int = 5) -> Regression:
  """Covariates and coefficients small enough for counts below a hundred."""
  covariate_key, coefficient_key, response_key = jax.random.split(key, 3)
  covariates = 0.5 * jax.random.normal(covariate_key, (num_samples, size))
  rates = jnp.exp(covariates @ jax.random.normal(coefficient_key, (size,)))
  return Regression(covariates, jax.random.poisson(response_key, rates).astype(covariates.dtype))


def poisson(data: Regression) -> Integrand:
  """Poisson regression with a logarithmic link, under independent N(0, 10) priors."""

  def log_joint(z):
    log_rates = data.covariates @ z
    return jnp.sum(data.responses * log_rates - jnp.exp(log_rates)) + _prior(z)

  return log_joint


def funnel(z: jax.Array) -> jax.Array:
  """Neal's funnel: `z_0 ~ N(0, 3^2)`, the others `N(0, exp(z_0))`; far from any quadratic."""
  log_variance, others = z[0], z[1:]
  return _log_normal(log_variance, jnp.log(9.0)) + _log_normal(others, jnp.broadcast_to(log_variance, others.shape))


def with_entropy(log_joint: Integrand, mean: jax.Array, std: jax.Array) -> Integrand:
  """`log p(y, z) - log q(z)`, `q` held fixed: the integrand whose entropy is not in closed form."""

  def integrand(z):
    return log_joint(z) - jnp.sum(jax.scipy.stats.norm.logpdf(z, mean, std))

  return integrand
