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
from gippo_jax.runs.summary import Summary
from gippo_jax.runs.workdir import Workdir
from gippo_jax.sweep.chunks import Chunks
from gippo_jax.sweep.plan import Member
from gippo_jax.sweep.space import Assignment

# Marks a `best` that is a copy, where there are no links.
_COPY = "copy_of_a_member"


def _as_parsed(part: str, present: Plain) -> object:
  """What a stored definition means today: fields that were added since are at their defaults."""
  if part != "config" or not isinstance(present.get(part), dict):
    return present.get(part)
  try:
    return json.loads(json.dumps(parse(present[part]).to_dict()))
  except UserError:
    return None


class SweepFolder:
  """Paths of a sweep's files, which any number of workers may share.

  Args:
    path: the folder; need not exist yet.
    base: what all members have in common.
    settings: values by field, for each setting.
    members: all of them.

  Attributes:
    chunks: what is still to be trained.
  """

  def __init__(self, path: str | os.PathLike[str], base: Experiment, settings: list[Assignment], members: list[Member]):
    self.path = pathlib.Path(path).expanduser()
    self.members = self.path / "members"
    self.results = self.path / "sweep.json"
    self.table = self.path / "sweep.csv"
    self.best = self.path / "best"
    self.heat_map = self.path / "heat_map.png"
    self.parallel_coordinates = self.path / "parallel_coordinates.png"
    self._definition = self.path / "definition.json"
    self._all = members
    self.chunks = Chunks(self.path / "chunks", members, lambda member: self.summary_of(member) is not None)
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
      for own in (self.members, self.results):
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
  def turn(self) -> Iterator[None]:
    """Entered by one worker at a time, to write what lies at the top of the folder, or to say what the chunks are.

    Raises:
      UserError: when the folder cannot be written, or holds something else.
    """
    with contextlib.ExitStack() as stack:
      try:
        stack.enter_context(self.chunks.pool.turn())
      except OSError as error:
        raise unwritable("--workdir", self.path, error) from None
      yield

  def open(self, tell: Callable[[str], None]) -> None:
    """Says whose the folder is; any number of workers of the same sweep may do so.

    A member's folder whose configuration cannot be read is set aside, and the member trained again.

    Args:
      tell: receives a line for each folder that is set aside.

    Raises:
      UserError: when the folder cannot be written, or holds something else.
    """
    with self.turn():
      self.check()
      remove_leftovers(self.path)
      try:
        write_json(self._definition, self._wanted, durable=True)
      except OSError as error:
        raise unwritable("--workdir", self.path, error) from None
    for member in self._all:
      self._check_member(member, tell)

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
      try:
        workdir.path.rename(aside)
      except FileNotFoundError:  # another worker has done it
        return
      tell(f"{workdir.config} cannot be read; the folder is set aside as {aside.name}, its member is trained again")
      return
    workdir.check(member.experiment)

  def workdir_of(self, member: Member) -> Workdir:
    """The member's folder."""
    return Workdir(self.members / member.folder)

  def summary_of(self, member: Member) -> Summary | None:
    """What became of a member; `None` while it has not ended."""
    return self.workdir_of(member).finished_summary()

  def stored_plan(self) -> list[str]:
    """How members that have ended were trained, in words."""
    present = _json(self.results.read_text()) if self.results.exists() else None
    plan = present.get("plan") if isinstance(present, dict) else None
    return [str(line) for line in plan] if isinstance(plan, list) else []

  def link_best(self, member: Member) -> None:
    """Makes `best` the member's folder: a link to it, or a copy where the file system has no links."""
    target = os.path.join(self.members.name, member.folder)
    if (self.best / _COPY).exists() and not self.best.is_symlink():
      shutil.rmtree(self.best)
    temporary = self.path / f"best.{os.getpid()}.tmp"
    temporary.unlink(missing_ok=True)
    try:
      temporary.symlink_to(target, target_is_directory=True)
      os.replace(temporary, self.best)
    except OSError:
      shutil.copytree(self.members / member.folder, self.best)
      (self.best / _COPY).touch()


def _json(text: str) -> object:
  """What a text says; `None` for one that says nothing."""
  try:
    return json.loads(text)
  except (ValueError, RecursionError):
    return None
