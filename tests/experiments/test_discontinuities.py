"""Descent at jumps: the ends that are known, and the rules' limits."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax import registry
from gippo_jax.envs.discontinuities import DoublePendulum, Friction, Tennis
from gippo_jax.errors import UserError
from gippo_jax.experiments.configs import discontinuities as preset
from gippo_jax.experiments.measurements.discontinuities import (
  FIRST_ORDER,
  INVERSE_VARIANCE,
  ZEROTH_ORDER,
  Estimator,
  aobg,
  ddcg,
  descend,
)
from gippo_jax.experiments.measurements.discontinuity_chaos import costs_by_horizon, measure_chaos
from gippo_jax.experiments.measurements.discontinuity_problems import asked, linear_policy, open_loop, settings
from gippo_jax.experiments.measurements.discontinuity_results import (
  agrees,
  draw,
  measure_ends,
  optima,
  tables,
)
from gippo_jax.learning.composite import smoothed_samples
from gippo_jax.parsing import parse
from tests.commands import ROOT, SMALL, call, check_error, command, execute

KEY = jax.random.key(0)


def test_the_best_angles_under_the_noise():
  """Elsewhere .8625 and .856 of the ball, .741 of the momentum."""
  found = optima()
  assert found["ball"] == pytest.approx(0.8616, abs=2e-3)
  assert found["momentum"] == pytest.approx(0.7425, abs=2e-3)


# End and mean weight with 50 samples, measured elsewhere.
ENDS = [
  (FIRST_ORDER, 0.4946, 1.0),
  (ZEROTH_ORDER, 0.8543, 0.0),
  (INVERSE_VARIANCE, 0.4922, 0.71),
  (ddcg(0.3), 0.8546, 0.35),
  (aobg(0.01, 1.0), 0.8539, 0.0),
]


@pytest.mark.parametrize(("rule", "end", "weight"), ENDS, ids=["first", "zeroth", "inverse", "ddcg", "aobg"])
def test_the_ball_ends_at_the_wall_or_beyond_it(rule, end, weight):
  found = settings()["ball"].descend(rule, 50, KEY, num_trials=4)
  np.testing.assert_allclose(found.points, end, atol=0.003 if end < 0.5 else 0.02)
  np.testing.assert_allclose(jnp.mean(found.weights), weight, atol=0.04)


# Of all known ends the one that is more than two deviations of a descent away; docs/discontinuities.md says so.
BEYOND = "AoBG 0.005, failure 0.95"
KNOWN = [run for run in asked() if run.end is not None]


@pytest.mark.slow
@pytest.mark.parametrize("run", KNOWN, ids=lambda run: f"{run.problem}-{run.num_samples}-{run.label}")
def test_all_ends_are_within_two_deviations_of_where_others_found_them(run):
  """And the mean weights of the mixtures, where no batch of ten that sees nothing counts as one half."""
  (row,) = measure_ends(settings(), [run], KEY)
  assert agrees(row) == (run.label != BEYOND)
  np.testing.assert_allclose(row["end"], run.end, atol=0.01)
  if run.weight is not None and (run.num_samples, run.label) != (10, "inverse variance"):
    np.testing.assert_allclose(row["weight"], run.weight, atol=0.04)


def test_the_document_has_all_known_ends():
  found = json.loads((ROOT / "docs" / "discontinuities.json").read_text())
  rows = {(row["problem"], row["samples"], row["rule"]): row for row in found["ends"]}
  for run in KNOWN:
    row = rows[run.problem, run.num_samples, run.label]
    assert (row["asked"], row["asked_weight"]) == (run.end, run.weight)
    assert agrees(row) == (run.label != BEYOND)
  assert tables(found, settings()) in (ROOT / "docs" / "discontinuities.md").read_text()


@pytest.mark.slow
def test_a_soft_spring_wants_derivatives_a_stiff_one_and_a_slipping_one_do_not():
  problems, costs = settings(), {}
  for name in ("soft", "stiff", "friction"):
    for label, rule in (("first", FIRST_ORDER), ("zeroth", ZEROTH_ORDER), ("ddcg", ddcg(0.3))):
      found = problems[name].descend(rule, 10, KEY, num_trials=3)
      costs[name, label] = float(jnp.mean(found.costs[:, -1]))
  assert costs["soft", "first"] < costs["soft", "ddcg"] < costs["soft", "zeroth"]
  assert costs["stiff", "ddcg"] < 1.01 * costs["stiff", "zeroth"] < costs["stiff", "first"]
  assert costs["friction", "ddcg"] < 1.05 * costs["friction", "zeroth"] < costs["friction", "first"]


def test_aobg_without_a_limit_is_the_inverse_variance():
  first, second = (
    smoothed_samples(lambda x: jnp.sum(jnp.sin(3.0 * x)), jnp.zeros(2), 0.1, jax.random.normal(key, (20, 2)))
    for key in jax.random.split(KEY)
  )
  weight = INVERSE_VARIANCE.weight(first, second, 0.1)
  assert 0.5 < weight < 1.0
  np.testing.assert_allclose(aobg(math.inf, 1.0).weight(first, second, 0.1), weight)
  assert aobg(0.01, 1.0).weight(first, second, 0.1) == 0.0


def test_a_quadratic_is_descended_as_by_hand():
  """A first-order step of `x^2 / 2` is `-step (x + std mean(e))`; without noise it is a power."""
  found = descend(
    lambda x, key: 0.5 * jnp.sum(x**2),
    jnp.array([1.0, -2.0]),
    FIRST_ORDER,
    KEY,
    num_trials=2,
    num_steps=5,
    num_samples=3,
    step=0.1,
    std=1e-9,
  )
  np.testing.assert_allclose(found.points, np.array([[1.0, -2.0]] * 2) * 0.9**5, rtol=1e-7)
  np.testing.assert_allclose(found.costs[0], 2.5 * 0.81 ** np.arange(6), rtol=1e-7)


@pytest.mark.parametrize("independent", [False, True])
def test_a_rule_gets_batches_of_its_own_where_it_asks_for_them(independent):
  rule = Estimator(lambda first, second, std: jnp.mean((first.value != second.value).astype(float)), independent)
  options = {"num_trials": 1, "num_steps": 2, "num_samples": 4, "step": 0.1, "std": 0.1}
  found = descend(lambda x, key: jnp.sum(x), jnp.zeros(2), rule, KEY, **options)
  np.testing.assert_array_equal(found.weights, float(independent))


def test_the_cost_of_forces_is_minus_the_environments_return():
  env = Friction(episode_length=20)
  actions = 0.3 * jax.random.uniform(KEY, (20,))
  state, total = env.reset(KEY), 0.0
  for action in actions:
    state = env.step(state, action[None])
    total += float(state.reward)
  np.testing.assert_allclose(open_loop(env)(actions, KEY), -total, rtol=1e-12)
  cost = linear_policy(Tennis(episode_length=10), 4)
  assert jnp.isfinite(cost(jnp.zeros(21), KEY))
  assert cost(jnp.zeros(21), KEY) != cost(jnp.zeros(21), jax.random.key(1))


def test_the_costs_along_the_horizon_are_the_pendulums_and_have_its_derivatives():
  """Forward in one pass, against the environment's rewards and a backward pass."""
  env = DoublePendulum(num_substeps=10)
  start = jnp.concatenate(env.begin())
  costs = costs_by_horizon(start, 20, 3)

  def step(state, _):
    state = env.step(state, jnp.zeros(1))
    return state, state.reward

  _, rewards = jax.lax.scan(step, env.reset(KEY), None, 4)
  np.testing.assert_allclose(costs, [env.cost(env.begin()), -rewards[1], -rewards[3]], rtol=1e-12)
  forward = jax.jacfwd(lambda start: costs_by_horizon(start, 20, 3))(start)[2]
  np.testing.assert_allclose(jax.grad(lambda start: costs_by_horizon(start, 20, 3)[2])(start), forward, rtol=1e-10)


