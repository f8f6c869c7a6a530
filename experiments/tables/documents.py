"""What is generated for documents that people write: blocks of text, tables, pictures."""

import pathlib
from collections.abc import Iterable, Sequence

import matplotlib
from matplotlib.figure import Figure

from gippo_jax.errors import UserError
from gippo_jax.runs.files import write_text


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


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
  """A table in Markdown.

  Args:
    columns: their titles.
    rows: their cells.
  """
  lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
  lines += ["| " + " | ".join(cells) + " |" for cells in rows]
  return "\n".join(lines) + "\n"


def save_figure(figure: Figure, folder: pathlib.Path, name: str) -> None:
  """Writes a figure as PNG and SVG, without dates or random identifiers: drawing again gives the same files."""
  folder.mkdir(parents=True, exist_ok=True)
  with matplotlib.rc_context({"svg.hashsalt": "gippo_jax"}):
    for suffix in ("png", "svg"):
      metadata = {"Date": None} if suffix == "svg" else None
      figure.savefig(folder / f"{name}.{suffix}", dpi=150, metadata=metadata)
