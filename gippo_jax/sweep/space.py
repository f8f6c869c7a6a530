"""What a sweep goes through: a grid on the command line, or a Python file with lists of values and ranges."""

import ast
import dataclasses
import itertools
import math
import pathlib
import re
from collections.abc import Mapping
from types import ModuleType

import numpy as np

from gippo_jax import registry
from gippo_jax.config import RunConfig
from gippo_jax.errors import UserError
from gippo_jax.parsing import Experiment, allowed_values, parse, set_field
from gippo_jax.plain import Plain


@dataclasses.dataclass(frozen=True)
class Uniform:
  """A range of real numbers, drawn from evenly."""

  low: float
  high: float

  def draw(self, generator: np.random.Generator) -> float:
    """One number."""
    return float(generator.uniform(self.low, self.high))

  def problem(self) -> str | None:
    """What is allowed instead, or `None` for a good range."""
    return None if self._ascends() else "a range with low < high"

  def _ascends(self) -> bool:
    numbers = all(isinstance(end, (int, float)) and math.isfinite(end) for end in (self.low, self.high))
    return numbers and self.low < self.high


@dataclasses.dataclass(frozen=True)
class LogUniform(Uniform):
  """A range of positive numbers whose logarithm is drawn from evenly."""

  def draw(self, generator: np.random.Generator) -> float:
    """One number."""
    return float(math.exp(generator.uniform(math.log(self.low), math.log(self.high))))

  def problem(self) -> str | None:
    """What is allowed instead, or `None` for a good range."""
    return None if self._ascends() and self.low > 0 else "a range with 0 < low < high"


# Values or a range by field, e.g. {"alpha.initial": [1e-5, 1e-4], "ppo.learning_rate": LogUniform(1e-5, 1e-2)}.
Space = Mapping[str, list | Uniform]
Assignment = Plain


def parse_grid(text: str) -> Space:
  """Reads `--grid`.

  Args:
    text: `FIELD=VALUE,VALUE;FIELD=VALUE,...`; a value is a Python literal, or a word.

  Raises:
    UserError: when it is not of that form.
  """
  space = {}
  for part in filter(None, (part.strip() for part in text.split(";"))):
    name, equals, values = part.partition("=")
    name = name.strip().removeprefix("config.")
    if not equals or not name:
      raise UserError(f"--grid: {part!r} is not allowed; allowed: FIELD=VALUE,VALUE;FIELD=VALUE,...")
    if name in space:
      raise UserError(f"--grid: {name} is given twice; allowed: each field once, with all its values")
    # Commas inside brackets are part of a value, as in actor.units=(32,32),(64,64).
    space[name] = [_literal(value.strip()) for value in re.split(r",(?![^(\[]*[)\]])", values) if value.strip()]
  if not space:
    raise UserError(f"--grid: {text!r} is empty; allowed: FIELD=VALUE,VALUE;FIELD=VALUE,...")
  return space


def load_space(path: str) -> Space:
  """Reads `--sweep`, a Python file with `get_sweep()`, which returns lists of values or ranges by field.

  Raises:
    UserError: when there is no such file or it does not say that.
  """
  file = pathlib.Path(path)
  if not file.is_file():
    raise UserError(f"--sweep: {path!r} is not a file; allowed: PATH.py, a file with get_sweep()")
  module = ModuleType(file.stem)
  try:
    exec(compile(file.read_text(), str(file), "exec"), module.__dict__)
    space = module.get_sweep()
  except UserError:
    raise
  except (Exception, SystemExit) as error:  # whatever a user's file may raise
    raise UserError(
      f"--sweep: {path} fails with {type(error).__name__}: {error}; allowed: see docs/sweeps.md"
    ) from None
  if not isinstance(space, Mapping) or not space:
    raise UserError(f"--sweep: get_sweep() of {path} returns {space!r}; allowed: a dictionary with a field or more")
  return space


def check_space(space: Space, random: bool) -> None:
  """Checks fields, ranges and whether they fit the kind of search; values are checked by `expand`.

  Args:
    space: as a user wrote it.
    random: whether settings are drawn, not enumerated.

  Raises:
    UserError: naming the field, its value and what is allowed.
  """
  for name, values in space.items():
    allowed = allowed_values(name)
    if allowed == "its fields, one by one":
      raise UserError(f"config.{name}: a group is not allowed in a sweep; allowed: {allowed}")
    if name in {field.name for field in dataclasses.fields(RunConfig)}:
      raise UserError(f"config.{name}: not allowed in a sweep; allowed: --config.{name}=VALUE for all members")
    if isinstance(values, Uniform):
      _check_range(name, values, random, allowed)
    elif not isinstance(values, (list, tuple)):
      raise UserError(f"config.{name}: {values!r} is not allowed; allowed: a list of values, Uniform or LogUniform")
    elif not values:
      raise UserError(f"config.{name}: an empty list is not allowed; allowed: one value or more, each {allowed}")
    elif len({repr(value) for value in values}) < len(values):
      raise UserError(f"config.{name}: {list(values)!r} is not allowed; allowed: values that differ")


def _check_range(name: str, values: Uniform, random: bool, allowed: str) -> None:
  if values.problem():
    raise UserError(f"config.{name}: {values} is not allowed; allowed: {values.problem()}")
  if not allowed.startswith("a number"):
    raise UserError(
      f"config.{name}: {values} is not allowed; allowed: a list of values, since the field is static "
      "(ranges are for real numbers, which share one compiled program)"
    )
  if not random:
    raise UserError(f"config.{name}: {values} is not allowed in a grid; allowed: a list of values, or --random=N")


def assignments(space: Space, num_random: int | None, random_seed: int) -> list[Assignment]:
  """The settings of a sweep.

  Args:
    space: checked.
    num_random: settings to draw; `None` for all combinations.
    random_seed: of the draws.

  Returns:
    Values by field, for each setting.
  """
  if num_random is None:
    lists = [values for values in space.values() if not isinstance(values, Uniform)]  # `check_space` saw to it
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*lists)]
  generator = np.random.default_rng(random_seed)
  return [{name: _draw(values, generator) for name, values in space.items()} for _ in range(num_random)]


def expand(base: Experiment, settings: list[Assignment]) -> list[Experiment]:
  """The experiment of each setting.

  Args:
    base: what they have in common.
    settings: values by field.

  Raises:
    UserError: for a value, or a combination, that is not allowed.
  """
  experiments = []
  for setting in settings:
    plain = base.to_dict()
    for name, value in setting.items():
      set_field(plain, name, value)
    experiments.append(parse(plain))
    registry.require_used(setting, experiments[-1].config)
  return experiments


def _literal(text: str) -> object:
  try:
    return ast.literal_eval(text)
  except (ValueError, SyntaxError):
    return text


def _draw(values: list | Uniform, generator: np.random.Generator) -> object:
  return values.draw(generator) if isinstance(values, Uniform) else values[int(generator.integers(len(values)))]
