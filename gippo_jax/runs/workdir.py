"""The folder of a run: what is in it, and whether a run may start, resume or is done."""

import json
import math
import os
import pathlib
from typing import Any

from gippo_jax.errors import UserError


class Workdir:
  """Paths of a run's files and the rules for starting in a folder.

  Args:
    path: the folder; need not exist yet.
  """

  def __init__(self, path: str | os.PathLike):
    self.path = pathlib.Path(path)
    self.config = self.path / "config.json"
    self.metrics = self.path / "metrics.jsonl"
    self.summary = self.path / "summary.json"
    self.checkpoint = self.path / "checkpoint"
    self.tensorboard = self.path / "tensorboard"
    self.learning_curve = self.path / "learning_curve.png"

  def check(self, config: dict[str, Any]) -> None:
    """Touches nothing.

    Args:
      config: the experiment as plain data.

    Raises:
      UserError: when the folder holds a run with another configuration.
    """
    if self.config.exists():
      self._check_same(json.loads(json.dumps(config)))

  def open(self, config: dict[str, Any]) -> None:
    """Makes the folder if needed and writes `config.json`.

    Args:
      config: the experiment as plain data.

    Raises:
      UserError: when the folder holds a run with another configuration, or cannot be written; nothing is touched.
    """
    self.check(config)
    config = json.loads(json.dumps(config))
    try:
      self.path.mkdir(parents=True, exist_ok=True)
      write_json(self.config, config)
    except OSError as error:
      raise UserError(
        f"--workdir: {self.path} cannot be written ({error.strerror}); allowed: a folder you may write to"
      ) from None

  def finished_summary(self) -> dict[str, Any] | None:
    """The summary of a run that needs nothing more, or `None`."""
    if not self.summary.exists():
      return None
    summary = json.loads(self.summary.read_text())
    return summary if summary["status"] in ("finished", "diverged") else None

  def _check_same(self, config: dict[str, Any]) -> None:
    try:
      present = json.loads(self.config.read_text())
    except (OSError, json.JSONDecodeError):
      raise UserError(
        f"--workdir: {self.config} cannot be read as a run's configuration; allowed: a new folder"
      ) from None
    mine, theirs = _flatten(config), _flatten(present)
    for name in [*mine, *theirs]:
      if mine.get(name) != theirs.get(name):
        raise UserError(
          f"--workdir: {self.path} holds a run with config.{name} = {theirs.get(name)!r}, asked for "
          f"{mine.get(name)!r}; allowed: the same configuration (to resume) or another folder"
        )


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes strict JSON at once: readers see the old file or the new one, and numbers that are not finite as null."""
  write_text(path, json.dumps(finite_or_none(value), indent=2, allow_nan=False) + "\n")


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes a file at once."""
  temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
  temporary.write_text(text)
  os.replace(temporary, path)


def finite_or_none(value: Any) -> Any:
  """`value` with every float that is not finite replaced by `None`, through lists and dictionaries."""
  if isinstance(value, float):
    return value if math.isfinite(value) else None
  if isinstance(value, dict):
    return {name: finite_or_none(entry) for name, entry in value.items()}
  if isinstance(value, (list, tuple)):
    return [finite_or_none(entry) for entry in value]
  return value


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  flat = {}
  for name, value in tree.items():
    if isinstance(value, dict):
      flat |= _flatten(value, f"{prefix}{name}.")
    else:
      flat[prefix + name] = value
  return flat
