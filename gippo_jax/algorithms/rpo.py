"""Reparameterisation proximal policy optimisation (RPO; Zhong, Wang, Li, Huang, arXiv 2508.06214).

The derivatives of a window's return by its actions, `q = dR / da`, cost one backward pass through the simulator. SHAC
makes one step of the actor of them; RPO keeps them and makes several, each on PPO's objective differentiated by
reparameterisation. The first of them is SHAC's.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from gippo_jax.algorithms.base import Algorithm, begin_epoch, critic_linear_rate, end_epoch, init_state
from gippo_jax.algorithms.gradient_step import SHOWN, GradientStepState, RateConfig
from gippo_jax.algorithms.rp import collect_with_return_gradient, total_return
from gippo_jax.envs.base import PyTree
from gippo_jax.fields import Real, integer, real
from gippo_jax.learning import gaussian
from gippo_jax.learning.agents import Networks
from gippo_jax.learning.optimization import (
  StepInfo,
  linear_rate,
  make_optimizer,
  summarize,
  value_and_flat_gradient,
)
from gippo_jax.learning.rollout import Window
from gippo_jax.learning.setup import Setup
from gippo_jax.registry import AlgorithmSpec

_LARGEST_LOG_RATIO = 64.0


class RPOConfig(RateConfig):
  """Several steps of the actor from one backward pass through the simulator."""

  num_passes: int = integer(5, "steps of the actor per epoch, each on the whole window")
  clip_below: Real = real(0.8, "samples with pi / pi_old < 1 - clip_below are left out", minimum=0, maximum=1)
  clip_above: Real = real(1.0, "samples with pi / pi_old > 1 + clip_above are left out", minimum=0)
  kl_weight: Real = real(0.25, "weight of mean KL(pi_old || pi) in the loss", minimum=0)
  entropy_weight: Real = real(0.0, "weight of the mean entropy, which the loss rewards", minimum=0)


class Cached(NamedTuple):
  """Samples of the old policy, with the derivatives that one backward pass gave.

  Attributes:
    observation: normalised, `[..., O]`.
    action: unsquashed, `[..., A]`.
    mean, log_std: of the policy that drew it, `[..., A]`.
    return_gradient: `q = dR / da`, `[..., A]`; 0 where it was not finite.
    usable: 1 where all numbers of the sample are finite, `[...]`; the others' numbers are replaced by 0.
  """

  observation: jax.Array
  action: jax.Array
  mean: jax.Array
  log_std: jax.Array
  return_gradient: jax.Array
  usable: jax.Array


class Reuse(NamedTuple):
  """How far a policy is from the one that drew the samples.

  Attributes:
    effective_share: share of the samples whose ratio is within the bounds.
    largest_ratio: of `pi / pi_old`.
    divergence: mean `KL(pi_old || pi)`.
    entropy: mean, of the unsquashed action.
  """

  effective_share: jax.Array
  largest_ratio: jax.Array
  divergence: jax.Array
  entropy: jax.Array


def cache(window: Window, return_gradient: jax.Array) -> Cached:
  """The window's samples; what is not finite is replaced before the network, behind which it would still count."""
  numbers = (window.observation, window.action, window.mean, window.log_std)
  usable = jnp.all(jnp.isfinite(jnp.concatenate(numbers, axis=-1)), axis=-1)

  def clean(x: jax.Array) -> jax.Array:
    return jnp.where(usable[..., None], x, 0.0)

  return Cached(
    observation=clean(window.observation),
    action=clean(window.action),
    mean=clean(window.mean),
    log_std=clean(window.log_std),
    return_gradient=clean(return_gradient),
    usable=usable.astype(return_gradient.dtype),
  )


