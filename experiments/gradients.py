"""Quality of the analytic gradients: `python -m experiments.gradients traffic [--out=FILE.json] [--docs=docs]`.

For each scenario and horizon, the analytic gradient of the expected return against its central finite differences over
many noise draws (`experiments.gradient_quality`), from traffic in motion: the vehicles at their target speed, the pace
car anywhere in its lane, ahead of them.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags
from rich.console import Console
from rich.table import Table

import envs
from envs.traffic import PaceCar, road
from envs.traffic.pace_car import SCENARIOS, TARGET_SPEED
from experiments.documents import replace_block
from experiments.gradient_quality import Quality, measure_quality
from gippo_jax.errors import UserError
from gippo_jax.main import console
from gippo_jax.workdir import write_json

_OUT = flags.DEFINE_string("out", None, "File for the figures as JSON.")
_DOCS = flags.DEFINE_string("docs", None, "Documentation folder whose traffic.md is renewed.")
_DRAWS = flags.DEFINE_integer("draws", 1024, "Noise draws for each start state; an even number.", lower_bound=2)
_STATES = flags.DEFINE_integer("states", 32, "Start states.", lower_bound=1)
_HORIZONS = flags.DEFINE_list("horizons", ["8", "32", "128"], "Steps.")

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
    speed=jnp.full_like(physics.speed, TARGET_SPEED), pace_car=car, lane=road.lane_of(car.x, car.y, env.num_lanes)
  )
  return state.replace(physics=physics, obs=env.observe(physics))


def measure_traffic(horizons: Sequence[int], num_states: int, num_draws: int) -> list[dict[str, Any]]:
  """One row for each scenario of the pace car and each horizon."""
  rows = []
  for scenario in SCENARIOS:
    env = envs.make("pace_car", scenario=scenario)
    state_key, action_key, noise_key = jax.random.split(jax.random.key(0), 3)
    states = jax.jit(jax.vmap(lambda key, env=env: moving_state(env, key)))(jax.random.split(state_key, num_states))
    for horizon in horizons:
      base = jax.random.uniform(action_key, (num_states, 1, 2), minval=-0.3, maxval=0.3)
      base = jnp.broadcast_to(base, (num_states, horizon, 2))
      quality = measure_quality(env, states, base, noise_key, num_draws=num_draws)
      rows.append({"scenario": scenario, "horizon": horizon, **quality._asdict()})
      print(f"{scenario}, {horizon} steps: cosine {quality.cosine:.3f}", flush=True)
  return rows


def cells(row: dict[str, Any]) -> list[str]:
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


def main(arguments: Sequence[str]) -> int:
  """Measures, prints the table, writes the files."""
  if list(arguments[1:]) != ["traffic"]:
    given = " ".join(arguments[1:]) or "nothing"
    raise UserError(f"python -m experiments.gradients: {given!r} is no family of environments; allowed: traffic")
  if _DRAWS.value % 2 or not all(horizon.isdigit() and int(horizon) > 0 for horizon in _HORIZONS.value):
    raise UserError("--draws, --horizons: allowed: an even number, and integers >= 1")
  rows = measure_traffic([int(horizon) for horizon in _HORIZONS.value], _STATES.value, _DRAWS.value)
  table = Table(*_COLUMNS)
  for row in rows:
    table.add_row(*cells(row))
  Console(width=160).print(table)
  if _OUT.value:
    write_json(pathlib.Path(_OUT.value), rows)
  if _DOCS.value:
    docs = pathlib.Path(_DOCS.value)
    write_json(docs / "gradients_traffic.json", rows)
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|---" * len(_COLUMNS) + "|"]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    replace_block(docs / "traffic.md", "gradients traffic", "\n".join(lines) + "\n")
  return 0


if __name__ == "__main__":
  console(main)
