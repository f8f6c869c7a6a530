"""Versions of Python and of the packages, tried: `python -m tests.matrix`, or `make test-matrix`.

A virtual environment per row: the oldest versions that pyproject.toml allows, on the oldest Python; those of
constraints.txt; and the newest on each Python that is installed. jax beyond what gymnax allows is tried without gymnax.
In each the quick part of the suite runs, `TESTS`, and leaves its outcome as `build/matrix/ROW.json`; the table in
docs/install.md is of all outcomes there are, so that `--rows` makes one row again.

`PYTHONS`, an environment variable, names interpreters instead of `python3.11`, `python3.12`, ... of the path.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from gippo_jax.experiments.tables.documents import markdown_table, replace_block
from tests.documents import ROOT

FOLDER = ROOT / "build" / "matrix"
MINORS = range(11, 15)
# What a version of a package can break: numerics, derivatives, files, the simulators, the commands.
TESTS = (
  "tests/test_config.py",
  "tests/test_imports.py",
  "tests/algorithms/test_golden.py",
  "tests/algorithms/test_estimators.py",
  "tests/cli/test_train.py",
  "tests/envs/test_brax.py",
  "tests/envs/test_functions.py",
  "tests/envs/test_gymnax.py",
  "tests/learning/test_networks.py",
  "tests/learning/test_rollout.py",
  "tests/programs/test_gradients.py",
  "tests/programs/test_nonfinite.py",
  "tests/programs/test_precision.py",
  "tests/runs/test_checkpoint.py",
)
WITHOUT_GYMNAX = frozenset({"tests/envs/test_gymnax.py"})
SHOWN = ("jax", "numpy", "scipy", "flax", "optax", "brax")


class Row(NamedTuple):
  """An environment.

  Attributes:
    name: in the table, and of its folder.
    python: interpreter.
    constraints: versions that are asked for, by package; or a file of them.
    gymnax: whether gymnax is installed, which holds jax back.
  """

  name: str
  python: str
  constraints: Mapping[str, str] | pathlib.Path
  gymnax: bool = True

  @property
  def files(self) -> pathlib.Path:
    """Its environment's folder, and without an ending that of its other files."""
    return FOLDER / re.sub(r"[^a-z0-9.]+", "_", self.name)


def oldest(project: Mapping) -> dict[str, str]:
  """The least version of every package that pyproject.toml names, by package; jaxlib's is jax's."""
  found = {}
  extras = project["optional-dependencies"]
  for requirement in [
    *project["dependencies"],
    *(each for name in ("export", "gymnax", "slurm", "test", "tune") for each in extras[name]),
  ]:
    if match := re.fullmatch(r"([\w.-]+)(\[\w+\])?>=([\d.]+),<[\d.]+", requirement):
      found[match[1]] = match[3]
  return found | {"jaxlib": found["jax"]}


def interpreters() -> list[str]:
  """The Pythons that are there, oldest first."""
  asked = os.environ.get("PYTHONS", "").split() or [f"python3.{minor}" for minor in MINORS]
  return [name for name in asked if shutil.which(name) and _answers(name)]


def _answers(python: str) -> bool:
  # A manager of several Pythons puts names on the path that do not run.
  return subprocess.run([python, "--version"], capture_output=True, check=False).returncode == 0


def rows(pythons: list[str], project: Mapping) -> Iterator[Row]:
  """All environments."""
  yield Row("oldest", pythons[0], oldest(project))
  yield Row("constraints.txt", pythons[0], ROOT / "constraints.txt")
  for python in pythons:
    label = pathlib.Path(python).name if "/" not in python else pathlib.Path(python).parent.parent.name
    yield Row(f"newest, {label}", python, {})
    yield Row(f"newest without gymnax, {label}", python, {}, gymnax=False)


def install(row: Row, keep: bool) -> pathlib.Path:
  """Makes the row's environment anew, or keeps the one that is there; returns its interpreter."""
  folder = row.files
  python = folder / "bin" / "python"
  if keep and python.exists():
    return python
  shutil.rmtree(folder, ignore_errors=True)
  subprocess.run([row.python, "-m", "venv", folder], check=True)
  constraints = row.constraints
  if isinstance(constraints, Mapping):
    path = folder / "constraints.txt"
    path.write_text("".join(f"{name}=={version}\n" for name, version in constraints.items()))
    constraints = path
  extras = f"{ROOT}[dev]" if row.gymnax else f"{ROOT}[export,slurm,test,tune]"
  words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", constraints, "-e", extras]
  subprocess.run([python, *words], check=True)
  return python


def versions(python: pathlib.Path) -> list[str]:
  """Of Python and of the packages that count."""
  code = f"import importlib.metadata as m, platform as p; print(p.python_version(), *map(m.version, {SHOWN}))"
  return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test(row: Row, python: pathlib.Path) -> str:
  """Runs the quick part; returns pytest's last line."""
  files = [name for name in TESTS if row.gymnax or name not in WITHOUT_GYMNAX]
  ended = subprocess.run(
    [python, "-m", "pytest", "-q", "-n", "auto", "--dist", "worksteal", *files],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  row.files.with_name(f"{row.files.name}.log").write_text(ended.stdout + ended.stderr)
  return re.sub(r" in .*", "", ended.stdout.strip().splitlines()[-1].strip("= "))


def main() -> int:
  """Tries the rows; returns 1 when a test failed in one."""
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--docs", type=pathlib.Path, help="documentation folder whose table is renewed")
  parser.add_argument("--rows", nargs="*", default=None, help="beginnings of the names of those to run; all by default")
  parser.add_argument("--keep", action="store_true", help="environments that are there are not made anew")
  arguments = parser.parse_args()
  project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
  pythons = interpreters()
  if not pythons:
    sys.exit(f"PYTHONS: none of the interpreters runs; allowed: python3.{MINORS.start} or later")
  FOLDER.mkdir(parents=True, exist_ok=True)
  table = []
  for row in rows(pythons, project):
    outcome = row.files.with_name(f"{row.files.name}.json")
    if arguments.rows is None or row.name.startswith(tuple(arguments.rows)):
      outcome.unlink(missing_ok=True)
      python = install(row, arguments.keep)
      line = [row.name, *versions(python), test(row, python), str(datetime.date.today())]
      print(" | ".join(line), flush=True)
      outcome.write_text(json.dumps(line))
    if outcome.exists():
      table.append(json.loads(outcome.read_text()))
  if arguments.docs:
    text = markdown_table(("environment", "Python", *SHOWN, "tests", "run on"), table)
    replace_block(arguments.docs / "install.md", "test matrix", text)
  return int(any(re.search("failed|error", line[-2]) for line in table))


if __name__ == "__main__":
  sys.exit(main())
