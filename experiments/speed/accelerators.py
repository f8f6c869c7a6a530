"""An accelerator: seeds, environments and the precision of its products.

Every row is one compiled chunk of epochs, timed after a first one. All programs are compiled side by side, a process
for each problem and a thread for each of its programs, since a compiler uses few of the cores of a machine that has an
accelerator; nothing is timed before the last of them is ready.
"""

# A ConfigDict's fields are of any type to a type checker.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

import concurrent.futures
import itertools
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from gippo_jax.errors import UserError
from gippo_jax.experiments.configs import functions, physics, playground, traffic
from gippo_jax.experiments.speed.chunks import make_runs
from gippo_jax.experiments.speed.parts import Options, Part, Watch
from gippo_jax.experiments.tables.text import number
from gippo_jax.learning.state import TrainingState
from gippo_jax.parsing import Experiment, parse
from gippo_jax.plain import Plain
from gippo_jax.programs.members import Runs

_COLUMNS = (
  "what",
  "products",
  "seeds",
  "environments of a seed",
  "compile (s)",
  "epoch of all seeds (ms)",
  "steps/s of all seeds",
  "epoch of a seed over that of one seed",
  "memory (MiB)",
  "gradient's relative error",
)
# Epochs that a chunk holds, and seconds that a timed one is to last.
_CAPACITY = 64
_SECONDS = 0.7


class Point(NamedTuple):
  """One measurement.

  Attributes:
    what: the problem and the algorithm.
    experiment: hyper-parameters, the precision of products among them.
    num_members: seeds side by side.
    judged: whether the error of the gradient is measured.
  """

  what: str
  experiment: Experiment
  num_members: int
  judged: bool


class Compiled(NamedTuple):
  """A point's program, the states of its members, the seconds of compilation, and the gradient's error if asked."""

  runs: Runs
  states: TrainingState
  seconds: float
  gradient_error: float | None


def points() -> Iterator[Point]:
  """All measurements."""
  for function in ("dejong1", "ackley64"):
    for num_members in (1, 32, 1024, 8192):
      yield Point(f"{function}, GI-PPO", parse(functions.get_config(function)), num_members, False)
  for precision in ("highest", "tf32", "bf16"):
    yield Point("traffic e, GI-PPO", parse(_widen(traffic.get_config("pace_car_10"), 4096, precision)), 1, True)
  yield Point("ant, GI-PPO", parse(_widen(physics.get_config("ant"), 4096, "highest")), 1, False)
  for num_members in (1, 64):
    yield Point("CartpoleSwingup, SHAC", parse(playground.get_config("CartpoleSwingup,shac")), num_members, False)


def _widen(config: ConfigDict, num_envs: int, precision: str) -> ConfigDict:
  """`config` with more environments, all of a window in one minibatch."""
  config.num_envs, config.matmul_precision = num_envs, precision
  config.ppo.minibatch_size = num_envs * config.horizon
  return config


def compile_point(point: Point) -> Compiled:
  """Compiles a point's program and makes the states before its first epoch."""
  begin = time.perf_counter()
  runs = make_runs(point.experiment, point.num_members, _CAPACITY, num_devices=1, by_environment=False)
  states = runs.init(list(range(1, point.num_members + 1)))
  runs.compile(states)
  seconds = time.perf_counter() - begin
  return Compiled(runs, states, seconds, gradient_error(point.experiment) if point.judged else None)


def epoch_seconds(compiled: Compiled, repeats: int) -> list[float]:
  """Seconds of an epoch of all members, once for each repeat."""
  runs, states = compiled.runs, compiled.states

  def launch(num_epochs: int) -> float:
    nonlocal states
    begin = time.perf_counter()
    states, pending = runs.launch(states, num_epochs)
    runs.fetch(pending)
    return (time.perf_counter() - begin) / num_epochs

  launch(1)
  num_epochs = int(np.clip(_SECONDS / launch(2), 1, _CAPACITY))
  return [launch(num_epochs) for _ in range(repeats)]


def gradient_error(experiment: Experiment) -> float:
  """`|g - g'| / |g'|` of SHAC's gradient of the first window, `g'` at the highest precision of products."""
  import jax

  from gippo_jax import envs
  from gippo_jax.algorithms import shac
  from gippo_jax.algorithms.base import begin_epoch
  from gippo_jax.config import MATMUL_PRECISIONS, traced
  from gippo_jax.learning.setup import make_setup

  config = experiment.config.replace(algorithm="shac")
  setup = make_setup(envs.make(**experiment.env), config)

  def gradient(precision: str) -> np.ndarray:
    def of(key, config):
      now = setup._replace(config=config)
      state = shac.make(now).init(key)
      return shac.estimate(now, state, begin_epoch(now, state, None)[1]).gradient

    with jax.default_matmul_precision(MATMUL_PRECISIONS[precision]):
      return np.asarray(jax.jit(of)(jax.random.key(1), traced(config)), np.float64)

  exact = gradient("highest")
  return float(np.linalg.norm(gradient(config.matmul_precision) - exact) / np.linalg.norm(exact))


