"""What is generated for documents that people write: blocks of text, tables, pictures."""

import pathlib
from collections.abc import Iterable, Sequence

import matplotlib
from matplotlib.figure import Figure

from gippo_jax.errors import UserError
from gippo_jax.experiments.tables.figure_numbers import numbers_of
from gippo_jax.runs.files import write_csv, write_text


def has_block(path: pathlib.Path, name: str) -> bool:
  """Whether a document has a block of that name."""
  return f"<!-- begin {name} -->" in path.read_text()


def docs_folder(flag: str | None, document: str, block: str) -> pathlib.Path | None:
  """The folder that `--docs` names, if any; asked before anything is measured.

  Args:
    flag: value of `--docs`.
    document: of the folder, that is to be renewed.
    block: of the document.

  Raises:
    UserError: when the folder has no such document, or that no such block.
  """
  if not flag:
    return None
  path = pathlib.Path(flag) / document
  if not (path.is_file() and has_block(path, block)):
    raise UserError(f"--docs: {path} with a block {block!r} is missing; allowed: the project's docs folder")
  return path.parent


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


def save_figure(figure: Figure, folder: pathlib.Path, name: str, with_numbers: bool = True) -> None:
  """Writes a figure as PNG and SVG, without dates or random identifiers: drawing again gives the same files.

  Args:
    figure: drawn.
    folder: made if it is not there.
    name: of the files, without their endings.
    with_numbers: whether the numbers of what it shows are written beside it, with the ending `.csv`.
  """
  folder.mkdir(parents=True, exist_ok=True)
  with matplotlib.rc_context({"svg.hashsalt": "gippo_jax"}):
    for suffix in ("png", "svg"):
      metadata = {"Date": None} if suffix == "svg" else None
      figure.savefig(folder / f"{name}.{suffix}", dpi=150, metadata=metadata)
  if with_numbers:
    write_csv(folder / f"{name}.csv", numbers_of(figure))
