"""A member's folder, as a command finds it in a sweep's."""

import pathlib

from gippo_jax.errors import UserError


def member_folder(folder: pathlib.Path, member: int | None) -> pathlib.Path:
  """The folder of the run that is meant.

  Args:
    folder: of a run, or of a sweep.
    member: of the sweep; its best one when `None`.

  Raises:
    UserError: when there is no such member, or a run has none.
  """
  members = folder / "members"
  if not members.is_dir():
    if member is not None:
      raise UserError(f"--member: {folder} holds no sweep; allowed: the folder of a sweep, or no --member")
    return folder
  if member is None:
    if not (folder / "best").exists():
      raise UserError(f"--workdir: {folder} is a sweep without a best member yet; allowed: --member")
    return (folder / "best").resolve()
  found = sorted(members.glob(f"{member:04d}_*/config.json"))
  if not found:
    count = len(list(members.glob("*/config.json")))
    raise UserError(f"--member: {member} is not in the sweep; allowed: those of its {count} members that have ended")
  return found[0].parent
