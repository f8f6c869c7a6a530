"""Locks of folders: no two processes write into one at once."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import socket
import time
from collections.abc import Iterator
from typing import NamedTuple

from gippo_jax.errors import UserError
from gippo_jax.runs.files import unwritable
from gippo_jax.runs.owners import is_alive

# File systems without locks say one of these; there the process number has to do.
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}

_BETWEEN_TRIES = 0.05  # seconds, of those who wait


class Holder(NamedTuple):
  """Who holds a lock.

  Attributes:
    pid: process number.
    host: machine.
    since: when it began, in words.
  """

  pid: int
  host: str
  since: str


@contextlib.contextmanager
def locked(folder: pathlib.Path, flag: str = "--workdir", name: str = "lock", patience: float = 0.0) -> Iterator[None]:
  """Held while the folder is written.

  The lock is a file with the holder's process and machine, and a lock of the operating system on it, which ends with
  the process however it ends: a file that a kill left behind is known as stale and taken over. Machines that share a
  file system need not share locks; so a file of another machine counts, until someone removes it.

  Args:
    folder: made if needed.
    flag: that named it, for messages.
    name: of the lock's file.
    patience: seconds to wait for the same lock before giving up.

  Raises:
    UserError: when another process holds it, or the folder cannot be written; nothing is touched.
  """
  file = folder / name
  try:
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = _acquire(file, flag, time.monotonic() + patience)
  except OSError as error:
    raise unwritable(flag, folder, error) from None
  try:
    yield
  finally:
    file.unlink(missing_ok=True)
    os.close(descriptor)


def _acquire(file: pathlib.Path, flag: str, deadline: float) -> int:
  """The descriptor of the file, locked and with this process's name in it, by a time of the monotonic clock."""
  while True:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
      holder = _read(descriptor)
      is_free = _try(descriptor, holder) and not _is_elsewhere(holder)
      if not is_free and time.monotonic() >= deadline:
        raise _refusal(file, flag, holder)
      # Between opening and locking, its holder may have removed it.
      if is_free and _is_same(file, descriptor):
        mine = Holder(os.getpid(), socket.gethostname(), time.strftime("%Y-%m-%d %H:%M:%S"))
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(mine._asdict()).encode(), 0)
        return descriptor
    except BaseException:
      os.close(descriptor)
      raise
    os.close(descriptor)
    if not is_free:
      time.sleep(_BETWEEN_TRIES)


def _try(descriptor: int, holder: Holder | None) -> bool:
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return False
  except OSError as error:
    if error.errno not in NO_LOCKS:
      raise
    return holder is None or not is_alive(holder.pid)
  return True


def _is_elsewhere(holder: Holder | None) -> bool:
  return holder is not None and holder.host != socket.gethostname()


def _is_same(file: pathlib.Path, descriptor: int) -> bool:
  try:
    return os.path.samestat(os.stat(file), os.fstat(descriptor))
  except FileNotFoundError:
    return False


def _read(descriptor: int) -> Holder | None:
  try:
    values = json.loads(os.pread(descriptor, 4096, 0))
    return Holder(int(values["pid"]), str(values["host"]), str(values["since"]))
  except (ValueError, KeyError, TypeError):
    return None  # a process that was killed before it could write its name


def _refusal(file: pathlib.Path, flag: str, holder: Holder | None) -> UserError:
  who = "another process" if holder is None else f"process {holder.pid} on {holder.host} since {holder.since}"
  gone = f"; if that process is gone, remove {file}" if _is_elsewhere(holder) else ""
  return UserError(f"{flag}: {file.parent} is being written by {who}; allowed: another folder, or waiting{gone}")
