"""How gradients of the physics environments behave: `python -m experiments.gradients physics [--quick] [--docs=docs]`.

Two measurements, each with a picture: the gradient by the first action against the horizon, on every backend
(`measurements.gradient_horizon`), and the determinants that GI-PPO's rule for alpha sees beside the variance of the
gradient (`measurements.gradient_determinant`). Every result is written as soon as it is there, and a result that is in
the file already, made with the same settings, is not measured again; so an interrupted command goes on, and one whose
results shall be new begins by deleting the file.
"""

import json
import pathlib
import time
from collections.abc import Callable
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from gippo_jax import envs
from gippo_jax.experiments.configs.physics import BACKENDS
from gippo_jax.experiments.measurements.figure_gradients import draw_determinants, draw_horizons
from gippo_jax.experiments.measurements.gradient_determinant import measure_determinants
from gippo_jax.experiments.measurements.gradient_horizon import measure_horizons
from gippo_jax.experiments.tables.documents import markdown_table, replace_block, save_figure
from gippo_jax.experiments.tables.problems import PHYSICS
from gippo_jax.plain import Plain
from gippo_jax.runs.files import write_json

CLOSED_FORM = "closed form"


class Pair(NamedTuple):
  """A system of the paper and what moves it."""

  system: str
  backend: str

  def make(self) -> envs.Environment:
    """The environment."""
    if self.backend == CLOSED_FORM:
      return envs.make("cartpole")
    name = "cartpole_swing_up" if self.system == "cartpole" else self.system
    return envs.make(name, backend=self.backend)


class Training(NamedTuple):
  """A training with alpha fixed, of which determinants are looked at.

  Attributes:
    system: argument of `experiments/configs/physics.py`.
    num_seeds, num_epochs, num_envs: its budget.
  """

  system: str
  num_seeds: int
  num_epochs: int
  num_envs: int = 64


class Plan(NamedTuple):
  """What a command measures.

  Attributes:
    pairs: of the first measurement, in this order.
    horizons: steps.
    num_envs: environments of each pair.
    trainings: of the second measurement.
  """

  pairs: tuple[Pair, ...]
  horizons: tuple[int, ...]
  num_envs: int
  trainings: tuple[Training, ...]


_HORIZONS = (1, 2, 4, 8, 16, 32, 48, 64)
# `positional` takes longest to compile, and the cart-pole has its closed form: they come last.
_BRAX_PAIRS = (
  *(Pair(system, backend) for backend in ("spring", "generalized", "mjx") for system in ("hopper", "ant")),
  *(Pair("cartpole", backend) for backend in ("spring", "generalized", "mjx", "positional")),
  *(Pair(system, "positional") for system in ("hopper", "ant")),
)
FULL = Plan(
  (Pair("cartpole", CLOSED_FORM), *_BRAX_PAIRS),
  _HORIZONS,
  64,
  (Training("cartpole", 5, 200), Training("hopper", 3, 100), Training("ant", 3, 100)),
)
QUICK = Plan((Pair("cartpole", CLOSED_FORM),), _HORIZONS, 64, (Training("cartpole", 2, 50),))

_SHOWN_HORIZONS = (1, 8, 32, 64)
_COLUMNS = (
  "system, backend",
  *(f"median norm, h = {horizon}" for horizon in _SHOWN_HORIZONS),
  "largest, h = 64",
  *(f"variance, h = {horizon}" for horizon in _SHOWN_HORIZONS[1:]),
  "share not finite",
  "share with an end",
)


_DETERMINANT_COLUMNS = (
  "system",
  "variance, over the epochs",
  "determinants, over the epochs",
  "rank correlation of the variance with the largest distance of a determinant from 1",
)


class Results:
  """Measured rows in a JSON file, written after each; an interrupted measurement goes on where it was.

  Args:
    path: of the file; need not exist yet.
  """

  def __init__(self, path: pathlib.Path):
    self._path = path
    self.rows: dict[str, list[Plain]] = {"horizons": [], "determinants": []}
    if path.exists():
      self.rows |= json.loads(path.read_text())

  def measure(self, kind: str, identity: Plain, measurement: Callable[[], Plain]) -> None:
    """Adds a row, unless one of the same identity is there.

    Args:
      kind: `horizons` or `determinants`.
      identity: what tells the row from others, settings included; part of the row.
      measurement: makes the rest of it.
    """
    if any(identity.items() <= row.items() for row in self.rows[kind] if identity.keys() <= row.keys()):
      return
    begin = time.monotonic()
    row = identity | measurement()
    # A row of the same subject and other settings is out of date.
    subject = [name for name in ("system", "backend") if name in identity]
    self.rows[kind] = [old for old in self.rows[kind] if any(old[name] != row[name] for name in subject)] + [row]
    self._path.parent.mkdir(parents=True, exist_ok=True)
    write_json(self._path, self.rows)
    print(f"{kind}: {', '.join(row[name] for name in subject)}: {time.monotonic() - begin:.0f} s", flush=True)


