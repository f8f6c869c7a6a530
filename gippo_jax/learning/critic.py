"""Regression of the critic onto the targets `A_t + v_t`, and the target critic that follows it."""

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from gippo_jax.envs.base import PyTree
from gippo_jax.fields import Real
from gippo_jax.learning.normalization import RunningStatistics
from gippo_jax.learning.optimization import make_optimizer, value_and_flat_gradient
from gippo_jax.learning.rollout import Window
from gippo_jax.learning.setup import Setup
from gippo_jax.learning.sharding import spread
from gippo_jax.learning.state import TrainingState


def fit_critic(
  setup: Setup, state: TrainingState, window: Window, rate: Real
) -> tuple[PyTree, PyTree, optax.ScaleByAdamState, RunningStatistics, dict[str, jax.Array]]:
  """`num_iterations` passes over consecutive minibatches of the time-major window (Eq. 12).

  The loss is the mean squared error between the denormalised prediction, by the statistics that already hold the
  targets, and the target. Entries of a gradient that are not finite become 0.

  Args:
    setup: environments, networks, hyper-parameters.
    state: critic, target critic, moments and statistics before the epoch.
    window: the epoch's experience.
    rate: Adam rate.

  Returns:
    Critic, target critic, moments, value statistics, and metrics.
  """
  networks, config = setup.networks, setup.config
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
  start, unravel = ravel_pytree(state.critic)

  def minibatch(carry, batch):
    flat, moments, totals = carry
    value, gradient = value_and_flat_gradient(loss)(unravel(flat), batch)
    finite = jnp.isfinite(gradient)
    flat, moments, info = optimizer.step(flat, moments, jnp.where(finite, gradient, 0.0), rate)
    replaced = 1.0 - jnp.all(finite).astype(value.dtype)
    totals = jax.tree.map(jnp.add, totals, (value, info.gradient_norm, replaced, info.skipped))
    return (flat, moments, totals), None

  batches = jax.tree.map(
    lambda x: x.reshape(config.critic.num_minibatches, -1, *x.shape[2:]), (window.observation, targets)
  )

  batches = spread(batches, axis=1)

  def one_pass(carry, _):
    return jax.lax.scan(minibatch, carry, batches)

  # Sums are cheaper to carry than stacks to write, in this the most frequent of all loops.
  zero = jnp.zeros_like(targets[0, 0])
  (flat, moments, totals), _ = jax.lax.scan(
    one_pass, (start, state.critic_moments, (zero, zero, zero, zero)), None, length=config.critic.num_iterations
  )
  total_loss, total_norm, replaced, skipped = totals
  num_steps = config.critic.num_iterations * config.critic.num_minibatches
  critic = unravel(flat)
  decay = config.critic.target_decay
  target = jax.tree.map(lambda slow, fast: decay * slow + (1.0 - decay) * fast, state.target_critic, critic)
  metrics = {
    "critic_loss": total_loss / num_steps,
    "critic_gradient_norm": total_norm / num_steps,
    "critic_learning_rate": rate,
    "critic_nonfinite_share": replaced / num_steps,
    "critic_skipped_share": skipped / num_steps,
  }
  return critic, target, moments, statistics, metrics
