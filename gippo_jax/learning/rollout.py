"""Rollout of a window of experience, and the gradient of its advantages by one backward pass."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct

from gippo_jax.envs.base import PyTree
from gippo_jax.envs.wrappers import EpisodeState
from gippo_jax.learning import advantages, gaussian
from gippo_jax.learning.gradient_flow import cut_gradient, scale_gradient
from gippo_jax.learning.policies import policy_of
from gippo_jax.learning.setup import Setup
from gippo_jax.learning.sharding import apply_by_environment, spread
from gippo_jax.learning.state import PolicyState, TrainingState

_LARGEST_OBSERVATION = 1e6


class Window(struct.PyTreeNode):
  """`T` steps of `N` environments, time-major.

  Attributes:
    raw_observation: as the environment gave it, `[T, N, O]`.
    observation: normalised by the statistics of the window's start, `[T, N, O]`.
    noise: the `eps` of each action, `[T, N, A]`.
    action: unsquashed, `[T, N, A]`.
    mean, log_std: the policy that drew the action, `[T, N, A]`.
    reward: `[T, N]`.
    done: 1 where the step ended its episode, `[T, N]`.
    fault: 1 where the step's action or result was not finite, `[T, N]`.
    value: target critic's value of `observation`, `[T, N]`.
    reached: normalised observation that the step reached, before any reset, `[T, N, O]`.
    worthless: 1 where nothing is worth anything after the step: an early end, `[T, N]`.
    next_value: the target critic's value of `reached`, 0 where that is worthless, `[T, N]`.
    episode_start: 1 where the step begins an episode, `[T, N]`.
    advantage: `[T, N]`.
    target: lambda-return that the critic regresses onto, `[T, N]`.
  """

  raw_observation: jax.Array
  observation: jax.Array
  noise: jax.Array
  action: jax.Array
  mean: jax.Array
  log_std: jax.Array
  reward: jax.Array
  done: jax.Array
  fault: jax.Array
  value: jax.Array
  reached: jax.Array
  worthless: jax.Array
  next_value: jax.Array
  episode_start: jax.Array
  advantage: jax.Array
  target: jax.Array

  @property
  def segment_start(self) -> jax.Array:
    """1 where a segment begins: at the window's start and at every episode's, `[T, N]`."""
    return advantages.segment_starts(self.episode_start)


def collect(
  setup: Setup,
  state: TrainingState,
  actor: PyTree,
  noise: jax.Array,
  perturbation: jax.Array | None = None,
  between_steps: Callable[[EpisodeState], EpisodeState] = lambda environment: environment,
  before_policy: Callable[[jax.Array], jax.Array] = lambda obs: obs,
) -> tuple[EpisodeState, Window]:
  """Runs the policy for a window, differentiable in `actor` and `perturbation`.

  Args:
    setup: environments, networks, hyper-parameters.
    state: where the last window ended; no gradient reaches it.
    actor: parameters of the policy.
    noise: `eps` of every action, `[T, N, A]`.
    perturbation: added to every action, `[T, N, A]`; `None` adds nothing.
    between_steps: identity on the batch of environments, put between two steps to change the derivatives that pass.
    before_policy: identity on normalised observations, put before the policy to the same end.

  Returns:
    The batch of environments after the window, and the window.
  """
  environment, window, _ = _roll(setup, state, actor, noise, perturbation, between_steps, before_policy)
  return environment, window


def collect_with_states(
  setup: Setup, state: TrainingState, noise: jax.Array
) -> tuple[EpisodeState, Window, EpisodeState]:
  """Window of the state's actor without any derivative, and the batch of environments before each of its steps.

  Returns:
    The batch of environments after the window, the window, and the batches before the steps, `[T, N, ...]`.
  """
  environment, window, states = _roll(setup, state, state.actor, noise, keep_states=True)
  assert states is not None
  return environment, jax.lax.stop_gradient(window), states


def _roll(
  setup: Setup,
  state: TrainingState,
  actor: PyTree,
  noise: jax.Array,
  perturbation: jax.Array | None = None,
  between_steps: Callable[[EpisodeState], EpisodeState] = lambda environment: environment,
  before_policy: Callable[[jax.Array], jax.Array] = lambda obs: obs,
  cut: jax.Array | None = None,
  keep_states: bool = False,
) -> tuple[EpisodeState, Window, EpisodeState | None]:
  env, networks, config = setup.env, setup.networks, setup.config
  acting = policy_of(setup, PolicyState(actor, state.observation_statistics))

  def step(environment, step_inputs):
    (eps, shift), is_cut = step_inputs
    environment = between_steps(environment)
    if is_cut is not None:
      environment = cut_gradient(environment, is_cut)
    raw = environment.current.obs
    obs = acting.normalize(raw)
    mean, log_std = networks.policy(actor, before_policy(obs))
    action = gaussian.sample(mean, log_std, eps)
    if shift is not None:
      action = action + shift
    reached = env.step(environment, gaussian.squash(action))
    seen = (raw, obs, action, mean, log_std, reached.final_obs, reached.current, reached.done, reached.fault)
    return reached, (seen, environment if keep_states else None)

  if config.rematerialize:
    step = jax.checkpoint(step)
  inputs = spread((noise, perturbation), axis=1)
  environment, steps = jax.lax.scan(step, spread(state.environment, axis=0), (inputs, cut))
  (raw, obs, action, mean, log_std, final_obs, transition, done, fault), states = steps

  reward = transition.reward
  reached, is_worthless = _usable(acting.normalize(final_obs), transition.terminated, done)
  worthless = is_worthless.astype(reward.dtype)
  value, next_value = _values(setup, state, obs, reached, worthless)
  episode_start = jnp.concatenate([state.episode_start[None], done[:-1]])
  advantage = advantages.generalized_advantages(reward, value, next_value, done, config.discount, config.gae_lambda)
  window = Window(
    raw_observation=raw,
    observation=obs,
    noise=noise,
    action=action,
    mean=mean,
    log_std=log_std,
    reward=reward,
    done=done,
    fault=fault,
    value=value,
    reached=reached,
    worthless=worthless,
    next_value=next_value,
    episode_start=episode_start,
    advantage=advantage,
    target=advantages.lambda_returns(reward, next_value, done, config.discount, config.gae_lambda),
  )
  return environment, window, states


def revalue(setup: Setup, state: TrainingState, window: Window, reward: jax.Array) -> Window:
  """The window with the values of another setup's networks, advantages and targets of another reward, `[T, N]`."""
  config = setup.config
  value, next_value = _values(setup, state, window.observation, window.reached, window.worthless)
  advantage = advantages.generalized_advantages(
    reward, value, next_value, window.done, config.discount, config.gae_lambda
  )
  target = advantages.lambda_returns(reward, next_value, window.done, config.discount, config.gae_lambda)
  return window.replace(value=value, next_value=next_value, advantage=advantage, target=target)


