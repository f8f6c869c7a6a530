"""Optimistic policy mirror descent: a step along a prediction of the next policy's action values.

`pi_next ~ pi exp(rate U)`, the exact solution of `max_pi' sum_s d(s) [<U, pi'> - KL(pi', pi) / rate]`. With `U = Q^pi`
this is the natural policy gradient; optimism predicts `Q` of the policy that the step leads to. (Chelu, Zahavy, Guez,
Precup, Flennerhag, "Acceleration in Policy Optimization", 2023; from its abstract, with equations of our own.)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gippo_jax.experiments.measurements import optimism_problems as problems
from gippo_jax.experiments.measurements.optimism_problems import Problem


class Seen(NamedTuple):
  """What a prediction may look at; in the first step "before" is now.

  Attributes:
    log_policy: `[S, A]`.
    log_policy_before: of the step before.
    values: `V`, `[S]`.
    action_values: `Q`, `[S, A]`.
    action_values_before: of the step before.
  """

  log_policy: jax.Array
  log_policy_before: jax.Array
  values: jax.Array
  action_values: jax.Array
  action_values_before: jax.Array


# Maps the problem, what has been seen, the rate and the strength of the prediction to `U`, `[S, A]`.
Predict = Callable[[Problem, Seen, jax.Array, jax.Array], jax.Array]


def mirror_step(log_policy: jax.Array, prediction: jax.Array, rate: jax.Array) -> jax.Array:
  """`log pi_next = log pi + rate U`, normalised."""
  return jax.nn.log_softmax(log_policy + rate * prediction)


def _action_values_of(problem: Problem, policy: jax.Array) -> jax.Array:
  return problems.action_values(problem, problems.state_values(problem, policy))


def plain(problem: Problem, seen: Seen, rate: jax.Array, strength: jax.Array) -> jax.Array:
  """`Q^pi`: no optimism."""
  del problem, rate, strength
  return seen.action_values


def lazy(problem: Problem, seen: Seen, rate: jax.Array, strength: jax.Array) -> jax.Array:
  """`Q_t + c (Q_t - Q_(t-1))`: optimistic mirror descent, one evaluation a step."""
  del problem, rate
  return seen.action_values + strength * (seen.action_values - seen.action_values_before)


def momentum(problem: Problem, seen: Seen, rate: jax.Array, strength: jax.Array) -> jax.Array:
  """`Q_t + c (log pi_t - log pi_(t-1)) / rate`: heavy ball on the logits."""
  del problem
  return seen.action_values + strength * (seen.log_policy - seen.log_policy_before) / rate


def extragradient(num_rounds: int = 1) -> Predict:
  """`Q` of the policy that a step along the last prediction leads to, begun with `Q^pi`.

  Args:
    num_rounds: evaluations beyond the first. Where the rounds converge, `U = Q^(pi_next)`, the proximal-point step.
  """

  def predict(problem, seen, rate, strength):
    del strength

    def again(_, prediction):
      return _action_values_of(problem, jnp.exp(mirror_step(seen.log_policy, prediction, rate)))

    return jax.lax.fori_loop(0, num_rounds, again, seen.action_values)

  return predict


def correction(problem: Problem, seen: Seen, rate: jax.Array, strength: jax.Array) -> jax.Array:
  """The step to `pi'` along `Q^pi`, and from there one along `Q^pi' - Q^pi`, as the one step that does both.

  With inner problems solved exactly, as here, it is the extragradient.
  """
  del strength
  half_way = mirror_step(seen.log_policy, seen.action_values, rate)
  correcting = _action_values_of(problem, jnp.exp(half_way)) - seen.action_values
  return (mirror_step(half_way, correcting, rate) - seen.log_policy) / rate


def greedy(problem: Problem, seen: Seen, rate: jax.Array, strength: jax.Array) -> jax.Array:
  """`Q` of the policy that is greedy for `Q^pi`."""
  del rate, strength
  return _action_values_of(problem, problems.greedy(seen.action_values))


def lookahead(num_backups: int) -> Predict:
  """`r + discount P (T*)^h V^pi`: forward search; `h = 0` is the plain step."""

  def predict(problem, seen, rate, strength):
    del rate, strength
    return problems.action_values(problem, problems.improve(problem, seen.values, num_backups))

  return predict


def expert(problem: Problem, seen: Seen, rate: jax.Array, strength: jax.Array) -> jax.Array:
  """`Q*`: a hint that no learner has."""
  del seen, rate, strength
  return problems.action_values(problem, problems.optimal_values(problem))


class Prediction(NamedTuple):
  """A prediction as the laboratory compares it.

  Attributes:
    predict: the function.
    cost: of a step, in words.
    strength: `c`.
  """

  predict: Predict
  cost: str
  strength: float = 1.0


PREDICTIONS = {
  "plain": Prediction(plain, "1 evaluation"),
  "lazy": Prediction(lazy, "1 evaluation"),
  "momentum": Prediction(momentum, "1 evaluation", 0.9),
  "extragradient": Prediction(extragradient(), "2 evaluations"),
  "correction": Prediction(correction, "2 evaluations"),
  "greedy": Prediction(greedy, "2 evaluations"),
  "lookahead 4": Prediction(lookahead(4), "1 evaluation, 4 backups"),
  "lookahead 16": Prediction(lookahead(16), "1 evaluation, 16 backups"),
  "expert": Prediction(expert, "the solution"),
}


def descend(
  problem: Problem, predict: Predict, logits: jax.Array, rate: jax.Array, strength: jax.Array, num_steps: int
) -> jax.Array:
  """Steps along predictions.

  Args:
    problem: whose return is maximised.
    predict: the prediction.
    logits: of the first policy, `[S, A]`.
    rate: of every step.
    strength: `c` of lazy and momentum.
    num_steps: their number.

  Returns:
    Log-probabilities before each step, `[num_steps, S, A]`.
  """

  def advance(carry, _):
    log_policy, log_policy_before, action_values_before = carry
    values = problems.state_values(problem, jnp.exp(log_policy))
    current = problems.action_values(problem, values)
    seen = Seen(log_policy, log_policy_before, values, current, action_values_before)
    reached = mirror_step(log_policy, predict(problem, seen, rate, strength), rate)
    return (reached, log_policy, current), log_policy

  start = jax.nn.log_softmax(logits)
  first = _action_values_of(problem, jnp.exp(start))
  return jax.lax.scan(advance, (start, start, first), None, length=num_steps)[1]
