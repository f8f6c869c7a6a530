"""Speed: `python -m experiments.benchmark PART... --docs=docs`; the parts are those of `PARTS`, or `all`.

Every part is a table and a picture of docs/performance.md (traffic.md, scaling.md), with the machine and the versions.
Timings are repeated; where other processes used the machine beside a row, the row says so. `--check` writes nothing: it
compares ratios of what is measured in one run with the committed ones, and names those that drifted. `--keep` measures
nothing: it writes tables and pictures again from the figures that are there.
"""

import datetime
import json
import os
import pathlib
from collections.abc import Sequence

from absl import flags
from rich.console import Console
from rich.table import Table

from gippo_jax.cli.console import console
from gippo_jax.errors import UserError
from gippo_jax.experiments.speed.authors import Authors
from gippo_jax.experiments.speed.parts import Measured, Options, Watch, describe_machine
from gippo_jax.experiments.speed.pictures import PICTURES
from gippo_jax.experiments.speed.report import PARTS, cells_of, drifted, markdown
from gippo_jax.experiments.tables.documents import replace_block, save_figure
from gippo_jax.plain import Plain
from gippo_jax.programs.devices import configure_jax
from gippo_jax.runs.files import write_json

_REPEATS = flags.DEFINE_integer("repeats", 3, "Of every timing.", lower_bound=1)
_OUT = flags.DEFINE_string("out", None, "File for the figures as JSON.")
_DOCS = flags.DEFINE_string("docs", None, "Documentation folder whose pages, pictures and benchmark.json are renewed.")
_KEEP = flags.DEFINE_bool("keep", False, "Writes the figures of --docs's benchmark.json again and measures nothing.")
_CHECK = flags.DEFINE_string("check", None, "A benchmark.json; says which ratios drifted from it, and writes nothing.")
_TOLERANCE = flags.DEFINE_float("tolerance", 0.2, "Relative change of a ratio that --check lets pass.", lower_bound=0.0)
_PYTHON = flags.DEFINE_string("peers_python", ".venv-peers/bin/python", "The peers' interpreter, of `make peers`.")


_AUTHORS = flags.DEFINE_string("authors", None, "Copy of github.com/SonSang/gippo, which is timed beside ours.")
_AUTHORS_PYTHON = flags.DEFINE_string("authors_python", ".venv-authors/bin/python", "Python that can run --authors.")


def measure(name: str, options: Options) -> Measured:
  """Measures a part and prints its rows as they come."""
  part, found = PARTS[name], []
  rows = part.rows(options)
  while True:
    watch = Watch()
    row = next(rows, None)
    if row is None:
      break
    # A row that prepares more than it times says itself who else was there.
    found.append({"busy": watch.is_busy(), "other_cores": watch.other_cores(), **row})
    print(" | ".join(cells_of(part, found[-1])), flush=True)
  return Measured(found, describe_machine(), str(datetime.date.today()), options.repeats)


def _read(path: pathlib.Path, flag: str) -> dict[str, Plain]:
  try:
    return json.loads(path.read_text())
  except (OSError, ValueError):
    raise UserError(f"{flag}: {path} cannot be read; allowed: a benchmark.json") from None


def _report(found: dict[str, Measured], committed: dict[str, Plain]) -> int:
  table = Table("part", "ratio", "committed", "now")
  for name, measured in found.items():
    if name not in committed:
      print(f"{name}: nothing is committed to compare with")
      continue
    changes = drifted(PARTS[name], measured.rows, committed[name]["rows"], _TOLERANCE.value)
    for label, (before, now) in changes.items():
      table.add_row(name, label, f"{before:.3g}", f"{now:.3g}")
  if not table.rows:
    print(f"no ratio drifted by more than {_TOLERANCE.value:.0%}")
    return 0
  Console(width=120).print(table)
  return 1


def _names(words: Sequence[str]) -> list[str]:
  known = f"allowed: all, {', '.join(PARTS)}"
  if not words:
    raise UserError(f"PART is missing; {known}")
  for word in words:
    if word not in PARTS and word != "all":
      raise UserError(f"PART: {word!r} is unknown; {known}")
  return list(PARTS) if "all" in words else list(dict.fromkeys(words))


def _possible(names: Sequence[str], options: Options, leave_out: bool) -> list[str]:
  """The parts for which everything is there; `leave_out` says so of the others, else they are an error."""
  found = []
  for name in names:
    try:
      PARTS[name].require(options)
    except UserError as error:
      if not leave_out:
        raise
      print(f"{name} is left out: {error}")
    else:
      found.append(name)
  return found


def main(arguments: Sequence[str]) -> int:
  """Measures the parts, prints them, writes the files."""
  names = _names(arguments[1:])
  if _KEEP.value:
    return _write_again(names, leave_out="all" in arguments[1:])
  authors = Authors(pathlib.Path(_AUTHORS.value), _AUTHORS_PYTHON.value) if _AUTHORS.value else None
  options = Options(_REPEATS.value, _PYTHON.value, authors)
  committed = _read(pathlib.Path(_CHECK.value), "--check") if _CHECK.value else {}
  # Processes that share a card ask for what they need, where the first would take three quarters of it.
  os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
  configure_jax(64, compilation_cache=False)  # compilation is timed, too
  names = _possible(names, options, leave_out="all" in arguments[1:])
  watch = Watch()
  found = {}
  for name in names:
    found[name] = measure(name, options)
    if _DOCS.value and not _CHECK.value:
      _write_docs(pathlib.Path(_DOCS.value), name, found[name])
  if watch.is_busy():
    print(f"other processes used {watch.other_cores():.1f} cores meanwhile: the machine was busy")
  if _OUT.value:
    write_json(pathlib.Path(_OUT.value), {name: measured._asdict() for name, measured in found.items()})
  return _report(found, committed) if _CHECK.value else 0


def _write_docs(docs: pathlib.Path, name: str, measured: Measured) -> None:
  path = docs / "benchmark.json"
  everything = _read(path, "--docs") if path.exists() else {}
  write_json(path, everything | {name: measured._asdict()})
  _draw(docs, name, measured)


def _draw(docs: pathlib.Path, name: str, measured: Measured) -> None:
  replace_block(docs / PARTS[name].document, f"benchmark {name}", markdown(name, measured))
  save_figure(PICTURES[name](measured.rows), docs / "images", f"speed_{name}", with_numbers=False)


def _write_again(names: Sequence[str], leave_out: bool) -> int:
  """Tables and pictures from benchmark.json; `leave_out` passes over the parts that it lacks."""
  if not _DOCS.value or _CHECK.value:
    raise UserError("--keep: there is nothing to write, or something to measure; allowed: with --docs, without --check")
  docs = pathlib.Path(_DOCS.value)
  kept = _read(docs / "benchmark.json", "--docs")
  for name in names:
    if name in kept:
      _draw(docs, name, Measured(**kept[name]))
    elif not leave_out:
      raise UserError(f"PART: {name!r} is not in {docs / 'benchmark.json'}; allowed: {', '.join(kept)}")
  return 0


if __name__ == "__main__":
  console(main)
