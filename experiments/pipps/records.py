"""A learning run's file: one for each estimator and seed, read again instead of learning it again."""

import dataclasses
import json
import pathlib
from collections.abc import Callable

from gippo_jax.errors import UserError
from gippo_jax.experiments.pipps.learning import Settings, learn
from gippo_jax.plain import Plain
from gippo_jax.runs.files import write_json

_PARTS = {"settings", "seed", "solved", "trials", "policy", "seconds", "processor_seconds"}


def learned(settings: Settings, seed: int, out: pathlib.Path, tell: Callable[[str], None]) -> Plain:
  """The run's record, from its file or by learning.

  Raises:
    UserError: when the file is of other settings, or damaged.
  """
  path = out / f"{settings.estimator}_seed_{seed}.json"
  if not path.exists():
    record = learn(settings, seed, tell)
    write_json(path, record)
    return record
  record = _read(path)
  for name, value in dataclasses.asdict(settings).items():
    if record["settings"].get(name) != value:
      raise UserError(
        f"--out: {path} was learned with {name} {record['settings'].get(name)}, not {value}; "
        "allowed: the same settings, or another folder"
      )
  tell(f"{settings.estimator}, seed {seed}: from {path.name}")
  return record


def _read(path: pathlib.Path) -> Plain:
  record: Plain = {}
  try:
    record = json.loads(path.read_text())
    complete = set(record) >= _PARTS
  except (ValueError, TypeError):
    complete = False
  if not complete:
    raise UserError(f"--out: {path} is damaged; allowed: remove it, and the run is learned again")
  return record
