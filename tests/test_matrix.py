"""The matrix of versions asks for what pyproject.toml allows, and runs tests that are there."""

import tomllib

from tests import matrix
from tests.documents import ROOT


def test_the_oldest_versions_are_the_bounds_of_the_project():
  project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
  oldest = matrix.oldest(project)
  named = [
    *project["dependencies"],
    *project["optional-dependencies"]["test"],
    *project["optional-dependencies"]["tune"],
  ]
  assert all(oldest[requirement.split(">=")[0]] == requirement.split(">=")[1].split(",")[0] for requirement in named)
  assert oldest["jaxlib"] == oldest["jax"]


def test_the_quick_part_is_of_files_that_are_there():
  assert all((ROOT / name).is_file() for name in matrix.TESTS)
  assert set(matrix.TESTS) >= matrix.WITHOUT_GYMNAX


def test_rows_are_oldest_tested_and_newest_of_every_python(monkeypatch):
  project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
  rows = list(matrix.rows(["python3.11", "/opt/3.13/bin/python"], project))
  assert [row.name for row in rows] == [
    *("oldest", "constraints.txt", "newest, python3.11", "newest without gymnax, python3.11"),
    *("newest, 3.13", "newest without gymnax, 3.13"),
  ]
  monkeypatch.setenv("PYTHONS", "no-such-python")
  assert matrix.interpreters() == []
