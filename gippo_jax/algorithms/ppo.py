"""Proximal policy optimisation (Schulman et al. 2017), the paper's zeroth-order baseline and GI-PPO's safeguard."""

from typing import Any

import jax
import jax.numpy as jnp

from gippo_jax.algorithms.base import Algorithm, begin_epoch, collect, end_epoch, init_state, networks_of
from gippo_jax.algorithms.clipped_surrogate import init_surrogate, minimize_surrogate
from gippo_jax.learning import gaussian as policy

_LARGEST_LOG_RATIO = 64.0


def _ratio(log_prob: jax.Array, old_log_prob: jax.Array) -> jax.Array:
  """`pi / pi_old`, the exponent capped so that it stays finite."""
  return jnp.exp(jnp.minimum(log_prob - old_log_prob, _LARGEST_LOG_RATIO))


def make(env: Any) -> Algorithm:
  """PPO on `env`, a batch of environments."""

  def init(key, config):
    return init_state(env, config, key, lambda actor: init_surrogate(config, actor))

  def update(state, config, draws=None):
    networks = networks_of(env, config)
    key, draws = begin_epoch(env, config, state, draws)
    environment, window = collect(env, networks, config, state, draws.noise)
    old_log_prob = policy.log_prob(window.mean, window.log_std, window.action)
    actor, surrogate, ppo_metrics = minimize_surrogate(
      networks, config, state.algorithm, state.actor, window, old_log_prob, _ratio
    )
    next_state, metrics = end_epoch(
      networks,
      config,
      state,
      key=key,
      environment=environment,
      window=window,
      actor=actor,
      algorithm=surrogate,
      critic_rate=config.critic.learning_rate,
    )
    return next_state, metrics | ppo_metrics

  return Algorithm(init, update, needs_environment_gradients=False)
