"""LR+RP: both estimators weighted by their inverse variances (after Parmas et al., PIPPS, ICML 2018).

The variances are measured every epoch from gradients of single samples, by `vmap(grad)`: LR's of samples of the window,
RP's of its segments. The window is differentiated once, by the actions; the rest is the network's gradient.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gippo_jax.algorithms.base import Algorithm, environment_major, policy_advantage
from gippo_jax.algorithms.gradient_step import Estimate, gradient_step_algorithm
from gippo_jax.algorithms.lr import lr_loss
from gippo_jax.algorithms.rp import collect_with_return_gradient, reparameterized_loss, rp_loss
from gippo_jax.config import Config
from gippo_jax.learning.networks import Networks
from gippo_jax.learning.optimization import value_and_flat_gradient
from gippo_jax.learning.rollout import Window

_SMALLEST_VARIANCE = 1e-8


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


def leading_entries(config: Config, actor: Any) -> jax.Array:
  """The first `max_gradient_entries` numbers of a parameter tree, in the order the authors' code has them.

  A learned log-std vector comes first; then, layer by layer, the weight as `[out, in]` row by row, the bias, the
  LayerNorm's scale and bias; then the mean head and the log-std head.
  """

  def dense(parameters):
    return [parameters["kernel"].T, parameters["bias"]]

  leaves = [actor["log_std"]] if config.actor.fixed_std else []
  for index in range(len(config.actor.units)):
    norm = actor[f"norm_{index}"]
    leaves += [*dense(actor[f"dense_{index}"]), norm["scale"], norm["bias"]]
  leaves += dense(actor["mean"])
  if not config.actor.fixed_std:
    leaves += dense(actor["log_std"])
  flat = jnp.concatenate([leaf.reshape(-1) for leaf in leaves])
  return flat[: config.lrp.max_gradient_entries]


def total_variance(samples: jax.Array, used: jax.Array) -> jax.Array:
  """Trace of the unbiased sample covariance.

  Args:
    samples: `[S, P]`.
    used: which samples count, `[S]`; NaN comes of fewer than two.
  """
  weight = used.astype(samples.dtype)[:, None]
  count = jnp.sum(weight)
  mean = jnp.sum(weight * samples, axis=0, keepdims=True) / count
  return jnp.sum(weight * (samples - mean) ** 2) / (count - 1.0)


def estimate_lr(networks: Networks, config: Config, actor: Any, window: Window, permutation: jax.Array) -> Estimator:
  """LR's loss, gradient, and variance from the first samples of the permuted, environment-major window."""
  samples = jax.tree.map(
    environment_major, (window.observation, window.action, policy_advantage(config, window.advantage))
  )
  loss, gradient = value_and_flat_gradient(lambda actor: lr_loss(networks, actor, *samples))(actor)
  chosen = permutation[: config.lrp.num_variance_samples]

  def sample_gradient(sample):
    return leading_entries(config, jax.grad(lambda actor: lr_loss(networks, actor, *sample))(actor))

  gradients = jax.vmap(sample_gradient)(jax.tree.map(lambda x: x[chosen], samples))
  return Estimator(loss, gradient, total_variance(gradients, jnp.ones(chosen.shape, bool)))


def estimate_rp(
  networks: Networks, config: Config, actor: Any, window: Window, return_gradient: jax.Array
) -> Estimator:
  """RP's loss, gradient, and variance from its first segments in the order (step, environment)."""
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
    return leading_entries(config, gradient)

  samples = jax.vmap(segment_gradient)(step, column)
  return Estimator(rp_loss(config, window), gradient / num_starts, total_variance(samples, used))


def likelihood_ratio_weight(lr: Estimator, rp: Estimator) -> jax.Array:
  """Inverse-variance weight `k_lr = V_rp / (V_lr + V_rp)` (Eq. 15).

  A window of a single segment has no RP variance; both estimators then count half.
  """
  weight = rp.variance / (lr.variance + rp.variance + _SMALLEST_VARIANCE)
  return jnp.where(jnp.isfinite(weight), weight, 0.5)


def make(env: Any) -> Algorithm:
  """LR+RP on `env`, a batch of environments."""

  def estimate(networks, config, state, draws):
    environment, window, return_gradient, health = collect_with_return_gradient(
      env, networks, config, state, draws.noise
    )
    rp = estimate_rp(networks, config, state.actor, window, return_gradient)
    permutation = draws.permutation
    if permutation is None:
      permutation = jax.random.permutation(draws.key, config.num_envs * config.horizon)
    lr = estimate_lr(networks, config, state.actor, window, permutation)
    weight = likelihood_ratio_weight(lr, rp)
    loss = weight * lr.loss + (1.0 - weight) * rp.loss
    gradient = weight * lr.gradient + (1.0 - weight) * rp.gradient
    metrics = {
      "lr_weight": weight,
      "lr_variance": lr.variance,
      "rp_variance": rp.variance,
    }
    return Estimate(environment, window, loss, gradient, metrics | health)

  return gradient_step_algorithm(env, estimate, lambda config: config.lrp, needs_environment_gradients=True)
