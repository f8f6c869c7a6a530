"""Critics of an action in a state, `Q(s, a)`, and their regression (soft actor-critic; Haarnoja et al., ICML 2018)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gippo_jax.config import ActorConfig
from gippo_jax.envs.base import PyTree
from gippo_jax.fields import Real
from gippo_jax.learning import gaussian
from gippo_jax.learning.agents import Networks, actor_in_order, after_step, make_networks
from gippo_jax.learning.ensemble import least
from gippo_jax.learning.normalization import RunningStatistics
from gippo_jax.learning.setup import Setup


class ActionCritics(NamedTuple):
  """Networks whose critics see the squashed action beside the observation; see `agents.Networks`.

  Attributes:
    networks: with the actor.
    critics: made for observations with the action behind them; their actor is not used.
    num_critics: whose least value counts (Fujimoto et al., ICML 2018); each has parameters of its own.
  """

  networks: Networks
  critics: Networks
  num_critics: int

  def init(self, key: jax.Array, config: ActorConfig) -> tuple[PyTree, PyTree]:
    """Draws the parameters of the actor, and of all critics as a tuple."""
    actor_key, *keys = jax.random.split(key, 1 + self.num_critics)
    return self.networks.init(actor_key, config)[0], tuple(self.critics.init(key, config)[1] for key in keys)

  def policy(self, actor: PyTree, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and log standard deviation at normalised observations."""
    return self.networks.policy(actor, obs)

  def value(self, critic: PyTree, obs: jax.Array) -> jax.Array:
    """0: an observation without an action has no value here."""
    del critic
    return jnp.zeros(obs.shape[:-1], obs.dtype)

  def action_values(self, critic: PyTree, obs: jax.Array, action: jax.Array) -> jax.Array:
    """Each critic's value of squashed actions at normalised observations, `[num_critics, ...]`."""
    both = jnp.concatenate([obs, action], axis=-1)
    return jnp.stack([self.critics.value(one, both) for one in critic])

  def in_order(self, actor: PyTree) -> list[jax.Array]:
    """The actor's parameters in the networks' own order."""
    return [actor_in_order(self.networks, actor)]

  def after_step(self, actor: PyTree) -> PyTree:
    """As the networks have it."""
    return after_step(self.networks, actor)


def with_action_critics(setup: Setup, num_critics: int) -> tuple[Setup, ActionCritics]:
  """A setup whose critics are of that kind, made by the factory that the configuration names, and its networks."""
  actor, critic = setup.config.actor.replace(spectral_norm=False), setup.config.critic
  critics = make_networks(setup.observation_size + setup.action_size, setup.action_size, actor, critic)
  networks = ActionCritics(setup.networks, critics, num_critics)
  return setup._replace(networks=networks), networks


class Experience(NamedTuple):
  """Steps to regress on, `[B, ...]`.

  Attributes:
    obs, action, reward: normalised observation, squashed action, and what it brought.
    reached: normalised observation behind the step, before any reset.
    terminal: 1 where nothing is worth anything after it.
  """

  obs: jax.Array
  action: jax.Array
  reward: jax.Array
  reached: jax.Array
  terminal: jax.Array


def in_units_of_rewards(raw: jax.Array, rewards: RunningStatistics) -> jax.Array:
  """What critics put out, times the root mean square of the rewards, `[...]`; raw 0 stays 0, as behind an early end.

  The unit is not that of the regression's own targets: those hold the critics' values, so that a unit that follows them
  follows itself, and grows without end.
  """
  return raw * jnp.sqrt(rewards.mean**2 + rewards.deviation**2)


# From normalised observations and squashed actions to each critic's value, in the rewards' unit.
ActionValues = Callable[[jax.Array, jax.Array], jax.Array]


def soft_targets(
  networks: Networks,
  actor: PyTree,
  values: ActionValues,
  batch: Experience,
  noise: jax.Array,
  discount: Real,
  alpha: Real,
) -> jax.Array:
  """`r + discount (1 - terminal) [min_k Q_k(s', a') - alpha log pi(a' | s')]`, `a'` of the policy; `[B]`.

  Args:
    networks: with the policy.
    actor: its parameters.
    values: of the target critics.
    batch: steps.
    noise: of `a'`, `[B, A]`.
    discount: per step.
    alpha: weight of the entropy.
  """
  mean, log_std = networks.policy(actor, batch.reached)
  action = gaussian.sample(mean, log_std, noise)
  value = least(values(batch.reached, gaussian.squash(action)))
  soft = value - alpha * gaussian.squashed_log_prob(mean, log_std, action)
  return batch.reward + discount * (1.0 - batch.terminal) * soft


def regression_loss(values: ActionValues, batch: Experience, targets: jax.Array) -> jax.Array:
  """Sum over the critics of their mean squared errors."""
  return jnp.sum(jnp.mean((values(batch.obs, batch.action) - targets[None]) ** 2, axis=1))
