"""Regression of the critic onto the targets `A_t + v_t`, and the target critic that follows it."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from gippo_jax.config import Config
from gippo_jax.networks import Networks
from gippo_jax.normalization import RunningStatistics
from gippo_jax.optimization import make_optimizer, summarize
from gippo_jax.rollout import Window
from gippo_jax.state import TrainingState


def fit_critic(
  networks: Networks, config: Config, state: TrainingState, window: Window, rate: jax.Array
) -> tuple[Any, Any, optax.ScaleByAdamState, RunningStatistics, dict[str, jax.Array]]:
  """`num_iterations` passes over consecutive minibatches of the time-major window.

  The loss is the mean squared error between the denormalised prediction, by the statistics that already hold the
  targets, and the target. Entries of a gradient that are not finite become 0.

  Args:
    networks: actor and critic modules.
    config: hyper-parameters.
    state: critic, target critic, moments and statistics before the epoch.
    window: the epoch's experience.
    rate: Adam rate.

  Returns:
    Critic, target critic, moments, value statistics, and metrics.
  """
  targets = window.advantage + window.value
  statistics = state.value_statistics
  if config.normalize_values:
    statistics = statistics.update(targets.reshape(-1))

  def loss(params, batch):
    obs, target = batch
    prediction = networks.value(params, obs)
    if config.normalize_values:
      prediction = statistics.denormalize(prediction)
    return jnp.mean((prediction - target) ** 2)

  optimizer = make_optimizer(config, config.adam.beta1, config.adam.beta2)

  def minibatch(carry, batch):
    params, moments = carry
    value, gradients = jax.value_and_grad(loss)(params, batch)
    gradients, replaced = _replace_nonfinite(gradients)
    params, moments, info = optimizer.step(params, moments, gradients, rate)
    return (params, moments), (value, info, replaced)

  batches = jax.tree.map(
    lambda x: x.reshape(config.critic.num_minibatches, -1, *x.shape[2:]), (window.observation, targets)
  )

  def one_pass(carry, _):
    return jax.lax.scan(minibatch, carry, batches)

  (critic, moments), (losses, info, replaced) = jax.lax.scan(
    one_pass, (state.critic, state.critic_moments), None, length=config.critic.num_iterations
  )
  decay = config.critic.target_decay
  target = jax.tree.map(lambda slow, fast: decay * slow + (1.0 - decay) * fast, state.target_critic, critic)
  metrics = {
    "critic_loss": jnp.mean(losses),
    "critic_gradient_norm": summarize(info).gradient_norm,
    "critic_learning_rate": rate,
    "critic_nonfinite_gradients": jnp.sum(replaced),
  }
  return critic, target, moments, statistics, metrics


def _replace_nonfinite(gradients: Any) -> tuple[Any, jax.Array]:
  """Zeros for entries that are not finite, and whether there were any."""
  finite = jax.tree.map(jnp.isfinite, gradients)
  clean = jax.tree.map(lambda g, ok: jnp.where(ok, g, 0.0), gradients, finite)
  any_bad = ~jnp.all(jnp.stack([jnp.all(ok) for ok in jax.tree.leaves(finite)]))
  return clean, any_bad.astype(jnp.zeros(()).dtype)
