"""The return of `h` steps through a model, with an action-value critic behind them: model value expansion.

  `J_h(s_0) = sum_{i<h} discount^i (r_i + alpha H_i) + discount^h (Q(s_h, a_h) + alpha H_h)`, `H_i = -log pi(a_i | s_i)`

Zhang, Liu, Wang, Zhao, "Model-Based Reparameterization Policy Gradient Methods", NeurIPS 2023. On predictions (RP-DP)
the states behind the first are the model's. On real samples (RP-DR) states, actions and rewards are recorded ones, the
noises of policy and model being those that reproduced them; only derivatives are the networks'. A policy that has moved
on since keeps the noise, as RPO does. Inferred anew, the noise of an action that it has left behind would point against
the way it went, and every further step on the same record would narrow the policy.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gippo_jax.envs.decoupled import Prediction, with_derivative_of
from gippo_jax.fields import Real
from gippo_jax.learning import gaussian
from gippo_jax.learning.rollout import Window


class Recorded(NamedTuple):
  """`h` steps that `B` trajectories went through, `[h, B, ...]`.

  Attributes:
    noise: of the policy that acted.
    action: unsquashed.
    reached: raw observation, before any reset.
    reward: of the step.
    done: 1 where the step ended its episode; what follows is another's.
    terminal: 1 where nothing is worth anything after it.
  """

  noise: jax.Array
  action: jax.Array
  reached: jax.Array
  reward: jax.Array
  done: jax.Array
  terminal: jax.Array


class Agent(NamedTuple):
  """What an expansion asks.

  Attributes:
    policy: mean and log standard deviation, `[B, A]` each, at raw observations `[B, O]`.
    predict: observations and rewards that follow, `[B, O]` and `[B]`, from raw observations and squashed actions.
    value: of squashed actions at raw observations, `[B]`.
    discount: per step.
    alpha: weight of the entropies.
  """

  policy: Callable[[jax.Array], tuple[jax.Array, jax.Array]]
  predict: Prediction
  value: Callable[[jax.Array, jax.Array], jax.Array]
  discount: Real
  alpha: Real


class Expansion(NamedTuple):
  """What an expansion comes to, `[B]`.

  Attributes:
    total: `J_h`.
    entropy: `H_0` of an action drawn now, whatever was recorded: what is recorded tells of the policy that acted.
    finite: whether all predictions were finite, Boolean.
  """

  total: jax.Array
  entropy: jax.Array
  finite: jax.Array


class _Passed(NamedTuple):
  """What a step hands to the next: observation, discount, 1 while the episode goes on, 0 after an early end, sums."""

  obs: jax.Array
  discount: jax.Array
  alive: jax.Array
  worth: jax.Array
  total: jax.Array
  finite: jax.Array


def expand(agent: Agent, start: jax.Array, noise: jax.Array, recorded: Recorded | None = None) -> Expansion:
  """`J_h` of each start, to be differentiated by whatever the policy depends on.

  A recorded episode that ends within the steps has the critic at what it reached, or nothing after an early end.

  Args:
    agent: policy, model and critic.
    start: raw observations `s_0`, `[B, O]`.
    noise: of the policy, `[h + 1, B, A]`; where steps are recorded, only the first, for `H_0`, and the last are used.
    recorded: the steps from `s_0` on, for RP-DR; `None` for RP-DP.
  """
  ones = jnp.ones(start.shape[:1], start.dtype)
  begin = _Passed(start, ones, ones, ones, 0.0 * ones, ones > 0.0)

  def step(passed: _Passed, inputs: tuple[jax.Array, Recorded | None]) -> tuple[_Passed, None]:
    eps, real = inputs
    mean, log_std = agent.policy(passed.obs)
    eps = eps if real is None else real.noise
    action = gaussian.sample(mean, log_std, eps)
    if real is not None:
      action = with_derivative_of(real.action, action)
    reached, reward = agent.predict(passed.obs, gaussian.squash(action))
    finite = passed.finite & jnp.all(jnp.isfinite(reached), axis=-1) & jnp.isfinite(reward)
    entropy = -gaussian.squashed_log_prob_of_noise(log_std, action, eps)
    alive, worth = passed.alive, passed.worth
    if real is not None:
      reached, reward = with_derivative_of(real.reached, reached), with_derivative_of(real.reward, reward)
      reached = jnp.where(passed.alive[:, None] > 0.0, reached, passed.obs)
      worth = worth * (1.0 - passed.alive * real.terminal)
      alive = alive * (1.0 - real.done)
    total = passed.total + passed.alive * passed.discount * (reward + agent.alpha * entropy)
    discount = jnp.where(passed.alive > 0.0, passed.discount * agent.discount, passed.discount)
    return _Passed(reached, discount, alive, worth, total, finite), None

  passed, _ = jax.lax.scan(step, begin, (noise[:-1], recorded))
  action, entropy = _drawn(agent, passed.obs, noise[-1])
  value = agent.value(passed.obs, gaussian.squash(action)) + agent.alpha * entropy
  total = passed.total + passed.discount * passed.worth * value
  return Expansion(total, _drawn(agent, start, noise[0])[1], passed.finite)


def _drawn(agent: Agent, obs: jax.Array, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
  """An action of the policy, unsquashed, `[B, A]`, and minus its log density, `[B]`."""
  mean, log_std = agent.policy(obs)
  action = gaussian.sample(mean, log_std, noise)
  return action, -gaussian.squashed_log_prob_of_noise(log_std, action, noise)


def segments_of(
  window: Window, reached: jax.Array, length: int, number: int, key: jax.Array
) -> tuple[jax.Array, Recorded]:
  """Stretches of a window at random.

  Args:
    window: `T` steps of `N` environments.
    reached: raw observations behind each step, before any reset, `[T, N, O]`.
    length: steps of a stretch, at most `T`.
    number: of stretches, `B`.
    key: random.

  Returns:
    Raw observations where they begin, `[B, O]`, and their steps, `[length, B, ...]`.
  """
  num_steps, num_envs = window.reward.shape
  place = jax.random.randint(key, (number,), 0, (num_steps - length + 1) * num_envs)
  first, environment = jnp.divmod(place, num_envs)
  steps = first[None] + jnp.arange(length)[:, None]
  leaves = (window.noise, window.action, reached, window.reward, window.done, window.worthless)
  recorded = Recorded(*(leaf[steps, environment[None]] for leaf in leaves))
  return window.raw_observation[first, environment], recorded
