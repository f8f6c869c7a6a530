"""Total propagation (TP): RP whose derivatives are mixed with the likelihood ratio's at every step of the way back.

Parmas, Rasmussen, Peters, Doya, "PIPPS: Flexible Model-Based Policy Search Robust to the Curse of Chaos", ICML 2018.
Here the environments are the particles, the policy's noise is the only noise, and the critic stands behind the window's
end, as in `algorithms.rp`, whose objective this is.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from gippo_jax.algorithms.base import Algorithm
from gippo_jax.algorithms.gradient_step import SHOWN, Estimate, LambdaRateConfig, gradient_step_algorithm
from gippo_jax.algorithms.rp import rp_loss
from gippo_jax.config import Config
from gippo_jax.envs.wrappers import EpisodeState
from gippo_jax.errors import UserError
from gippo_jax.fields import Real
from gippo_jax.learning import gaussian
from gippo_jax.learning.advantages import generalized_advantages, segment_discounts
from gippo_jax.learning.agents import gradient_variance
from gippo_jax.learning.float_leaves import float_leaves
from gippo_jax.learning.output_gradients import likelihood_ratio
from gippo_jax.learning.policies import policy_of
from gippo_jax.learning.rollout import Window, collect_with_states, next_value_of
from gippo_jax.learning.setup import Setup
from gippo_jax.learning.state import PolicyState, TrainingState
from gippo_jax.learning.total_propagation import Dynamics, Mixer, Steps, Swept, by_parameter_variance, sweep
from gippo_jax.registry import AlgorithmSpec


class Transition(NamedTuple):
  """What going back through a step of the environments needs.

  Attributes:
    environment: the batch before the step.
    action: unsquashed.
    passed_on: share of the return from the next step on, `[..., N]`.
    next_value_share: share of the value of what the step reached, `[..., N]`.
  """

  environment: EpisodeState
  action: jax.Array
  passed_on: jax.Array
  next_value_share: jax.Array


def sweep_window(
  setup: Setup,
  state: TrainingState,
  window: Window,
  states: EpisodeState,
  gae_lambda: Real,
  mixer: Mixer = by_parameter_variance,
) -> Swept:
  """Gradient of the mean over the environments of their segments' lambda-returns, by total propagation.

  The return from a step on is `R_t = r_t + discount ((1 - lambda) V'(s_{t+1}) + lambda R_{t+1})`, the value alone at
  the ends of the window and of episodes.

  Args:
    setup: environments, networks, hyper-parameters.
    state: before the window.
    window: rolled out by the state's actor.
    states: the environments before each step, `[T, N, ...]`.
    gae_lambda: of the returns.
    mixer: of the two messages.
  """
  acting = policy_of(setup, PolicyState(state.actor, state.observation_statistics))

  def outputs(actor, obs):
    return setup.networks.policy(actor, acting.normalize(obs))

  def variance(actor, obs):
    return gradient_variance(setup.networks, actor, acting.normalize(obs))

  floats, join = float_leaves(jax.tree.map(lambda leaf: leaf[0], states))

  def observe(message, by_obs):
    batch = join(message)
    obs = batch.current.obs + by_obs
    return float_leaves(batch.replace(current=batch.current.replace(obs=obs)))[0]

  start = [jnp.zeros_like(leaf) for leaf in floats]
  steps = make_steps(setup, window, states, gae_lambda)
  return sweep(state.actor, outputs, _dynamics(setup, state), observe, start, steps, mixer, variance)


def make_steps(setup: Setup, window: Window, states: EpisodeState, gae_lambda: Real) -> Steps:
  """The window as a sweep takes it."""
  discount = setup.config.discount
  advantage = generalized_advantages(window.reward, window.value, window.next_value, window.done, discount, gae_lambda)
  decay = discount * gae_lambda
  passed_on = jnp.where(window.done > 0, 0.0, decay).at[-1].set(0.0)
  return Steps(
    dynamics=Transition(states, window.action, passed_on, discount - passed_on),
    obs=window.raw_observation,
    noise=window.noise,
    likelihood_ratio=likelihood_ratio(advantage, window.noise),
    scale=segment_discounts(window.segment_start, decay),
  )


def _dynamics(setup: Setup, state: TrainingState) -> Dynamics:
  """The way back through a step of the batch of environments, and through the critic behind it."""

  def back(message, step):
    floats, join = float_leaves(step.environment)

    def forward(floats, action):
      reached = setup.env.step(join(floats), gaussian.squash(action))
      return float_leaves(reached)[0], reached.current.reward, next_value_of(setup, state, reached)

    _, pull_back = jax.vjp(forward, floats, step.action)
    # Selected, not multiplied by 0: what comes of another episode may be no number.
    passed = [_times(step.passed_on, leaf) for leaf in message]
    return pull_back((passed, jnp.ones_like(step.passed_on), step.next_value_share))

  return back


def _times(factor: jax.Array, leaf: jax.Array) -> jax.Array:
  factor = jnp.asarray(factor.reshape(-1, *[1] * (leaf.ndim - 1)), leaf.dtype)
  return jnp.where(factor > 0, factor * leaf, jnp.zeros_like(leaf))


def make(setup: Setup) -> Algorithm:
  """TP."""

  def estimate(setup, state, draws):
    gae_lambda = setup.config.tp.gae_lambda
    environment, window, states = collect_with_states(setup, state, draws.noise)
    swept = sweep_window(setup, state, window, states, gae_lambda)
    num_envs = window.reward.shape[1]
    gradient = -ravel_pytree(swept.gradient)[0] * (num_envs / jnp.sum(window.segment_start))
    metrics = {"tp_likelihood_ratio_share": jnp.mean(swept.weight), "sample_gradient_dropped": jnp.mean(swept.dropped)}
    return Estimate(environment, window, rp_loss(window, setup.config.discount, gae_lambda), gradient, metrics)

  return gradient_step_algorithm(setup, estimate, setup.config.tp)


def check(config: Config) -> None:
  """Variances are over the environments. (Over a window of one step, as the functions have, it mixes once.)

  Raises:
    UserError: for one environment alone.
  """
  if config.num_envs < 2:
    raise UserError(f"config.num_envs: {config.num_envs} is not allowed with the algorithm 'tp'; allowed: at least 2")


SPEC = AlgorithmSpec(
  name="tp",
  label="TP",
  groups={"tp": LambdaRateConfig},
  make=make,
  needs_environment_gradients=True,
  check=check,
  shown=SHOWN | {"tp_likelihood_ratio_share": "likelihood ratio"},
  summary="total propagation (Parmas et al. 2018): RP and likelihood ratio mixed at every step of the way back",
)