@pytest.mark.slow
def test_chaos_makes_derivatives_vary_more_than_values():
  """First derivatives vary least, after 2 s most, as few of many batches show; values vary alike at any horizon."""
  rows = measure_chaos(KEY)
  first, zeroth = (np.asarray([row[name]["mean"] for row in rows]) for name in ("first", "zeroth"))
  assert first[0] < 0.1 * zeroth[0]
  assert first[-1] > 2.0 * zeroth[-1]
  assert rows[-1]["first"]["largest"] > 10.0 * rows[-1]["first"]["least"]
  assert np.max(zeroth) < 20.0 * np.min(zeroth)
  assert rows[0]["weight"] > 0.9
  assert rows[-1]["weight"] < 0.4


def test_the_tables_say_what_agrees_and_the_picture_has_all_panels():
  ends = [
    {
      **{"problem": "ball", "samples": 1000, "rule": "DDCG", "end": 0.85, "deviation": 0.001, "median": 0.85},
      **{"weight": 0.36, "asked": end, "asked_weight": None, "plotted": None},
    }
    for end in (0.8515, 0.7)
  ]
  costs = [
    {
      **{"problem": "soft", "rule": "first order", "begin": 9.0, "cost": 3.0, "deviation": 0.1, "weight": 1.0},
      **{"steps": [0, 1], "curve": [9.0, 3.0]},
    }
  ]
  assert [agrees(row) for row in ends] == [True, False]
  spread = {"mean": 2.0, "least": 1.0, "largest": 3.0}
  chaos = [{"horizon": 100 * index, "first": spread, "zeroth": spread, "weight": 0.5} for index in range(5)]
  found = {"optima": {"ball": 0.86, "momentum": 0.74}, "ends": ends, "costs": costs, "chaos": chaos}
  text = tables(found, settings())
  assert "| ball over the wall | 1000 | DDCG | 0.8500 +- 0.0010 (0.8500) | 0.8515 |" in text
  assert "| 0.7000, beyond |" in text
  assert "| pushing, soft | first order | 9.0 | 3.0 +- 0.1 | 1.00 |" in text
  assert "| 400 steps | 2 (1 to 3) | 2 (1 to 3) | 1 | 0.50 |" in text
  assert len([axis for axis in draw(found, settings()).axes if axis.get_visible()]) == 4


