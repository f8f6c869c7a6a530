"""Proximal policy optimisation (Schulman et al. 2017), the paper's zeroth-order baseline and GI-PPO's safeguard."""

import jax
import jax.numpy as jnp

from gippo_jax.algorithms.base import Algorithm, begin_epoch, collect, end_epoch, init_state
from gippo_jax.algorithms.clipped_surrogate import GROUPS, check_surrogate, init_surrogate, minimize_surrogate
from gippo_jax.algorithms.optimism import idle_optimism
from gippo_jax.learning import gaussian
from gippo_jax.learning.setup import Setup
from gippo_jax.registry import AlgorithmSpec

_LARGEST_LOG_RATIO = 64.0


def _ratio(log_prob: jax.Array, old_log_prob: jax.Array) -> jax.Array:
  """`pi / pi_old`, the exponent capped so that it stays finite."""
  return jnp.exp(jnp.minimum(log_prob - old_log_prob, _LARGEST_LOG_RATIO))


def make(setup: Setup) -> Algorithm:
  """PPO."""
  config = setup.config

  def init(key):
    return init_state(setup, key, lambda actor: init_surrogate(config, actor))

  def update(state, draws=None):
    key, draws = begin_epoch(setup, state, draws)
    environment, window = collect(setup, state, draws.noise)
    old_log_prob = gaussian.log_prob(window.mean, window.log_std, window.action)
    actor, surrogate, ppo_metrics = minimize_surrogate(
      setup, state.algorithm, state.epoch, state.actor, window, old_log_prob, _ratio
    )
    next_state, metrics = end_epoch(
      setup,
      state,
      key=key,
      environment=environment,
      window=window,
      actor=actor,
      algorithm=surrogate,
      critic_rate=config.critic.learning_rate,
    )
    return next_state, metrics | ppo_metrics

  return Algorithm(init, update)


SPEC = AlgorithmSpec(
  name="ppo",
  label="PPO",
  groups=GROUPS,
  make=make,
  check=check_surrogate,
  idle=idle_optimism,
  summary="proximal policy optimisation (Schulman et al. 2017)",
)
