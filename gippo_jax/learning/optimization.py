"""Gradient steps: global-norm clipping, Adam, linear rates, and minimisation with retry.

All of it works on parameters flattened to one vector (`jax.flatten_util.ravel_pytree`): a step of these small networks
is then a few long operations instead of many short ones.
"""

from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.flatten_util import ravel_pytree

from gippo_jax.config import Config
from gippo_jax.envs.base import PyTree
from gippo_jax.fields import Real, integer, real

Params = PyTree

_ADAM_EPSILON = 1e-8


class RetryConfig(struct.PyTreeNode):
  """Minimisation with retry, of the alpha step and of PPO."""

  max_attempts: int = integer(8, "attempts before the old weights are kept")
  rate_divisor: Real = real(1.5, "the rate is divided by this from attempt to attempt", minimum=1)


class StepInfo(NamedTuple):
  """What one gradient step was like.

  Attributes:
    gradient_norm: global norm before clipping.
    skipped: 1 where the gradient was not finite and the step was skipped.
    clipped: 1 where the norm was above the largest allowed.
  """

  gradient_norm: jax.Array
  skipped: jax.Array
  clipped: jax.Array


class Optimizer(struct.PyTreeNode):
  """Adam behind a clip by global norm; the rate comes with every call.

  Attributes:
    beta1: decay of the first moment.
    beta2: decay of the second moment.
    max_norm: largest global norm; `None` does not clip.
  """

  beta1: Real
  beta2: Real
  max_norm: Real | None

  def init(self, params: Params) -> optax.ScaleByAdamState:
    """Moments of the flattened parameters, all zero."""
    return cast(optax.ScaleByAdamState, self._adam().init(ravel_pytree(params)[0]))

  def step(
    self, flat: jax.Array, moments: optax.ScaleByAdamState, gradient: jax.Array, rate: Real
  ) -> tuple[jax.Array, optax.ScaleByAdamState, StepInfo]:
    """One step down `gradient`; where its norm is not finite nothing moves.

    The clip scales by `max_norm / (norm + 1e-6)` when that is below 1.

    Args:
      flat: parameters, `[P]`.
      moments: from `init` or the step before.
      gradient: `[P]`.
      rate: scalar.
    """
    norm = jnp.sqrt(jnp.sum(gradient**2))
    finite = jnp.isfinite(norm)
    clipped = jnp.zeros_like(norm)
    if self.max_norm is not None:
      clipped = (norm > self.max_norm).astype(norm.dtype)
      gradient = gradient * jnp.minimum(1.0, self.max_norm / (norm + 1e-6))
    # optax raises the (traced) betas to its integer step count, which strict promotion forbids.
    with jax.numpy_dtype_promotion("standard"):
      update, new_moments = cast(tuple[jax.Array, optax.ScaleByAdamState], self._adam().update(gradient, moments))
    flat, moments = jax.tree.map(
      lambda new, old: jnp.where(finite, new, old), (flat - rate * update, new_moments), (flat, moments)
    )
    return flat, moments, StepInfo(norm, 1.0 - finite.astype(norm.dtype), clipped)

  def _adam(self) -> optax.GradientTransformation:
    return optax.scale_by_adam(b1=self.beta1, b2=self.beta2, eps=_ADAM_EPSILON)


def value_and_flat_gradient(loss: Callable, has_aux: bool = False) -> Callable:
  """Like `jax.value_and_grad` for a scalar loss, with the gradient flattened to `[P]`."""

  def function(params, *arguments):
    value, gradients = jax.value_and_grad(loss, has_aux=has_aux)(params, *arguments)
    return value, ravel_pytree(gradients)[0]

  return function


def summarize(info: StepInfo) -> StepInfo:
  """Mean gradient norm, share of skipped steps and share of clipped ones of a stack of steps."""
  return StepInfo(jnp.mean(info.gradient_norm), jnp.mean(info.skipped), jnp.mean(info.clipped))


def make_optimizer(config: Config, beta1: Real, beta2: Real) -> Optimizer:
  """Adam with the given betas and the configuration's clip."""
  return Optimizer(beta1, beta2, config.max_gradient_norm if config.clip_gradients else None)


