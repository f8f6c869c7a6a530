"""Speed of the pace-car environments.

Steps per second of a batch in float32 under random actions, with time limit and automatic reset: forward, and forward
with the gradient of the summed rewards by all actions. Each figure is the best of several timings of many calls, so
that other work on the machine counts as little as possible. Beside it stand the steps per second of the authors'
PyTorch on one thread of a machine like the one this project's figures come from.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gippo_jax import envs
from gippo_jax.experiments.measurements.timing import rollout, seconds_per_call
from gippo_jax.experiments.speed.parts import Options, Part
from gippo_jax.plain import Plain

_HORIZON = 32
_NUM_ENVS = (64, 1024)
_MEMORY_HORIZONS = (8, 32, 128)

# Steps per second of the authors' code: forward, forward and backward.
AUTHORS = {
  "a": (54_000, 21_600),
  "b": (37_400, 18_200),
  "c": (20_400, 11_000),
  "d": (9_400, 6_500),
  "e": (16_200, 9_800),
}


def prepare(scenario: str, num_envs: int, horizon: int) -> tuple[Any, Any, Any, jax.Array]:
  """Lowers the programs of a window.

  Args:
    scenario: letter of the scenario.
    num_envs: environments side by side.
    horizon: steps per window.

  Returns:
    The forward program and the one with the gradient, to be compiled, a start state and random actions.
  """
  batch = envs.vectorize(envs.make("pace_car", scenario=scenario), num_envs)
  state = jax.jit(batch.reset)(jax.random.key(0))
  actions = jax.random.uniform(jax.random.key(1), (horizon, num_envs, 2), jnp.float32, -1.0, 1.0)

  def forward(actions, state):
    return rollout(batch, state, actions)

  gradient = jax.value_and_grad(forward, has_aux=True)
  lowered = [jax.jit(function).lower(actions, state) for function in (forward, gradient)]
  return lowered[0], lowered[1], state, actions


def measure(scenario: str) -> Plain:
  """Speeds and memory of one scenario.

  Args:
    scenario: letter of the scenario.

  Returns:
    Steps per second by number of environments, the authors', ratios, and bytes the gradient program needs beside its
    arguments and results, by horizon, for the smaller number of environments.
  """
  row: Plain = {"scenario": scenario, "horizon": _HORIZON, "speeds": {}}
  for num_envs in _NUM_ENVS:
    *programs, state, actions = prepare(scenario, num_envs, _HORIZON)
    steps = num_envs * _HORIZON
    times = seconds_per_call([functools.partial(program.compile(), actions, state) for program in programs])
    row["speeds"][str(num_envs)] = {
      "forward_steps_per_second": steps / times[0],
      "gradient_steps_per_second": steps / times[1],
      "forward_nanoseconds_per_step": 1e9 * times[0] / steps,
      "gradient_nanoseconds_per_step": 1e9 * times[1] / steps,
    }
  forward, gradient = AUTHORS[scenario]
  first = row["speeds"][str(_NUM_ENVS[0])]
  row["authors_forward_steps_per_second"] = forward
  row["authors_gradient_steps_per_second"] = gradient
  row["forward_ratio"] = first["forward_steps_per_second"] / forward
  row["gradient_ratio"] = first["gradient_steps_per_second"] / gradient
  row["gradient_temporary_bytes"] = {
    str(horizon): prepare(scenario, _NUM_ENVS[0], horizon)[1].compile().memory_analysis().temp_size_in_bytes
    for horizon in _MEMORY_HORIZONS
  }
  return row


def rows(options: Options) -> Iterator[Plain]:
  """Measures every scenario."""
  del options
  yield from map(measure, AUTHORS)


COLUMNS = (
  "scenario",
  *("forward (steps/s)", "authors", "times"),
  *("with gradient (steps/s)", "authors", "times"),
  *(f"{what}, {_NUM_ENVS[1]} envs (ns/step)" for what in ("forward", "gradient")),
  *(f"backward, horizon {horizon} (kB)" for horizon in _MEMORY_HORIZONS),
)


def cells(row: Plain) -> list[str]:
  """A row in words, in the order of the columns."""
  small, large = (row["speeds"][str(size)] for size in _NUM_ENVS)
  return [
    row["scenario"],
    f"{small['forward_steps_per_second']:,.0f}",
    f"{row['authors_forward_steps_per_second']:,}",
    f"{row['forward_ratio']:.0f}",
    f"{small['gradient_steps_per_second']:,.0f}",
    f"{row['authors_gradient_steps_per_second']:,}",
    f"{row['gradient_ratio']:.0f}",
    *(f"{large[f'{what}_nanoseconds_per_step']:,.0f}" for what in ("forward", "gradient")),
    *(f"{size / 1e3:,.0f}" for size in row["gradient_temporary_bytes"].values()),
  ]


def ratios(rows: Sequence[Plain]) -> dict[str, float]:
  """What the gradient costs in forward passes."""
  found = {}
  for row in rows:
    speed = row["speeds"][str(_NUM_ENVS[0])]
    found[row["scenario"]] = speed["forward_steps_per_second"] / speed["gradient_steps_per_second"]
  return found


PART = Part("traffic.md", COLUMNS, rows, cells, ratios)
