"""RP-DP and RP-DR: the policy's gradient through `h` steps of a learned model, with action-value critics behind them.

Zhang, Liu, Wang, Zhao, "Model-Based Reparameterization Policy Gradient Methods: Theory and Practical Algorithms",
NeurIPS 2023. RP-DP takes its starts from past transitions and goes on with predictions; RP-DR goes along the steps of
the epoch's window and takes only derivatives from the model (`learning.value_expansion`). The rest is soft actor-critic
on past transitions: critics regress onto one-step targets, and the entropy's weight follows a target with a schedule.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.flatten_util import ravel_pytree

from gippo_jax.algorithms.base import (
  Algorithm,
  Fitted,
  Metrics,
  begin_epoch,
  collect,
  critic_linear_rate,
  gather_epoch,
  init_state,
)
from gippo_jax.algorithms.expansion_config import ExpansionConfig, check, idle
from gippo_jax.algorithms.gradient_step import SHOWN
from gippo_jax.envs.base import PyTree
from gippo_jax.learning import world_model
from gippo_jax.learning.action_value import (
  ActionCritics,
  Experience,
  in_units_of_rewards,
  regression_loss,
  soft_targets,
  with_action_critics,
)
from gippo_jax.learning.agents import after_step
from gippo_jax.learning.ensemble import least
from gippo_jax.learning.normalization import RunningStatistics
from gippo_jax.learning.optimization import Optimizer, linear_rate, make_optimizer, value_and_flat_gradient
from gippo_jax.learning.policies import Policy, policy_of
from gippo_jax.learning.setup import Setup
from gippo_jax.learning.state import TrainingState
from gippo_jax.learning.temperature import Temperature, adapt_temperature, init_temperature, scheduled_target
from gippo_jax.learning.value_expansion import Agent, Expansion, Recorded, expand, segments_of
from gippo_jax.learning.world_model import ModelConfig, ModelState, Transition
from gippo_jax.registry import AlgorithmSpec


class ExpansionState(struct.PyTreeNode):
  """What is kept from epoch to epoch.

  Attributes:
    moments: the actor's optimiser state.
    temperature: of the entropy.
  """

  moments: optax.ScaleByAdamState
  temperature: Temperature


class Learners(NamedTuple):
  """What the gradient steps of an epoch move; the fields are those of `TrainingState` and `ExpansionState`."""

  actor: PyTree
  moments: optax.ScaleByAdamState
  critic: PyTree
  target_critic: PyTree
  critic_moments: optax.ScaleByAdamState
  temperature: Temperature


class Epoch(NamedTuple):
  """What the gradient steps of an epoch do not move.

  Attributes:
    setup: environments, networks, hyper-parameters.
    networks: the setup's.
    optimizer: of the actor, the critics and the temperature.
    acting: the policy of the window, which normalises observations.
    statistics: of rewards.
    model: fitted to all transitions, the window's among them.
    draw: starts of expansions `[B, O]` from a key, and the steps recorded from there on, if they are to be used.
    rate, critic_rate: of actor and critics.
    target_entropy: of the policy.
  """

  setup: Setup
  networks: ActionCritics
  optimizer: Optimizer
  acting: Policy
  statistics: RunningStatistics
  model: ModelState
  draw: Callable[[jax.Array], tuple[jax.Array, Recorded | None]]
  rate: jax.Array
  critic_rate: jax.Array
  target_entropy: jax.Array

  def values(self, critic: PyTree, obs: jax.Array, action: jax.Array) -> jax.Array:
    """Each critic's value of squashed actions at normalised observations, in the rewards' unit, `[K, B]`."""
    raw = self.networks.action_values(critic, obs, action)
    return in_units_of_rewards(raw, self.statistics) if self.setup.config.normalize_values else raw

  def experience(self, batch: Transition) -> Experience:
    """Transitions as the critics see them."""
    return Experience(
      obs=self.acting.normalize(batch.obs),
      action=batch.action,
      reward=batch.reward,
      reached=self.acting.normalize(batch.obs + batch.change),
      terminal=batch.terminal,
    )

  def targets(self, learners: Learners, batch: Experience, key: jax.Array) -> jax.Array:
    """The critics' targets for a batch, `[B]`."""
    noise = jax.random.normal(key, batch.action.shape, batch.action.dtype)
    values = functools.partial(self.values, learners.target_critic)
    discount, alpha = self.setup.config.discount, learners.temperature.alpha
    return soft_targets(self.networks, learners.actor, values, batch, noise, discount, alpha)

  def expand(self, learners: Learners, actor: PyTree, key: jax.Array) -> Expansion:
    """Expansions of random starts, differentiable in the actor."""
    own: ExpansionConfig = self.setup.config.expansion
    draw_key, noise_key = jax.random.split(key)
    start, recorded = self.draw(draw_key)
    noise = jax.random.normal(noise_key, (own.horizon + 1, len(start), self.setup.action_size), start.dtype)
    agent = Agent(
      policy=lambda obs: self.networks.policy(actor, self.acting.normalize(obs)),
      predict=functools.partial(world_model.predict, self.model, self.setup.config.model),
      value=lambda obs, action: least(self.values(learners.critic, self.acting.normalize(obs), action)),
      discount=self.setup.config.discount,
      alpha=learners.temperature.alpha,
    )
    return expand(agent, start, noise, recorded)