def linear_rate(initial: Real, final: Real, epoch: jax.Array, num_epochs: Real) -> jax.Array:
  """Rate of epoch `epoch` = 0, 1, ...: `initial + (final - initial) * (epoch + 1) / num_epochs`."""
  return initial + (final - initial) * ((epoch + 1).astype(jnp.asarray(initial).dtype) / num_epochs)


class Attempt(NamedTuple):
  """Result of one run of gradient steps.

  Attributes:
    flat: parameters after the last step, `[P]`.
    moments: the optimiser's state after the last step.
    first_loss, last_loss: the losses that decide whether the attempt is kept.
    info: the steps' `StepInfo`, summarised.
    rate: what a rule that follows the steps would start the next epoch with.
  """

  flat: jax.Array
  moments: optax.ScaleByAdamState
  first_loss: jax.Array
  last_loss: jax.Array
  info: StepInfo
  rate: jax.Array


class RetryResult(NamedTuple):
  """Result of `minimize_with_retry`.

  Attributes:
    params: parameters of the attempt that was kept, or the ones at the start.
    moments: the optimiser's state after all attempts; failed ones leave their traces.
    succeeded: whether any attempt was kept.
    attempts: number of attempts made.
    first_loss, last_loss, info, rate: of the last attempt.
  """

  params: Params
  moments: optax.ScaleByAdamState
  succeeded: jax.Array
  attempts: jax.Array
  first_loss: jax.Array
  last_loss: jax.Array
  info: StepInfo
  rate: jax.Array


def minimize_with_retry(
  run: Callable[[jax.Array, optax.ScaleByAdamState, jax.Array], Attempt],
  params: Params,
  moments: optax.ScaleByAdamState,
  base_rate: jax.Array,
  config: RetryConfig,
  compound: bool = True,
) -> RetryResult:
  """Runs gradient steps at falling rates until the loss does not grow.

  Attempt i = 0, 1, ... runs at `base_rate / rate_divisor**i`. When its last loss is above its first, or not finite, the
  parameters (not the moments) return to the start and the next attempt follows.

  Args:
    run: maps (flattened parameters, moments, rate) to an `Attempt`.
    params: where every attempt starts.
    moments: state of the optimiser before the first attempt.
    base_rate: rate of the first attempt.
    config: number of attempts and the divisor.
    compound: if not, all attempts but the first run at `base_rate / rate_divisor`.

  Returns:
    The result; see `RetryResult`.
  """
  start, unravel = ravel_pytree(params)

  def attempt_once(carry: RetryResult) -> RetryResult:
    failures = carry.attempts if compound else jnp.minimum(carry.attempts, 1)
    rate = base_rate / config.rate_divisor ** failures.astype(base_rate.dtype)
    result = run(start, carry.moments, rate)
    kept = (result.last_loss <= result.first_loss) & jnp.isfinite(result.last_loss)
    return RetryResult(
      params=jnp.where(kept, result.flat, start),
      moments=result.moments,
      succeeded=kept,
      attempts=carry.attempts + 1,
      first_loss=result.first_loss,
      last_loss=result.last_loss,
      info=result.info,
      rate=result.rate,
    )

  nothing = jnp.zeros_like(base_rate)
  before = RetryResult(
    params=start,
    moments=moments,
    succeeded=jnp.asarray(False),
    attempts=jnp.zeros((), jnp.int32),
    first_loss=nothing,
    last_loss=nothing,
    info=StepInfo(nothing, nothing, nothing),
    rate=base_rate,
  )
  result = jax.lax.while_loop(
    lambda carry: ~carry.succeeded & (carry.attempts < config.max_attempts), attempt_once, before
  )
  return result._replace(params=unravel(result.params))


def lowered_rate(base_rate: jax.Array, succeeded: jax.Array, config: RetryConfig, minimum: Real) -> jax.Array:
  """Base rate of the next epoch: unchanged after a success, else `max(base_rate / rate_divisor, minimum)`."""
  return jnp.where(succeeded, base_rate, jnp.maximum(base_rate / config.rate_divisor, minimum))
