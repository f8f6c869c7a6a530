"""Writing files so that a kill, a full disk or a second reader never finds half of one."""

import csv
import io
import json
import math
import os
import pathlib
import re
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import BinaryIO

from gippo_jax.errors import UserError

# Ours end in the writer's machine and process number: `config.json.node17.4711.tmp`.
_LEFTOVER = re.compile(r".+\.\d+\.tmp")
_MOST_PENDING_BYTES = 64 * 2**20
_SECONDS_BETWEEN_LINES = 60.0


def replace_file(path: pathlib.Path, write: Callable[[BinaryIO], None], durable: bool = True) -> None:
  """Writes beside and renames: readers see the old file or the new one.

  Args:
    path: the file; its folder exists.
    write: writes the content.
    durable: flush content and name to the disk, so that both last through a power cut.

  Raises:
    OSError: when it cannot be written; the old file, if any, is untouched.
  """
  temporary = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
  try:
    with temporary.open("wb") as file:
      write(file)
      file.flush()
      if durable:
        os.fsync(file.fileno())
    os.replace(temporary, path)
  except BaseException:
    temporary.unlink(missing_ok=True)
    raise
  if durable:
    sync(path.parent)


def sync(path: pathlib.Path) -> None:
  """Flushes a file, or the names in a folder, to the disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def remove_leftovers(*folders: pathlib.Path) -> None:
  """Removes what killed writers left beside their files; only for the holder of the folder's lock."""
  for folder in folders:
    for file in folder.glob("*.tmp"):
      if _LEFTOVER.fullmatch(file.name):
        file.unlink(missing_ok=True)


def write_json(path: pathlib.Path, value: object, durable: bool = False) -> None:
  """Writes strict JSON at once, numbers that are not finite as null; arguments as for `replace_file`."""
  write_text(path, json.dumps(finite_or_none(value), indent=2, allow_nan=False) + "\n", durable)


def write_text(path: pathlib.Path, text: str, durable: bool = False) -> None:
  """Writes a text at once; arguments as for `replace_file`."""
  replace_file(path, lambda file: _write(file, text.encode()), durable)


def write_csv(path: pathlib.Path, rows: Sequence[Mapping[str, object]], durable: bool = False) -> list[str]:
  """Writes rows as a table with a header, and returns its columns in the order of their first appearance.

  Args:
    path, durable: as for `replace_file`.
    rows: values by column.
  """
  columns = list(dict.fromkeys(name for row in rows for name in row))
  write_text(path, csv_text([dict(zip(columns, columns, strict=True)), *rows] if columns else [], columns), durable)
  return columns


def csv_text(rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> str:
  """Rows as lines of CSV; what is missing, or a number that is not finite, is empty."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerows([finite_or_none(row.get(name)) for name in columns] for row in rows)
  return text.getvalue()


def finite_or_none(value: object) -> object:
  """`value` with every float that is not finite replaced by `None`, through lists and dictionaries."""
  if isinstance(value, float):
    return value if math.isfinite(value) else None
  if isinstance(value, dict):
    return {name: finite_or_none(entry) for name, entry in value.items()}
  if isinstance(value, (list, tuple)):
    return [finite_or_none(entry) for entry in value]
  return value


def in_words(error: OSError) -> str:
  """What the system says of a failed reading or writing."""
  return error.strerror or type(error).__name__


def unwritable(flag: str, path: pathlib.Path, error: OSError) -> UserError:
  """The error for a folder or file of the user's that cannot be written."""
  kind = "a folder" if path.suffix == "" else "a file"
  return UserError(f"{flag}: {path} cannot be written ({in_words(error)}); allowed: {kind} you may write to")


class Failures:
  """Writings that failed while a run goes on: counted, and told at most once a minute for each file.

  Args:
    tell: receives a line.

  Attributes:
    count: how many.
  """

  def __init__(self, tell: Callable[[str], None]):
    self._tell = tell
    self._told: dict[pathlib.Path, float] = {}
    self.count = 0

  def note(self, path: pathlib.Path, error: OSError, consequence: str) -> None:
    """Adds one.

    Args:
      path: that could not be written.
      error: why.
      consequence: what becomes of it, in words.
    """
    self.count += 1
    now = time.monotonic()
    if now - self._told.get(path, -math.inf) >= _SECONDS_BETWEEN_LINES:
      self._told[path] = now
      self._tell(f"{path} cannot be written ({in_words(error)}); {consequence}")

  def gave_up(self, path: pathlib.Path, count: int) -> None:
    """Tells of records that no later writing will make good."""
    self._tell(f"{path}: {count} records could not be written at all")

  def recovered(self, path: pathlib.Path) -> None:
    """Tells that a file which could not be written is written again."""
    if self._told.pop(path, None) is not None:
      self._tell(f"{path} is written again")


class Appender:
  """A file that grows by records; what cannot be written is kept, and tried again with the next records.

  Nothing is held open, so that there may be any number of them.

  Args:
    path: the file; made with the first record, and its folder too.
    failures: told of records that cannot be written.

  Attributes:
    lost: records that were given up, since more than 64 MiB waited.
  """

  def __init__(self, path: pathlib.Path, failures: Failures):
    self.path = path
    self._failures = failures
    self._pending = b""
    self.lost = 0

  def append(self, records: Sequence[bytes]) -> None:
    """Adds records, each whole or not at all."""
    data = b"".join(records)
    if self._pending and len(self._pending) + len(data) > _MOST_PENDING_BYTES:
      self.lost += len(records)
    else:
      self._pending += data
    if not self._pending:
      return
    try:
      _append(self.path, self._pending)
    except OSError as error:
      self._failures.note(self.path, error, "what it lacks is kept in memory and tried again")
      return
    self._pending = b""
    self._failures.recovered(self.path)

  def tell_lost(self) -> None:
    """Tells of records that were given up, if any."""
    if self.lost:
      self._failures.gave_up(self.path, self.lost)

  def sync(self) -> None:
    """Tries again, and flushes to the disk."""
    self.append(())
    try:
      if self.path.exists():
        sync(self.path)
    except OSError as error:
      self._failures.note(self.path, error, "tried again later")


def _append(path: pathlib.Path, data: bytes) -> None:
  """All of `data`, or nothing: what a full disk took of it is cut off again."""
  try:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
  except FileNotFoundError:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
  try:
    size = os.fstat(descriptor).st_size
    view = memoryview(data)
    try:
      while view:
        view = view[os.write(descriptor, view) :]
    except OSError:
      os.ftruncate(descriptor, size)
      raise
  finally:
    os.close(descriptor)


def _write(file: BinaryIO, content: bytes) -> None:
  file.write(content)
