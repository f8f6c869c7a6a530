"""Experiment trackers: whatever has wandb's three calls `init`, `log`, `finish`."""

import importlib
import json
import math
import pathlib
import secrets
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import NamedTuple

from gippo_jax.errors import UserError
from gippo_jax.plain import Plain
from gippo_jax.runs.events import NO_METRICS, scalars
from gippo_jax.runs.files import write_json
from gippo_jax.runs.loggers import Start
from gippo_jax.runs.rows import read_rows
from gippo_jax.runs.summary import Summary
from gippo_jax.runs.workdir import Workdir

TRACKERS = ("wandb", "trackio")
NONE = "none"
PROJECT = "gippo_jax"
_FILE = "tracker.json"


class Mark(NamedTuple):
  """What the folder remembers of its tracker, from start to start.

  Attributes:
    tracker: its name.
    project: where the run stands.
    run: identifier of the run there.
    epoch: the last one that was logged.
  """

  tracker: str
  project: str
  run: str
  epoch: int


class Tracker:
  """Logs a run to wandb or trackio: one run of theirs for one of ours, whatever starts it took.

  With several seeds a metric is `seed_N/...`, with one it is by itself; the groups are those of TensorBoard, steps are
  the environment's. Where it goes, online or not, is the tracker's own affair: `WANDB_MODE=offline`, `TRACKIO_DIR`.

  Args:
    name: one of `TRACKERS`.
    project: of the tracker's.

  Raises:
    UserError: for an unknown tracker, or one that is not installed.
  """

  def __init__(self, name: str, project: str = PROJECT):
    if name not in TRACKERS:
      raise UserError(f"--tracker: {name!r} is unknown; allowed: {', '.join([*TRACKERS, NONE])}")
    self._name, self._project, self._module = name, project, _import(name)

  def begin(self, start: Start) -> None:
    """Begins the tracker's run, or goes on with it; what it has not heard of earlier starts is told first.

    Raises:
      UserError: when the tracker refuses, e.g. since nobody is logged in.
    """
    self._folder, self._seeds = start.folder, start.seeds
    mark = read_mark(start.folder)
    if mark is None or (mark.tracker, mark.project) != (self._name, self._project):
      mark = Mark(self._name, self._project, secrets.token_hex(4), 0)
    self._remember(mark)
    known = {"project": self._project, "config": start.config, "resume": "allow"}
    try:
      self._module.init(**known, **self._identity(start))
    except Exception as error:  # whatever it may raise
      reason = (str(error).strip().splitlines() or [""])[0]
      raise UserError(
        f"--tracker: {self._name}.init raised {type(error).__name__}: {reason}; allowed: a tracker that is set up "
        "(WANDB_MODE=offline for wandb without an account), or --tracker=none"
      ) from None
    self.log(read_rows(Workdir(start.folder)))

  def has_heard(self, start: Start) -> bool:
    """Whether it knows of all epochs before this start."""
    mark = read_mark(start.folder)
    return mark is not None and mark[:2] == (self._name, self._project) and mark.epoch >= start.epoch

  def log(self, rows: Sequence[Plain]) -> None:
    """Tells of epochs that the tracker has not heard of: a start that goes back over some repeats nothing.

    Which they are is on disk before they are told of: killed in between, some are missing there, none is twice.
    """
    by_epoch: dict[int, list[Plain]] = {}
    for row in rows:
      if row["epoch"] > self._mark.epoch:
        by_epoch.setdefault(row["epoch"], []).append(row)
    if not by_epoch:
      return
    self._remember(self._mark._replace(epoch=max(by_epoch)))
    for epoch in sorted(by_epoch):
      numbers = {"epoch": float(epoch)}
      for row in by_epoch[epoch]:
        numbers |= self._numbers(row["seed"], {name: row[name] for name in row if name not in NO_METRICS})
      self._module.log(numbers, step=by_epoch[epoch][0]["steps"])

  def sync(self) -> None:
    """Does nothing: the tracker keeps what it was told."""

  def finish(self, summary: Summary) -> None:
    """Tells of the evaluation, and ends the tracker's run."""
    numbers: dict[str, float] = {}
    for index, seed in enumerate(summary["seeds"]):
      values = {
        "evaluation/final": summary["evaluation_return"][index],
        "evaluation/best": summary["best_evaluation_return"][index],
      }
      numbers |= self._numbers(seed, values)
    if numbers:
      self._module.log(numbers, step=summary["steps"])
    self._module.finish()

  def _remember(self, mark: Mark) -> None:
    self._mark = mark
    write_json(self._folder / _FILE, mark._asdict())

  def _identity(self, start: Start) -> Plain:
    """How the tracker finds its run again: wandb by an identifier, trackio by the name alone."""
    name = start.folder.resolve().name
    if self._name == "wandb":
      return {"name": name, "id": self._mark.run, "dir": str(start.folder)}
    return {"name": f"{name}-{self._mark.run}"}

  def _numbers(self, seed: int, values: Mapping[str, float | list[float] | None]) -> dict[str, float]:
    """By the tracker's names; what is missing or not finite is left out."""
    beginning = f"seed_{seed}/" if len(self._seeds) > 1 else ""
    return {
      beginning + tag: float(number)
      for name, value in values.items()
      if value is not None
      for tag, number in scalars(name, value)
      if number is not None and math.isfinite(number)
    }


def read_mark(folder: pathlib.Path) -> Mark | None:
  """What a folder remembers; `None` where there is nothing, or nothing that can be read."""
  try:
    values = json.loads((folder / _FILE).read_text())
    mark = Mark(**values)
  except (OSError, ValueError, TypeError):
    return None
  kinds = [type(value) for value in mark]
  return mark if kinds == [str, str, str, int] and mark.tracker in TRACKERS else None


def tracker_of(folder: pathlib.Path, name: str | None, project: str | None) -> Tracker | None:
  """The tracker that a command asks for, or else the one that the folder's run had.

  Args:
    folder: of the run.
    name: one of `TRACKERS`, `none` for no tracker, `None` where nothing is said.
    project: of the tracker's; `None` where nothing is said.

  Raises:
    UserError: as `Tracker`.
  """
  mark = read_mark(folder)
  name = name or (mark.tracker if mark else NONE)
  if name == NONE:
    return None
  same = mark is not None and mark.tracker == name
  return Tracker(name, project or (mark.project if mark is not None and same else PROJECT))


def _import(name: str) -> ModuleType:
  try:
    return importlib.import_module(name)
  except ImportError:
    raise UserError(f'--tracker: {name} is not installed: pip install "gippo_jax[{name}]"') from None
