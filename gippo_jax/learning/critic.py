"""Regression of the critic onto lambda-returns, and the target critic that follows it."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from gippo_jax.envs.base import PyTree
from gippo_jax.fields import Real
from gippo_jax.learning.agents import values_of
from gippo_jax.learning.normalization import RunningStatistics
from gippo_jax.learning.optimization import make_optimizer, value_and_flat_gradient
from gippo_jax.learning.rollout import Window
from gippo_jax.learning.setup import Setup
from gippo_jax.learning.sharding import spread
from gippo_jax.learning.state import TrainingState


class Convergence(NamedTuple):
  """When the critic's regression may end before its last pass.

  Attributes:
    max_passes: passes over the window at most.
    tolerance: it ends when the mean difference of five successive passes' losses is less.
  """

  max_passes: int
  tolerance: Real


def fit_critic(
  setup: Setup, state: TrainingState, window: Window, rate: Real, convergence: Convergence | None = None
) -> tuple[PyTree, PyTree, optax.ScaleByAdamState, RunningStatistics, dict[str, jax.Array]]:
  """`num_iterations` passes over consecutive minibatches of the time-major window (Eq. 12).

  The loss is the mean squared error between the denormalised prediction, by the statistics that already hold the
  targets, and the target; of several critics the sum of theirs. Entries of a gradient that are not finite become 0.

  Args:
    setup: environments, networks, hyper-parameters.
    state: critic, target critic, moments and statistics before the epoch.
    window: the epoch's experience.
    rate: Adam rate.
    convergence: instead of a fixed number of passes.

  Returns:
    Critic, target critic, moments, value statistics, and metrics.
  """
  networks, config = setup.networks, setup.config
  statistics = state.value_statistics
  if config.normalize_values:
    statistics = statistics.update(window.target.reshape(-1))

  def loss(params, batch):
    obs, target = batch
    predictions = values_of(networks, params, obs)
    if config.normalize_values:
      predictions = statistics.denormalize(predictions)
    return jnp.sum(jnp.mean((predictions - target[None]) ** 2, axis=1))

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
    lambda x: x.reshape(config.critic.num_minibatches, -1, *x.shape[2:]), (window.observation, window.target)
  )

  batches = spread(batches, axis=1)

  def one_pass(carry, _):
    return jax.lax.scan(minibatch, carry, batches)

  # Sums are cheaper to carry than stacks to write, in this the most frequent of all loops.
  zero = jnp.zeros_like(window.target[0, 0])
  start_totals = (start, state.critic_moments, (zero, zero, zero, zero))
  if convergence is None:
    (flat, moments, totals), _ = jax.lax.scan(one_pass, start_totals, None, length=config.critic.num_iterations)
    num_steps, own_metrics = config.critic.num_iterations * config.critic.num_minibatches, {}
  else:
    (flat, moments, totals), passes = _until_converged(
      lambda carry: one_pass(carry, None)[0], start_totals, convergence
    )
    num_steps = (passes * config.critic.num_minibatches).astype(zero.dtype)
    own_metrics = {"critic_passes": passes}
  total_loss, total_norm, replaced, skipped = totals
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
  return critic, target, moments, statistics, metrics | own_metrics


def _until_converged(one_pass: Callable, carry: tuple, convergence: Convergence) -> tuple[tuple, jax.Array]:
  """Passes until the losses stand still, and their number; the first of a carry's totals is the sum of the losses."""

  def goes_on(loop):
    _, sums, passes = loop
    # The losses of the passes are differences of their sums; five of them have four successive differences.
    change = ((sums[5] - sums[4]) - (sums[1] - sums[0])) / 4.0
    is_still = (passes >= 5) & (jnp.abs(change) < convergence.tolerance)
    return (passes < convergence.max_passes) & ~is_still

  def again(loop):
    carry, sums, passes = loop
    carry = one_pass(carry)
    return carry, jnp.append(sums[1:], carry[2][0]), passes + 1

  sums = jnp.zeros((6,), carry[2][0].dtype)
  carry, _, passes = jax.lax.while_loop(goes_on, again, (carry, sums, jnp.zeros((), jnp.int32)))
  return carry, passes
