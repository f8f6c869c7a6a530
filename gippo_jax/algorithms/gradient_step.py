"""Algorithms that make one Adam step of the actor per epoch, at a linearly falling rate: LR, RP, SHAC, LR+RP and PE.

They differ in how they estimate the gradient; this module is the rest of their epoch.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import optax
from flax import struct
from jax.flatten_util import ravel_pytree

from gippo_jax.algorithms.base import (
  Algorithm,
  Draws,
  Metrics,
  begin_epoch,
  critic_linear_rate,
  end_epoch,
  init_state,
  networks_of,
)
from gippo_jax.config import Config
from gippo_jax.learning.networks import Networks
from gippo_jax.learning.optimization import linear_rate, make_optimizer
from gippo_jax.learning.rollout import Window
from gippo_jax.learning.state import TrainingState


class Rates(Protocol):
  """What an algorithm's configuration group must hold."""

  learning_rate: jax.Array
  final_learning_rate: jax.Array


class Estimate(NamedTuple):
  """An epoch's experience and the gradient drawn from it.

  Attributes:
    environment: the batch of environments after the window.
    window: the epoch's experience.
    loss: scalar.
    gradient: of the loss by the flattened actor, `[P]`.
    metrics: the algorithm's own.
  """

  environment: Any
  window: Window
  loss: jax.Array
  gradient: jax.Array
  metrics: Metrics


@struct.dataclass
class GradientStepState:
  """What is kept from epoch to epoch: the actor's optimiser state."""

  moments: optax.ScaleByAdamState


def gradient_step_algorithm(
  env: Any,
  estimate: Callable[[Networks, Config, TrainingState, Draws], Estimate],
  rates_of: Callable[[Config], Rates],
  *,
  needs_environment_gradients: bool,
) -> Algorithm:
  """Builds the algorithm around an estimator.

  A gradient that is not finite moves nothing; the skipped step is counted in `actor_skipped_steps`.

  Args:
    env: batch of environments.
    estimate: rolls out and estimates the gradient.
    rates_of: the algorithm's group of the configuration.
    needs_environment_gradients: whether `estimate` differentiates the environment.
  """

  def optimizer_of(config):
    return make_optimizer(config, config.adam.beta1, config.adam.beta2)

  def init(key, config):
    return init_state(env, config, key, lambda actor: GradientStepState(moments=optimizer_of(config).init(actor)))

  def update(state, config, draws=None):
    networks = networks_of(env, config)
    key, draws = begin_epoch(env, config, state, draws)
    estimated = estimate(networks, config, state, draws)
    rates = rates_of(config)
    rate = linear_rate(rates.learning_rate, rates.final_learning_rate, state.epoch, config.num_epochs)
    flat, unravel = ravel_pytree(state.actor)
    flat, moments, info = optimizer_of(config).step(flat, state.algorithm.moments, estimated.gradient, rate)
    next_state, metrics = end_epoch(
      networks,
      config,
      state,
      key=key,
      environment=estimated.environment,
      window=estimated.window,
      actor=unravel(flat),
      algorithm=GradientStepState(moments=moments),
      critic_rate=critic_linear_rate(config, state),
    )
    metrics |= {
      "actor_loss": estimated.loss,
      "actor_learning_rate": rate,
      "actor_gradient_norm": info.gradient_norm,
      "actor_skipped_steps": info.skipped,
      "actor_clipped_steps": info.clipped,
    }
    return next_state, metrics | estimated.metrics

  return Algorithm(init, update, needs_environment_gradients)
