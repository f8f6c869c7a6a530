"""The folder of a sweep: what is in it, whether a sweep may start there, and what of it is still to be done."""

import json
import os
import pathlib
import shutil

from gippo_jax.errors import UserError
from gippo_jax.parsing import Experiment, parse
from gippo_jax.plain import Plain
from gippo_jax.runs.summary import Summary
from gippo_jax.runs.workdir import Workdir, write_json
from gippo_jax.sweep.plan import Member
from gippo_jax.sweep.space import Assignment


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
    self.path = pathlib.Path(path)
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
    if not self._definition.exists():
      return
    try:
      present = json.loads(self._definition.read_text())
    except (OSError, json.JSONDecodeError):
      raise UserError(f"--workdir: {self._definition} cannot be read; allowed: a new folder") from None
    for part, what in (("settings", "other settings"), ("config", "another configuration")):
      if _as_parsed(part, present) != self._wanted[part]:
        raise UserError(
          f"--workdir: {self.path} holds a sweep with {what}; allowed: the same sweep (to resume) or another folder"
        )

  def open(self) -> None:
    """Makes the folder.

    Raises:
      UserError: when it cannot be written.
    """
    try:
      self.path.mkdir(parents=True, exist_ok=True)
      write_json(self._definition, self._wanted)
    except OSError as error:
      raise UserError(
        f"--workdir: {self.path} cannot be written ({error.strerror}); allowed: a folder you may write to"
      ) from None

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
    for file in sorted(self._chunks.glob("*/members.json")):
      indices = json.loads(file.read_text())
      # A chunk with members of other groups or shards is none of this one's.
      if by_index.keys() >= set(indices) and len(indices) <= longest and not all(map(self.summary_of, group)):
        return [by_index[index] for index in indices]
    return []

  def stored_plan(self) -> list[str]:
    """How members that have ended were trained, in words."""
    return json.loads(self.results.read_text())["plan"] if self.results.exists() else []

  def open_chunk(self, chunk: list[Member]) -> Workdir:
    """The folder in which a chunk trains; what an interrupted one of other members left there is removed."""
    folder = self._chunks / f"{chunk[0].index:04d}"
    file, indices = folder / "members.json", [member.index for member in chunk]
    if folder.exists() and not (file.exists() and json.loads(file.read_text()) == indices):
      shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(file, indices)
    return Workdir(folder)

  def close_chunk(self, workdir: Workdir) -> None:
    """Removes the folder of a chunk whose members have theirs."""
    shutil.rmtree(workdir.path)

  def close(self) -> None:
    """Removes what chunks of other lengths, or a kill at the very end, may have left."""
    shutil.rmtree(self._chunks, ignore_errors=True)

  def link_best(self, member: Member) -> None:
    """Makes `best` the member's folder: a link to it, or a copy where the file system has no links."""
    target = os.path.join(self.members.name, member.folder)
    if self.best.is_dir() and not self.best.is_symlink():
      shutil.rmtree(self.best)
    temporary = self.path / f"best.{os.getpid()}.tmp"  # shards may do this at the same time
    temporary.unlink(missing_ok=True)
    try:
      temporary.symlink_to(target, target_is_directory=True)
      os.replace(temporary, self.best)
    except OSError:
      shutil.copytree(self.members / member.folder, self.best)
