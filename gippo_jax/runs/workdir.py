"""The folder of a run: what is in it, and whether a run may start, resume, go on or is done."""

import contextlib
import json
import os
import pathlib
import re
from collections.abc import Iterator

from gippo_jax.errors import UserError
from gippo_jax.parsing import HISTORY, METRICS_VERSION, Experiment, parse
from gippo_jax.plain import Plain, PlainMapping
from gippo_jax.runs.files import remove_leftovers, unwritable, write_json
from gippo_jax.runs.lock import locked
from gippo_jax.runs.metrics_version import CURRENT
from gippo_jax.runs.summary import Summary, read_summary

# What a run leaves; a folder with any of it belongs to some run.
_OWN_FILES = ("metrics.jsonl", "summary.json", "checkpoint", "tensorboard", "optuna.db")
_POLICY_FILE = re.compile(r"policy_seed_\d+\.npz")


class Workdir:
  """Paths of a run's files and the rules for starting in a folder.

  Args:
    path: the folder; need not exist yet. `~` is the user's home.

  Raises:
    UserError: when the path is the address of a remote store.
  """

  def __init__(self, path: str | os.PathLike[str]):
    if "://" in str(path):
      raise UserError(f"--workdir: {str(path)!r} is not allowed; allowed: a folder of this machine's file system")
    self.path = pathlib.Path(path).expanduser()
    self.config = self.path / "config.json"
    self.metrics = self.path / "metrics.jsonl"
    self.metrics_table = self.path / "metrics.csv"
    self.unreadable_metrics = self.path / "metrics.unreadable"
    self.summary = self.path / "summary.json"
    self.checkpoint = self.path / "checkpoint"
    self.tensorboard = self.path / "tensorboard"
    self.learning_curve = self.path / "learning_curve.png"

  def check(self, experiment: Experiment, extra: PlainMapping | None = None, may_go_on: bool = False) -> None:
    """Touches nothing.

    Args:
      experiment: that is to run here.
      extra: further entries of `config.json`, of those who keep more in it.
      may_go_on: a finished run may be continued, with a larger `num_epochs`.

    Raises:
      UserError: when the folder holds a run with another configuration, or with metrics of another meaning.
    """
    extra = extra or {}
    present = self.stored()
    if present is None:
      self._require_nobodys()
      return
    version = present.get(METRICS_VERSION, 1)
    if version != CURRENT:
      raise UserError(
        f"--workdir: {self.path} holds a run with metrics of version {version!r}, those of today are of "
        f"version {CURRENT} and counted otherwise; allowed: another folder"
      )
    mine = flatten(json.loads(json.dumps({**experiment.to_dict(), **extra})))
    theirs = flatten({**_as_parsed(present, extra), **{name: present.get(name) for name in extra}})
    if may_go_on and self._may_go_on(present, experiment):
      theirs["num_epochs"] = mine["num_epochs"]
    for name in [*mine, *theirs]:
      if mine.get(name) != theirs.get(name):
        raise UserError(
          f"--workdir: {self.path} holds a run with config.{name} = {theirs.get(name)!r}, asked for "
          f"{mine.get(name)!r}; allowed: the same configuration (to resume), a larger num_epochs once it is finished "
          "(to go on), or another folder"
        )

  @contextlib.contextmanager
  def held(self, experiment: Experiment, extra: PlainMapping | None = None, may_go_on: bool = False) -> Iterator[None]:
    """Entered while the run is written: no other process gets the folder.

    What killed writers left beside their files is removed.

    Args:
      experiment, extra, may_go_on: as for `open`.

    Raises:
      UserError: as `open`, and when another process writes there.
    """
    with locked(self.path):
      remove_leftovers(self.path, self.checkpoint)
      self.open(experiment, extra, may_go_on)
      yield

  def open(self, experiment: Experiment, extra: PlainMapping | None = None, may_go_on: bool = False) -> None:
    """Makes the folder if needed and writes `config.json`.

    Args:
      experiment, extra, may_go_on: as for `check`. A run that goes on keeps in `continued_from` the numbers of epochs
        that it was configured for before.

    Raises:
      UserError: when the folder holds a run with another configuration, or cannot be written; nothing is touched.
    """
    extra = extra or {}
    self.check(experiment, extra, may_go_on)
    present = self.stored() or {}
    history = list(present.get(HISTORY, []))
    if present and present.get("num_epochs") != experiment.config.num_epochs:
      history.append(present["num_epochs"])
    values = {**experiment.to_dict(), **extra, METRICS_VERSION: CURRENT, **({HISTORY: history} if history else {})}
    try:
      self.path.mkdir(parents=True, exist_ok=True)
      write_json(self.config, values, durable=True)
    except OSError as error:
      raise unwritable("--workdir", self.path, error) from None

  def stored(self) -> Plain | None:
    """What `config.json` holds; `None` where there is none.

    Raises:
      UserError: when it cannot be read.
    """
    try:
      values = json.loads(self.config.read_text())
    except FileNotFoundError:
      return None
    except NotADirectoryError:
      raise UserError(
        f"--workdir: {self.path} cannot be written (a file); allowed: a folder you may write to"
      ) from None
    except OSError as error:
      raise unwritable("--workdir", self.path, error) from None
    except (ValueError, RecursionError):
      values = None
    if not isinstance(values, dict):
      raise UserError(f"--workdir: {self.config} cannot be read as a run's configuration; allowed: a new folder")
    return values

  def metrics_version(self) -> int:
    """What the run's numbers mean (`runs.metrics_version`); 1 where nothing says it.

    Raises:
      UserError: as `stored`.
    """
    return (self.stored() or {}).get(METRICS_VERSION, 1)

  def finished_summary(self, num_epochs: int = 0) -> Summary | None:
    """The summary of a run that needs nothing more, or `None`.

    Args:
      num_epochs: that are asked for.
    """
    summary = self.read_summary()
    if summary is None:
      return None
    finished = summary["status"] == "finished" and summary["epochs"] >= num_epochs
    return summary if finished or summary["status"] == "diverged" else None

  def read_summary(self) -> Summary | None:
    """What `summary.json` holds; one that cannot be read counts as none."""
    return read_summary(self.summary)

  def _require_nobodys(self) -> None:
    """Refuses a folder with a run's files but without the configuration that says whose they are."""
    try:
      names = os.listdir(self.path)
    except FileNotFoundError:
      return
    except OSError as error:
      raise unwritable("--workdir", self.path, error) from None
    found = [name for name in names if name in _OWN_FILES or _POLICY_FILE.fullmatch(name)]
    if found:
      raise UserError(
        f"--workdir: {self.path} holds {sorted(found)[0]} of a run, but not its config.json; allowed: another folder, "
        "or this one with its config.json"
      )

  def _may_go_on(self, present: PlainMapping, experiment: Experiment) -> bool:
    before = present.get("num_epochs")
    if not isinstance(before, int) or isinstance(before, bool) or experiment.config.num_epochs <= before:
      return False
    summary = self.finished_summary(before)
    return summary is not None and summary["status"] == "finished"


def _as_parsed(present: PlainMapping, extra: PlainMapping) -> Plain:
  """What a folder's configuration means today: fields that were added since are at their defaults."""
  try:
    return json.loads(
      json.dumps(parse({name: value for name, value in present.items() if name not in extra}).to_dict())
    )
  except UserError as error:
    raise UserError(f"--workdir: the configuration stored there is not this version's: {error}") from None


def flatten(tree: PlainMapping, prefix: str = "") -> Plain:
  """Nested dictionaries as one, with dotted names."""
  flat: Plain = {}
  for name, value in tree.items():
    if isinstance(value, dict):
      flat |= flatten(value, f"{prefix}{name}.")
    else:
      flat[prefix + name] = value
  return flat
