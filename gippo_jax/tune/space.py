"""Search spaces: Python files with `get_space(trial)`, tried before anything is trained."""

import importlib.util
import pathlib
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution

from gippo_jax import registry
from gippo_jax.config import RunConfig
from gippo_jax.errors import UserError
from gippo_jax.parsing import Experiment, allowed_values, parse, set_field
from gippo_jax.plain import Plain

PAPER_SPACE = pathlib.Path(__file__).with_name("paper_space.py")
_DRAWS = 64


class Space:
  """A search space, read from its file.

  Args:
    path: Python file with `get_space(trial) -> {field: value}`.

  Raises:
    UserError: when there is no such file, it cannot be run, or it has no `get_space`.
  """

  def __init__(self, path: pathlib.Path):
    self.path = path
    if not path.is_file():
      raise UserError(f"--space: '{path}' is not a file; allowed: PATH.py, a file with get_space(trial)")
    self.source = path.read_text()
    spec = importlib.util.spec_from_file_location("gippo_jax_space", path)
    if spec is None or spec.loader is None:
      raise UserError(f"--space: '{path}' is no Python file; allowed: PATH.py, a file with get_space(trial)")
    module = importlib.util.module_from_spec(spec)
    try:
      spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
      raise UserError(f"--space: {path} cannot be run: {_one_line(error)}") from error
    get_space = getattr(module, "get_space", None)
    if not callable(get_space):
      raise UserError(f"--space: {path} has no get_space; allowed: a file with get_space(trial) -> {{field: value}}")
    self._get_space = cast(Callable[[optuna.Trial], Plain], get_space)

  def draw(self, trial: optuna.Trial) -> Plain:
    """Values of fields by dotted names, as the trial suggests them.

    Raises:
      optuna.TrialPruned: when `get_space` does.
      UserError: when it fails or returns something else.
    """
    try:
      fields = self._get_space(trial)
    except optuna.TrialPruned:
      raise
    except (Exception, SystemExit) as error:
      raise UserError(f"--space: {self.path}: get_space failed: {_one_line(error)}") from error
    if not isinstance(fields, dict) or not fields:
      raise UserError(f"--space: {self.path}: get_space returned {fields!r}; allowed: a dict {{field: value}}")
    return fields

  def apply(self, experiment: Experiment, fields: Plain) -> Experiment:
    """The experiment with the drawn values, checked as the command line's are.

    Args:
      experiment: as configured.
      fields: from `draw`.

    Raises:
      UserError: for a field that does not exist or is not the trainer's, or a value that is not allowed.
    """
    values = experiment.to_dict()
    try:
      for name, value in fields.items():
        _set(values, name, value)
      drawn = parse(values)
      registry.require_used(fields, drawn.config)
      return drawn
    except UserError as error:
      raise UserError(f"--space: {self.path}: {error}") from None

  def check(self, experiment: Experiment) -> None:
    """Draws corners of the space and checks each, so that a mistake is found before anything is trained.

    A corner that `get_space` prunes does not count, unless all are.

    Args:
      experiment: as configured.

    Raises:
      UserError: see `draw` and `apply`.
    """
    study, pruned = optuna.create_study(sampler=_CornerSampler()), 0
    for _ in range(_DRAWS):
      try:
        self.apply(experiment, self.draw(study.ask()))
      except optuna.TrialPruned:
        pruned += 1
    if pruned == _DRAWS:
      raise UserError(f"--space: {self.path}: get_space prunes every point; allowed: one that leaves some")


class _CornerSampler(optuna.samplers.BaseSampler):
  """Draws an end of every range: where both ends are allowed, most of what lies between is too."""

  def __init__(self):
    self._generator = np.random.default_rng(0)

  def infer_relative_search_space(self, study, trial):
    return {}

  def sample_relative(self, study, trial, search_space):
    return {}

  def sample_independent(self, study, trial, param_name: str, param_distribution: BaseDistribution) -> Any:
    if isinstance(param_distribution, CategoricalDistribution):
      ends = param_distribution.choices
    else:
      ends = (param_distribution.low, param_distribution.high)  # pyright: ignore[reportAttributeAccessIssue]
    return ends[self._generator.integers(len(ends))]


def _set(values: Plain, name: str, value: Any) -> None:
  if not isinstance(name, str):
    raise UserError(f"{name!r} is not a name of a field")
  group = name.split(".")[0]
  if group == "env" or group in RunConfig.__dataclass_fields__:
    raise UserError(f"config.{name} says what is tuned for and is the same in all trials; allowed: hyper-parameters")
  allowed = allowed_values(name)
  if allowed == "its fields, one by one":
    raise UserError(f"config.{name} is a group; allowed: {allowed}")
  set_field(values, name, value)


def _one_line(error: BaseException) -> str:
  text = str(error).strip().splitlines()
  return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
