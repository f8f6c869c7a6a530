"""Adaptive optimism: the prediction has parameters, learned by meta-gradients through the step that it makes.

With `eta` the prediction's parameters, `theta` the policy's logits and `theta'(eta)` where a step along `U_eta` leads:

  1. `theta' = theta + rate * gradient of sum_s d(s) <U_eta(s), pi_theta(s)>`, one or several steps; or the mirror step.
  2. Evaluate the policy of `theta'`. The next step needs this evaluation anyway.
  3. `eta <- decay * eta + meta_rate * (dtheta' / deta)' g`, `g` where `theta'` should have gone on to: the
     gradient of the return there (hindsight), or of `-sum_s d(s) KL(pi_target || pi_theta')` for a target policy.

The abstract of Chelu, Zahavy, Guez, Precup, Flennerhag ("Acceleration in Policy Optimization", 2023) says in words what
is done; the equations are a reconstruction.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gippo_jax.envs.base import PyTree
from gippo_jax.experiments.measurements import optimism_problems as problems
from gippo_jax.experiments.measurements.optimism_gradients import policy_gradient, surrogate_gradient
from gippo_jax.experiments.measurements.optimism_problems import Evaluation, Problem

_WIDTH = 16

# Maps a policy `[S, A]`, the evaluation of the one before it and a key to its evaluation.
Evaluate = Callable[[jax.Array, Evaluation, jax.Array], Evaluation]


class Rule(NamedTuple):
  """What does not change along a run and is part of the program.

  Attributes:
    family: of predictions: `scalar`, `state`, `momentum`, `table`, `network`, `direction`.
    inner: `gradient`, `mirror`, or `identity`, which takes `U` as the change of the logits.
    num_inner: steps of `gradient`.
    target: `hindsight`, `anticipated`, `bootstrap`, `lookahead`, `expert`.
    depth: steps of `bootstrap`, backups of `lookahead`.
  """

  family: str
  inner: str = "gradient"
  num_inner: int = 1
  target: str = "hindsight"
  depth: int = 1


class Rates(NamedTuple):
  """Numbers of a run, scalars.

  Attributes:
    rate: of the policy's step.
    meta_rate: of the prediction's step; at 0 nothing adapts.
    decay: of the prediction's parameters.
    initial: value of the first parameters of `scalar`, `state` and `momentum`.
  """

  rate: jax.Array
  meta_rate: jax.Array
  decay: jax.Array
  initial: jax.Array


class Progress(NamedTuple):
  """Where a run is.

  Attributes:
    logits: of the policy, `[S, A]`.
    logits_before: of the step before.
    evaluation: of the policy.
    action_values_before: of the step before, `[S, A]`.
    eta: parameters of the prediction.
  """

  logits: jax.Array
  logits_before: jax.Array
  evaluation: Evaluation
  action_values_before: jax.Array
  eta: PyTree


def exactly(problem: Problem) -> Evaluate:
  """Evaluation by linear solves."""
  return lambda policy, before, key: problems.evaluate(problem, policy)


def init_eta(rule: Rule, problem: Problem, initial: jax.Array, key: jax.Array) -> PyTree:
  """The prediction's first parameters; unless `initial` says otherwise, with them `U = Q` (`direction`: 0)."""
  if rule.family in ("scalar", "momentum"):
    return initial
  if rule.family == "state":
    return jnp.full((problem.reward.shape[0], 1), initial)
  if rule.family == "network":
    return {
      "hidden": jax.random.normal(key, (3, _WIDTH)) / 3**0.5,
      "shift": jnp.linspace(-1.0, 1.0, _WIDTH),
      "out": jnp.zeros(_WIDTH),
    }
  return jnp.zeros_like(problem.reward)


def predict(rule: Rule, eta: PyTree, now: Progress, rate: jax.Array) -> jax.Array:
  """`U_eta`, `[S, A]`."""
  action_values = now.evaluation.action_values
  if rule.family in ("scalar", "state"):
    return action_values + eta * (action_values - now.action_values_before)
  if rule.family == "momentum":
    return action_values + eta * (jax.nn.log_softmax(now.logits) - jax.nn.log_softmax(now.logits_before)) / rate
  if rule.family == "network":
    inputs = jnp.stack([action_values, now.action_values_before, jax.nn.log_softmax(now.logits)], axis=-1)
    hidden = jnp.tanh(inputs @ eta["hidden"] + eta["shift"][None, None])
    return action_values + hidden @ eta["out"]
  return eta if rule.family == "direction" else action_values + eta


