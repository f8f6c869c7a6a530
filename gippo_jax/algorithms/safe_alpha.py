"""The safe rule of GI-PPO's alpha step: a natural step along a mixture of two estimates, in place of alpha.

One epoch, as `update` below runs it; derivation and guarantees are in docs/safe_alpha.md:

  1. Roll out `pi_old` and differentiate each advantage by its action (Eq. 1 to 3), long derivatives clipped.
  2. Two estimates of the gradient by the policy's outputs, reparameterised and by likelihood ratio, mixed step by step
     and output by output by inverse variance, the first one unless the second has contradicted it in past epochs.
  3. The natural direction of the mixture, and a step of a given divergence along it: `pi_alpha`.
  4. PPO from `pi_alpha` on the mixture of `pi_old` and `pi_alpha` (Eq. 10 and 11), its displacement limited by a
     divergence of its own: whatever the environment's gradients are worth, PPO goes on.
  5. Fit the critic (Eq. 12).
  6. Go back to the best policy if the returns say that this one has lost what it had learnt.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax.flatten_util import ravel_pytree

from gippo_jax.algorithms.base import Algorithm, Metrics, begin_epoch, critic_linear_rate, end_epoch, init_state
from gippo_jax.algorithms.clipped_surrogate import SurrogateState, init_surrogate, minimize_surrogate
from gippo_jax.algorithms.mixture import mixture_ratio
from gippo_jax.algorithms.safe_config import done_share, remaining_share
from gippo_jax.config import Config
from gippo_jax.envs.base import PyTree
from gippo_jax.learning import gaussian
from gippo_jax.learning.agreement import Agreement, init_agreement, measure, trust_of
from gippo_jax.learning.gradient_health import drop_nonfinite
from gippo_jax.learning.held import Held, divergence_at, hold, init_memory, remember
from gippo_jax.learning.natural import natural_direction, products
from gippo_jax.learning.output_gradients import clip_at_medians, likelihood_ratio, mix_by_step, reparameterized
from gippo_jax.learning.policies import Gaussian
from gippo_jax.learning.rollback import Snapshot, init_snapshot, roll_back
from gippo_jax.learning.rollout import Window, collect_with_advantage_gradient
from gippo_jax.learning.setup import Setup
from gippo_jax.learning.sharding import apply_by_environment, spread
from gippo_jax.learning.trust_region import shorten

# The share of the divergence that the quadratic estimate aims at.
_AIM = 0.9


class SafeState(struct.PyTreeNode):
  """The safe rule's own state.

  Attributes:
    surrogate: optimiser state and base rate of PPO.
    memory: raw observations of past windows, `[T, N // 2, O]`.
    agreement: of the two estimates.
    snapshot: what the training goes back to.
  """

  surrogate: SurrogateState
  memory: jax.Array
  agreement: Agreement
  snapshot: Snapshot


class NaturalStep(NamedTuple):
  """The step to `pi_alpha`.

  Attributes:
    actor: parameters of `pi_alpha`.
    policy: it, at the window's observations, `[T, N, A]` each.
    agreement: of the two estimates, with this epoch.
    metrics: what the step was like.
  """

  actor: PyTree
  policy: Gaussian
  agreement: Agreement
  metrics: Metrics


class Mixture(NamedTuple):
  """The policy gradient by the outputs `(mu / sigma_old, log sigma)`, in units of the advantage's deviation.

  Attributes:
    samples: of the gradient, `[T, N, 2 A]`.
    weight: of the reparameterised estimate, `[T, 2 A]`.
    agreement: of the two estimates.
    metrics: how they were mixed.
  """

  samples: jax.Array
  weight: jax.Array
  agreement: Agreement
  metrics: Metrics


def mixed_gradient(
  config: Config, window: Window, gradient: jax.Array, agreement: Agreement, along: jax.Array
) -> Mixture:
  """Mixes the two estimates.

  Args:
    config: hyper-parameters.
    window: the epoch's experience, under `pi_old`.
    gradient: `G_t = dA_t / da_t`, `[T, N, A]`.
    agreement: of the two estimates in the epochs before.
    along: change of the outputs along the direction of `agreement`, `[T, N, 2 A]`.
  """
  usable = jnp.all(jnp.isfinite(gradient), axis=-1)
  gradient, metrics = drop_nonfinite(gradient)
  gradient, clipped = clip_at_medians(gradient, window.log_std, config.safe.clip_medians)
  # Whatever the reward's unit: variances are compared, and their squares must not leave the numbers' range.
  deviation = jnp.std(window.advantage)
  scale = jnp.where(deviation > 0.0, 1.0 / jnp.where(deviation > 0.0, deviation, 1.0), 0.0)
  first = reparameterized(gradient * scale, window.log_std, window.noise)
  second = likelihood_ratio(window.advantage * scale, window.noise)
  agreement = measure(agreement, along, first, second, usable, config.safe.trust_decay)
  trust = trust_of(agreement, config.safe.trust_deviations)
  mixed, weight = mix_by_step(first, second, usable, trust.factor)
  metrics |= {
    "alpha_clipped_samples": clipped,
    "alpha_reparameterized_weight": jnp.mean(weight),
    "alpha_trust": trust.factor,
    "alpha_agreement": trust.deviations,
  }
  return Mixture(mixed, weight, agreement, metrics)


def natural_step(
  setup: Setup,
  actor: PyTree,
  window: Window,
  gradient: jax.Array,
  agreement: Agreement,
  held: Held,
  share: jax.Array,
  key: jax.Array,
) -> NaturalStep:
  """`pi_alpha`: a step of a given divergence from `pi_old` along the natural direction of the mixed gradient.

  Args:
    setup: environments, networks, hyper-parameters.
    actor: parameters of `pi_old`.
    window: the epoch's experience, of which the gradient is made.
    gradient: `G_t`, `[T, N, A]`.
    agreement: of the two estimates in the epochs before.
    held: where the divergence is measured, and what the Fisher matrix is made of.
    share: of the divergence that is left.
    key: for the direction's probes.
  """
  networks, safe = setup.networks, setup.config.safe
  flat, unravel = ravel_pytree(actor)

  def outputs(params, obs, log_std):
    mean, new_log_std = networks.policy(unravel(params), obs)
    return jnp.concatenate([mean * jnp.exp(-log_std), new_log_std], axis=-1)

  # Time and environment as one axis: products of matrices are faster than of stacks of them.
  samples = (window.observation, window.log_std)
  obs, log_std = spread(tuple(x.reshape(-1, x.shape[-1]) for x in samples), axis=0)
  product, transposed = products(lambda params: outputs(params, obs, log_std), flat)
  along = product(agreement.direction).reshape(*window.observation.shape[:2], -1)
  mixture = mixed_gradient(setup.config, window, gradient, agreement, along)
  metrics = mixture.metrics
  mixed = spread(mixture.samples.reshape(obs.shape[0], -1), axis=0)
  by_params = transposed(mixed) / mixed.shape[0]

  weights = jnp.full_like(held.policy.mean, 2.0 * safe.log_std_weight)
  fisher = jnp.concatenate([jnp.ones_like(weights), weights], axis=-1)
  found = natural_direction(
    lambda params: outputs(params, held.observation, held.policy.log_std),
    flat, by_params, fisher, key, safe.damping, safe.num_iterations, safe.num_probes,
  )  # fmt: skip
  limit = safe.divergence * share
  # Half the curvature is the divergence of the direction as it is, to second order. What this misses is mostly within
  # a tenth, so that the step fits at the first attempt, and no rounding decides whether it does.
  usable = jnp.isfinite(found.curvature) & (found.curvature > 0.0)
  length = jnp.where(usable, jnp.sqrt(2.0 * _AIM * limit / jnp.where(usable, found.curvature, 1.0)), 0.0)
  step = jnp.where(usable, length * found.direction, 0.0)

  def divergence(scale):
    return divergence_at(setup, unravel(flat + scale * step), held, safe.log_std_weight)

  shortened = shorten(divergence, limit)
  moved = unravel(flat + shortened.scale * step)
  policy = Gaussian(*apply_by_environment(lambda x: networks.policy(moved, x), window.observation, axis=1))
  metrics |= {
    "alpha_divergence": shortened.divergence,
    "alpha_attempts": shortened.attempts,
    "alpha_residual": found.residual,
    "alpha_kept_share": shortened.scale,
    "alpha_skipped_share": 1.0 - jnp.isfinite(found.curvature).astype(limit.dtype),
  }
  return NaturalStep(moved, policy, mixture.agreement, metrics)


def limit_displacement(
  setup: Setup, start: PyTree, reached: PyTree, held: Held, limit: jax.Array
) -> tuple[PyTree, Metrics]:
  """Parameters between two, as far from the first as a divergence allows.

  Args:
    setup: environments, networks, hyper-parameters.
    start: parameters.
    reached: parameters.
    held: where the divergence is measured; from the policy of `start`.
    limit: of the divergence.
  """
  flat, unravel = ravel_pytree(start)
  displacement = ravel_pytree(reached)[0] - flat
  held = Held(held.observation, Gaussian(*setup.networks.policy(start, held.observation)))
  shortened = shorten(lambda scale: divergence_at(setup, unravel(flat + scale * displacement), held), limit)
  metrics = {"ppo_divergence": shortened.divergence, "ppo_kept_share": shortened.scale}
  return unravel(flat + shortened.scale * displacement), metrics


def make(setup: Setup) -> Algorithm:
  """GI-PPO by the safe rule."""
  config = setup.config

  def init(key):
    state = init_state(setup, key, lambda actor: init_surrogate(config, actor))
    agreement = init_agreement(ravel_pytree(state.actor)[0])
    own = SafeState(state.algorithm, init_memory(setup), agreement, init_snapshot(state))
    return state.replace(algorithm=own)

  def update(state, draws=None):
    key, draws = begin_epoch(setup, state, draws)
    share = remaining_share(config, state.epoch)

    # Steps 1 to 3: experience under pi_old, the mixed gradient, and the natural step to pi_alpha.
    environment, window, gradient = collect_with_advantage_gradient(setup, state, draws.noise)
    probe_key, memory_key = jax.random.split(draws.key)
    memory = remember(state, state.algorithm.memory, window, config.safe.memory_renewal, memory_key)
    held = hold(setup, state, window, memory)
    agreement = state.algorithm.agreement
    step = natural_step(setup, state.actor, window, gradient, agreement, held, share, probe_key)

    # Step 4: PPO from pi_alpha on the mixture, within a divergence of its own.
    log_probs = (
      gaussian.log_prob(window.mean, window.log_std, window.action),
      gaussian.log_prob(*step.policy, window.action),
    )
    reached, surrogate, ppo_metrics = minimize_surrogate(
      setup, state.algorithm.surrogate, state.epoch, step.actor, window, log_probs, mixture_ratio
    )
    actor, kept = limit_displacement(setup, step.actor, reached, held, config.safe.ppo_divergence * share)

    # The next epoch measures along what this one has moved, as long whether early or late in the training.
    moved = ravel_pytree(actor)[0] - ravel_pytree(state.actor)[0]
    direction = moved / jnp.sqrt(jnp.where(share > 0.0, share, 1.0))

    # Steps 5 and 6: the critic, the next state, and whether it is one to go on from.
    agreement = step.agreement.replace(direction=direction)
    next_state, metrics = end_epoch(
      setup,
      state,
      key=key,
      environment=environment,
      window=window,
      actor=actor,
      algorithm=None,
      critic_rate=critic_linear_rate(config, state),
    )
    next_state, snapshot = roll_back(state, next_state, state.algorithm.snapshot, done_share(config, next_state.epoch))
    next_state = next_state.replace(algorithm=SafeState(surrogate, memory, agreement, snapshot))
    metrics |= {"rollbacks": snapshot.count}
    return next_state, metrics | ppo_metrics | kept | step.metrics

  return Algorithm(init, update)
