"""Evaluation of tabular policies from sampled episodes, by lambda-returns; lambda = 1 is Monte Carlo."""

import jax
import jax.numpy as jnp

from gippo_jax.experiments.measurements.optimism_meta import Evaluate
from gippo_jax.experiments.measurements.optimism_problems import Evaluation, Problem


def sampled(problem: Problem, num_episodes: int, length: int, trace_decay: jax.Array) -> Evaluate:
  """Evaluation from episodes under the policy.

  `G_t = r_t + discount ((1 - lambda) V(s_(t+1)) + lambda G_(t+1))`, with `V` of the last estimate of `Q` under the
  policy, and `G = V` at the end of an episode. `Q(s, a)` is the mean of `G` over the visits; without a visit it stays.
  Visits are counted, discounted.

  Args:
    problem: which is sampled.
    num_episodes: of an evaluation.
    length: of an episode, steps.
    trace_decay: lambda, a scalar.
  """

  def evaluate(policy: jax.Array, before: Evaluation, key: jax.Array) -> Evaluation:
    start_key, steps_key = jax.random.split(key)
    values = jnp.sum(policy * before.action_values, axis=1)
    up_to_action, up_to_state = jnp.cumsum(policy, axis=1), jnp.cumsum(problem.transition, axis=2)

    def step(state, uniform):
      action = _draw(up_to_action[state], uniform[0])
      reached = _draw(up_to_state[state, action], uniform[1])
      return reached, (state, action, reached)

    start = _draw(jnp.cumsum(problem.start)[None], jax.random.uniform(start_key, (num_episodes,)))
    uniforms = jax.random.uniform(steps_key, (length, 2, num_episodes))
    last, (state, action, reached) = jax.lax.scan(step, start, uniforms)

    def backward(later, now):
      reward, value = now
      later = reward + problem.discount * ((1.0 - trace_decay) * value + trace_decay * later)
      return later, later

    reward = problem.reward[state, action]
    _, returns = jax.lax.scan(backward, values[last], (reward, values[reached]), reverse=True)
    counts = jnp.zeros_like(policy).at[state, action].add(1.0)
    totals = jnp.zeros_like(policy).at[state, action].add(returns)
    action_values = jnp.where(counts > 0.0, totals / jnp.maximum(counts, 1.0), before.action_values)
    weight = problem.discount ** jnp.arange(length).astype(policy.dtype) / num_episodes
    visits = jnp.zeros(problem.reward.shape[0]).at[state].add(jnp.broadcast_to(weight[:, None], state.shape))
    return Evaluation(jnp.sum(policy * action_values, axis=1), action_values, visits)

  return evaluate


def _draw(cumulative: jax.Array, uniform: jax.Array) -> jax.Array:
  """Indices by inversion: cumulative probabilities `[N, K]`, uniform numbers `[N]`; rounding cannot lead beyond `K`."""
  below = jnp.sum(cumulative <= uniform[:, None], axis=1)
  return jnp.minimum(below, cumulative.shape[1] - 1)