def surrogate(networks: Networks, actor: PyTree, cached: Cached, config: RPOConfig) -> tuple[jax.Array, Reuse]:
  """RPO's loss `-(L - kl_weight KL + entropy_weight H)`, means over the samples (Eq. 11 to 14 of the paper).

  `L = mean of w q^T a(theta)`, `a(theta) = mu + sigma e` with the noise `e = (a - mu) / sigma` of the stored action
  held fixed (Eq. 10): equal to `a` in value, a function of the parameters in its derivative. `w` is `pi / pi_old`, held
  fixed, and 0 outside the bounds whatever the sign of the advantage: a path derivative does not say whether the stored
  action should be likelier. The gradient of `L` has the mean of that of PPO's unclipped objective, `E[pi / pi_old A]`.

  Args:
    networks: actor and critic.
    actor: parameters of `pi`.
    cached: samples of `pi_old`.
    config: bounds and weights.

  Returns:
    The loss, and how far `pi` is from `pi_old`.
  """
  mean, log_std = networks.policy(actor, cached.observation)
  noise = jax.lax.stop_gradient((cached.action - mean) * jnp.exp(-log_std))
  log_ratio = gaussian.log_prob(mean, log_std, cached.action) - gaussian.log_prob(
    cached.mean, cached.log_std, cached.action
  )
  ratio = jax.lax.stop_gradient(jnp.exp(jnp.minimum(log_ratio, _LARGEST_LOG_RATIO)))
  inside = (ratio >= 1.0 - config.clip_below) & (ratio <= 1.0 + config.clip_above)
  weight = jnp.where(inside, ratio, 0.0)
  gain = jnp.mean(weight * jnp.sum(cached.return_gradient * gaussian.sample(mean, log_std, noise), axis=-1))
  divergence = jnp.mean(cached.usable * gaussian.kl_divergence(cached.mean, cached.log_std, mean, log_std))
  entropy = jnp.mean(cached.usable * gaussian.entropy(log_std))
  loss = -(gain - config.kl_weight * divergence + config.entropy_weight * entropy)
  reuse = Reuse(jnp.mean(inside.astype(loss.dtype)), jnp.max(ratio * cached.usable), divergence, entropy)
  return loss, reuse


def make_passes(
  setup: Setup, actor: PyTree, moments: optax.ScaleByAdamState, cached: Cached, rate: Real
) -> tuple[PyTree, optax.ScaleByAdamState, Reuse, StepInfo]:
  """The epoch's steps down `surrogate`.

  Args:
    setup: environments, networks, hyper-parameters.
    actor: parameters to start from.
    moments: the optimiser's state.
    cached: samples of the old policy.
    rate: of all passes.

  Returns:
    Parameters, moments, how far the policy was before the last pass, and what the steps were like.
  """
  networks, config = setup.networks, setup.config
  optimizer = make_optimizer(config, config.adam.beta1, config.adam.beta2)
  flat, unravel = ravel_pytree(actor)

  def one_pass(carry, _):
    flat, moments = carry
    (_, reuse), gradient = value_and_flat_gradient(
      lambda actor: surrogate(networks, actor, cached, config.rpo), has_aux=True
    )(unravel(flat))
    flat, moments, info = optimizer.step(flat, moments, gradient, rate)
    return (flat, moments), (reuse, info)

  (flat, moments), (reuse, info) = jax.lax.scan(one_pass, (flat, moments), None, length=config.rpo.num_passes)
  return unravel(flat), moments, jax.tree.map(lambda of_pass: of_pass[-1], reuse), summarize(info)


def make(setup: Setup) -> Algorithm:
  """RPO."""
  config = setup.config
  optimizer = make_optimizer(config, config.adam.beta1, config.adam.beta2)

  def init(key):
    return init_state(setup, key, lambda actor: GradientStepState(moments=optimizer.init(actor)))

  def update(state, draws=None):
    key, draws = begin_epoch(setup, state, draws)
    gae_lambda = jnp.ones_like(config.discount)
    environment, window, return_gradient, health = collect_with_return_gradient(setup, state, draws.noise, gae_lambda)
    cached = cache(window, return_gradient)
    rate = linear_rate(config.rpo.learning_rate, config.rpo.final_learning_rate, state.epoch, config.num_epochs)
    actor, moments, reuse, info = make_passes(setup, state.actor, state.algorithm.moments, cached, rate)
    next_state, metrics = end_epoch(
      setup,
      state,
      key=key,
      environment=environment,
      window=window,
      actor=actor,
      algorithm=GradientStepState(moments=moments),
      critic_rate=critic_linear_rate(config, state),
    )
    metrics |= {
      "actor_loss": -total_return(window, config.discount, gae_lambda) / window.reward.size,
      "actor_learning_rate": rate,
      "actor_gradient_norm": info.gradient_norm,
      "actor_skipped_share": info.skipped,
      "actor_clipped_steps": info.clipped,
      "rpo_effective_share": reuse.effective_share,
      "rpo_largest_ratio": reuse.largest_ratio,
      "rpo_divergence": reuse.divergence,
      "rpo_entropy": reuse.entropy,
    }
    return next_state, metrics | health

  return Algorithm(init, update)


SPEC = AlgorithmSpec(
  name="rpo",
  label="RPO",
  groups={"rpo": RPOConfig},
  make=make,
  needs_environment_gradients=True,
  shown=SHOWN | {"rpo_effective_share": "in bounds", "rpo_divergence": "KL"},
  summary="reparameterisation PPO (Zhong et al. 2025): several steps of the actor from one backward pass",
)
