"""What an algorithm is, and the parts of an epoch that all algorithms share."""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from gippo_jax.config import Config
from gippo_jax.envs.base import PyTree
from gippo_jax.envs.wrappers import EpisodeState
from gippo_jax.fields import Real
from gippo_jax.learning import rollout
from gippo_jax.learning.advantages import standardize
from gippo_jax.learning.agents import after_step
from gippo_jax.learning.critic import Convergence, fit_critic
from gippo_jax.learning.normalization import RunningStatistics, init_statistics
from gippo_jax.learning.optimization import linear_rate, make_optimizer
from gippo_jax.learning.rollout import Window
from gippo_jax.learning.setup import Setup
from gippo_jax.learning.state import PolicyState, TrainingState, init_return_tracker

Metrics = dict[str, jax.Array]

_NEAR_LIMIT = math.atanh(0.99)


class Draws(NamedTuple):
  """Everything random in an epoch besides the environments' own starts.

  Attributes:
    noise: `eps` of every action, `[T, N, A]`.
    key: for whatever else the algorithm draws.
    permutation: order of the environment-major samples, `[N * T]`; `None` is drawn from `key` by the algorithm that
      needs one (LR+RP).
  """

  noise: jax.Array
  key: jax.Array
  permutation: jax.Array | None = None


class Update(Protocol):
  """One epoch."""

  def __call__(self, state: TrainingState, draws: Draws | None = None) -> tuple[TrainingState, Metrics]:
    """The state after the epoch and its metrics; `draws`, when given, replaces what the state's key would draw."""
    ...


class Algorithm(NamedTuple):
  """A pair of pure functions, after optax's `GradientTransformation`; made of a `Setup` where a program is traced.

  Attributes:
    init: the state before the first epoch, from a random key.
    update: one epoch.
  """

  init: Callable[[jax.Array], TrainingState]
  update: Update


class Fitted(NamedTuple):
  """What an epoch learned beside the policy.

  Attributes:
    critic, target_critic, critic_moments, value_statistics, model: as in `TrainingState`.
  """

  critic: PyTree
  target_critic: PyTree
  critic_moments: optax.ScaleByAdamState
  value_statistics: RunningStatistics
  model: PyTree


def init_state(setup: Setup, key: jax.Array, init_algorithm: Callable[[PyTree], PyTree]) -> TrainingState:
  """State before the first epoch.

  Args:
    setup: environments, networks, hyper-parameters.
    key: random key of the run.
    init_algorithm: maps the actor's parameters to the algorithm's own state.

  Returns:
    The state; the target critic equals the critic.
  """
  env, networks, config = setup.env, setup.networks, setup.config
  key, network_key, environment_key = jax.random.split(key, 3)
  actor, critic = networks.init(network_key, config.actor)
  environment = env.reset(environment_key)
  observation_statistics = init_statistics((setup.observation_size,), config.statistics_prior)
  return TrainingState(
    key=key,
    epoch=jnp.zeros((), jnp.int32),
    actor=actor,
    critic=critic,
    target_critic=jax.tree.map(jnp.copy, critic),
    critic_moments=make_optimizer(config, config.adam.beta1, config.adam.beta2).init(critic),
    algorithm=init_algorithm(actor),
    environment=environment,
    episode_start=jnp.ones_like(environment.current.reward),
    observation_statistics=observation_statistics,
    value_statistics=init_statistics(prior=config.statistics_prior),
    returns=init_return_tracker(config.num_envs).without(environment.steps > 0),
    best_policy=jax.tree.map(jnp.copy, PolicyState(actor, observation_statistics)),
  )


def begin_epoch(setup: Setup, state: TrainingState, draws: Draws | None) -> tuple[jax.Array, Draws]:
  """Splits the state's key into the next epoch's and this epoch's draws; `draws`, when given, wins."""
  key, noise_key, other_key = jax.random.split(state.key, 3)
  if draws is not None:
    return key, draws
  shape = (setup.config.horizon, setup.config.num_envs, setup.action_size)
  return key, Draws(jax.random.normal(noise_key, shape), other_key)


