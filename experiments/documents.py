"""Blocks of generated text inside documents that people write."""

import pathlib

from gippo_jax.errors import UserError
from gippo_jax.workdir import write_text


def has_block(path: pathlib.Path, name: str) -> bool:
  """Whether a document has a block of that name."""
  return f"<!-- begin {name} -->" in path.read_text()


def replace_block(path: pathlib.Path, name: str, text: str) -> None:
  """Replaces what stands between `<!-- begin NAME -->` and `<!-- end NAME -->`.

  Args:
    path: the document.
    name: of the block.
    text: what the block shall hold.

  Raises:
    UserError: when the document has no such block.
  """
  begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
  document = path.read_text()
  if begin not in document or end not in document:
    raise UserError(f"{path}: no block {begin.strip()} ... {end}")
  before, rest = document.split(begin, 1)
  write_text(path, before + begin + text + end + rest.split(end, 1)[1])
