"""LR+RP: both estimators weighted by their inverse variances (after Parmas et al., PIPPS, ICML 2018).

The variances are measured every epoch from gradients of single samples, by `vmap(grad)`: LR's of samples of the window,
RP's of its segments. The window is differentiated once, by the actions; the rest is the network's gradient.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gippo_jax.algorithms.base import Algorithm, environment_major, policy_advantage
from gippo_jax.algorithms.gradient_step import SHOWN, Estimate, LambdaRateConfig, gradient_step_algorithm
from gippo_jax.algorithms.lr import lr_loss
from gippo_jax.algorithms.rp import collect_with_return_gradient, reparameterized_loss, rp_loss
from gippo_jax.envs.base import PyTree
from gippo_jax.fields import integer
from gippo_jax.learning.agents import actor_in_order
from gippo_jax.learning.mixers import inverse_variance_weight, total_variance
from gippo_jax.learning.optimization import value_and_flat_gradient
from gippo_jax.learning.rollout import Window
from gippo_jax.learning.setup import Setup
from gippo_jax.registry import AlgorithmSpec


class LRPConfig(LambdaRateConfig):
  """The step on both estimators, weighted by their inverse variances."""

  num_variance_samples: int = integer(16, "single-sample gradients that measure an estimator's variance", minimum=2)
  max_gradient_entries: int = integer(512, "leading entries of a gradient that enter its variance")


class Estimator(NamedTuple):
  """What one of the two estimators says.

  Attributes:
    loss: scalar.
    gradient: by the flattened actor, `[P]`.
    variance: trace of the sample covariance of single-sample gradients; NaN with a single sample.
  """

  loss: jax.Array
  gradient: jax.Array
  variance: jax.Array


def leading_entries(setup: Setup, gradient: PyTree) -> jax.Array:
  """The first `max_gradient_entries` numbers of a gradient, in the order the networks have them."""
  return actor_in_order(setup.networks, gradient)[: setup.config.lrp.max_gradient_entries]


def estimate_lr(setup: Setup, actor: PyTree, window: Window, permutation: jax.Array) -> Estimator:
  """LR's loss, gradient, and variance from the first samples of the permuted, environment-major window."""
  samples = jax.tree.map(
    environment_major, (window.observation, window.action, policy_advantage(setup.config, window.advantage))
  )
  loss, gradient = value_and_flat_gradient(lambda actor: lr_loss(setup.networks, actor, *samples))(actor)
  chosen = permutation[: setup.config.lrp.num_variance_samples]

  def sample_gradient(sample):
    return leading_entries(setup, jax.grad(lambda actor: lr_loss(setup.networks, actor, *sample))(actor))

  gradients = jax.vmap(sample_gradient)(jax.tree.map(lambda x: x[chosen], samples))
  return Estimator(loss, gradient, total_variance(gradients, jnp.ones(chosen.shape, bool)))


def estimate_rp(setup: Setup, actor: PyTree, window: Window, return_gradient: jax.Array) -> Estimator:
  """RP's loss, gradient, and variance from its first segments in the order (step, environment)."""
  networks, config = setup.networks, setup.config
  num_starts = jnp.sum(window.segment_start)
  _, gradient = value_and_flat_gradient(
    lambda actor: reparameterized_loss(networks, actor, window.observation, window.noise, return_gradient)
  )(actor)

  start = window.segment_start.reshape(-1)
  num_samples = min(config.lrp.num_variance_samples, start.size)
  (first,) = jnp.nonzero(start > 0, size=num_samples, fill_value=start.size)
  used = first < start.size
  step, column = jnp.divmod(jnp.minimum(first, start.size - 1), window.segment_start.shape[1])
  # Segments of one environment are numbered by the starts so far.
  number = jnp.cumsum(window.segment_start, axis=0)

  def segment_gradient(step, column):
    inside = (number[:, column] == number[step, column])[:, None]
    derivative = jnp.where(inside, return_gradient[:, column], 0.0)
    obs, noise = window.observation[:, column], window.noise[:, column]
    gradient = jax.grad(lambda actor: reparameterized_loss(networks, actor, obs, noise, derivative))(actor)
    return leading_entries(setup, gradient)

  samples = jax.vmap(segment_gradient)(step, column)
  loss = rp_loss(window, config.discount, config.lrp.gae_lambda)
  return Estimator(loss, gradient / num_starts, total_variance(samples, used))


def make(setup: Setup) -> Algorithm:
  """LR+RP."""

  def estimate(setup, state, draws):
    config = setup.config
    environment, window, return_gradient, health = collect_with_return_gradient(
      setup, state, draws.noise, config.lrp.gae_lambda
    )
    rp = estimate_rp(setup, state.actor, window, return_gradient)
    permutation = draws.permutation
    if permutation is None:
      permutation = jax.random.permutation(draws.key, config.num_envs * config.horizon)
    lr = estimate_lr(setup, state.actor, window, permutation)
    # Eq. 15. A window of a single segment has no RP variance; both estimators then count half.
    weight = inverse_variance_weight(lr.variance, rp.variance)
    loss = weight * lr.loss + (1.0 - weight) * rp.loss
    gradient = weight * lr.gradient + (1.0 - weight) * rp.gradient
    metrics = {
      "lr_weight": weight,
      "lr_variance": lr.variance,
      "rp_variance": rp.variance,
    }
    return Estimate(environment, window, loss, gradient, metrics | health)

  return gradient_step_algorithm(setup, estimate, setup.config.lrp)


SPEC = AlgorithmSpec(
  name="lrp",
  label="LR+RP",
  groups={"lrp": LRPConfig},
  make=make,
  needs_environment_gradients=True,
  shown={**SHOWN, "lr_weight": "LR's weight"},
  summary="LR and RP weighted by their inverse variances (after Parmas et al. 2018)",
)
