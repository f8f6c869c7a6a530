"""Stochastic descent on problems with jumps, by estimators that differ in what they make of the same samples.

Suh, Simchowitz, Zhang, Tedrake, "Do Differentiable Simulators Give Better Policy Gradients?" (ICML 2022) and Onoda,
Parmas, Yaguchi, Matsuo, arXiv 2604.18161 (ICLR 2026), part I. The mixing rules are those of the algorithms `aobg` and
`ddcg` (`learning.composite`).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gippo_jax.learning.composite import (
  Smoothed,
  bernstein_radius,
  confident_weight,
  looks_smooth,
  smooth_weight,
  smoothed_samples,
)
from gippo_jax.learning.mixers import second_share

# Of a batch of samples for the first-order estimate, an independent one for the zeroth-order estimate, and the
# deviation of the smoothing: the weight of the first-order estimate.
Weight = Callable[[Smoothed, Smoothed, float], jax.Array]
# The cost of a point, `[d]` to a scalar; the key draws what is random in it.
Cost = Callable[[jax.Array, jax.Array], jax.Array]


class Estimator(NamedTuple):
  """A rule.

  Attributes:
    weight: of the first-order estimate.
    independent: whether the two estimates come of batches of their own, so that it sees twice as many samples.
  """

  weight: Weight
  independent: bool = False


def variance(samples: jax.Array) -> jax.Array:
  """Trace of the covariance of one sample; `[N, d]` to a scalar."""
  return jnp.sum(jnp.var(samples, axis=0, ddof=1))


def _fixed(weight: float) -> Estimator:
  return Estimator(lambda first, second, std: jnp.full((), weight, first.value.dtype))


def _inverse_variance(first: Smoothed, second: Smoothed, std: float) -> jax.Array:
  del std
  return second_share(variance(second.second), variance(first.first))


FIRST_ORDER, ZEROTH_ORDER, INVERSE_VARIANCE = _fixed(1.0), _fixed(0.0), Estimator(_inverse_variance)


def ddcg(slack: float) -> Estimator:
  """Inverse variance where the test finds no jump, else the zeroth order; `slack` is `c`."""

  def weight(first: Smoothed, second: Smoothed, std: float) -> jax.Array:
    spread = variance(first.first)
    squared_mean = jnp.sum(jnp.mean(first.first, axis=0) ** 2)
    is_smooth = looks_smooth(spread, squared_mean, jnp.var(first.value, ddof=1), std, slack)
    return smooth_weight(spread, variance(second.second), is_smooth)

  return Estimator(weight)


def aobg(tolerance: float, bound: float, failure_probability: float = 0.05) -> Estimator:
  """Inverse variance within a tolerated bias.

  Args:
    tolerance: gamma.
    bound: of a zeroth-order sample's norm, assumed (L).
    failure_probability: of the confidence; the released scripts pass 0.95.
  """

  def weight(first: Smoothed, second: Smoothed, std: float) -> jax.Array:
    del std
    number, dimension = second.second.shape
    spread, other = variance(first.first), variance(second.second)
    distance = jnp.linalg.norm(jnp.mean(first.first, axis=0) - jnp.mean(second.second, axis=0))
    radius = bernstein_radius(other, jnp.asarray(bound, other.dtype), dimension, number, failure_probability)
    return confident_weight(spread, other, distance, radius, tolerance)

  return Estimator(weight, independent=True)


class Descent(NamedTuple):
  """What becomes of the trials.

  Attributes:
    points: at the end, `[trials, d]`.
    costs: without noise, before every step and at the end, `[trials, steps + 1]`.
    weights: mean over the steps of the first-order estimate's weight, `[trials]`.
  """

  points: jax.Array
  costs: jax.Array
  weights: jax.Array


def descend(
  cost: Cost,
  start: jax.Array,
  estimator: Estimator,
  key: jax.Array,
  *,
  num_trials: int,
  num_steps: int,
  num_samples: int,
  step: float,
  std: float,
  judged: Callable[[jax.Array], jax.Array] | None = None,
) -> Descent:
  """Gradient descent of fixed steps on the mixed estimate.

  Args:
    cost: that is descended.
    start: of every trial, `[d]`.
    estimator: the rule.
    key: of all that is random.
    num_trials, num_steps, num_samples: of it; samples a step, twice as many where the rule needs independent batches.
    step: times the gradient.
    std: of the smoothing.
    judged: the cost that is recorded; that of `cost` with a fixed key by default.
  """
  judge = judged or (lambda point: cost(point, jax.random.key(0)))

  def gradient(point: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    cost_key, first_key, second_key = jax.random.split(key, 3)

    def samples(key: jax.Array) -> Smoothed:
      noise = jax.random.normal(key, (num_samples, point.size))
      return smoothed_samples(lambda point: cost(point, cost_key), point, std, noise)

    first = samples(first_key)
    second = samples(second_key) if estimator.independent else first
    weight = estimator.weight(first, second, std)
    return weight * jnp.mean(first.first, axis=0) + (1.0 - weight) * jnp.mean(second.second, axis=0), weight

  def move(point: jax.Array, key: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    found, weight = gradient(point, key)
    return point - step * found, (judge(point), weight)

  @jax.jit
  def trial(key: jax.Array) -> Descent:
    point, (costs, weights) = jax.lax.scan(move, start, jax.random.split(key, num_steps))
    return Descent(point, jnp.append(costs, judge(point)), jnp.mean(weights))

  return jax.vmap(trial)(jax.random.split(key, num_trials))
