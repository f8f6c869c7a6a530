"""The rows of `metrics.jsonl`: read back line by line, and matched with a checkpoint's epoch when a run resumes."""

import json
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gippo_jax.errors import UserError
from gippo_jax.plain import Plain
from gippo_jax.runs.files import in_words, write_text
from gippo_jax.runs.workdir import Workdir


class Lines(NamedTuple):
  """What a file of rows holds.

  Attributes:
    rows: those that can be read, in the file's order.
    unreadable: the other lines, as they are.
  """

  rows: list[Plain]
  unreadable: list[bytes]


def read_lines(workdir: Workdir) -> Lines:
  """Every line of `metrics.jsonl`; what a kill cut short at its end is no line.

  Raises:
    UserError: when there is something there that cannot be read at all.
  """
  lines = Lines([], [])
  try:
    content = workdir.metrics.read_bytes()
  except FileNotFoundError:
    return lines
  except OSError as error:
    raise UserError(f"{workdir.metrics} cannot be read ({in_words(error)}); allowed: a run's rows, or none") from None
  for line in content[: content.rfind(b"\n") + 1].splitlines():
    row = _row_of(line)
    if row is None:
      lines.unreadable.append(line)
    else:
      lines.rows.append(row)
  return lines


def read_rows(workdir: Workdir) -> list[Plain]:
  """The rows of `metrics.jsonl` that can be read."""
  return read_lines(workdir).rows


def resume_rows(
  workdir: Workdir,
  seeds: list[int],
  epochs: np.ndarray,
  epoch: int,
  log_interval: int,
  tell: Callable[[str], None],
) -> None:
  """Makes `metrics.jsonl` what it was at a checkpoint.

  Rows of later epochs go, since they are made again; of two rows of a member and an epoch the later stays; lines that
  cannot be read go to `metrics.unreadable`. What is wrong is told.

  Args:
    workdir: of the run.
    seeds: of the members, `[num_members]`.
    epochs: epochs done by each member at the checkpoint, `[num_members]`: a lost one made no more.
    epoch: of the checkpoint; 0 for a run that starts anew.
    log_interval: every so many epochs there should be a row.
    tell: receives a line for what is missing and for what cannot be read.
  """
  lines = read_lines(workdir)
  kept = {_member_and_epoch(row): row for row in lines.rows if row["epoch"] <= epoch}
  if workdir.metrics.exists():
    write_text(workdir.metrics, "".join(json.dumps(row) + "\n" for row in kept.values()), durable=True)
  if lines.unreadable:
    with workdir.unreadable_metrics.open("ab") as file:
      file.write(b"".join(line + b"\n" for line in lines.unreadable))
    tell(
      f"{workdir.metrics}: {len(lines.unreadable)} lines cannot be read as rows; they are set aside in "
      f"{workdir.unreadable_metrics.name}"
    )
  members = {member for member, _ in kept}
  names = list(range(len(seeds))) if members and next(iter(kept.values())).get("member") is not None else seeds
  missing = sum(
    (name, logged) not in kept
    for name, done in zip(names, epochs.tolist(), strict=True)
    for logged in _logged_epochs(min(done, epoch), log_interval)
  )
  if missing:
    tell(f"{workdir.metrics}: {missing} rows of epochs up to {epoch} are missing; their epochs are not trained again")


def _logged_epochs(last: int, log_interval: int) -> list[int]:
  """The epochs that get a row whatever the length of the run."""
  first = [1] if last >= 1 and log_interval > 1 else []
  return first + list(range(log_interval, last + 1, log_interval))


def _member_and_epoch(row: Plain) -> tuple[int, int]:
  return row.get("member", row["seed"]), row["epoch"]


def _row_of(line: bytes) -> Plain | None:
  try:
    row = json.loads(line)
  except (ValueError, RecursionError):
    return None
  whole = isinstance(row, dict) and all(type(row.get(name)) is int for name in ("epoch", "seed", "steps"))
  return row if whole and type(row.get("member", 0)) is int else None