def inner_update(rule: Rule, logits: jax.Array, prediction: jax.Array, visits: jax.Array, rate: jax.Array) -> jax.Array:
  """Logits after the step along a prediction."""
  if rule.inner == "identity":
    return logits + prediction
  if rule.inner == "mirror":
    return jax.nn.log_softmax(logits + rate * prediction)

  def step(_, logits):
    return logits + rate * surrogate_gradient(logits, prediction, visits)

  return jax.lax.fori_loop(0, rule.num_inner, step, logits)


def update(rule: Rule, eta: PyTree, now: Progress, rate: jax.Array) -> jax.Array:
  """`theta'(eta)`, `[S, A]`."""
  return inner_update(rule, now.logits, predict(rule, eta, now, rate), now.evaluation.visits, rate)


def _plain_update(rule: Rule, logits: jax.Array, action_values: jax.Array, visits: jax.Array, rate: jax.Array):
  plain = rule._replace(inner="mirror" if rule.inner == "mirror" else "gradient", num_inner=1)
  return inner_update(plain, logits, action_values, visits, rate)


def wanted(
  rule: Rule, problem: Problem, now: Progress, reached: Progress, rates: Rates, evaluate: Evaluate, key: jax.Array
) -> jax.Array:
  """The direction in which `theta'` should have been moved, `[S, A]`.

  Args:
    rule: names the target.
    problem: whose return is maximised.
    now: before the step.
    reached: after the step, its `eta` the one that made the step.
    rates: of the run.
    evaluate: how policies are evaluated.
    key: of what it draws.
  """
  if rule.target == "hindsight":
    return policy_gradient(reached.logits, reached.evaluation)
  if rule.target == "anticipated":
    ahead = update(rule, jax.tree.map(lambda x: rates.decay * x, reached.eta), reached, rates.rate)
    return policy_gradient(ahead, evaluate(jax.nn.softmax(ahead), reached.evaluation, key))
  if rule.target == "bootstrap":

    def further(carry, key):
      logits, evaluation = carry
      logits = _plain_update(rule, logits, evaluation.action_values, evaluation.visits, rates.rate)
      return (logits, evaluate(jax.nn.softmax(logits), evaluation, key)), None

    keys = jax.random.split(key, rule.depth)
    (target, _), _ = jax.lax.scan(further, (reached.logits, reached.evaluation), keys)
  else:
    values = problems.optimal_values(problem)
    if rule.target == "lookahead":
      values = problems.improve(problem, now.evaluation.values, rule.depth)
    target = _plain_update(rule, now.logits, problems.action_values(problem, values), now.evaluation.visits, rates.rate)
  # The gradient of -KL(target || pi) by the logits of pi.
  difference = jax.nn.softmax(target) - jax.nn.softmax(reached.logits)
  return now.evaluation.visits[:, None] * difference


def meta_gradient(rule: Rule, now: Progress, rate: jax.Array) -> tuple[jax.Array, Callable[[jax.Array], PyTree]]:
  """`theta'`, and the map from a direction `[S, A]` to `(dtheta' / deta)'` times it."""
  reached, pull = jax.vjp(lambda eta: update(rule, eta, now, rate), now.eta)
  return reached, lambda direction: pull(direction)[0]


def adapt(
  problem: Problem,
  rule: Rule,
  rates: Rates,
  first: Evaluation,
  logits: jax.Array,
  num_steps: int,
  evaluate: Evaluate,
  key: jax.Array,
) -> jax.Array:
  """A run of the adaptive rule.

  Args:
    problem: whose return is maximised.
    rule: what it does.
    rates: its numbers.
    first: evaluation of the first policy; with zeros in it the first step goes nowhere.
    logits: of the first policy, `[S, A]`.
    num_steps: of the policy.
    evaluate: how all other policies are evaluated.
    key: of the first parameters and of what the evaluation draws.

  Returns:
    Logits before each step, `[num_steps, S, A]`.
  """
  eta_key, steps_key = jax.random.split(key)

  def advance(now: Progress, key):
    evaluation_key, target_key = jax.random.split(key)
    logits, pull = meta_gradient(rule, now, rates.rate)
    evaluation = evaluate(jax.nn.softmax(logits), now.evaluation, evaluation_key)
    reached = Progress(logits, now.logits, evaluation, now.evaluation.action_values, now.eta)
    slope = pull(wanted(rule, problem, now, reached, rates, evaluate, target_key))
    eta = jax.tree.map(lambda old, slope: rates.decay * old + rates.meta_rate * slope, now.eta, slope)
    return reached._replace(eta=eta), now.logits

  eta = init_eta(rule, problem, rates.initial, eta_key)
  start = Progress(logits, logits, first, first.action_values, eta)
  return jax.lax.scan(advance, start, jax.random.split(steps_key, num_steps))[1]
