"""The files that a run writes while it trains: `metrics.jsonl`, TensorBoard's events, `metrics.csv`."""

import csv
import io
import json
import time
from collections.abc import Sequence

from gippo_jax.plain import Plain
from gippo_jax.runs.events import event_file, first_event, purge_event, row_event
from gippo_jax.runs.files import Appender, Failures, csv_text, finite_or_none, write_csv
from gippo_jax.runs.loggers import Start
from gippo_jax.runs.rows import read_rows
from gippo_jax.runs.summary import Summary
from gippo_jax.runs.workdir import Workdir


class RowsFile:
  """`metrics.jsonl`; its rows of earlier starts end with the epoch of this one's begin (`rows.resume_rows`).

  Args:
    failures: told of what cannot be written.
  """

  def __init__(self, failures: Failures):
    self._failures = failures

  def begin(self, start: Start) -> None:
    """Takes the folder."""
    self._file = Appender(Workdir(start.folder).metrics, self._failures)

  def log(self, rows: Sequence[Plain]) -> None:
    """A line for each row."""
    self._file.append([line_of(row) for row in rows])

  def sync(self) -> None:
    """Flushes the file to the disk."""
    self._file.sync()

  def finish(self, summary: Summary) -> None:
    """Says what was given up."""
    self._file.tell_lost()


class EventFiles:
  """TensorBoard's events, a folder for each seed.

  Args:
    failures: told of what cannot be written.
  """

  def __init__(self, failures: Failures):
    self._failures = failures

  def begin(self, start: Start) -> None:
    """Begins a file for each seed, and takes back what an earlier start made after its last checkpoint."""
    folders = {seed: Workdir(start.folder).tensorboard / f"seed_{seed}" for seed in start.seeds}
    self._files = {seed: Appender(event_file(folder), self._failures) for seed, folder in folders.items()}
    now = time.time()
    for seed, file in self._files.items():
      purge = [purge_event(now, start.epoch * start.steps_per_epoch + 1)] if folders[seed].exists() else []
      file.append([first_event(now), *purge])

  def log(self, rows: Sequence[Plain]) -> None:
    """A record for each row, in its seed's file."""
    now = time.time()
    records: dict[int, list[bytes]] = {seed: [] for seed in self._files}
    for row in rows:
      records[row["seed"]].append(row_event(now, row))
    for seed, file in self._files.items():
      file.append(records[seed])

  def sync(self) -> None:
    """Flushes the files to the disk."""
    for file in self._files.values():
      file.sync()

  def finish(self, summary: Summary) -> None:
    """Says what was given up."""
    for file in self._files.values():
      file.tell_lost()


class CsvFile:
  """`metrics.csv`: the rows of `metrics.jsonl` as a table, a column for each metric and each entry of a list.

  A folder that has one keeps it up to date, also where a later start does not ask for it.

  Args:
    failures: told of what cannot be written; the user is, where there are none.
  """

  def __init__(self, failures: Failures | None = None):
    self._failures = failures

  def begin(self, start: Start) -> None:
    """Writes the rows of earlier starts anew: those that were taken back are gone."""
    self._path, self._columns = Workdir(start.folder).metrics_table, list[str]()
    self._failures = self._failures or Failures(start.tell)
    self._file = Appender(self._path, self._failures)
    self._rewrite([_wide(row) for row in read_rows(Workdir(start.folder))], self._failures)

  def log(self, rows: Sequence[Plain]) -> None:
    """A line for each row, empty where a number is missing; new columns are added to the lines before."""
    assert self._failures is not None  # since the begin
    wide = [_wide(row) for row in rows]
    if all(name in self._columns for row in wide for name in row):
      self._file.append([csv_text(wide, self._columns).encode()])
      return
    self._file.append([])  # what waited, in the columns that it was written for
    before = list(csv.DictReader(io.StringIO(self._path.read_text()))) if self._path.exists() else []
    self._rewrite([*before, *wide], self._failures)

  def _rewrite(self, rows: list[Plain], failures: Failures) -> None:
    try:
      self._columns = write_csv(self._path, rows)
    except OSError as error:
      failures.note(self._path, error, "the rows are in metrics.jsonl, of which the next start makes it anew")

  def sync(self) -> None:
    """Flushes the file to the disk."""
    self._file.sync()

  def finish(self, summary: Summary) -> None:
    """Says what was given up."""
    self._file.tell_lost()


def line_of(row: Plain) -> bytes:
  """A row as its line in `metrics.jsonl`."""
  return (json.dumps(finite_or_none(row), allow_nan=False) + "\n").encode()


def _wide(row: Plain) -> Plain:
  """A row with a column for each entry of a list: `name/0`, `name/1`, ..."""
  wide: Plain = {}
  for name, value in row.items():
    if isinstance(value, list):
      wide |= {f"{name}/{index}": entry for index, entry in enumerate(value)}
    else:
      wide[name] = value
  return wide
