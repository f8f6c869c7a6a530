"""Operations of an epoch beside what the machine does at most.

A problem is measured in a process of its own, which has as many threads as a training of it alone.
"""

import concurrent.futures
import itertools
import multiprocessing
from collections.abc import Iterator, Sequence

from gippo_jax.experiments.configs import functions, physics, traffic
from gippo_jax.experiments.speed.ceilings import Ceilings
from gippo_jax.experiments.speed.ceilings import measure as measure_ceilings
from gippo_jax.experiments.speed.chunks import time_chunk
from gippo_jax.experiments.speed.operations import Operations, count
from gippo_jax.experiments.speed.parts import Options, Part, Watch
from gippo_jax.experiments.tables.text import number
from gippo_jax.parsing import Experiment, parse
from gippo_jax.plain import Plain
from gippo_jax.programs.devices import configure_jax, num_threads
from gippo_jax.runs.threads import use_one_if_small

# Problem, preset's module and argument, epochs that are timed together.
_PROBLEMS = {
  "De Jong-1": (functions, "dejong1", 200),
  "Ackley-64": (functions, "ackley64", 200),
  "traffic, two lanes": (traffic, "pace_car_2", 6),
  "cart-pole": (physics, "cartpole", 20),
}
_ALGORITHMS = ("lr", "rp", "shac", "ppo", "lrp", "gippo")
# Metrics that tell how often the loops whose length the data decides ran, in the order of the program.
_ATTEMPTS = ("alpha_attempts", "ppo_attempts")


def experiments() -> Iterator[tuple[str, str, Experiment, int]]:
  """Problem, algorithm, hyper-parameters and epochs of every row."""
  for label, (preset, argument, num_epochs) in _PROBLEMS.items():
    for algorithm in _ALGORITHMS:
      config = preset.get_config(f"{argument},{algorithm}" if preset is physics else argument)
      config.algorithm = algorithm
      yield label, algorithm, parse(config), num_epochs


def count_epoch(experiment: Experiment, attempts: tuple[float, ...]) -> Operations:
  """Operations of an epoch of one member whose steps are tried `attempts` times."""
  import jax

  from gippo_jax import envs
  from gippo_jax.config import traced
  from gippo_jax.programs.epochs import make_epochs

  config = traced(experiment.config)
  epochs = make_epochs(envs.make(**experiment.env), experiment.config)
  state = jax.eval_shape(epochs.init, jax.random.key(0), config)
  return count(epochs.update, state, config, trips=attempts)


def least_seconds(operations: Operations, ceilings: Ceilings) -> dict[str, float]:
  """Seconds of each kind of work at the machine's rates, the numbers never leaving the cache."""
  return {
    "products": operations.products / ceilings.products,
    "elementwise": operations.elementwise / ceilings.elementwise,
    "transcendental": operations.transcendental / ceilings.transcendental,
  }


def measure(label: str, algorithm: str, experiment: Experiment, num_epochs: int, ceilings: Ceilings) -> Plain:
  """A row: an epoch's time and work, the share of the machine's rates that it reaches, and what ran beside it."""
  watch = Watch()
  chunk = time_chunk(experiment, num_epochs, repeats=5, counts_operations=True)
  others = {"busy": watch.is_busy(), "other_cores": watch.other_cores()}
  attempts = tuple(chunk.metrics[name] for name in _ATTEMPTS if name in chunk.metrics)
  operations = count_epoch(experiment, attempts)
  least = least_seconds(operations, ceilings)
  return others | {
    "problem": label,
    "algorithm": algorithm,
    "seconds": chunk.seconds,
    "operations": operations._asdict(),
    "least_seconds": least,
    "share": sum(least.values()) / chunk.seconds,
    "xla_operations": chunk.num_operations,
    "num_bytes": chunk.num_bytes,
    "threads": num_threads(),
  }


COLUMNS = (
  "problem, algorithm",
  "epoch (ms)",
  "products (MFLOP)",
  "other arithmetic (M)",
  "exponentials (M)",
  "equations",
  "XLA's operations",
  "at the machine's rates (ms)",
  "of that products (ms)",
  "share reached (%)",
  "an operation of XLA's (ns)",
)


def rows(options: Options) -> Iterator[Plain]:
  """Measures the machine's rates and all experiments."""
  del options
  ceilings = measure_ceilings()
  yield {"problem": "machine", "algorithm": None, "ceilings": ceilings._asdict()}
  for _, of_a_problem in itertools.groupby(experiments(), key=lambda row: row[0]):
    arguments = list(of_a_problem)
    with concurrent.futures.ProcessPoolExecutor(
      1, multiprocessing.get_context("spawn"), _begin_process, initargs=(arguments[0][2],)
    ) as process:
      for row in arguments:
        yield process.submit(measure, *row, ceilings).result()


def _begin_process(experiment: Experiment) -> None:
  use_one_if_small(experiment)
  configure_jax(1, compilation_cache=False)


def cells(row: Plain) -> list[str]:
  """A row in words, in the order of the columns."""
  if "ceilings" in row:
    rates = row["ceilings"]
    return [
      "the machine's rates, per second",
      "-",
      f"{rates['products'] / 1e9:.0f} G; 64 x 64: {rates['small_products'] / 1e9:.0f} G",
      f"{rates['elementwise'] / 1e9:.1f} G",
      f"{rates['transcendental'] / 1e9:.2f} G",
      *["-"] * 6,
    ]
  operations, least = row["operations"], row["least_seconds"]
  return [
    f"{row['problem']}, {row['algorithm']}",
    number(1e3 * row["seconds"]),
    number(operations["products"] / 1e6),
    number(operations["elementwise"] / 1e6),
    number(operations["transcendental"] / 1e6),
    f"{operations['equations']:,.0f}",
    f"{row['xla_operations']:,}",
    number(1e3 * sum(least.values())),
    number(1e3 * least["products"]),
    f"{100 * row['share']:.0f}",
    f"{1e9 * row['seconds'] / row['xla_operations']:,.0f}",
  ]


def ratios(rows: Sequence[Plain]) -> dict[str, float]:
  """Shares of the machine's rates."""
  return {f"{row['problem']}, {row['algorithm']}": row["share"] for row in rows if "share" in row}


PART = Part("performance.md", COLUMNS, rows, cells, ratios)
