"""SHAC whose samples' gradients are clipped one by one: one sample that explodes cannot drown the others."""

import jax.numpy as jnp

from gippo_jax.algorithms.gradient_step import Estimate, RateConfig, gradient_step_algorithm
from gippo_jax.algorithms.rp import collect_with_return_gradient, reparameterized_loss, total_return
from gippo_jax.fields import Real, real
from gippo_jax.learning.optimization import value_and_flat_gradient
from gippo_jax.registry import AlgorithmSpec, register


class ClippedConfig(RateConfig):
  """The hyper-parameters that are its own: those of every gradient step, and one more."""

  largest_norm: Real = real(1.0, "largest norm of a sample's gradient by its action", above=0)


def make(setup):
  """From the setup (environments, networks, hyper-parameters) to the pair of pure functions."""

  def estimate(setup, state, draws):
    config = setup.config
    gae_lambda = jnp.ones_like(config.discount)
    environment, window, gradient, metrics = collect_with_return_gradient(setup, state, draws.noise, gae_lambda)
    norm = jnp.sqrt(jnp.sum(gradient**2, axis=-1, keepdims=True))
    scale = jnp.minimum(1.0, config.clipped.largest_norm / jnp.maximum(norm, 1e-12))
    _, flat = value_and_flat_gradient(
      lambda actor: reparameterized_loss(setup.networks, actor, window.observation, window.noise, scale * gradient)
    )(state.actor)
    loss = -total_return(window, config.discount, gae_lambda) / window.reward.size
    share = jnp.mean((scale < 1.0).astype(scale.dtype))
    return Estimate(environment, window, loss, flat / window.reward.size, metrics | {"clipped_samples": share})

  return gradient_step_algorithm(setup, estimate, setup.config.clipped)


register(
  AlgorithmSpec(
    name="clipped",
    label="Clipped SHAC",
    groups={"clipped": ClippedConfig},
    make=make,
    needs_environment_gradients=True,
    shown={"clipped_samples": "clipped samples"},
    summary="SHAC with the gradient of every sample clipped",
  )
)
