"""PPO's clipped surrogate and its minimisation with retry; used by PPO and by GI-PPO's last step."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.flatten_util import ravel_pytree

from gippo_jax.algorithms.base import Metrics, environment_major, policy_advantage
from gippo_jax.algorithms.optimism import OptimismConfig, OptimismState, go_on, init_optimism
from gippo_jax.config import Config, check_divides
from gippo_jax.envs.base import PyTree
from gippo_jax.fields import Real, choice, integer, real, switch
from gippo_jax.learning import gaussian
from gippo_jax.learning.optimization import (
  Attempt,
  Optimizer,
  RetryConfig,
  linear_rate,
  lowered_rate,
  make_optimizer,
  minimize_with_retry,
  summarize,
  value_and_flat_gradient,
)
from gippo_jax.learning.rollout import Window
from gippo_jax.learning.setup import Setup
from gippo_jax.learning.sharding import spread

# Of the adaptive rate, as in the authors' library (rl_games).
_RATE_FACTOR = 1.5
_SMALLEST_RATE = 1e-6
_LARGEST_RATE = 1e-2


class PPOConfig(struct.PyTreeNode):
  """Clipped surrogate, for PPO and inside GI-PPO."""

  learning_rate: Real = real(1e-4, "Adam rate; of the first minibatch with rate_schedule=adaptive_kl", minimum=0)
  rate_schedule: str = choice(
    "constant",
    ("constant", "linear", "adaptive_kl"),
    "whether the rate falls to 0 at the end of the training, or follows the divergence of the policy's steps",
  )
  kl_threshold: Real = real(
    0.008, "adaptive_kl: the rate falls by 1.5 above twice this divergence, and rises by 1.5 below half of it", above=0
  )
  min_learning_rate: Real = real(1e-5, "the rate does not fall below this after failures", minimum=0)
  compound_retries: bool = switch(
    True, "each retry divides the rate again; if not, every retry runs at learning_rate / retry.rate_divisor"
  )
  clip_range: Real = real(0.2, "ratios are clipped to 1 +- clip_range", above=0, maximum=1)
  minibatch_size: int = integer(64, "samples per minibatch; divides num_envs * horizon")
  num_passes: int = integer(5, "passes over the window per epoch")
  beta1: Real = real(0.9, "decay of the first moment", minimum=0, below=1)
  beta2: Real = real(0.999, "decay of the second moment", minimum=0, below=1)


# The groups of every algorithm that ends with the surrogate.
GROUPS = {"ppo": PPOConfig, "retry": RetryConfig, "optimism": OptimismConfig}


def check_surrogate(config: Config) -> None:
  """Checks that minibatches share the window out.

  Raises:
    UserError: when they do not.
  """
  check_divides("ppo.minibatch_size", config.ppo.minibatch_size, config.num_envs * config.horizon)


class SurrogateState(struct.PyTreeNode):
  """What the clipped surrogate keeps from epoch to epoch.

  Attributes:
    moments: its optimiser's state.
    rate: base rate of the next epoch.
    optimism: what optimism keeps; `None` without.
  """

  moments: optax.ScaleByAdamState
  rate: jax.Array
  optimism: OptimismState | None = None


def optimizer_of(config: Config) -> Optimizer:
  """Adam with PPO's own betas."""
  return make_optimizer(config, config.ppo.beta1, config.ppo.beta2)


def init_surrogate(config: Config, actor: PyTree) -> SurrogateState:
  """State before the first epoch."""
  moments, rate = optimizer_of(config).init(actor), jnp.asarray(config.ppo.learning_rate)
  return SurrogateState(moments, rate, init_optimism(config, actor))


def clipped_surrogate(ratio: jax.Array, advantage: jax.Array, clip_range: jax.Array) -> jax.Array:
  """`mean(max(-A ratio, -A clip(ratio, 1 - c, 1 + c)))` (Eq. 11; Schulman et al. 2017), arrays `[B]`."""
  clipped = jnp.clip(ratio, 1.0 - clip_range, 1.0 + clip_range)
  return jnp.mean(jnp.maximum(-advantage * ratio, -advantage * clipped))


def adapted_rate(rate: jax.Array, divergence: jax.Array, threshold: jax.Array) -> jax.Array:
  """The next minibatch's rate: a third less after too long a step, half more after too short a one.

  Args:
    rate: of this minibatch.
    divergence: mean `KL(pi || pi_before)` over the minibatch, `pi_before` the policy of the pass before.
    threshold: the divergence wanted; within a factor 2 of it the rate stays.
  """
  lowered = jnp.maximum(rate / _RATE_FACTOR, _SMALLEST_RATE)
  raised = jnp.minimum(rate * _RATE_FACTOR, _LARGEST_RATE)
  return jnp.where(divergence > 2.0 * threshold, lowered, jnp.where(divergence < 0.5 * threshold, raised, rate))


