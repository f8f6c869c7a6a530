"""Gradient-Informed Proximal Policy Optimization (Son et al., NeurIPS 2023), Algorithm 1 of the paper.

One epoch, as `update` below runs it:

  1. Roll out `pi_old` (Eq. 1), estimate advantages (Eq. 2), differentiate each by its action (Eq. 3).
  2. Regress the policy onto the actions moved along that gradient: `pi_alpha` (Definition 4.1; Eq. 4 and 5).
  3. Adapt alpha for the next epoch by variance (Lemma 4.4; Eq. 6), distance (Eq. 7) and bias (Eq. 8): Eq. 9.
  4. PPO from `pi_alpha` with the mixture of `pi_old` and `pi_alpha` as the sampling density (Eq. 10 and 11).
  5. Fit the critic (Eq. 12).

Definitions and lemmas are the paper's; "Eq." numbers are those of docs/algorithms.md.
"""

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.flatten_util import ravel_pytree

from gippo_jax.algorithms import safe_alpha
from gippo_jax.algorithms.alpha import AlphaConfig, AlphaEvidence, AlphaState, adapt_alpha, check_alpha, init_alpha
from gippo_jax.algorithms.base import (
  Algorithm,
  Metrics,
  begin_epoch,
  critic_linear_rate,
  end_epoch,
  init_state,
)
from gippo_jax.algorithms.clipped_surrogate import (
  GROUPS,
  SurrogateState,
  check_surrogate,
  init_surrogate,
  minimize_surrogate,
)
from gippo_jax.algorithms.mixture import mixture_ratio
from gippo_jax.algorithms.optimism import check_no_optimism, idle_optimism
from gippo_jax.algorithms.safe_config import SafeConfig, check_safe
from gippo_jax.config import Config
from gippo_jax.envs.base import PyTree
from gippo_jax.fields import fields_of
from gippo_jax.learning import gaussian
from gippo_jax.learning.gradient_health import drop_nonfinite
from gippo_jax.learning.optimization import (
  Attempt,
  RetryResult,
  lowered_rate,
  make_optimizer,
  minimize_with_retry,
  summarize,
  value_and_flat_gradient,
)
from gippo_jax.learning.rollout import Window, collect_with_advantage_gradient
from gippo_jax.learning.setup import Setup
from gippo_jax.learning.sharding import apply_by_environment, spread
from gippo_jax.registry import AlgorithmSpec

_LARGEST_LOG_RATIO = 16.0


class GIPPOState(struct.PyTreeNode):
  """GI-PPO's own state.

  Attributes:
    alpha: alpha and the statistics that adapt it.
    alpha_moments: optimiser state of the alpha step.
    alpha_rate: base rate of the next alpha step.
    surrogate: optimiser state and base rate of PPO.
  """

  alpha: AlphaState
  alpha_moments: optax.ScaleByAdamState
  alpha_rate: jax.Array
  surrogate: SurrogateState


def fit_alpha_policy(
  setup: Setup, state: GIPPOState, actor: PyTree, window: Window, gradient: jax.Array
) -> RetryResult:
  """Regresses the policy onto `a + alpha * G` with the rollout's noise (Definition 4.1; Eq. 4 and 5).

  Args:
    setup: environments, networks, hyper-parameters.
    state: alpha, moments and base rate.
    actor: parameters of `pi_old`.
    window: the epoch's experience.
    gradient: `G_t = dA_t / da_t`, `[T, N, A]`.

  Returns:
    Parameters of `pi_alpha` and how the regression went.
  """
  networks, config = setup.networks, setup.config
  # Time and environment as one axis: products of matrices are faster than of stacks of them.
  samples = (window.observation, window.noise, window.action + state.alpha.alpha * gradient)
  obs, noise, target = spread(tuple(x.reshape(-1, x.shape[-1]) for x in samples), axis=0)
  optimizer = make_optimizer(config, config.adam.beta1, config.adam.beta2)

  def loss(params):
    mean, log_std = networks.policy(params, obs)
    return jnp.mean(jnp.sum((gaussian.sample(mean, log_std, noise) - target) ** 2, axis=-1))

  _, unravel = ravel_pytree(actor)

  def run(flat, moments, rate) -> Attempt:
    def step(carry, _):
      flat, moments = carry
      value, gradient = value_and_flat_gradient(loss)(unravel(flat))
      flat, moments, info = optimizer.step(flat, moments, gradient, rate)
      return (flat, moments), (value, info)

    (flat, moments), (losses, info) = jax.lax.scan(step, (flat, moments), None, length=config.alpha.num_steps)
    return Attempt(flat, moments, losses[0], losses[-1], summarize(info), rate)

  return minimize_with_retry(run, actor, state.alpha_moments, state.alpha_rate, config.retry)


