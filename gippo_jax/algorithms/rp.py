"""Reparameterisation (RP): backpropagation through the environment, bootstrapped by the target critic.

With `actor_gae_lambda = 1` this is SHAC (Xu et al., "Accelerated Policy Learning with Parallel Differentiable
Simulation", ICLR 2022); the authors' released RP differentiates the lambda-return at 0.95.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from gippo_jax import rollout
from gippo_jax.advantages import generalized_advantages
from gippo_jax.algorithms.base import Algorithm
from gippo_jax.algorithms.gradient_step import Estimate, gradient_step_algorithm
from gippo_jax.config import Config
from gippo_jax.rollout import Window


def bootstrapped_returns(config: Config, window: Window) -> jax.Array:
  """Lambda-return `A_t + v_t` of every step, with the actor's lambda; `[T, N]`."""
  advantage = generalized_advantages(
    window.reward, window.value, window.next_value, window.done, config.discount, config.actor_gae_lambda
  )
  return advantage + window.value


def rp_loss(config: Config, window: Window) -> jax.Array:
  """`-(sum over segment starts of A_{t0} + v_{t0}) / (number of segment starts)` (Eq. 14)."""
  start = window.segment_start
  return -jnp.sum(jnp.where(start > 0, bootstrapped_returns(config, window), 0.0)) / jnp.sum(start)


def make(env: Any) -> Algorithm:
  """RP on `env`, a batch of environments."""

  def estimate(networks, config, state, draws):
    def loss_of(actor):
      environment, window = rollout.collect(env, networks, config, state, actor, draws.noise)
      return rp_loss(config, window), (environment, window)

    (loss, (environment, window)), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.actor)
    return Estimate(environment, window, loss, ravel_pytree(gradients)[0], {})

  return gradient_step_algorithm(env, estimate, lambda config: config.rp, needs_environment_gradients=True)