def minimize_surrogate(
  setup: Setup,
  state: SurrogateState,
  epoch: jax.Array,
  actor: PyTree,
  window: Window,
  sampling: PyTree,
  ratio_of: Callable[[jax.Array, PyTree], jax.Array],
  before: PyTree | None = None,
) -> tuple[PyTree, SurrogateState, Metrics]:
  """Passes over consecutive minibatches of the environment-major window, tried again at a lower rate if the loss grew.

  Args:
    setup: environments, networks, hyper-parameters.
    state: optimiser state and base rate.
    epoch: number of epochs before this one.
    actor: parameters to start from.
    window: the epoch's experience.
    sampling: pytree of arrays `[T, N]` that describe the sampling densities.
    ratio_of: maps a minibatch's log-probabilities `[B]` and its slice of `sampling` to ratios `[B]`.
    before: parameters before the epoch, from which optimism reckons its update; `actor` by default.

  Returns:
    Parameters, state, and metrics with prefix `ppo_`.
  """
  networks, config = setup.networks, setup.config
  samples = (window.observation, window.action, policy_advantage(config, window.advantage), sampling)
  batches = jax.tree.map(lambda x: environment_major(x).reshape(-1, config.ppo.minibatch_size, *x.shape[2:]), samples)
  batches = spread(batches, axis=1)
  optimizer = optimizer_of(config)

  def loss(params, batch):
    obs, action, advantage, batch_sampling = batch
    mean, log_std = networks.policy(params, obs)
    ratio = ratio_of(gaussian.log_prob(mean, log_std, action), batch_sampling)
    return clipped_surrogate(ratio, advantage, config.ppo.clip_range), (mean, log_std)

  _, unravel = ravel_pytree(actor)
  # Only the adaptive rate looks at the policies of the pass before.
  adaptive = config.ppo.rate_schedule == "adaptive_kl"
  start_policies = networks.policy(actor, batches[0]) if adaptive else None

  def run(flat, moments, rate) -> Attempt:
    def minibatch(carry, inputs):
      flat, moments, rate = carry
      batch, policy_before = inputs
      (value, policy_now), gradient = value_and_flat_gradient(loss, has_aux=True)(unravel(flat), batch)
      flat, moments, info = optimizer.step(flat, moments, gradient, rate)
      if not adaptive:
        return (flat, moments, rate), (value, info, None)
      divergence = jnp.mean(gaussian.kl_divergence(*policy_now, *policy_before))
      return (flat, moments, adapted_rate(rate, divergence, config.ppo.kl_threshold)), (value, info, policy_now)

    def one_pass(carry, _):
      carry, policies = carry
      carry, (losses, info, policies) = jax.lax.scan(minibatch, carry, (batches, policies))
      return (carry, policies), (losses, info)

    ((flat, moments, rate), _), (losses, info) = jax.lax.scan(
      one_pass, ((flat, moments, rate), start_policies), None, length=config.ppo.num_passes
    )
    pass_losses = jnp.mean(losses, axis=1)
    return Attempt(flat, moments, pass_losses[0], pass_losses[-1], summarize(info), rate)

  rate = state.rate
  if config.ppo.rate_schedule == "linear":
    rate = linear_rate(state.rate, 0.0, epoch, config.num_epochs)
  result = minimize_with_retry(run, actor, state.moments, rate, config.retry, compound=config.ppo.compound_retries)
  rate = lowered_rate(state.rate, result.succeeded, config.retry, config.ppo.min_learning_rate)
  if adaptive:
    rate = jnp.where(result.succeeded, result.rate, rate)
  metrics = {
    "ppo_attempts": result.attempts,
    "ppo_first_loss": result.first_loss,
    "ppo_last_loss": result.last_loss,
    "ppo_gradient_norm": result.info.gradient_norm,
    "ppo_skipped_share": result.info.skipped,
    "ppo_clipped_steps": result.info.clipped,
    "ppo_learning_rate": rate,
  }
  params, optimism = result.params, state.optimism
  if optimism is not None:
    start = actor if before is None else before
    params, optimism, shown = go_on(config, optimism, epoch, start, params, result.succeeded)
    metrics |= shown
  return params, SurrogateState(result.moments, rate, optimism), metrics