def measure(plan: Plan, results: Results) -> None:
  """Measures what is missing."""

  def determinants(training):
    results.measure("determinants", training._asdict(), lambda: measure_determinants(*training))

  def horizons(pair):
    identity = pair._asdict() | {"horizons": list(plan.horizons), "num_envs": plan.num_envs}
    results.measure("horizons", identity, lambda: measure_horizons(pair.make(), plan.horizons, plan.num_envs))

  # The quick ones first: training on a simulator takes as long as all horizons together.
  determinants(plan.trainings[0])
  for pair in plan.pairs:
    horizons(pair)
  for training in plan.trainings[1:]:
    determinants(training)


def cells(row: Plain) -> list[str]:
  """A row of the first measurement in words, in the order of the columns."""
  name = f"{row['system']}, {row['backend']}"
  if "failed" in row:
    return [name, f"no gradient: {row['failed']}", *[""] * (len(_COLUMNS) - 2)]
  at = [row["horizons"].index(horizon) for horizon in _SHOWN_HORIZONS]
  return [
    name,
    *(_number(row["median_norm"][index]) for index in at),
    _number(row["largest_norm"][at[-1]]),
    *(_number(row["variance"][index]) for index in at[1:]),
    f"{row['nonfinite'][at[-1]]:.2f}",
    f"{row['ended'][at[-1]]:.2f}",
  ]


def determinant_cells(row: Plain) -> list[str]:
  """A row of the second measurement in words, in the order of the columns; of the means over the seeds."""

  def span(low, high, write):
    finite = [[value for value in row[name] if value is not None] for name in (low, high)]
    return f"{write(min(finite[0], default=None))} to {write(max(finite[1], default=None))}"

  variance = "advantage_gradient_variance"
  return [
    row["system"],
    span(variance, variance, _number),
    span("alpha_min_determinant", "alpha_max_determinant", lambda value: _number(value, 4)),
    _number(row["correlation"]),
  ]


def _number(value: float | None, digits: int = 2) -> str:
  if value is None:
    return "-"
  return f"{value:,.0f}" if 100.0 <= value < 1e5 else f"{value:.{digits}g}"


def report(quick: bool, out: str | None, docs: str | None) -> None:
  """Measures, prints the table, writes numbers and pictures.

  Args:
    quick: the closed-form cart-pole alone.
    out: file for the figures as JSON, pictures beside it; `None` for the documentation's, or one below runs/.
    docs: documentation folder whose gradient_study.md is renewed, or `None`.
  """
  default = "runs/gradients_physics_quick.json" if quick else "runs/gradients_physics.json"
  path = pathlib.Path(out or (pathlib.Path(docs) / "gradients_physics.json" if docs else default))
  results = Results(path)
  measure(QUICK if quick else FULL, results)
  publish(results, path, docs)


def publish(results: Results, path: pathlib.Path, docs: str | None) -> None:
  """Prints the tables and writes the pictures of what has been measured.

  Args:
    results: at least one row of each kind.
    path: of their file; pictures go beside it without `docs`.
    docs: documentation folder whose gradient_study.md is renewed, or `None`.
  """
  draw(results, pathlib.Path(docs) / "images" if docs else path.parent)
  shown = {
    "gradients physics": (_COLUMNS, [cells(row) for row in sorted(results.rows["horizons"], key=_place)]),
    "determinants physics": (
      _DETERMINANT_COLUMNS,
      [determinant_cells(row) for row in results.rows["determinants"]],
    ),
  }
  for name, (columns, rows) in shown.items():
    table = Table(*columns)
    for row in rows:
      table.add_row(*row)
    Console(width=160).print(table)
    if docs:
      replace_block(pathlib.Path(docs) / "gradient_study.md", name, markdown_table(columns, rows))


def _place(row: Plain) -> tuple[int, int]:
  """Of a row in a table: by system, then by backend."""
  return list(PHYSICS).index(row["system"]), (CLOSED_FORM, *BACKENDS).index(row["backend"])


def draw(results: Results, folder: pathlib.Path) -> None:
  """Draws both pictures."""
  save_figure(draw_horizons(results.rows["horizons"]), folder, "physics_gradient_horizon")
  save_figure(draw_determinants(results.rows["determinants"]), folder, "physics_determinant")
