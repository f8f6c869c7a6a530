"""What the documentation shows must work, word by word."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from gippo_jax.cli.configuration_page import page
from tests.commands import environment_of

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "tests" / "outside" / "my_package"


def blocks(document, language):
  return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / document).read_text(), re.DOTALL)


@pytest.mark.parametrize(
  ("document", "files"), [("own_environment.md", ["hover.py"]), ("own_algorithm.md", ["clipped.py", "nets.py"])]
)
def test_the_examples_are_the_files_that_the_tests_run(document, files):
  assert blocks(document, "python") == [(PACKAGE / name).read_text() for name in files]


@pytest.mark.parametrize("index", [0, 1])
def test_the_python_examples_run(index, tmp_path):
  shutil.copytree(PACKAGE, tmp_path / "my_package")
  code = blocks("python.md", "python")[index].replace("num_epochs=200", "num_epochs=4")
  variables = environment_of()
  process = subprocess.run(
    [sys.executable, "-c", code], env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
  )
  assert process.returncode == 0, process.stderr
  assert process.stdout.strip().splitlines()[-1]


def test_the_configuration_page_is_current():
  assert (ROOT / "docs" / "configuration.md").read_text() == page()


def test_links_of_the_documentation_lead_somewhere():
  for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
    for link in re.findall(r"\]\(((?!http)[^)#]+)\)", document.read_text()):
      assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_commands_of_the_documentation_exist():
  """Every `python -m gippo_jax COMMAND` and `python -m experiments...` names one."""
  from gippo_jax.cli.commands import COMMANDS

  for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
    text = document.read_text()
    for command in re.findall(r"python -m gippo_jax (\w+)", text):
      assert command in (*COMMANDS, "COMMAND"), f"{document.name}: {command}"
    for module in re.findall(r"python -m ((?:experiments|gippo_jax\.)[\w.]+)", text):
      place = ROOT / module.replace(".", "/")
      assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), f"{document.name}: {module}"
