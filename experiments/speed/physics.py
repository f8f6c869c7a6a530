"""Speed, compilation and memory of the programs that roll out a window of a physics problem.

Steps per second, in float32, of windows of 32 steps of 64 environments with time limit and automatic reset:

- the bare gradient: of the summed rewards by all actions, without a policy; and the same with the environments along
  the first axis, by `jax.vmap`, where they otherwise lie along the last (`envs.lanes`);
- the trainer's rollout with the gradient of every advantage by its action (policy, critic, normalisation included),
  with the environment's steps recomputed in the backward pass (`rematerialize`, on in the physics configurations) and
  without;
- the trainer's rollout alone.

Each is the best of several timings, the programs taking turns; what compiling costs, and the memory of the backward
passes, stand beside.
"""

# A ConfigDict's fields are of any type to a type checker.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

import functools
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax

from gippo_jax import envs
from gippo_jax.config import traced
from gippo_jax.envs.base import Environment
from gippo_jax.experiments.configs import physics
from gippo_jax.experiments.measurements.timing import rollout, seconds_per_call
from gippo_jax.experiments.speed.parts import Options, Part
from gippo_jax.learning.rollout import collect, collect_with_advantage_gradient
from gippo_jax.learning.setup import make_setup
from gippo_jax.parsing import parse
from gippo_jax.plain import Plain
from gippo_jax.programs import compilation
from gippo_jax.programs.epochs import make_epochs
from gippo_jax.programs.memory import program_bytes

_NUM_ENVS = 64
_HORIZON = 32
_ACTION_STD = 0.3
_PROBLEMS = ("cartpole", "hopper", "ant")

COLUMNS = (
  "problem",
  "rollout (steps/s)",
  "bare gradient (steps/s)",
  "by jax.vmap (steps/s)",
  "trainer's gradient (steps/s)",
  "nothing recomputed (steps/s)",
  "time over the bare gradient's",
  "nothing recomputed",
  "compile: bare, by jax.vmap, trainer's (s)",
  "backward pass (MB)",
  "nothing recomputed (MB)",
)


class Prepared(NamedTuple):
  """A program to be compiled, what the compiler is told, and the program's arguments."""

  lowered: jax.stages.Lowered
  options: compilation.Options | None
  arguments: tuple[Any, ...]


class _AlongTheFirst:
  """An environment whose copies lie along the first axis."""

  batch_last = False

  def __init__(self, env: Environment):
    self._env = env

  def __getattr__(self, name: str) -> object:
    return getattr(self._env, name)


def prepare(problem: str, num_envs: int, horizon: int) -> dict[str, Prepared]:
  """Lowers the programs of a window.

  Args:
    problem: argument of `experiments/configs/physics.py`.
    num_envs: environments side by side.
    horizon: steps per window.

  Returns:
    By name, `forward`, `bare`, `mapped`, `trainer` and `stored`: `mapped` where the environments lie along the last
    axis.
  """
  values = physics.get_config(problem)
  values.num_envs, values.horizon = num_envs, horizon
  values.ppo.minibatch_size = num_envs * horizon
  experiment = parse(values)
  env = envs.make(**experiment.env)
  config = traced(experiment.config)
  setup = make_setup(env, config)
  state = jax.jit(make_epochs(env, config).init)(jax.random.key(0), config)
  noise = jax.random.normal(jax.random.key(1), (horizon, num_envs, env.action_size))

  def bare(env):
    batch = envs.vectorize(env, num_envs)
    return jax.value_and_grad(lambda actions, environment: rollout(batch, environment, actions), has_aux=True)

  def forward(state, noise, config):
    return collect(setup._replace(config=config), state, state.actor, noise)

  def with_gradient(state, noise, config):
    return collect_with_advantage_gradient(setup._replace(config=config), state, noise)

  actions = (_ACTION_STD * noise, state.environment)
  calls = {
    "forward": (forward, (state, noise, config)),
    "bare": (bare(env), actions),
    **({"mapped": (bare(_AlongTheFirst(env)), actions)} if getattr(env, "batch_last", False) else {}),
    "trainer": (with_gradient, (state, noise, config.replace(rematerialize=True))),
    "stored": (with_gradient, (state, noise, config.replace(rematerialize=False))),
  }
  return {
    name: Prepared(jax.jit(function).lower(*arguments), None if name == "mapped" else compilation.often(env), arguments)
    for name, (function, arguments) in calls.items()
  }


def measure(problem: str, num_envs: int = _NUM_ENVS, horizon: int = _HORIZON) -> Plain:
  """Speeds, seconds of compilation and memory of one problem.

  Args:
    problem: argument of `experiments/configs/physics.py`.
    num_envs: environments side by side.
    horizon: steps per window.

  Returns:
    By program, `steps_per_second`, `compile_seconds` (tracing excluded) and `temporary_bytes`; and `ratio` and
    `stored_ratio`, of the trainer's time to the bare gradient's, with and without recomputation.
  """
  compile_seconds, calls, temporary = {}, {}, {}
  for name, (lowered, options, arguments) in prepare(problem, num_envs, horizon).items():
    begin = time.perf_counter()
    program = lowered.compile(options)
    compile_seconds[name] = time.perf_counter() - begin
    temporary[name] = program_bytes(program).get("temporary")
    calls[name] = functools.partial(program, *arguments)
  seconds = dict(zip(calls, seconds_per_call(list(calls.values())), strict=True))
  return {
    "problem": problem,
    "num_envs": num_envs,
    "horizon": horizon,
    "steps_per_second": {name: num_envs * horizon / value for name, value in seconds.items()},
    "ratio": seconds["trainer"] / seconds["bare"],
    "stored_ratio": seconds["stored"] / seconds["bare"],
    "compile_seconds": compile_seconds,
    "temporary_bytes": temporary,
  }


def cells(row: Plain) -> list[str]:
  """A row in words, in the order of the columns."""
  speed, memory, seconds = row["steps_per_second"], row["temporary_bytes"], row["compile_seconds"]

  def steps(name):
    return f"{speed[name]:,.0f}" if name in speed else "-"

  def megabytes(name):
    return "-" if memory[name] is None else f"{memory[name] / 1e6:.1f}"

  return [
    row["problem"],
    steps("forward"),
    steps("bare"),
    steps("mapped"),
    steps("trainer"),
    steps("stored"),
    f"{row['ratio']:.2f}",
    f"{row['stored_ratio']:.2f}",
    ", ".join(f"{seconds[name]:.0f}" if name in seconds else "-" for name in ("bare", "mapped", "trainer")),
    megabytes("trainer"),
    megabytes("stored"),
  ]


def rows(options: Options) -> Iterator[Plain]:
  """Measures all problems."""
  del options
  yield from map(measure, _PROBLEMS)


def ratios(rows: Sequence[Plain]) -> dict[str, float]:
  """The trainer's time over the bare gradient's, and the bare gradient's over the rollout's and over `jax.vmap`'s."""
  found = {}
  for row in rows:
    speed = row["steps_per_second"]
    found[f"{row['problem']}, trainer"] = row["ratio"]
    found[f"{row['problem']}, gradient"] = speed["forward"] / speed["bare"]
    if "mapped" in speed:
      found[f"{row['problem']}, along the last axis"] = speed["mapped"] / speed["bare"]
  return found


PART = Part("performance.md", COLUMNS, rows, cells, ratios)
