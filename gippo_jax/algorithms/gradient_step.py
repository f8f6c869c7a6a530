"""Algorithms that make one Adam step of the actor per epoch, at a linearly falling rate: LR, RP, SHAC, LR+RP, PE, TP
and most of their relatives.

They differ in how they estimate the gradient; this module is the rest of their epoch.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

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
)
from gippo_jax.envs.base import PyTree
from gippo_jax.envs.wrappers import EpisodeState
from gippo_jax.fields import Real, real
from gippo_jax.learning.critic import Convergence
from gippo_jax.learning.optimization import linear_rate, make_optimizer
from gippo_jax.learning.rollout import Window
from gippo_jax.learning.setup import Setup
from gippo_jax.learning.state import TrainingState


class RateConfig(struct.PyTreeNode):
  """Rate of an algorithm that makes one step of the actor per epoch."""

  learning_rate: Real = real(1e-3, "Adam rate of the first epoch", minimum=0)
  final_learning_rate: Real = real(1e-5, "rate of the last epoch, reached linearly", minimum=0)


class LambdaRateConfig(RateConfig):
  """Rate, and the lambda of the objective that is differentiated."""

  gae_lambda: Real = real(0.95, "lambda of the returns that are differentiated", minimum=0, maximum=1)


# What the progress line shows of them.
SHOWN = {"actor_clipped_steps": "clipped"}


class Rates(Protocol):
  """What an algorithm's configuration group must hold."""

  learning_rate: Real
  final_learning_rate: Real


class Estimate(NamedTuple):
  """An epoch's experience and the gradient drawn from it.

  Attributes:
    environment: the batch of environments after the window.
    window: the epoch's experience.
    loss: scalar.
    gradient: of the loss by the flattened actor, `[P]`.
    metrics: the algorithm's own.
    own: what else the algorithm keeps after the epoch (`GradientStepState.own`).
  """

  environment: EpisodeState
  window: Window
  loss: jax.Array
  gradient: jax.Array
  metrics: Metrics
  own: PyTree = ()


class GradientStepState(struct.PyTreeNode):
  """What is kept from epoch to epoch.

  Attributes:
    moments: the actor's optimiser state.
    own: what else the algorithm keeps.
  """

  moments: optax.ScaleByAdamState
  own: PyTree = ()


def gradient_step_algorithm(
  setup: Setup,
  estimate: Callable[[Setup, TrainingState, Draws], Estimate],
  rates: Rates,
  own: PyTree = (),
  convergence: Convergence | None = None,
) -> Algorithm:
  """Builds the algorithm around an estimator.

  A gradient that is not finite moves nothing; the skipped step is counted in `actor_skipped_share`.

  Args:
    setup: environments, networks, hyper-parameters.
    estimate: rolls out and estimates the gradient.
    rates: the algorithm's group of the configuration.
    own: what else the algorithm keeps, before the first epoch.
    convergence: of the critic, as for `critic.fit_critic`.
  """
  config = setup.config
  optimizer = make_optimizer(config, config.adam.beta1, config.adam.beta2)

  def init(key):
    return init_state(setup, key, lambda actor: GradientStepState(optimizer.init(actor), own))

  def update(state, draws=None):
    key, draws = begin_epoch(setup, state, draws)
    estimated = estimate(setup, state, draws)
    rate = linear_rate(rates.learning_rate, rates.final_learning_rate, state.epoch, config.num_epochs)
    flat, unravel = ravel_pytree(state.actor)
    flat, moments, info = optimizer.step(flat, state.algorithm.moments, estimated.gradient, rate)
    next_state, metrics = end_epoch(
      setup,
      state,
      key=key,
      environment=estimated.environment,
      window=estimated.window,
      actor=unravel(flat),
      algorithm=GradientStepState(moments, estimated.own),
      critic_rate=critic_linear_rate(config, state),
      convergence=convergence,
    )
    metrics |= {
      "actor_loss": estimated.loss,
      "actor_learning_rate": rate,
      "actor_gradient_norm": info.gradient_norm,
      "actor_skipped_share": info.skipped,
      "actor_clipped_steps": info.clipped,
    }
    return next_state, metrics | estimated.metrics

  return Algorithm(init, update)
