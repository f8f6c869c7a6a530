"""Gradient steps: global-norm clipping, Adam, linear rates, and minimisation with retry."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from gippo_jax.config import Config

Params = Any

_ADAM_EPSILON = 1e-8


class StepInfo(NamedTuple):
  """What one gradient step was like.

  Attributes:
    gradient_norm: global norm before clipping.
    skipped: 1 where the gradient was not finite and the step was skipped.
  """

  gradient_norm: jax.Array
  skipped: jax.Array


@struct.dataclass
class Optimizer:
  """Adam behind a clip by global norm; the rate comes with every call.

  Attributes:
    beta1: decay of the first moment.
    beta2: decay of the second moment.
    max_norm: largest global norm; `None` does not clip.
  """

  beta1: jax.Array
  beta2: jax.Array
  max_norm: jax.Array | None

  def init(self, params: Params) -> optax.ScaleByAdamState:
    return self._adam().init(params)

  def step(
    self, params: Params, moments: optax.ScaleByAdamState, gradients: Params, rate: jax.Array
  ) -> tuple[Params, optax.ScaleByAdamState, StepInfo]:
    """One step down `gradients`; where their norm is not finite nothing moves.

    The clip scales by `max_norm / (norm + 1e-6)` when that is below 1.
    """
    norm = optax.tree.norm(gradients)
    finite = jnp.isfinite(norm)
    if self.max_norm is not None:
      scale = jnp.minimum(1.0, self.max_norm / (norm + 1e-6))
      gradients = jax.tree.map(lambda g: g * scale, gradients)
    # optax raises the (traced) betas to its integer step count, which strict promotion forbids.
    with jax.numpy_dtype_promotion("standard"):
      updates, new_moments = self._adam().update(gradients, moments)
    new_params = jax.tree.map(lambda p, u: p - rate * u, params, updates)
    params, moments = jax.tree.map(
      lambda new, old: jnp.where(finite, new, old), (new_params, new_moments), (params, moments)
    )
    return params, moments, StepInfo(norm, 1.0 - finite.astype(norm.dtype))

  def _adam(self) -> optax.GradientTransformation:
    return optax.scale_by_adam(b1=self.beta1, b2=self.beta2, eps=_ADAM_EPSILON)


def summarize(info: StepInfo) -> StepInfo:
  """Mean gradient norm and number of skipped steps of a stack of steps."""
  return StepInfo(jnp.mean(info.gradient_norm), jnp.sum(info.skipped))


def make_optimizer(config: Config, beta1: jax.Array, beta2: jax.Array) -> Optimizer:
  """Adam with the given betas and the configuration's clip."""
  return Optimizer(beta1, beta2, config.max_gradient_norm if config.clip_gradients else None)


def linear_rate(initial: jax.Array, final: jax.Array, epoch: jax.Array, num_epochs: int) -> jax.Array:
  """Rate of epoch `epoch` = 0, 1, ...: `initial + (final - initial) * (epoch + 1) / num_epochs`."""
  return initial + (final - initial) * ((epoch + 1).astype(initial.dtype) / num_epochs)


class Attempt(NamedTuple):
  """Result of one run of gradient steps.

  Attributes:
    params: parameters after the last step.
    moments: the optimiser's state after the last step.
    first_loss, last_loss: the losses that decide whether the attempt is kept.
    info: the steps' `StepInfo`, summarised.
  """

  params: Params
  moments: optax.ScaleByAdamState
  first_loss: jax.Array
  last_loss: jax.Array
  info: StepInfo


class RetryResult(NamedTuple):
  """Result of `minimize_with_retry`.

  Attributes:
    params: parameters of the attempt that was kept, or the ones at the start.
    moments: the optimiser's state after all attempts; failed ones leave their traces.
    succeeded: whether any attempt was kept.
    attempts: number of attempts made.
    first_loss, last_loss, info: of the last attempt.
  """

  params: Params
  moments: optax.ScaleByAdamState
  succeeded: jax.Array
  attempts: jax.Array
  first_loss: jax.Array
  last_loss: jax.Array
  info: StepInfo


def minimize_with_retry(
  run: Callable[[Params, optax.ScaleByAdamState, jax.Array], Attempt],
  params: Params,
  moments: optax.ScaleByAdamState,
  base_rate: jax.Array,
  max_attempts: int,
  rate_divisor: jax.Array,
) -> RetryResult:
  """Runs gradient steps at falling rates until the loss does not grow.

  Attempt i = 0, 1, ... runs at `base_rate / rate_divisor**i`. When its last loss is above its first, or not finite, the
  parameters (not the moments) return to the start and the next attempt follows.

  Args:
    run: maps (params, moments, rate) to an `Attempt`.
    params: where every attempt starts.
    moments: state of the optimiser before the first attempt.
    base_rate: rate of the first attempt.
    max_attempts: number of attempts after which the parameters stay as they were.
    rate_divisor: above 1.

  Returns:
    The result; see `RetryResult`.
  """

  def attempt_once(carry: RetryResult) -> RetryResult:
    rate = base_rate / rate_divisor ** carry.attempts.astype(rate_divisor.dtype)
    result = run(params, carry.moments, rate)
    kept = (result.last_loss <= result.first_loss) & jnp.isfinite(result.last_loss)
    return RetryResult(
      params=jax.tree.map(lambda new, old: jnp.where(kept, new, old), result.params, params),
      moments=result.moments,
      succeeded=kept,
      attempts=carry.attempts + 1,
      first_loss=result.first_loss,
      last_loss=result.last_loss,
      info=result.info,
    )

  nothing = jnp.zeros_like(base_rate)
  start = RetryResult(
    params=params,
    moments=moments,
    succeeded=jnp.asarray(False),
    attempts=jnp.zeros((), jnp.int32),
    first_loss=nothing,
    last_loss=nothing,
    info=StepInfo(nothing, nothing),
  )
  return jax.lax.while_loop(lambda carry: ~carry.succeeded & (carry.attempts < max_attempts), attempt_once, start)


def lowered_rate(base_rate: jax.Array, succeeded: jax.Array, divisor: jax.Array, minimum: jax.Array) -> jax.Array:
  """Base rate of the next epoch: unchanged after a success, else `max(base / divisor, minimum)`."""
  return jnp.where(succeeded, base_rate, jnp.maximum(base_rate / divisor, minimum))
