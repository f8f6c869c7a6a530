"""What hears of a run while it trains: one small protocol for files, trackers, and whatever a user adds."""

import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from gippo_jax.errors import UserError
from gippo_jax.plain import Plain
from gippo_jax.runs.summary import Summary


class Start(NamedTuple):
  """What a logger is told before the first row of a start.

  Attributes:
    folder: of the run; its `metrics.jsonl` holds the rows of earlier starts that stand.
    label: a short name of what is trained.
    config: the whole configuration, as `config.json` has it.
    seeds: of the members.
    epoch: epochs done before. Rows follow of those after it, also of such as a killed start had reached: they are
      trained again, bit for bit.
    steps_per_epoch: environment steps of one member in an epoch.
    tell: shows the user a line.
  """

  folder: pathlib.Path
  label: str
  config: Plain
  seeds: list[int]
  epoch: int
  steps_per_epoch: int
  tell: Callable[[str], None]


class Logger(Protocol):
  """Hears of a run; a class that names this one as its base needs only the methods it cares for.

  A row is a dictionary: `epoch`, `seed`, `steps` (environment steps of this seed), `steps_per_second` (of all seeds),
  and the algorithm's metrics, numbers or lists of them, NaN where there is none yet.
  """

  def begin(self, start: Start) -> None:
    """Called once, before the first row."""

  def log(self, rows: Sequence[Plain]) -> None:
    """Called with the rows of some epochs of all seeds, in the order of the epochs."""

  def sync(self) -> None:
    """Called before a checkpoint is written: what was logged is to last."""

  def finish(self, summary: Summary) -> None:
    """Called once with what `summary.json` will hold; not when the process is killed."""


class Guarded:
  """Passes on to a user's logger; one that raises is told of, and hears no more: the run goes on.

  Args:
    logger: the user's.
    tell: receives a line.
  """

  def __init__(self, logger: Logger, tell: Callable[[str], None]):
    self._logger, self._tell, self._fails = logger, tell, False

  def begin(self, start: Start) -> None:
    """As the other one; what it raises is raised, since nothing was trained yet."""
    self._logger.begin(start)

  def log(self, rows: Sequence[Plain]) -> None:
    """As the other one."""
    self._pass_on("log", lambda: self._logger.log(rows))

  def sync(self) -> None:
    """As the other one."""
    self._pass_on("sync", self._logger.sync)

  def finish(self, summary: Summary) -> None:
    """As the other one."""
    self._pass_on("finish", lambda: self._logger.finish(summary))

  def _pass_on(self, method: str, call: Callable[[], None]) -> None:
    if self._fails:
      return
    try:
      call()
    except Exception as error:  # whatever a user's code may raise
      self._fails = True
      name = type(self._logger).__name__
      self._tell(f"{name}.{method} raised {type(error).__name__}: {error}; it hears no more of this run")


def require_loggers(loggers: Sequence[Logger]) -> None:
  """Checks a user's loggers.

  Raises:
    UserError: naming the methods that one lacks.
  """
  wanted = ("begin", "log", "sync", "finish")
  for logger in loggers:
    missing = [name for name in wanted if not callable(getattr(logger, name, None))]
    if missing or isinstance(logger, type):
      lacks = f"which has no {', '.join(missing)}" if missing else "a class"
      raise UserError(
        f"loggers: {logger!r}, {lacks}; allowed: objects with {', '.join(wanted)}, as gippo_jax.Logger has"
      )
