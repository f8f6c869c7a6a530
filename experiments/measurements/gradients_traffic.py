"""Quality of the analytic gradients of the traffic scenarios: `python -m experiments.gradients traffic`.

For each scenario and horizon, the analytic gradient of the expected return against its central finite differences over
many noise draws (`measurements.gradient_quality`), from traffic in motion: the vehicles at their target speed, the pace
car anywhere in its lane, ahead of them.
"""

import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.table import Table

from gippo_jax import envs
from gippo_jax.envs.traffic import PaceCar, road
from gippo_jax.envs.traffic.pace_car import SCENARIOS
from gippo_jax.experiments.measurements.gradient_quality import Quality, measure_quality
from gippo_jax.experiments.tables.documents import markdown_table, replace_block
from gippo_jax.plain import Plain
from gippo_jax.runs.files import write_json

_COLUMNS = (
  "scenario, steps",
  "cosine",
  "norm ratio",
  "cosine of two halves of the differences",
  "steering: cosine",
  "steering: norm ratio",
  "acceleration: cosine",
  "acceleration: norm ratio",
  "windows that ended early",
)


def moving_state(env: PaceCar, key: jax.Array) -> envs.State:
  """Traffic in motion, with the pace car 8 to 30 m ahead of the front vehicles and anywhere in its lane."""
  reset_key, place_key = jax.random.split(key)
  state = env.reset(reset_key)
  lead, lateral, heading, speed = jax.random.uniform(
    place_key, (4,), minval=jnp.array([8.0, -1.9, -0.05, 8.0]), maxval=jnp.array([30.0, 1.9, 0.05, 12.0])
  )
  physics = state.physics
  car = physics.pace_car._replace(
    x=jnp.max(physics.x) + lead, y=physics.pace_car.y + lateral, heading=heading, speed=speed
  )
  physics = physics.replace(
    speed=jnp.full_like(physics.speed, road.TARGET_SPEED), pace_car=car, lane=road.lane_of(car.x, car.y, env.num_lanes)
  )
  return state.replace(physics=physics, obs=env.observe(physics))


def measure_traffic(horizons: Sequence[int], num_states: int, num_draws: int) -> list[Plain]:
  """One row for each scenario of the pace car and each horizon."""
  rows = []
  for scenario in SCENARIOS:
    env = PaceCar(scenario=scenario)
    state_key, action_key, noise_key = jax.random.split(jax.random.key(0), 3)
    states = jax.jit(jax.vmap(lambda key, env=env: moving_state(env, key)))(jax.random.split(state_key, num_states))
    for horizon in horizons:
      base = jax.random.uniform(action_key, (num_states, 1, 2), minval=-0.3, maxval=0.3)
      base = jnp.broadcast_to(base, (num_states, horizon, 2))
      quality = measure_quality(env, states, base, noise_key, num_draws=num_draws)
      rows.append({"scenario": scenario, "horizon": horizon, **quality._asdict()})
      print(f"{scenario}, {horizon} steps: cosine {quality.cosine:.3f}", flush=True)
  return rows


def cells(row: Plain) -> list[str]:
  """A row in words, in the order of the columns."""
  quality = Quality(**{name: row[name] for name in Quality._fields})
  numbers = [
    quality.cosine,
    quality.norm_ratio,
    quality.noise_cosine,
    quality.cosine_by_entry[0],
    quality.norm_ratio_by_entry[0],
    quality.cosine_by_entry[1],
    quality.norm_ratio_by_entry[1],
    quality.finished,
  ]
  return [f"{row['scenario']}, {row['horizon']}", *(f"{number:.2f}" for number in numbers)]


def report(horizons: Sequence[int], num_states: int, num_draws: int, out: str | None, docs: str | None) -> None:
  """Measures, prints the table, writes the files.

  Args:
    horizons: steps.
    num_states: start states.
    num_draws: noise draws for each start state.
    out: file for the figures as JSON, or `None`.
    docs: documentation folder whose traffic.md is renewed, or `None`.
  """
  rows = measure_traffic(horizons, num_states, num_draws)
  table = Table(*_COLUMNS)
  for row in rows:
    table.add_row(*cells(row))
  Console(width=160).print(table)
  if out:
    write_json(pathlib.Path(out), rows)
  if docs:
    folder = pathlib.Path(docs)
    write_json(folder / "gradients_traffic.json", rows)
    replace_block(folder / "traffic.md", "gradients traffic", markdown_table(_COLUMNS, map(cells, rows)))
