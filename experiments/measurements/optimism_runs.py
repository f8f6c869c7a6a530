"""The measurements of the laboratory of optimism: settings and seeds side by side, regret and steps to a gap.

Regret is the sum of `J* - J` over the steps until the gap falls below a tolerance.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.experiments.measurements import optimism_problems as problems
from gippo_jax.experiments.measurements.optimism_gradients import METHODS, ascend
from gippo_jax.experiments.measurements.optimism_meta import Rates, Rule, adapt, exactly
from gippo_jax.experiments.measurements.optimism_predictions import PREDICTIONS, descend
from gippo_jax.experiments.measurements.optimism_problems import Problem
from gippo_jax.experiments.measurements.optimism_sampling import sampled
from gippo_jax.plain import Plain
from gippo_jax.runs.statistics import bootstrap_interval

RATES = tuple(float(rate) for rate in (1, 2, 5, 10, 20, 50, 100))
META_RATES = tuple(float(rate) for rate in (0.1, 1, 10, 100, 1000))
# The rate that the picture shows.
DRAWN_RATE = 20.0
_MAZE_STEPS = 250
_TWO_STATE_STEPS = 600
_LOGIT_STEPS = 400
LOGIT_RATE = 5.0
_DECAY = 0.9

# Adaptive rules from mirror steps at rate 1 and from gradient steps at rate 5, with the decay of their parameters.
ADAPTIVE_RULES = {
  "scalar": (Rule("scalar", "mirror"), 1.0),
  "scalar of every state": (Rule("state", "mirror"), 1.0),
  "momentum's strength": (Rule("momentum", "mirror"), 1.0),
  "table": (Rule("table", "mirror"), 1.0),
  "table, decay 0.9": (Rule("table", "mirror"), _DECAY),
  "network": (Rule("network", "mirror"), 1.0),
  "table, anticipated gradient": (Rule("table", "mirror", target="anticipated"), 1.0),
  "table, bootstrap 1": (Rule("table", "mirror", target="bootstrap", depth=1), 1.0),
  "table, bootstrap 4": (Rule("table", "mirror", target="bootstrap", depth=4), 1.0),
  "table, bootstrap 16": (Rule("table", "mirror", target="bootstrap", depth=16), 1.0),
  "table, lookahead 4": (Rule("table", "mirror", target="lookahead", depth=4), 1.0),
  "table, expert": (Rule("table", "mirror", target="expert"), 1.0),
  "table, 1 inner step": (Rule("table", num_inner=1), _DECAY),
  "table, 4 inner steps": (Rule("table", num_inner=4), _DECAY),
  "table, 16 inner steps": (Rule("table", num_inner=16), _DECAY),
  "the step itself (heavy ball)": (Rule("direction", "identity"), _DECAY),
  "the step itself, anticipated gradient (Nesterov)": (Rule("direction", "identity", target="anticipated"), _DECAY),
}
# From sampled episodes: the first parameter, its decay, and the meta-rates to choose from.
SAMPLED_RULES = {
  "plain": (Rule("scalar", "mirror"), 0.0, 1.0, (0.0,)),
  "lazy": (Rule("scalar", "mirror"), 1.0, 1.0, (0.0,)),
  "momentum": (Rule("momentum", "mirror"), _DECAY, 1.0, (0.0,)),
  "table": (Rule("table", "mirror"), 0.0, _DECAY, (0.1, 1.0, 10.0)),
  "network": (Rule("network", "mirror"), 0.0, 1.0, (0.01, 0.1, 1.0)),
}
_SAMPLED_RATES = (1.0, 10.0)
SAMPLED_STEPS = 100
_EPISODE = 100


def measure_maze() -> list[Plain]:
  """Predictions on the maze from the uniform policy, at `RATES`."""
  maze = problems.maze()
  found = _descend(maze, jnp.zeros_like(maze.reward), jnp.asarray(RATES), _MAZE_STEPS)
  rows = []
  for (name, prediction), all_gaps in zip(PREDICTIONS.items(), found, strict=True):
    measured = [{"rate": rate, **until(gaps, 1e-3)} for rate, gaps in zip(RATES, all_gaps, strict=True)]
    curve = {"gaps": rounded(all_gaps[RATES.index(DRAWN_RATE)])}
    rows.append({"prediction": name, "cost": prediction.cost, "runs": measured} | curve)
  return rows


def measure_two_states() -> list[Plain]:
  """Predictions on the problems of two states, at the rate 0.5, from a policy that prefers the wrong actions."""
  rows: list[Plain] = [{"prediction": name} for name in PREDICTIONS]
  for label, problem in problems.two_states().items():
    best = problems.greedy(problems.action_values(problem, problems.optimal_values(problem)))
    found = _descend(problem, 3.0 * (1.0 - best), jnp.asarray([0.5]), _TWO_STATE_STEPS)
    for row, (gaps,) in zip(rows, found, strict=True):
      row[label] = until(gaps, 1e-4)
  return rows


def _descend(problem: Problem, logits: jax.Array, rates: jax.Array, num_steps: int) -> np.ndarray:
  """Gaps of all predictions, `[predictions, rates, num_steps]`: one program, which chooses among them."""

  def predict(problem, seen, rate, choice):
    branches = [functools.partial(prediction.predict, problem, seen, rate) for prediction in PREDICTIONS.values()]
    index, strength = choice
    return jax.lax.switch(index, branches, strength)

  @jax.jit
  def run(problem, choices):
    def of(choice):
      return jax.vmap(lambda rate: descend(problem, predict, logits, rate, choice, num_steps))(rates)

    return jax.lax.map(of, choices)

  strengths = jnp.asarray([prediction.strength for prediction in PREDICTIONS.values()])
  return np.asarray(problems.gaps(problem, run(problem, (jnp.arange(len(strengths)), strengths))))


def measure_ascents() -> list[Plain]:
  """Gradient ascent on the logits of the maze at the rate 5."""
  maze = problems.maze()
  rate, decay, start = jnp.asarray(LOGIT_RATE), jnp.asarray(_DECAY), jnp.zeros_like(maze.reward)
  rows = []
  for name, step in METHODS.items():
    run = jax.jit(lambda maze, step=step: ascend(maze, step, start, rate, decay, _LOGIT_STEPS))
    gaps = np.asarray(problems.gaps(maze, run(maze)))
    rows.append({"method": name, **until(gaps, 1e-2)})
  return rows


def measure_adaptive(key: jax.Array) -> list[Plain]:
  """Adaptive rules on the maze, evaluated exactly, at `META_RATES` and at 0, where nothing adapts."""
  maze = problems.maze()
  meta_rates = (0.0, *META_RATES)
  rows = []
  for name, (rule, decay) in ADAPTIVE_RULES.items():
    mirror = rule.inner == "mirror"
    rate, tolerance, num_steps = (1.0, 1e-3, _MAZE_STEPS) if mirror else (LOGIT_RATE, 1e-2, _LOGIT_STEPS)
    settings = [Rates(*map(jnp.asarray, (rate, meta_rate, decay, 0.0))) for meta_rate in meta_rates]
    reached = _adapt(maze, jax.tree.map(lambda *x: jnp.stack(x), *settings), key, rule, num_steps)
    found = np.asarray(problems.gaps(maze, reached))
    runs = [{"meta_rate": meta, **until(gaps, tolerance)} for meta, gaps in zip(meta_rates, found, strict=True)]
    best = int(np.argmin([np.nan_to_num(run["regret"], nan=np.inf) for run in runs]))
    curves = {"gaps": rounded(found[best]), "plain_gaps": rounded(found[0])}
    rows.append({"rule": name, "inner": rule.inner, "runs": runs, "best": best} | curves)
  return rows


@functools.partial(jax.jit, static_argnames=("rule", "num_steps"))
def _adapt(maze: Problem, rates: Rates, key: jax.Array, rule: Rule, num_steps: int) -> jax.Array:
  """Logits `[settings, num_steps, S, A]`, evaluated exactly."""
  logits = jnp.zeros_like(maze.reward)
  first, evaluate = problems.evaluate(maze, jax.nn.softmax(logits)), exactly(maze)
  return jax.vmap(lambda rates: adapt(maze, rule, rates, first, logits, num_steps, evaluate, key))(rates)


def measure_sampled(key: jax.Array, num_seeds: int, num_episodes: int) -> list[Plain]:
  """Rules on the maze, evaluated from episodes: the rates of each are chosen on seeds of their own.

  Args:
    key: of all draws.
    num_seeds: of the choice, and as many others of the measurement.
    num_episodes: of an evaluation.
  """
  maze = problems.maze()
  keys = jax.random.split(key, 2 * num_seeds)
  rows = []
  for name, (rule, initial, decay, meta_rates) in SAMPLED_RULES.items():
    settings = [(rate, meta_rate, decay, initial) for rate in _SAMPLED_RATES for meta_rate in meta_rates]
    rates = Rates(*jnp.asarray(settings).T)
    for trace_decay in (1.0, 0.9):
      reached = _sample(maze, rates, keys, jnp.asarray(trace_decay), rule, num_episodes)
      choice, measured = np.split(np.asarray(problems.gaps(maze, reached)), 2, axis=1)
      best = int(np.argmin(np.nan_to_num(choice.sum(axis=2).mean(axis=1), nan=np.inf)))
      gaps = measured[best]
      regret, curve = gaps.sum(axis=1), bootstrap_interval(gaps)
      assert curve is not None
      rows.append(
        {"rule": name, "trace_decay": trace_decay, "rate": settings[best][0], "meta_rate": settings[best][1]}
        | {"regret": regret.tolist(), "interval": bootstrap_interval(regret), "last": gaps[:, -1].tolist()}
        | {"gaps": rounded(gaps.mean(axis=0))}
        | {name: rounded(np.asarray(getattr(curve, name))) for name in ("low", "high")}
      )
  return rows


@functools.partial(jax.jit, static_argnames=("rule", "num_episodes"))
def _sample(
  maze: Problem, rates: Rates, keys: jax.Array, trace_decay: jax.Array, rule: Rule, num_episodes: int
) -> jax.Array:
  """Logits `[settings, seeds, steps, S, A]`, evaluated from episodes; before the first ones nothing is known."""
  logits = jnp.zeros_like(maze.reward)
  nothing = jax.tree.map(jnp.zeros_like, problems.evaluate(maze, jax.nn.softmax(logits)))
  evaluate = sampled(maze, num_episodes, _EPISODE, trace_decay)

  def of_setting(rates):
    return jax.vmap(lambda key: adapt(maze, rule, rates, nothing, logits, SAMPLED_STEPS, evaluate, key))(keys)

  return jax.lax.map(of_setting, rates)


def until(gaps: np.ndarray, tolerance: float) -> Plain:
  """Steps until the gap is below a tolerance, `None` where it never is, and the regret until there."""
  below = gaps < tolerance
  steps = int(np.argmax(below)) if below.any() else None
  return {"steps": steps, "regret": float(gaps[:steps].sum())}


def rounded(gaps: np.ndarray) -> list[float]:
  """What the picture needs of a curve."""
  return [float(f"{gap:.3g}") for gap in gaps[:SAMPLED_STEPS]]
