"""What of a sweep is still to be trained, in chunks that its workers claim: who trains what is decided as they go."""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

from gippo_jax.plain import Plain
from gippo_jax.runs.owners import Owner
from gippo_jax.sweep.claims import Claim, Piece, Pool, read_content
from gippo_jax.sweep.plan import Member, cut


class Claimed(NamedTuple):
  """A chunk that this process is to train.

  Attributes:
    members: of the chunk.
    claim: of it; the chunk trains in its folder.
  """

  members: list[Member]
  claim: Claim


class Chunks:
  """The chunks of a sweep, in a folder that its workers share.

  Args:
    path: the folder.
    members: of the sweep, all of them.
    has_ended: whether a member needs nothing more.
  """

  def __init__(self, path: pathlib.Path, members: list[Member], has_ended: Callable[[Member], bool]):
    self.pool = Pool(path)
    self._all, self._has_ended = members, has_ended

  def plan(self, group: list[Member], longest: int) -> list[list[Member]]:
    """What is to be trained of a group: the chunks there are, then new ones of the members that have none.

    Args:
      group: all its members.
      longest: chunk that is allowed; a longer one that nobody trains is cut anew.
    """
    kept = [self._members(piece, group) for piece in self._of(group) if self._is_kept(piece, group, longest)]
    return kept + self._missing(group, kept, longest)

  def begun_length(self, group: list[Member]) -> int:
    """Members of the longest chunk that somebody has begun to train; 0 without."""
    return max((len(self._members(piece, group)) for piece in self._of(group) if piece.is_begun), default=0)

  def arrangement(self, group: list[Member]) -> str | None:
    """How the chunks of a group lie on the hardware, where this was decided."""
    for piece in self._of(group):
      arrangement = read_content(piece.path).get("arrangement")
      if arrangement in ("map", "vmap"):
        return arrangement
    return None

  def cut(self, group: list[Member], longest: int, arrangement: str) -> None:
    """Makes the chunks that `plan` tells of; for the one whose turn it is.

    Args:
      group: all its members.
      longest: chunk that is allowed.
      arrangement: `map` or `vmap`, for all who train them.
    """
    self._sweep_up()
    kept = []
    for piece, content in self._stable():
      members = _members_of(content, group)
      claim = self.pool.claim(piece) if len(members) > longest else None
      if claim is None:
        kept.append(members)
      else:
        _remove(claim)
    for chunk in self._missing(group, kept, longest):
      indices = [member.index for member in chunk]
      self.pool.add(f"{chunk[0].index:04d}", {"members": indices, "arrangement": arrangement})

  def claim(self, group: list[Member], longest: int) -> Claimed | None:
    """Takes a chunk of a group that nobody trains; `None` when there is none.

    Args:
      group: all its members.
      longest: chunk that this machine can train.
    """
    # Those without an owner first: of the others it takes a look whether their owner is gone.
    for piece in sorted(self.pool.pieces(), key=lambda piece: piece.owner is not None):
      if not 0 < len(self._members(piece, group)) <= longest:
        continue
      claim = self.pool.claim(piece)
      if claim is None:
        continue
      members = _members_of(claim.content, group)  # another worker may have cut it anew in between
      if members and all(map(self._has_ended, members)):
        _remove(claim)
      elif 0 < len(members) <= longest:
        return Claimed(members, claim)
      else:
        claim.release()
    return None

  @property
  def owners(self) -> list[Owner]:
    """Who trains a chunk, as far as one knows."""
    return [piece.owner for piece in self.pool.pieces() if piece.owner and not self.pool.is_free(piece)]

  @property
  def is_empty(self) -> bool:
    """Whether there are none."""
    return not self.pool.pieces()

  def close(self) -> None:
    """Removes the folder when nothing is left to be trained; for the one whose turn it is."""
    self._sweep_up()
    self.pool.remove()

  def _sweep_up(self) -> None:
    """Removes chunks whose members have ended, as a kill at the very end leaves them, and those that name none."""
    for piece in self.pool.pieces():
      if all(map(self._has_ended, self._members(piece, self._all))):
        claim = self.pool.claim(piece)
        if claim is None:
          continue
        if all(map(self._has_ended, _members_of(claim.content, self._all))):
          _remove(claim)
        else:  # it changed hands while it was looked at
          claim.release()

  def _stable(self) -> list[tuple[Piece, Plain]]:
    """All pieces and what they are, seen twice alike: one that is claimed during a look might be missed by it."""
    before = None
    while True:
      seen = [(piece, read_content(piece.path)) for piece in self.pool.pieces()]
      if seen == before:
        return seen
      before = seen

  def _of(self, group: list[Member]) -> list[Piece]:
    return [piece for piece in self.pool.pieces() if self._members(piece, group)]

  def _members(self, piece: Piece, group: list[Member]) -> list[Member]:
    return _members_of(read_content(piece.path), group)

  def _is_kept(self, piece: Piece, group: list[Member], longest: int) -> bool:
    return len(self._members(piece, group)) <= longest or not self.pool.is_free(piece)

  def _missing(self, group: list[Member], kept: list[list[Member]], longest: int) -> list[list[Member]]:
    known = {member.index for chunk in kept for member in chunk}
    return cut([member for member in group if member.index not in known and not self._has_ended(member)], longest)


def _remove(claim: Claim) -> None:
  claim.finish()
  claim.release()


def _members_of(content: Plain, group: list[Member]) -> list[Member]:
  """The members that a piece names; none when it is not one of this group."""
  indices = content.get("members")
  by_index = {member.index: member for member in group}
  if not isinstance(indices, list) or not all(type(index) is int and index in by_index for index in indices):
    return []
  return [by_index[index] for index in indices]