def measure(point: Point, compiled: Compiled, repeats: int) -> Plain:
  """A row."""
  watch = Watch()
  seconds = epoch_seconds(compiled, repeats)
  others = {"busy": watch.is_busy(), "other_cores": watch.other_cores()}
  config = point.experiment.config
  return others | {
    "what": point.what,
    "precision": config.matmul_precision,
    "num_members": point.num_members,
    "num_envs": config.num_envs,
    "horizon": config.horizon,
    "compile_seconds": compiled.seconds,
    "epoch_seconds": sorted(seconds),
    "bytes": sum(compiled.runs.program_bytes.values()),
    "gradient_error": compiled.gradient_error,
  }


def rows(options: Options) -> Iterator[Plain]:
  """Compiles the problems side by side, then measures one after the other."""
  context = multiprocessing.get_context("spawn")
  children = []
  try:
    for what, of_a_problem in itertools.groupby(points(), key=lambda point: point.what):
      ours, theirs = context.Pipe()
      child = context.Process(target=_measure_problem, args=(list(of_a_problem), options.repeats, theirs))
      child.start()
      theirs.close()  # so that its end is seen here
      children.append((what, child, ours))
    # A child that is compiled waits; whoever is still compiling holds up all.
    compiled = [(what, ours) for what, _, ours in children if _receive(what, ours)]
    print("accelerator: all programs are compiled", flush=True)
    for what, ours in compiled:
      ours.send("measure")
      while row := _receive(what, ours):
        yield row
  finally:
    for _, child, _ in children:
      child.terminate()
      child.join()


def _receive(what: str, pipe: Connection) -> Plain | None:
  """What a child says next, a row or that it has compiled; `None` at its end, which is told where it is early."""
  try:
    return pipe.recv()
  except EOFError:
    print(f"{what} is left out: its process ended", flush=True)
    return None


def _measure_problem(chosen: Sequence[Point], repeats: int, pipe: Connection) -> None:
  """A process of its own: compiles a problem's points, says so, measures when it is told to, and says `None` last."""
  import jax

  with concurrent.futures.ThreadPoolExecutor(len(chosen)) as pool:
    programs = [pool.submit(compile_point, point) for point in chosen]  # leaving the pool waits for all
  pipe.send({"compiled": True})
  pipe.recv()
  single: dict[str, float] = {}
  for point in chosen:
    try:
      row = measure(point, programs.pop(0).result(), repeats)
    except jax.errors.JaxRuntimeError as error:  # most of all: too little memory
      print(f"{point.what}, {point.num_members} seeds, is left out: {str(error).splitlines()[0]}", flush=True)
      continue
    of_a_seed = float(np.median(row["epoch_seconds"])) / point.num_members
    row["over_one_seed"] = of_a_seed / single.setdefault(row["precision"], of_a_seed)
    pipe.send(row)
  pipe.send(None)


def cells(row: Plain) -> list[str]:
  """A row in words, in the order of the table's columns."""
  seconds = float(np.median(row["epoch_seconds"]))
  steps = row["num_members"] * row["num_envs"] * row["horizon"]
  return [
    row["what"],
    row["precision"],
    f"{row['num_members']:,}",
    f"{row['num_envs']:,}",
    number(row["compile_seconds"]),
    number(1e3 * seconds),
    f"{steps / seconds:,.0f}",
    f"1/{1 / row['over_one_seed']:,.0f}" if row["over_one_seed"] < 1 else number(row["over_one_seed"]),
    f"{row['bytes'] / 2**20:,.0f}",
    "" if row["gradient_error"] is None else f"{row['gradient_error']:.1e}",
  ]


def ratios(rows: Sequence[Plain]) -> dict[str, float]:
  """An epoch of a seed over that of one seed."""
  return {f"{row['what']} {row['precision']} {row['num_members']}": row["over_one_seed"] for row in rows}


def require(options: Options) -> None:
  """An accelerator, and Playground for its row."""
  import jax

  from gippo_jax.envs.adapters.common import import_package

  del options
  if jax.default_backend() == "cpu":
    raise UserError("PART: 'accelerator' is for a machine with one, and JAX sees only a CPU; allowed: the other parts")
  try:
    import_package("playground", "mujoco_playground", "playground")
  except ValueError as error:
    raise UserError(f"PART: 'accelerator': {error}") from None


PART = Part("performance.md", _COLUMNS, rows, cells, ratios, require)
