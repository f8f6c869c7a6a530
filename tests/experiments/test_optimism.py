"""Optimism: identities of predictions and of meta-gradients, what mirror descent promises, and measured figures."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gippo_jax.experiments.measurements import optimism_predictions as predictions
from gippo_jax.experiments.measurements import optimism_problems as problems
from gippo_jax.experiments.measurements import optimism_runs as runs
from gippo_jax.experiments.measurements.optimism_gradients import METHODS, ascend, policy_gradient
from gippo_jax.experiments.measurements.optimism_meta import (
  Progress,
  Rates,
  Rule,
  adapt,
  exactly,
  init_eta,
  inner_update,
  meta_gradient,
  update,
  wanted,
)
from gippo_jax.experiments.measurements.optimism_predictions import Seen, mirror_step
from gippo_jax.experiments.measurements.optimism_problems import Problem
from gippo_jax.experiments.measurements.optimism_sampling import sampled
from tests.commands import call, check_error

STATES, ACTIONS = 5, 3
RATE = jnp.asarray(0.7)


def random_problem(key, discount=0.9):
  transition_key, reward_key, start_key = jax.random.split(key, 3)
  return Problem(
    transition=jax.random.dirichlet(transition_key, jnp.ones(STATES), (STATES, ACTIONS)),
    reward=jax.random.normal(reward_key, (STATES, ACTIONS)),
    discount=jnp.asarray(discount),
    start=jax.random.dirichlet(start_key, jnp.ones(STATES)),
  )


def random_logits(key):
  return jax.random.normal(key, (STATES, ACTIONS))


slope_of = jax.jit(jax.grad(problems.performance, argnums=1))


def seen_by(problem, logits, logits_before):
  policy, before = jax.nn.softmax(logits), jax.nn.softmax(logits_before)
  evaluation = problems.evaluate(problem, policy)
  before_values = problems.evaluate(problem, before).action_values
  return Seen(jnp.log(policy), jnp.log(before), evaluation.values, evaluation.action_values, before_values)


@functools.cache
def example():
  """A problem, logits, and what a prediction sees of them."""
  keys = jax.random.split(jax.random.key(3), 3)
  problem, logits, before = random_problem(keys[0]), random_logits(keys[1]), random_logits(keys[2])
  return problem, logits, before, seen_by(problem, logits, before)


def test_the_maze():
  maze = problems.maze()
  assert maze.reward.shape == (47, 4)
  np.testing.assert_allclose(maze.transition.sum(axis=2), 1.0)
  np.testing.assert_allclose(maze.start @ problems.optimal_values(maze), 0.95**13)  # 14 moves


def test_an_evaluation_is_the_policys():
  problem, logits, _, _ = example()
  policy = jax.nn.softmax(logits)
  found = problems.evaluate(problem, policy)
  policy, transition, reward, state = map(np.asarray, (policy, problem.transition, problem.reward, problem.start))
  moves = np.einsum("sa,sat->st", policy, transition)
  values, visits = np.zeros(STATES), np.zeros(STATES)
  for step in range(400):
    values = np.sum(policy * reward, axis=1) + 0.9 * moves @ values
    visits, state = visits + 0.9**step * state, state @ moves
  np.testing.assert_allclose(found.values, values, rtol=1e-12)
  np.testing.assert_allclose(found.visits, visits, rtol=1e-12)
  np.testing.assert_allclose(policy_gradient(logits, found), slope_of(problem, logits), rtol=1e-9, atol=1e-12)
  best = problems.optimal_values(problem)
  np.testing.assert_allclose(problems.improve(problem, best, 1), best, rtol=1e-12)


def test_growing_rates_are_policy_iteration():
  """Each step forgets the ones before: its rate is far above theirs."""
  problem, _, _, seen = example()
  log_policy, policy = seen.log_policy, jnp.exp(seen.log_policy)
  for rate in (1e4, 1e9, 1e14):
    log_policy = mirror_step(
      log_policy, problems.evaluate(problem, jnp.exp(log_policy)).action_values, jnp.asarray(rate)
    )
    policy = problems.greedy(problems.evaluate(problem, policy).action_values)
    np.testing.assert_allclose(jnp.exp(log_policy), policy, atol=1e-12)


def test_an_exact_step_lowers_no_value():
  def of(key):
    problem_key, logits_key, rate_key = jax.random.split(key, 3)
    problem, log_policy = random_problem(problem_key), jax.nn.log_softmax(2.0 * random_logits(logits_key))
    before = problems.evaluate(problem, jnp.exp(log_policy))
    rate = jnp.exp(3.0 * jax.random.normal(rate_key))
    after = problems.state_values(problem, jnp.exp(mirror_step(log_policy, before.action_values, rate)))
    return jnp.min(after - before.values)

  assert np.min(jax.jit(jax.vmap(of))(jax.random.split(jax.random.key(0), 300))) > -1e-10


def test_lookahead_contracts_by_its_depth():
  """Greedy for `(T*)^(h-1) V^pi`: `|V* - V^pi'| <= discount^h |V* - V^pi|`, in 900 random cases."""

  def of(key, depth):
    problem_key, logits_key, discount_key = jax.random.split(key, 3)
    problem = random_problem(problem_key, jax.random.uniform(discount_key, minval=0.3, maxval=0.98))
    best = problems.optimal_values(problem)
    values = problems.state_values(problem, jax.nn.softmax(2.0 * random_logits(logits_key)))
    ahead = problems.improve(problem, values, depth - 1)
    reached = problems.state_values(problem, problems.greedy(problems.action_values(problem, ahead)))
    return jnp.max(jnp.abs(best - reached)) / (
      problem.discount ** depth.astype(float) * jnp.max(jnp.abs(best - values))
    )

  found = jax.jit(jax.vmap(of))(jax.random.split(jax.random.key(0), 900), jnp.arange(900) % 4 + 1)
  assert 0.05 < np.max(found) <= 1.0


def test_without_optimism_all_is_the_plain_step():
  problem, logits, _, seen = example()
  none = jnp.zeros(())
  for predict in (predictions.lazy, predictions.momentum, predictions.extragradient(0)):
    np.testing.assert_array_equal(predict(problem, seen, RATE, none), seen.action_values)
  np.testing.assert_allclose(predictions.lookahead(0)(problem, seen, RATE, none), seen.action_values, rtol=1e-12)
  now = progress_of(Rule("scalar"), none)
  for family in ("scalar", "state", "momentum", "table", "network"):
    rule = Rule(family, "mirror")
    eta = init_eta(rule, problem, none, jax.random.key(0))
    np.testing.assert_array_equal(update(rule, eta, now, RATE), mirror_step(logits, seen.action_values, RATE))


def test_correction_is_the_extragradient():
  problem, _, _, seen = example()
  first, second = (
    predict(problem, seen, RATE, RATE) for predict in (predictions.correction, predictions.extragradient())
  )
  np.testing.assert_allclose(
    mirror_step(seen.log_policy, first, RATE), mirror_step(seen.log_policy, second, RATE), rtol=1e-12, atol=1e-12
  )
  # Also where the two steps differ in length.
  shorter, longer = jnp.asarray(0.3), jnp.asarray(0.8)
  half_way = mirror_step(seen.log_policy, seen.action_values, shorter)
  there = problems.evaluate(problem, jnp.exp(half_way)).action_values
  corrected = mirror_step(half_way, there - shorter / longer * seen.action_values, longer)
  np.testing.assert_allclose(corrected, mirror_step(seen.log_policy, there, longer), rtol=1e-12, atol=1e-12)


def test_the_implicit_prediction_is_the_proximal_point():
  """At `pi' ~ pi exp(rate Q^pi')` the gradient of `J` is that of `sum_s d'(s) KL(pi', pi) / rate`, `d'` held fixed."""
  problem, _, _, seen = example()
  rate = jnp.asarray(0.05)
  prediction = predictions.extragradient(60)(problem, seen, rate, rate)
  reached = mirror_step(seen.log_policy, prediction, rate)
  evaluation = problems.evaluate(problem, jnp.exp(reached))
  np.testing.assert_allclose(prediction, evaluation.action_values, rtol=1e-12, atol=1e-12)

  def penalty(logits):
    log_policy = jax.nn.log_softmax(logits)
    return evaluation.visits @ jnp.sum(jnp.exp(log_policy) * (log_policy - seen.log_policy), axis=1) / rate

  slope = slope_of(problem, reached)
  np.testing.assert_allclose(slope, jax.grad(penalty)(reached), rtol=1e-9, atol=1e-11)


def rates_of(rate, meta_rate, decay=0.9):
  return Rates(jnp.asarray(rate), jnp.asarray(meta_rate), jnp.asarray(decay), jnp.zeros(()))


@pytest.mark.parametrize(("target", "method"), [("hindsight", "heavy ball"), ("anticipated", "Nesterov")])
def test_learning_the_step_itself_is_momentum(target, method):
  """`theta' = theta + eta`, `eta <- mu eta + beta g`: heavy ball at `theta'`, Nesterov at `theta' + mu eta`."""
  problem, logits, _, _ = example()
  rule, rates = Rule("direction", "identity", target=target), rates_of(0.0, 0.3)
  first = problems.evaluate(problem, jax.nn.softmax(logits))
  found = adapt(problem, rule, rates, first, logits, 30, exactly(problem), jax.random.key(0))
  expected = ascend(problem, METHODS[method], logits, rates.meta_rate, rates.decay, 29)
  np.testing.assert_array_equal(found[0], found[1])  # nothing is known before the first gradient
  np.testing.assert_allclose(found[1:], expected, rtol=1e-12, atol=1e-13)


def progress_of(rule, eta):
  problem, logits, before, seen = example()
  evaluation = problems.evaluate(problem, jax.nn.softmax(logits))
  return Progress(logits, before, evaluation, seen.action_values_before, eta)


RULES = [
  *(Rule(family, "gradient", num_inner=3) for family in ("scalar", "state", "momentum", "table", "network")),
  Rule("table", "mirror"),
  Rule("network", "mirror", target="bootstrap", depth=3),
  Rule("scalar", "gradient", target="lookahead", depth=2),
  Rule("state", "mirror", target="expert"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.family}-{rule.inner}-{rule.target}")
def test_meta_gradients_are_those_of_differences(rule):
  problem, _, _, _ = example()
  keys = jax.random.split(jax.random.key(1), 2)
  eta = init_eta(rule, problem, jnp.asarray(0.4), keys[0])
  eta = jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.normal(keys[1], leaf.shape), eta)
  now, rates = progress_of(rule, eta), rates_of(0.5, 1.0)

  @jax.jit
  def reached_and_slope(now):
    logits, pull = meta_gradient(rule, now, rates.rate)
    evaluation = problems.evaluate(problem, jax.nn.softmax(logits))
    reached = Progress(logits, now.logits, evaluation, now.evaluation.action_values, now.eta)
    return logits, pull(wanted(rule, problem, now, reached, rates, exactly(problem), jax.random.key(0)))

  logits, slope = reached_and_slope(now)
  values = problems.optimal_values(problem)
  if rule.target == "lookahead":
    values = problems.improve(problem, now.evaluation.values, rule.depth)
  once = rule._replace(num_inner=1)
  visits = now.evaluation.visits
  target = inner_update(once, now.logits, problems.action_values(problem, values), visits, rates.rate)
  if rule.target == "bootstrap":
    target = logits
    for _ in range(rule.depth):
      action_values = problems.evaluate(problem, jax.nn.softmax(target)).action_values
      target = mirror_step(target, action_values, rates.rate)

  @jax.jit
  def objective(eta):
    moved = update(rule, eta, now, rates.rate)
    if rule.target == "hindsight":
      return problems.performance(problem, moved)
    divergence = jax.nn.softmax(target) * (jax.nn.log_softmax(target) - jax.nn.log_softmax(moved))
    return -visits @ jnp.sum(divergence, axis=1)

  flat, unravel = ravel_pytree(eta)
  along = jax.random.normal(jax.random.key(2), flat.shape)
  ahead, behind = (objective(unravel(flat + sign * 1e-5 * along)) for sign in (1.0, -1.0))
  found = ravel_pytree(slope)[0] @ along
  assert abs(found) > 1e-4
  np.testing.assert_allclose(found, (ahead - behind) / 2e-5, rtol=1e-6)


def test_episodes_tell_what_a_solve_does():
  problem, logits, _, _ = example()
  policy = jax.nn.softmax(logits)
  exact = problems.evaluate(problem, policy)

  @jax.jit
  def evaluate(trace_decay, before):
    return sampled(problem, 4000, 100, trace_decay)(policy, before, jax.random.key(0))

  # Without a trace and with nothing known the reward is all there is.
  nothing = jax.tree.map(jnp.zeros_like, exact)
  np.testing.assert_allclose(evaluate(jnp.asarray(0.0), nothing).action_values, problem.reward, rtol=1e-11)
  for trace_decay in (1.0, 0.5):
    found = evaluate(jnp.asarray(trace_decay), exact)
    np.testing.assert_allclose(found.action_values, exact.action_values, atol=0.08)
    np.testing.assert_allclose(found.values, exact.values, atol=0.08)
    np.testing.assert_allclose(found.visits, exact.visits, rtol=0.02)


def test_what_no_episode_visits_stays():
  problem, _, _, _ = example()
  policy = jax.nn.one_hot(jnp.zeros(STATES, int), ACTIONS, dtype=float)
  before = jax.tree.map(lambda x: x + 7.0, problems.evaluate(problem, policy))
  found = sampled(problem, 2, 5, jnp.asarray(1.0))(policy, before, jax.random.key(0))
  np.testing.assert_array_equal(found.action_values[:, 1:], before.action_values[:, 1:])


# Measured by the equations in another program; steps and regret until the gap.
MAZE = {
  ("plain", 1.0): (148, 12.96),
  ("extragradient", 1.0): (148, 12.70),
  ("lookahead 16", 1.0): (166, 16.7),
  ("plain", 20.0): (9, 1.36),
  ("lazy", 20.0): (8, 1.24),
  ("extragradient", 20.0): (8, 1.00),
  ("lookahead 4", 20.0): (8, 1.14),
  ("plain", 100.0): (3, 0.93),
  ("extragradient", 100.0): (2, 0.53),
  ("lookahead 16", 100.0): (2, 0.52),
}
LOGITS = {
  "plain": (325, 52.7),
  "optimistic": (323, 51.3),
  "extragradient": (323, 51.3),
  "heavy ball": (39, 13.0),
  "Nesterov": (38, 12.3),
}
TWO_STATES = {
  "plain": {"M3": 63.3, "M0": 61.9},
  "extragradient": {"M3": 60.5, "M0": 65.1},
  "lookahead 4": {"M3": 47.5, "M0": 78.7},
}


def check(measured, steps, regret):
  np.testing.assert_allclose([measured["steps"], measured["regret"]], [steps, regret], rtol=0.01)


@pytest.mark.slow
def test_the_figures_of_the_maze(monkeypatch):
  monkeypatch.setattr(runs, "RATES", (1.0, 20.0, 100.0))
  found = {(row["prediction"], run["rate"]): run for row in runs.measure_maze() for run in row["runs"]}
  for setting, (steps, regret) in MAZE.items():
    check(found[setting], steps, regret)


@pytest.mark.slow
def test_the_figures_of_ascents():
  found = {row["method"]: row for row in runs.measure_ascents()}
  for method, (steps, regret) in LOGITS.items():
    check(found[method], steps, regret)


@pytest.mark.slow
def test_the_figures_of_two_states():
  found = {row["prediction"]: row for row in runs.measure_two_states()}
  for name, by_problem in TWO_STATES.items():
    for label, regret in by_problem.items():
      np.testing.assert_allclose(found[name][label]["regret"], regret, rtol=0.01)
    for label in ("M1", "M4"):
      np.testing.assert_allclose(found[name][label]["regret"], found["plain"][label]["regret"], rtol=0.04)


@pytest.mark.slow
def test_a_learned_table_lowers_the_regret(monkeypatch):
  monkeypatch.setattr(runs, "META_RATES", (10.0, 100.0))
  monkeypatch.setattr(runs, "ADAPTIVE_RULES", {"table": runs.ADAPTIVE_RULES["table"]})
  (row,) = runs.measure_adaptive(jax.random.key(0))
  check(row["runs"][0], *MAZE["plain", 1.0])
  assert row["runs"][2]["regret"] < row["runs"][1]["regret"] < 0.5 * row["runs"][0]["regret"]


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (("--seeds=1",), "--seeds: 1 is not allowed; allowed: an integer >= 2, for an interval"),
    (("--episodes=0",), "--episodes: 0 is not allowed; allowed: an integer >= 1"),
    (("now",), "'now' is not allowed; allowed: flags"),
  ],
)
def test_errors_end_in_one_line(arguments, message):
  check_error(call("experiments.optimism", *arguments), message)
