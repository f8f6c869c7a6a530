"""Work that many processes share through a folder: each piece is claimed by one of them, by an atomic rename.

A piece is a folder in the pool's folder. Free it is called `NAME`, claimed `NAME@OWNER`, and one rename is all that
passes it on: however many ask at once, for one of them the old name is still there. So it is with a piece whose owner
is gone. On the owner's machine that is known at once, from its process number and a lock of the operating system that
ends with the process; elsewhere after a time without a sign of life. An owner that was silent for so long and comes
back finds that its name is gone, and what it still writes under that name does not touch the new owner's.
"""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import random
import shutil
import time
from collections.abc import Iterator
from types import TracebackType
from typing import NamedTuple, Self

from gippo_jax.errors import UserError
from gippo_jax.plain import Plain
from gippo_jax.runs.files import remove_leftovers, write_json
from gippo_jax.runs.lock import NO_LOCKS
from gippo_jax.runs.owners import LEASE_SECONDS, Heartbeat, Owner, Sightings, is_alive

# Of a piece: what it is, the lock of its owner, and by its time the sign of life. Written first, removed last.
CONTENT = "content.json"
# The piece that is no work, but the right to say what the pieces are; it is claimed like any other.
TURN = "turn"
_MISSES = 200
_LOCKINGS = 20


class Piece(NamedTuple):
  """A piece of work as it lies in the pool.

  Attributes:
    name: the same whoever has it.
    owner: who has it; `None` while it is free.
    path: its folder.
  """

  name: str
  owner: Owner | None
  path: pathlib.Path

  @property
  def is_begun(self) -> bool:
    """Whether anybody has worked at it."""
    try:
      return any(name != CONTENT for name in os.listdir(self.path))
    except FileNotFoundError:
      return True


class Claim:
  """A piece that this process has; entered while it works at it, and free again at the end unless it is finished.

  Attributes:
    name: of the piece.
    path: its folder, until it is lost.
    content: what it is.
    is_lost: whether another process has taken it, since this one seemed to be gone.
  """

  def __init__(self, name: str, path: pathlib.Path, descriptor: int, lease: float):
    self.name, self.path = name, path
    self.content = read_content(path)
    self.is_lost = False
    self._descriptor = descriptor
    self._heartbeat = Heartbeat(self._beat, lease / 8)

  def __enter__(self) -> Self:
    self._heartbeat.__enter__()
    return self

  def __exit__(
    self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
  ) -> None:
    self._heartbeat.__exit__(kind, error, traceback)
    self.release()

  def release(self) -> None:
    """Gives it back."""
    with contextlib.suppress(OSError):  # finished, or lost
      os.rename(self.path, self.path.with_name(self.name))
    os.close(self._descriptor)

  def check(self) -> bool:
    """Whether it is still this process's."""
    return self._beat()

  def finish(self) -> None:
    """Removes the piece; killed in between, it is still one."""
    with contextlib.suppress(FileNotFoundError):
      for entry in os.scandir(self.path):
        if entry.is_dir(follow_symlinks=False):
          shutil.rmtree(entry)
        elif entry.name != CONTENT:
          os.unlink(entry)
      os.unlink(self.path / CONTENT)
      os.rmdir(self.path)

  def _beat(self) -> bool:
    try:
      os.utime(self.path / CONTENT)
    except FileNotFoundError:
      self.is_lost = True
    except OSError:  # of the file system, which may be well again at the next beat
      pass
    return not self.is_lost