def weigh_alpha_policy(
  config: Config, window: Window, log_std: jax.Array, log_ratio: jax.Array, converged: jax.Array
) -> tuple[AlphaEvidence, jax.Array]:
  """What the samples say about `pi_alpha`: variance (Lemma 4.4; Eq. 6), distance (Eq. 7), bias (Eq. 8).

  Args:
    config: hyper-parameters.
    window: the epoch's experience, under `pi_old`.
    log_std: of `pi_alpha`, `[T, N, A]`.
    log_ratio: `log pi_alpha - log pi_old` of the window's actions, `[T, N]`.
    converged: whether the regression lowered its loss.

  Returns:
    The evidence, and the mean of the determinants.
  """
  determinant = jnp.exp(jnp.sum(log_std - window.log_std, axis=-1))
  ratio = jnp.exp(jnp.minimum(log_ratio, _LARGEST_LOG_RATIO))
  out_of_range = (ratio < 1.0 - config.ppo.clip_range) | (ratio > 1.0 + config.ppo.clip_range)
  evidence = AlphaEvidence(
    converged=converged,
    min_determinant=jnp.min(determinant),
    max_determinant=jnp.max(determinant),
    out_of_range_ratio=jnp.mean(out_of_range.astype(ratio.dtype)),
    performance=jnp.sum(window.advantage * ratio) - jnp.sum(window.advantage),
  )
  return evidence, jnp.mean(determinant)


def make(setup: Setup) -> Algorithm:
  """GI-PPO, its alpha step by the rule that `alpha.rule` names."""
  return safe_alpha.make(setup) if setup.config.alpha.rule == "safe" else _make_paper(setup)