def step_critics(epoch: Epoch, learners: Learners, key: jax.Array) -> tuple[Learners, Metrics]:
  """One step of the critics on past transitions, and of the targets after them."""
  own: ExpansionConfig = epoch.setup.config.expansion
  draw_key, target_key = jax.random.split(key)
  batch = epoch.experience(epoch.model.buffer.draw(draw_key, (own.minibatch_size,)))
  targets = epoch.targets(learners, batch, target_key)
  loss, gradient = value_and_flat_gradient(
    lambda critic: regression_loss(functools.partial(epoch.values, critic), batch, targets)
  )(learners.critic)
  flat, unravel = ravel_pytree(learners.critic)
  flat, moments, info = epoch.optimizer.step(flat, learners.critic_moments, gradient, epoch.critic_rate)
  critic, decay = unravel(flat), own.target_decay
  target = jax.tree.map(lambda slow, fast: decay * slow + (1.0 - decay) * fast, learners.target_critic, critic)
  return learners._replace(critic=critic, target_critic=target, critic_moments=moments), {
    "critic_loss": loss,
    "critic_gradient_norm": info.gradient_norm,
    "critic_skipped_share": info.skipped,
  }


def step_actor(epoch: Epoch, learners: Learners, key: jax.Array) -> tuple[Learners, Metrics]:
  """One step of the actor up the mean expansion over its number of terms, and of the temperature."""
  own: ExpansionConfig = epoch.setup.config.expansion

  def loss_of(actor: PyTree) -> tuple[jax.Array, Expansion]:
    expansion = epoch.expand(learners, actor, key)
    return -jnp.mean(expansion.total) / (own.horizon + 1), expansion

  (loss, expansion), gradient = value_and_flat_gradient(loss_of, has_aux=True)(learners.actor)
  flat, unravel = ravel_pytree(learners.actor)
  flat, moments, info = epoch.optimizer.step(flat, learners.moments, gradient, epoch.rate)
  actor = after_step(epoch.networks, unravel(flat))
  entropy = jnp.mean(expansion.entropy)
  temperature = adapt_temperature(
    learners.temperature, entropy, epoch.target_entropy, epoch.optimizer, own.temperature_rate, weight=1.0
  )
  return learners._replace(actor=actor, moments=moments, temperature=temperature), {
    "actor_loss": loss,
    "actor_gradient_norm": info.gradient_norm,
    "actor_skipped_share": info.skipped,
    "actor_clipped_steps": info.clipped,
    "model_nonfinite_predictions": 1.0 - jnp.mean(expansion.finite.astype(loss.dtype)),
    "expansion_entropy": entropy,
    "expansion_temperature": learners.temperature.alpha,
  }


