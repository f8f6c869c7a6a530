"""Trainings and sweeps as a user starts them."""

from collections.abc import Callable, Iterator, Sequence

from gippo_jax.experiments.speed.commands import COLUMNS, Command, cells, measure
from gippo_jax.experiments.speed.parts import Options, Part
from gippo_jax.experiments.tables.family import VARIANTS
from gippo_jax.experiments.tables.problems import FAMILIES, FUNCTIONS
from gippo_jax.plain import Plain


def _train(config: str, algorithm: str, num_seeds: int = 1, label: str | None = None, epochs: int = 0) -> Command:
  problem = config.partition(":")[2]
  is_theirs = problem in FUNCTIONS and algorithm in FUNCTIONS[problem].paper and not epochs  # whole trainings
  words = ["gippo_jax.main", f"--config={config}", f"--config.algorithm={algorithm}", f"--config.num_seeds={num_seeds}"]
  if epochs:
    words.append(f"--config.num_epochs={epochs}")
  return Command(
    label or f"{problem}, {algorithm}, {num_seeds}", words, (problem, algorithm) if is_theirs else None, num_seeds
  )


_ALGORITHMS = [column for column in FAMILIES["functions"].algorithms if column not in VARIANTS]
_FUNCTIONS = [
  *(_train(f"functions:{name}", column) for name in ("ackley64", "dejong64") for column in _ALGORITHMS),
  _train("functions:ackley1", "gippo")._replace(authors=None),  # another eight minutes
  _train("functions:dejong1", "gippo"),
  _train("functions:dejong1", "gippo", num_seeds=8),
]
_TRAININGS = [
  _train("traffic:pace_car_2", "gippo", label="traffic b, gippo, 500 epochs", epochs=500),
  _train("traffic:pace_car_2", "ppo", label="traffic b, ppo, 500 epochs", epochs=500),
  _train("physics:cartpole", "gippo"),
  _train("physics:cartpole,shac", "shac", label="cartpole, shac, 1"),
  _train("physics:cartpole", "ppo"),
]
# A few epochs: what counts is the time before the first one.
_COMPILES = [
  _train("functions:ackley64", "gippo", epochs=2),
  _train("functions:ackley64", "ppo", epochs=2),
  _train("traffic:pace_car_2", "gippo", epochs=2),
  _train("physics:cartpole", "gippo", epochs=2),
  _train("physics:ant", "gippo", epochs=2),
]
_SWEEPS = [
  _train("functions:dejong1", "gippo"),
  _train("functions:dejong1", "gippo", num_seeds=32),
  Command(
    "ackley64, gippo, 9 settings x 8",
    (
      *("gippo_jax", "sweep", "--config=functions:ackley64", "--config.num_seeds=8"),
      "--grid=alpha.initial=1e-6,1e-5,1e-4;alpha.learning_rate=3e-4,1e-3,3e-3",
    ),
    ("ackley64", "gippo"),
    72,
  ),
]


def _by_median(rows: Sequence[Plain]) -> dict[str, float]:
  """Every training's seconds over the middle one's: what became slower by itself shows."""
  middle = sorted(row["run_seconds"] for row in rows)[len(rows) // 2]
  return {row["label"]: row["run_seconds"] / middle for row in rows}


def _warm_by_cold(rows: Sequence[Plain]) -> dict[str, float]:
  """What a start costs with programs that are compiled already, over what it costs without."""
  return {row["label"]: row["warm_compile_seconds"] / row["cold_compile_seconds"] for row in rows}


def _by_seed(rows: Sequence[Plain]) -> dict[str, float]:
  """A seed's seconds over those of the first row."""
  alone = rows[0]["run_seconds"] / rows[0]["num_seeds"]
  return {row["label"]: row["run_seconds"] / row["num_seeds"] / alone for row in rows[1:]}


def _part(commands: Sequence[Command], ratios: Callable[[Sequence[Plain]], dict[str, float]]) -> Part:
  def rows(options: Options) -> Iterator[Plain]:
    for command in commands:
      yield measure(command, options.repeats, options.authors)

  def require(options: Options) -> None:
    if options.authors and any(command.authors for command in commands):
      options.authors.require()

  return Part("performance.md", COLUMNS, rows, cells, ratios, require)


FUNCTION_TRAININGS = _part(_FUNCTIONS, _by_median)
TRAININGS = _part(_TRAININGS, _by_median)
COMPILATION = _part(_COMPILES, _warm_by_cold)
SWEEPS = _part(_SWEEPS, _by_seed)