def _make_paper(setup: Setup) -> Algorithm:
  networks, config = setup.networks, setup.config

  def init(key):
    def init_algorithm(actor):
      return GIPPOState(
        alpha=init_alpha(config.alpha),
        alpha_moments=make_optimizer(config, config.adam.beta1, config.adam.beta2).init(actor),
        alpha_rate=jnp.asarray(config.alpha.learning_rate),
        surrogate=init_surrogate(config, actor),
      )

    return init_state(setup, key, init_algorithm)

  def update(state, draws=None):
    own: GIPPOState = state.algorithm
    key, draws = begin_epoch(setup, state, draws)

    # Step 1: experience under pi_old, and the gradient of each advantage by its action.
    environment, window, gradient = collect_with_advantage_gradient(setup, state, draws.noise)
    gradient, health = drop_nonfinite(gradient)  # without a gradient the action stays where it is

    # Step 2: the alpha-policy.
    alpha_step = fit_alpha_policy(setup, own, state.actor, window, gradient)
    converged = alpha_step.succeeded & (alpha_step.first_loss > alpha_step.last_loss)
    mean, log_std = apply_by_environment(
      lambda obs: networks.policy(alpha_step.params, obs), window.observation, axis=1
    )
    old_log_prob = gaussian.log_prob(window.mean, window.log_std, window.action)
    alpha_log_prob = gaussian.log_prob(mean, log_std, window.action)

    # Step 3: adapt alpha for the next epoch; this epoch's alpha-policy stays.
    evidence, mean_determinant = weigh_alpha_policy(config, window, log_std, alpha_log_prob - old_log_prob, converged)
    alpha, standardized_performance = adapt_alpha(own.alpha, evidence, config.alpha)
    alpha_rate = lowered_rate(own.alpha_rate, converged, config.retry, config.alpha.min_learning_rate)

    # Step 4: PPO from pi_alpha on the mixture.
    actor, surrogate, ppo_metrics = minimize_surrogate(
      setup,
      own.surrogate,
      state.epoch,
      alpha_step.params,
      window,
      (old_log_prob, alpha_log_prob),
      mixture_ratio,
      before=state.actor,
    )
    # Step 5: the critic, and the next state.
    next_state, metrics = end_epoch(
      setup,
      state,
      key=key,
      environment=environment,
      window=window,
      actor=actor,
      algorithm=GIPPOState(alpha=alpha, alpha_moments=alpha_step.moments, alpha_rate=alpha_rate, surrogate=surrogate),
      critic_rate=critic_linear_rate(config, state),
    )
    metrics |= ppo_metrics | health
    metrics |= _alpha_metrics(own, alpha_step, evidence, window, gradient)
    metrics["alpha_mean_determinant"] = mean_determinant
    metrics["alpha_standardized_performance"] = standardized_performance
    return next_state, metrics

  return Algorithm(init, update)


def _alpha_metrics(
  own: GIPPOState,
  alpha_step: RetryResult,
  evidence: AlphaEvidence,
  window: Window,
  gradient: jax.Array,
) -> Metrics:
  """What an epoch shows of alpha; rates and alpha are those the epoch ran with."""
  samples = gradient.reshape(-1, gradient.shape[-1])
  centred = samples - jnp.mean(samples, axis=0, keepdims=True)
  return {
    "alpha": own.alpha.alpha,
    "alpha_learning_rate": own.alpha_rate,
    "alpha_attempts": alpha_step.attempts,
    "alpha_first_loss": alpha_step.first_loss,
    "alpha_last_loss": alpha_step.last_loss,
    "alpha_loss_ratio": alpha_step.last_loss / alpha_step.first_loss,
    "alpha_gradient_norm": alpha_step.info.gradient_norm,
    "alpha_skipped_share": alpha_step.info.skipped,
    "alpha_clipped_steps": alpha_step.info.clipped,
    "alpha_min_determinant": evidence.min_determinant,
    "alpha_max_determinant": evidence.max_determinant,
    "alpha_out_of_range_ratio": evidence.out_of_range_ratio,
    "alpha_performance": evidence.performance,
    "advantage_variance": jnp.var(window.advantage, ddof=1),
    "advantage_gradient_variance": jnp.sum(centred**2) / (samples.shape[0] - 1),
  }


def _check(config: Config) -> None:
  check_surrogate(config)
  if config.alpha.rule == "safe":
    check_safe(config)
    check_no_optimism(config)
  else:
    check_alpha(config)


def _idle(config: Config) -> dict[str, str]:
  if config.alpha.rule == "paper":
    return {"safe": "alpha.rule = 'paper'; allowed: config.alpha.*"} | idle_optimism(config)
  names = (f"alpha.{name}" for name in fields_of(AlphaConfig) if name != "rule")
  return dict.fromkeys(names, "alpha.rule = 'safe'; allowed: config.safe.*") | idle_optimism(config)


SPEC = AlgorithmSpec(
  name="gippo",
  label="GI-PPO",
  groups={"alpha": AlphaConfig, "safe": SafeConfig, **GROUPS},
  make=make,
  needs_environment_gradients=True,
  check=_check,
  idle=_idle,
  shown={"alpha": "alpha", "alpha_clipped_steps": "clipped"},
  summary="gradient-informed PPO (Son et al. 2023): a step along the advantage's gradient, then PPO",
)
