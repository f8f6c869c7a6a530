"""One weight for an estimate from derivatives and one from values, chosen by what their samples say of jumps.

Two rules. Suh, Simchowitz, Zhang, Tedrake, "Do Differentiable Simulators Give Better Policy Gradients?" (AoBG, ICML
2022): inverse variance, as far as the two may differ by no more than a tolerance with confidence. Onoda, Parmas,
Yaguchi, Matsuo, arXiv 2604.18161 (DDCG, ICLR 2026): inverse variance where a test of the samples finds no jump, else
values alone. The test needs no constant of the problem.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gippo_jax.fields import Real
from gippo_jax.learning.mixers import second_share


class Smoothed(NamedTuple):
  """Samples around a point `theta`: `x = theta + std e`, `e ~ N(0, I)`, of `E f(x)` and its gradient.

  Attributes:
    value: `f(x)`, `[N]`.
    first: `df/dx` (first order), `[N, d]`.
    second: `(f(x) - f(theta)) e / std` (zeroth order), `[N, d]`.
  """

  value: jax.Array
  first: jax.Array
  second: jax.Array


def smoothed_samples(
  function: Callable[[jax.Array], jax.Array], center: jax.Array, std: Real, noise: jax.Array
) -> Smoothed:
  """Both estimates' samples from the same draws.

  Args:
    function: maps `[d]` to a scalar.
    center: `theta`, `[d]`.
    std: of the smoothing.
    noise: `e`, `[N, d]`.
  """
  value, first = jax.vmap(jax.value_and_grad(function))(center[None] + std * noise)
  return Smoothed(value, first, (value - function(center))[:, None] * noise / std)


def bernstein_radius(
  variance: jax.Array, largest: jax.Array, dimension: int, number: int, failure_probability: Real
) -> jax.Array:
  """Radius that the error of a mean of vectors exceeds with at most the given probability (vector Bernstein).

  `sqrt(2 V l / N) + 2 L l / (3 N)`, `l = log((d + 1) / failure_probability)` (AoBG, Theorem 4.6). `V` belongs to one
  sample; a known re-implementation takes the sum over all, which makes the radius `sqrt(N)` times too large and no
  tolerance feasible. The released scripts pass 0.95 where the probability of failure belongs.

  Args:
    variance: `V`, trace of a sample's covariance.
    largest: `L`, bound of a sample's norm.
    dimension: `d`, of a sample.
    number: `N`, of samples.
    failure_probability: in (0, 1).
  """
  log_term = jnp.log((dimension + 1.0) / failure_probability)
  return jnp.sqrt(2.0 * variance * log_term / number) + 2.0 * largest * log_term / (3.0 * number)


def confident_weight(
  first_variance: jax.Array, second_variance: jax.Array, distance: jax.Array, radius: jax.Array, tolerance: Real
) -> jax.Array:
  """AoBG's weight of the first-order estimate: least variance under `radius + weight distance <= tolerance`.

  0 where the radius alone exceeds the tolerance; with an infinite one the inverse-variance weight.

  Args:
    first_variance, second_variance: of the two estimates.
    distance: between them.
    radius: that the second one's error exceeds rarely.
    tolerance: allowed bias (gamma).
  """
  weight = second_share(second_variance, first_variance)
  slack = tolerance - radius
  is_limited = weight * distance > slack
  limited = slack / jnp.where(is_limited, distance, 1.0)
  return jnp.where(slack < 0.0, 0.0, jnp.where(is_limited, limited, weight))


def looks_smooth(
  variance: jax.Array, squared_mean: jax.Array, value_variance: jax.Array, std: Real, slack: Real
) -> jax.Array:
  """DDCG's test (Eq. 14): `V + 2 |g|^2 >= 2 (1 - c) Var f / std^2`; a jump's derivatives cannot pass it.

  A second-order Poincare inequality: at `c = 0` it holds in expectation for every weakly differentiable `f`, with
  equality for quadratics. `c` pays for the sampling noise.

  Args:
    variance: `V`, trace of the covariance of one sample of the derivative.
    squared_mean: `|g|^2` of their mean.
    value_variance: `Var f` of the values.
    std: of the smoothing.
    slack: `c`, in [0, 1).
  """
  return variance + 2.0 * squared_mean >= 2.0 * (1.0 - slack) * value_variance / std**2


def smooth_weight(first_variance: jax.Array, second_variance: jax.Array, is_smooth: jax.Array) -> jax.Array:
  """DDCG's weight of the first-order estimate: that of the inverse variances, 0 where the test found a jump."""
  return jnp.where(is_smooth, second_share(second_variance, first_variance), 0.0)