def end_epoch(
  setup: Setup,
  state: TrainingState,
  *,
  key: jax.Array,
  environment: EpisodeState,
  window: Window,
  actor: PyTree,
  algorithm: PyTree,
  critic_rate: Real,
  convergence: Convergence | None = None,
) -> tuple[TrainingState, Metrics]:
  """Fits the critic, and the model of an algorithm that has one, and gathers the next state.

  The critic's update and the actor's do not read each other, so their order inside an epoch is free.

  Args:
    setup: environments, networks, hyper-parameters.
    state: before the epoch.
    key: of the epochs to come.
    environment: the batch after the window.
    window: the epoch's experience.
    actor: parameters of the policy after the epoch.
    algorithm: the algorithm's own state after the epoch.
    critic_rate: rate of the critic in this epoch.
    convergence: as for `critic.fit_critic`.

  Returns:
    State after the epoch, and the metrics every algorithm has.
  """
  critic, target_critic, moments, value_statistics, metrics = fit_critic(setup, state, window, critic_rate, convergence)
  model = state.model
  if setup.learn is not None:
    model, model_metrics = setup.learn(model, window, environment.current.obs)
    metrics |= model_metrics
  next_state, own_metrics = gather_epoch(
    setup,
    state,
    key=key,
    environment=environment,
    window=window,
    actor=actor,
    algorithm=algorithm,
    fitted=Fitted(critic, target_critic, moments, value_statistics, model),
  )
  return next_state, metrics | own_metrics


def gather_epoch(
  setup: Setup,
  state: TrainingState,
  *,
  key: jax.Array,
  environment: EpisodeState,
  window: Window,
  actor: PyTree,
  algorithm: PyTree,
  fitted: Fitted,
) -> tuple[TrainingState, Metrics]:
  """The next state of an epoch whose critic is fitted.

  Args:
    setup, state, key, environment, window, actor, algorithm: as for `end_epoch`.
    fitted: what else the epoch learned.

  Returns:
    State after the epoch, and metrics of its episodes.
  """
  # An episode with a failed step is in no mean.
  returns = state.returns.update(jnp.where(window.fault > 0, jnp.nan, window.reward), window.done)
  improved = returns.best > state.returns.best
  observation_statistics = state.observation_statistics
  if setup.config.normalize_observations:
    observation_statistics, _ = jax.lax.scan(
      lambda statistics, batch: (statistics.update(batch), None), observation_statistics, window.raw_observation
    )
  next_state = TrainingState(
    key=key,
    epoch=state.epoch + 1,
    actor=after_step(setup.networks, actor),
    critic=fitted.critic,
    target_critic=fitted.target_critic,
    critic_moments=fitted.critic_moments,
    algorithm=algorithm,
    environment=environment,
    episode_start=window.done[-1],
    observation_statistics=observation_statistics,
    value_statistics=fitted.value_statistics,
    returns=returns,
    best_policy=jax.tree.map(lambda new, old: jnp.where(improved, new, old), state.policy, state.best_policy),
    model=fitted.model,
  )
  metrics = {
    "return": returns.mean,
    "best_return": returns.best,
    "episodes": returns.finished,
    "episodes_nonfinite": returns.rejected - state.returns.rejected,
  }
  metrics |= _fault_metrics(window)
  metrics["action_limit_share"] = _limit_share(window.action)
  return next_state, metrics


def _fault_metrics(window: Window) -> Metrics:
  """Share of the steps that failed, and where the first of them was: its step in the window, and its environment."""
  first = jnp.argmax(window.fault.ravel() > 0).astype(jnp.int32)
  step, environment = jnp.divmod(first, window.fault.shape[1])
  return {"fault_share": jnp.mean(window.fault), "fault_step": step, "fault_environment": environment}


def _limit_share(action: jax.Array) -> jax.Array:
  """Share of the entries of unsquashed actions, `[T, N, A]`, that the environment gets within 1 % of their bound."""
  return jnp.mean((jnp.abs(action) > _NEAR_LIMIT).astype(action.dtype))


def collect(setup: Setup, state: TrainingState, noise: jax.Array) -> tuple[EpisodeState, Window]:
  """Window without any derivative."""
  return jax.lax.stop_gradient(rollout.collect(setup, state, state.actor, noise))


def critic_linear_rate(config: Config, state: TrainingState) -> jax.Array:
  """The critic's rate in this epoch, falling linearly."""
  return linear_rate(config.critic.learning_rate, config.critic.final_learning_rate, state.epoch, config.num_epochs)


def policy_advantage(config: Config, advantage: jax.Array) -> jax.Array:
  """The advantages that policy losses see: standardised over the window if so configured."""
  return standardize(advantage) if config.normalize_advantages else advantage


def environment_major(x: jax.Array) -> jax.Array:
  """`[T, N, ...] -> [N * T, ...]`, each environment's steps side by side."""
  return jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:])