def test_every_algorithm_has_a_configuration_of_every_problem():
  for task in preset.TASKS:
    for algorithm in registry.algorithms():
      experiment = parse(preset.get_config(f"{task},{algorithm}"))
      assert experiment.config.algorithm == algorithm
  assert parse(preset.get_config("pushing_stiff")).env["stiffness"] == 1000.0
  with pytest.raises(UserError, match=r"discontinuities.py:golf: no such task; known: ball_over_wall"):
    preset.get_config("golf")


@pytest.mark.slow
def test_an_algorithm_trains_on_a_problem_by_its_name(environment, tmp_path):
  words = ("--config=discontinuities:momentum_transfer,rp", "--config.num_epochs=3", *SMALL)
  process = execute(environment, *command("gippo_jax", "train", *words, f"--workdir={tmp_path}"))
  assert process.returncode == 0, process.stderr
  assert '"actor_loss"' in (tmp_path / "metrics.jsonl").read_text()


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (("--trials=1",), "--trials: 1 is not allowed; allowed: at least 2"),
    (("--costs=golf",), "--costs: 'golf' is unknown; allowed: soft, stiff, friction, tennis"),
    (("now",), "'now' is not allowed; allowed: flags"),
  ],
)
def test_errors_end_in_one_line(arguments, message):
  check_error(call("experiments.discontinuities", *arguments), message)