def _values(
  setup: Setup, state: TrainingState, obs: jax.Array, reached: jax.Array, worthless: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Target critic's values of the observations acted on and of those reached.

  They are two evaluations, so that an algorithm that needs those reached alone pays for no others.
  """

  def values(x):
    return apply_by_environment(lambda x: value_of(setup, state, x), x, axis=1)

  return values(obs), jnp.where(worthless > 0, 0.0, values(reached))


def value_of(setup: Setup, state: TrainingState, obs: jax.Array) -> jax.Array:
  """Target critic's value of normalised observations, `[..., O] -> [...]`."""
  raw = setup.networks.value(state.target_critic, obs)
  return state.value_statistics.denormalize(raw) if setup.config.normalize_values else raw


def next_value_of(setup: Setup, state: TrainingState, reached: EpisodeState) -> jax.Array:
  """Target critic's value of what a step reached, 0 after an early end; `[N]`."""
  acting = policy_of(setup, PolicyState(state.actor, state.observation_statistics))
  obs, worthless = _usable(acting.normalize(reached.final_obs), reached.current.terminated, reached.done)
  return jnp.where(worthless, 0.0, value_of(setup, state, obs))


def _usable(reached: jax.Array, terminated: jax.Array, done: jax.Array) -> tuple[jax.Array, jax.Array]:
  """What the critic is asked of the observations reached, and where its answer counts for nothing."""
  # NaN compares false, so that it counts as unusable. The network's input is replaced, not its output: a `where` after
  # the network would still multiply the NaN's derivative by zero.
  usable = jnp.all(jnp.abs(reached) <= _LARGEST_OBSERVATION, axis=-1)
  ended_badly = (done > 0) & ~usable
  reached = jnp.where(ended_badly[..., None], jnp.zeros_like(reached), reached)
  return reached, (terminated > 0) | ended_badly


def collect_with_gradient(
  objective: Callable[[Window], jax.Array],
  setup: Setup,
  state: TrainingState,
  noise: jax.Array,
  between_steps: Callable[[EpisodeState], EpisodeState] = lambda environment: environment,
  before_policy: Callable[[jax.Array], jax.Array] = lambda obs: obs,
) -> tuple[EpisodeState, Window, jax.Array]:
  """Window of the state's actor, and the derivative of a number made of it by each action.

  Args:
    objective: that number.
    setup, state, noise, between_steps, before_policy: as for `collect`.

  Returns:
    The batch of environments after the window, the window, and the derivatives, `[T, N, A]`.
  """

  def of_perturbation(perturbation):
    environment, window = collect(setup, state, state.actor, noise, perturbation, between_steps, before_policy)
    return objective(window), (environment, window)

  gradient, (environment, window) = jax.grad(of_perturbation, has_aux=True)(jnp.zeros_like(noise))
  return environment, window, gradient


def collect_in_pieces(
  objective: Callable[[Window], jax.Array], setup: Setup, state: TrainingState, noise: jax.Array, cut: jax.Array
) -> tuple[EpisodeState, Window, jax.Array, EpisodeState]:
  """As `collect_with_gradient`, with cuts, and the batch of environments before each step as `collect_with_states`.

  Args:
    objective: the number that is differentiated.
    setup, state, noise: as for `collect`.
    cut: where no derivative passes from the step before, Boolean, `[T]`.

  Returns:
    The batch of environments after the window, the window, the derivatives, `[T, N, A]`, and the batches before the
    steps, `[T, N, ...]`.
  """

  def of_perturbation(perturbation):
    environment, window, states = _roll(setup, state, state.actor, noise, perturbation, cut=cut, keep_states=True)
    return objective(window), (environment, window, states)

  gradient, (environment, window, states) = jax.grad(of_perturbation, has_aux=True)(jnp.zeros_like(noise))
  assert states is not None
  return environment, window, gradient, states


def collect_with_advantage_gradient(
  setup: Setup, state: TrainingState, noise: jax.Array
) -> tuple[EpisodeState, Window, jax.Array]:
  """Window and `G_t = dA_t / da_t`, the total derivative of each advantage by its own action.

  The derivative runs through the dynamics, the reward, the target critic at later observations and the policy's later
  actions, the noise held fixed (Eq. 3). One backward pass gives all of them: since `A_t` is the sum of
  `(discount lambda)^k delta_{t+k}`, the sum of all `delta_t` is differentiated with every derivative that passes from
  one step to the next multiplied by `discount * lambda`. Dividing the gradient of each segment's first advantage by
  `(discount lambda)^(t - t0)` gives the same numbers, but underflows over long windows and for lambda = 0.

  Args:
    setup, state, noise: as for `collect`.

  Returns:
    The batch of environments after the window, the window, and `G`, `[T, N, A]`.
  """
  discount = setup.config.discount
  decay = discount * setup.config.gae_lambda

  def total_delta(window):
    return jnp.sum(window.reward + discount * window.next_value - window.value)

  return collect_with_gradient(total_delta, setup, state, noise, lambda batch: scale_gradient(batch, decay))
