"""Soft analytic policy optimisation (SAPO; Xing, Luk, Oh, ICLR 2025): SHAC with maximum entropy.

The actor maximises discounted rewards and normalised entropies, `r_t + alpha H_t`, to the end of the window, behind
which the mean of the critics stands; the critics regress onto lambda-returns of the same sums with the least of their
values. Entropies are of the squashed action, from one fresh sample a state, and `alpha` follows a target.
"""

import jax
import jax.numpy as jnp

from gippo_jax.algorithms.base import Algorithm
from gippo_jax.algorithms.gradient_step import SHOWN, Estimate, RateConfig, gradient_step_algorithm
from gippo_jax.algorithms.rp import total_return
from gippo_jax.config import Config
from gippo_jax.envs.base import PyTree
from gippo_jax.fields import Real, integer, real
from gippo_jax.learning import gaussian
from gippo_jax.learning.advantages import segment_discounts
from gippo_jax.learning.agents import Networks
from gippo_jax.learning.ensemble import make_ensemble, with_critics
from gippo_jax.learning.gradient_health import drop_nonfinite
from gippo_jax.learning.optimization import Optimizer, linear_rate, value_and_flat_gradient
from gippo_jax.learning.rollout import Window, collect_with_gradient, revalue
from gippo_jax.learning.setup import Setup
from gippo_jax.learning.state import TrainingState
from gippo_jax.learning.temperature import adapt_temperature, init_temperature, normalized_entropy, target_entropy
from gippo_jax.registry import AlgorithmSpec


class SAPOConfig(RateConfig):
  """SHAC with an entropy bonus and several critics."""

  initial_temperature: Real = real(1.0, "weight of the entropy in the first epoch (alpha)", minimum=0)
  temperature_rate: Real = real(
    5e-3, "Adam rate of its logarithm in the first epoch, falling linearly to 0; 0 keeps the weight", minimum=0
  )
  num_critics: int = integer(2, "critics: their mean is the actor's, the least of them the targets'")
  target_decay: Real = real(0.0, "in the place of critic.target_decay: 0 means no target critic", minimum=0, maximum=1)


def sampled_entropy(mean: jax.Array, log_std: jax.Array, noise: jax.Array) -> jax.Array:
  """`-log pi(tanh a)` at one sample `a` a state: the squashed action's entropy in the mean, `[..., A] -> [...]`."""
  return -gaussian.squashed_log_prob(mean, log_std, gaussian.sample(mean, log_std, noise))


def soft_loss(
  networks: Networks,
  actor: PyTree,
  window: Window,
  return_gradient: jax.Array,
  entropy_noise: jax.Array,
  entropy_weight: jax.Array,
) -> jax.Array:
  """A function of the actor whose gradient is minus that of the soft return (compare `rp.reparameterized_loss`).

  The parameters reach it through the actions, and through the entropies at the observations, which are held fixed.

  Args:
    networks: actor and critics.
    actor: parameters of the policy.
    window: rolled out by it.
    return_gradient: derivative of the soft return by each action, `[T, N, A]`, finite.
    entropy_noise: of the entropies' samples, `[T, N, A]`.
    entropy_weight: of each normalised entropy in the return, `[T, N]`.
  """
  # What is not finite is replaced before the network: behind it, 0 * NaN would still reach the parameters.
  usable = jnp.all(jnp.isfinite(jnp.concatenate([window.observation, window.mean, window.log_std], axis=-1)), axis=-1)
  mean, log_std = networks.policy(actor, jnp.where(usable[..., None], window.observation, 0.0))
  action = gaussian.sample(mean, log_std, jnp.where(usable[..., None], window.noise, 0.0))
  entropy = normalized_entropy(sampled_entropy(mean, log_std, entropy_noise), target_entropy(mean.shape[-1]))
  return -jnp.sum(return_gradient * action) - jnp.sum(jnp.where(usable, entropy_weight, 0.0) * entropy)


def soft_rewards(window: Window, alpha: Real, entropy_noise: jax.Array) -> tuple[jax.Array, jax.Array]:
  """`r_t + alpha H_t`, and the entropies themselves, not normalised; `[T, N]` each."""
  entropy = sampled_entropy(window.mean, window.log_std, entropy_noise)
  return window.reward + alpha * normalized_entropy(entropy, target_entropy(window.mean.shape[-1])), entropy


def estimate_soft_return(
  setup: Setup, state: TrainingState, noise: jax.Array, entropy_noise: jax.Array, alpha: Real
) -> Estimate:
  """Window, and gradient of minus its mean soft return.

  Args:
    setup: environments, networks, hyper-parameters.
    state: before the epoch.
    noise: `eps` of every action, `[T, N, A]`.
    entropy_noise: of the entropies' samples, `[T, N, A]`.
    alpha: weight of the entropies.
  """
  discount = setup.config.discount
  gae_lambda = jnp.ones_like(discount)

  def objective(window: Window) -> jax.Array:
    return total_return(window.replace(reward=soft_rewards(window, alpha, entropy_noise)[0]), discount, gae_lambda)

  environment, window, return_gradient = collect_with_gradient(objective, setup, state, noise)
  return_gradient, metrics = drop_nonfinite(return_gradient)
  weight = alpha * segment_discounts(window.segment_start, discount)
  _, gradient = value_and_flat_gradient(
    lambda actor: soft_loss(setup.networks, actor, window, return_gradient, entropy_noise, weight)
  )(state.actor)
  num_samples = window.reward.size
  return Estimate(environment, window, -objective(window) / num_samples, gradient / num_samples, metrics)


def make(setup: Setup) -> Algorithm:
  """SAPO."""
  own: SAPOConfig = setup.config.sapo
  adam = setup.config.adam
  optimizer = Optimizer(adam.beta1, adam.beta2, max_norm=None)
  of_targets = with_critics(setup, own.num_critics, True, own.target_decay)
  of_actor = of_targets._replace(networks=make_ensemble(setup.networks, own.num_critics, pessimistic=False))

  def estimate(setup, state, draws):
    temperature = state.algorithm.own
    entropy_noise = jax.random.normal(draws.key, draws.noise.shape, draws.noise.dtype)
    estimated = estimate_soft_return(setup, state, draws.noise, entropy_noise, temperature.alpha)
    reward, entropy = soft_rewards(estimated.window, temperature.alpha, entropy_noise)
    mean_entropy = jnp.mean(entropy)
    rate = linear_rate(own.temperature_rate, 0.0, state.epoch, setup.config.num_epochs)
    target = target_entropy(setup.action_size)
    return estimated._replace(
      window=revalue(of_targets, state, estimated.window, reward),
      metrics=estimated.metrics | {"sapo_temperature": temperature.alpha, "sapo_entropy": mean_entropy},
      own=adapt_temperature(temperature, mean_entropy, target, optimizer, rate),
    )

  return gradient_step_algorithm(of_actor, estimate, own, init_temperature(own.initial_temperature, optimizer))


def idle(config: Config) -> dict[str, str]:
  """A field of the critic that SAPO has its own of."""
  del config
  return {"critic.target_decay": "algorithm = 'sapo'; allowed: config.sapo.target_decay"}


SPEC = AlgorithmSpec(
  name="sapo",
  label="SAPO",
  groups={"sapo": SAPOConfig},
  make=make,
  needs_environment_gradients=True,
  idle=idle,
  shown=SHOWN | {"sapo_temperature": "temperature", "sapo_entropy": "entropy"},
  summary="soft analytic policy optimisation (Xing et al. 2025): SHAC with maximum entropy and two critics",
)