def _make(setup: Setup, on_real_samples: bool) -> Algorithm:
  own: ExpansionConfig = setup.config.expansion
  setup, networks = with_action_critics(setup, own.num_critics)
  config = setup.config
  optimizer = make_optimizer(config, config.adam.beta1, config.adam.beta2)

  def init(key: jax.Array) -> TrainingState:
    key, model_key = jax.random.split(key)
    temperature = init_temperature(own.initial_temperature, optimizer)
    state = init_state(setup, key, lambda actor: ExpansionState(optimizer.init(actor), temperature))
    model = world_model.init_model(model_key, setup.observation_size, setup.action_size, config.model)
    return state.replace(model=model)

  def update(state, draws=None):
    key, draws = begin_epoch(setup, state, draws)
    environment, window = collect(setup, state, draws.noise)
    acting = policy_of(setup, state.policy)
    final_obs = acting.observation_statistics.denormalize(window.reached) if acting.normalizes else window.reached
    batch, usable = world_model.transitions_of(window, environment.current.obs, final_obs)
    model, model_metrics = world_model.fit(world_model.remember(state.model, batch, usable), config.model)

    def draw(key: jax.Array) -> tuple[jax.Array, Recorded | None]:
      if on_real_samples:
        reached = (batch.obs + batch.change).reshape(final_obs.shape)
        return segments_of(window, reached, own.horizon, own.minibatch_size, key)
      return model.buffer.draw(key, (own.minibatch_size,)).obs, None

    epoch = Epoch(
      setup=setup,
      networks=networks,
      optimizer=optimizer,
      acting=acting,
      statistics=state.value_statistics.update(window.reward.reshape(-1)),
      model=model,
      draw=draw,
      rate=linear_rate(own.learning_rate, own.final_learning_rate, state.epoch, config.num_epochs),
      critic_rate=critic_linear_rate(config, state),
      target_entropy=scheduled_target(
        setup.action_size,
        own.target_entropy,
        own.final_target_entropy,
        own.target_power,
        state.epoch,
        config.num_epochs,
      ),
    )
    learners = Learners(
      actor=state.actor,
      moments=state.algorithm.moments,
      critic=state.critic,
      target_critic=state.target_critic,
      critic_moments=state.critic_moments,
      temperature=state.algorithm.temperature,
    )

    def step(learners: Learners, key: jax.Array) -> tuple[Learners, Metrics]:
      critic_key, actor_key = jax.random.split(key)
      learners, critic_metrics = step_critics(epoch, learners, critic_key)
      learners, actor_metrics = step_actor(epoch, learners, actor_key)
      return learners, critic_metrics | actor_metrics

    learners, metrics = jax.lax.scan(step, learners, jax.random.split(draws.key, own.num_steps))
    next_state, episode_metrics = gather_epoch(
      setup,
      state,
      key=key,
      environment=environment,
      window=window,
      actor=learners.actor,
      algorithm=ExpansionState(learners.moments, learners.temperature),
      fitted=Fitted(learners.critic, learners.target_critic, learners.critic_moments, epoch.statistics, model),
    )
    rates = {"actor_learning_rate": epoch.rate, "critic_learning_rate": epoch.critic_rate}
    return next_state, jax.tree.map(jnp.mean, metrics) | rates | model_metrics | episode_metrics

  return Algorithm(init, update)


def make_dp(setup: Setup) -> Algorithm:
  """RP-DP."""
  return _make(setup, on_real_samples=False)


def make_dr(setup: Setup) -> Algorithm:
  """RP-DR."""
  return _make(setup, on_real_samples=True)


def _spec(name: str, label: str, make: Callable[[Setup], Algorithm], summary: str) -> AlgorithmSpec:
  return AlgorithmSpec(
    name=name,
    label=label,
    groups={"expansion": ExpansionConfig, "model": ModelConfig},
    make=make,
    check=check,
    idle=idle,
    shown=SHOWN | {"model_loss": "model", "expansion_temperature": "temperature"},
    summary=summary,
  )


DP = _spec("rp_dp", "RP-DP", make_dp, "h steps that a learned model predicts, an action-value critic behind them")
DR = _spec(
  "rp_dr", "RP-DR", make_dr, "h real steps and a learned model's derivatives, an action-value critic behind them"
)