class Pool:
  """Pieces of work in a folder that processes of several machines share.

  Args:
    path: the folder; made when it is first needed.
    lease: seconds without a sign of life after which an owner on another machine counts as gone.
  """

  def __init__(self, path: pathlib.Path, lease: float = LEASE_SECONDS):
    self.path, self._lease = path, lease
    self._sightings = Sightings()

  def pieces(self) -> list[Piece]:
    """What there is to do or being done, by name."""
    return [piece for piece in self._all() if piece.name != TURN]

  def _all(self) -> list[Piece]:
    try:
      names = sorted(os.listdir(self.path))
    except FileNotFoundError:
      return []
    found = []
    for text in names:
      name, at, rest = text.partition("@")
      owner = Owner.read(rest)
      if not text.startswith(".") and (owner or not at) and (self.path / text / CONTENT).exists():
        found.append(Piece(name, owner, self.path / text))
    return found

  def is_free(self, piece: Piece) -> bool:
    """Whether nobody has it, or one who is gone."""
    return piece.owner is None or self._is_gone(piece, piece.owner)

  def _is_gone(self, piece: Piece, owner: Owner) -> bool:
    try:
      with (piece.path / CONTENT).open("r+b") as file:
        # Of the opened file, whose time a network file system asks its server for.
        sign = os.fstat(file.fileno()).st_mtime_ns
        # Containers may have a machine's name in common, but not its processes; what is locked, somebody has.
        is_dead = owner.is_of_this_machine and not is_alive(owner.pid) and _lock(file.fileno())
    except FileNotFoundError:
      return False  # it has changed hands
    return is_dead or self._sightings.seconds_unchanged(piece.path.name, sign) >= self._lease

  def claim(self, piece: Piece) -> Claim | None:
    """Takes a piece that is free; `None` when it is not, or another process was quicker."""
    if not self.is_free(piece):
      return None
    path = piece.path.with_name(f"{piece.name}@{Owner.me()}")
    with contextlib.suppress(FileNotFoundError):  # NFS may say so of a rename that it has done
      os.rename(piece.path, path)
    try:
      descriptor = os.open(path / CONTENT, os.O_RDWR)
    except FileNotFoundError:
      return None
    for _ in range(_LOCKINGS):  # somebody else may hold it for a moment, to see whether it is locked
      if _lock(descriptor):
        break
      time.sleep(0.01)
    remove_leftovers(path, path / "checkpoint")
    return Claim(piece.name, path, descriptor, self._lease)

  @contextlib.contextmanager
  def turn(self) -> Iterator[None]:
    """Entered by one process at a time: what is written meanwhile, no other one writes.

    Raises:
      UserError: when the folder is not a pool.
    """
    misses = 0
    while True:
      self._create()
      found = [piece for piece in self._all() if piece.name == TURN]
      misses = 0 if found else misses + 1
      if misses > _MISSES:  # while it is renamed, a listing may lack it
        raise UserError(f"--workdir: {self.path} is not a sweep's; allowed: another folder, or this one without it")
      claim = self.claim(found[0]) if found else None
      if claim is not None:
        break
      time.sleep(random.uniform(0.01, 0.05))
    with claim:
      yield

  def add(self, name: str, content: Plain) -> None:
    """Adds a piece; for the one whose turn it is.

    Raises:
      UserError: when there is something of this name that is no piece.
    """
    temporary = self.path / f".{name}@{Owner.me()}"
    _write(temporary, content)
    try:
      os.rename(temporary, self.path / name)
    except OSError as error:
      shutil.rmtree(temporary)
      if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
        raise
      raise UserError(
        f"--workdir: {self.path / name} is not a sweep's; allowed: another folder, or this one without it"
      ) from None

  def remove(self) -> None:
    """Removes the pool when all its pieces are finished; for the one whose turn it is.

    What a killed process, or one that has lost its piece, left there goes with it; what no sweep has made stays.
    """
    if self.pieces():
      return
    turns = [piece.path for piece in self._all()]
    for path in self.path.iterdir():
      if path not in turns and Owner.read(path.name.partition("@")[2]):
        shutil.rmtree(path, ignore_errors=True)
    if [path for path in self.path.iterdir() if path not in turns]:
      return
    temporary = self._temporary()
    os.rename(self.path, temporary)
    shutil.rmtree(temporary, ignore_errors=True)
    for left in self.path.parent.glob(f"{self.path.name}.*.tmp"):
      shutil.rmtree(left, ignore_errors=True)

  def _create(self) -> None:
    """Makes the pool with its turn, if there is none; of many who try, one succeeds."""
    if self.path.exists():
      return
    temporary = self._temporary()
    try:
      _write(temporary / TURN, {})
      os.rename(temporary, self.path)
    except OSError as error:
      shutil.rmtree(temporary, ignore_errors=True)
      # Somebody was first, or has meanwhile removed the pool and all that was left of it.
      if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
        raise

  def _temporary(self) -> pathlib.Path:
    return self.path.with_name(f"{self.path.name}.{Owner.me()}.tmp")


def read_content(path: pathlib.Path) -> Plain:
  """What a piece is; nothing when that cannot be read."""
  try:
    content = json.loads((path / CONTENT).read_text())
  except (OSError, ValueError, RecursionError):
    return {}
  return content if isinstance(content, dict) else {}


def _write(path: pathlib.Path, content: Plain) -> None:
  path.mkdir(parents=True)
  write_json(path / CONTENT, content, durable=True)


def _lock(descriptor: int) -> bool:
  """Locks an opened file, until it is closed; true also where the file system has no locks."""
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError as error:
    if not isinstance(error, BlockingIOError) and error.errno not in NO_LOCKS:
      raise
    return not isinstance(error, BlockingIOError)
  return True
