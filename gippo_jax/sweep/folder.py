"""The folder of a sweep: what is in it, whether a sweep may start there, and what of it is still to be done."""

import contextlib
import json
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator

from gippo_jax.errors import UserError
from gippo_jax.parsing import Experiment, parse
from gippo_jax.plain import Plain
from gippo_jax.runs.files import remove_leftovers, unwritable, write_json
from gippo_jax.runs.lock import locked
from gippo_jax.runs.summary import Summary
from gippo_jax.runs.workdir import Workdir
from gippo_jax.sweep.plan import Member
from gippo_jax.sweep.space import Assignment

# Marks a `best` that is a copy, where there are no links.
_COPY = "copy_of_a_member"

# Of a chunk's folder: says whose it is.
_MARK = "members.json"


def _as_parsed(part: str, present: Plain) -> object:
  """What a stored definition means today: fields that were added since are at their defaults."""
  if part != "config" or not isinstance(present.get(part), dict):
    return present.get(part)
  try:
    return json.loads(json.dumps(parse(present[part]).to_dict()))
  except UserError:
    return None


class SweepFolder:
  """Paths of a sweep's files.

  Args:
    path: the folder; need not exist yet.
    base: what all members have in common.
    settings: values by field, for each setting.
  """

  def __init__(self, path: str | os.PathLike, base: Experiment, settings: list[Assignment]):
    self.path = pathlib.Path(path).expanduser()
    self.members = self.path / "members"
    self.results = self.path / "sweep.json"
    self.table = self.path / "sweep.csv"
    self.best = self.path / "best"
    self.heat_map = self.path / "heat_map.png"
    self.parallel_coordinates = self.path / "parallel_coordinates.png"
    self._definition = self.path / "definition.json"
    self._chunks = self.path / "chunks"
    self._wanted = json.loads(json.dumps({"config": base.to_dict(), "settings": settings}))

  def check(self) -> None:
    """Touches nothing.

    Raises:
      UserError: when the folder holds something else than this sweep, finished or not.
    """
    if (self.path / "config.json").exists():
      raise UserError(f"--workdir: {self.path} holds a single run; allowed: a folder of its own for the sweep")
    if self.best.exists() and not self.best.is_symlink() and not (self.best / _COPY).exists():
      raise UserError(f"--workdir: {self.best} is not a sweep's; allowed: another folder")
    try:
      text = self._definition.read_text()
    except FileNotFoundError:
      for own in (self.members, self._chunks, self.results):
        if own.exists():
          raise UserError(
            f"--workdir: {self.path} holds {own.name} of a sweep, but not its {self._definition.name}; allowed: "
            "another folder"
          ) from None
      return
    except OSError as error:
      raise unwritable("--workdir", self.path, error) from None
    present = _json(text)
    if not isinstance(present, dict):
      raise UserError(f"--workdir: {self._definition} cannot be read; allowed: a new folder")
    for part, what in (("settings", "other settings"), ("config", "another configuration")):
      if _as_parsed(part, present) != self._wanted[part]:
        raise UserError(
          f"--workdir: {self.path} holds a sweep with {what}; allowed: the same sweep (to resume) or another folder"
        )

  @contextlib.contextmanager
  def held(self, members: list[Member], shard: str | None, tell: Callable[[str], None]) -> Iterator[None]:
    """Entered while members are trained: no other process trains them.

    A member's folder whose configuration cannot be read is set aside, and the member trained again.

    Args:
      members: that this process trains.
      shard: `i-of-n`, where others train the rest; `None` for all of them.
      tell: receives a line for each folder that is set aside.

    Raises:
      UserError: when another process trains any of them, the folder cannot be written, or holds something else.
    """
    with locked(self.path, shard=shard):
      self.check()
      remove_leftovers(self.path)
      try:
        write_json(self._definition, self._wanted, durable=True)
      except OSError as error:
        raise unwritable("--workdir", self.path, error) from None
      for member in members:
        self._check_member(member, tell)
      yield

  def _check_member(self, member: Member, tell: Callable[[str], None]) -> None:
    workdir = self.workdir_of(member)
    if not workdir.path.exists():
      return
    try:
      workdir.stored()
    except UserError:
      aside = workdir.path.with_name(f"{workdir.path.name}.damaged")
      if aside.exists():
        aside = aside.with_name(f"{aside.name}.{time.time_ns()}")
      workdir.path.rename(aside)
      tell(f"{workdir.config} cannot be read; the folder is set aside as {aside.name}, its member is trained again")
      return
    workdir.check(member.experiment)

  def workdir_of(self, member: Member) -> Workdir:
    """The member's folder."""
    return Workdir(self.members / member.folder)

  def summary_of(self, member: Member) -> Summary | None:
    """What became of a member; `None` while it has not ended."""
    return self.workdir_of(member).finished_summary()

  def begun_chunk(self, group: list[Member], longest: int) -> list[Member]:
    """Members of a group whose chunk was interrupted, in its order; none when there is no chunk to go on with.

    Args:
      group: all members of the group.
      longest: chunk that is allowed.
    """
    by_index = {member.index: member for member in group}
    for file in sorted(self._chunks.glob(f"*/{_MARK}")):
      indices = _indices_in(file)
      # A chunk with members of other groups or shards is none of this one's.
      if (
        indices and by_index.keys() >= set(indices) and len(indices) <= longest and not all(map(self.summary_of, group))
      ):
        return [by_index[index] for index in indices]
    return []

  def stored_plan(self) -> list[str]:
    """How members that have ended were trained, in words."""
    present = _json(self.results.read_text()) if self.results.exists() else None
    plan = present.get("plan") if isinstance(present, dict) else None
    return [str(line) for line in plan] if isinstance(plan, list) else []

  def open_chunk(self, chunk: list[Member]) -> Workdir:
    """The folder in which a chunk trains; what an interrupted one of other members left there is removed.

    Raises:
      UserError: when there is something there that no sweep has made.
    """
    folder = self._chunks / f"{chunk[0].index:04d}"
    file, indices = folder / _MARK, [member.index for member in chunk]
    if folder.exists() and _indices_in(file) != indices:
      remove_leftovers(folder)
      if not file.exists() and any(folder.iterdir()):
        raise UserError(f"--workdir: {folder} is not a sweep's; allowed: another folder, or this one without it")
      _remove(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(file, indices)
    return Workdir(folder)

  def close_chunk(self, workdir: Workdir) -> None:
    """Removes the folder of a chunk whose members have theirs."""
    _remove(workdir.path)

  def close(self, members: list[Member]) -> None:
    """Removes what chunks of other lengths, or a kill at the very end, may have left.

    Args:
      members: all that this process has trained; chunks of others, which may be at work, stay.
    """
    mine = {member.index for member in members}
    for file in self._chunks.glob(f"*/{_MARK}"):
      if set(_indices_in(file)) <= mine:
        with contextlib.suppress(OSError):
          _remove(file.parent)
    with contextlib.suppress(OSError):  # not empty, or not there
      self._chunks.rmdir()

  def link_best(self, member: Member) -> None:
    """Makes `best` the member's folder: a link to it, or a copy where the file system has no links."""
    target = os.path.join(self.members.name, member.folder)
    if (self.best / _COPY).exists() and not self.best.is_symlink():
      shutil.rmtree(self.best)
    temporary = self.path / f"best.{os.getpid()}.tmp"  # shards may do this at the same time
    temporary.unlink(missing_ok=True)
    try:
      temporary.symlink_to(target, target_is_directory=True)
      os.replace(temporary, self.best)
    except OSError:
      shutil.copytree(self.members / member.folder, self.best)
      (self.best / _COPY).touch()


def _remove(folder: pathlib.Path) -> None:
  """Removes a chunk's folder, the file that says whose it is last: killed in between, it is still a chunk's."""
  for entry in folder.iterdir():
    if entry.is_dir() and not entry.is_symlink():
      shutil.rmtree(entry)
    elif entry.name != _MARK:
      entry.unlink()
  (folder / _MARK).unlink(missing_ok=True)
  folder.rmdir()


def _json(text: str) -> object:
  """What a text says; `None` for one that says nothing."""
  try:
    return json.loads(text)
  except (ValueError, RecursionError):
    return None


def _indices_in(file: pathlib.Path) -> list[int]:
  """Members of a chunk; none when they cannot be read."""
  indices = _json(file.read_text()) if file.exists() else None
  return indices if isinstance(indices, list) and all(type(index) is int for index in indices) else []
