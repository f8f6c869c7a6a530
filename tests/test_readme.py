"""What the documentation shows must work, word by word."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import gippo_jax
from gippo_jax.cli.configuration_page import page
from tests import documents
from tests.commands import command, environment_of, execute

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "tests" / "outside" / "my_package"


def blocks(document, language):
  return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / document).read_text(), re.DOTALL)


@pytest.mark.parametrize(
  ("document", "files"), [("own_environment.md", ["hover.py"]), ("own_algorithm.md", ["clipped.py", "nets.py"])]
)
def test_the_examples_are_the_files_that_the_tests_run(document, files):
  assert blocks(document, "python") == [(PACKAGE / name).read_text() for name in files]


@pytest.mark.parametrize(("document", "index"), [("python.md", 0), ("python.md", 1), ("tracking.md", 0)])
def test_the_python_examples_run(document, index, tmp_path):
  shutil.copytree(PACKAGE, tmp_path / "my_package")
  code = blocks(document, "python")[index].replace("num_epochs=200", "num_epochs=4")
  variables = environment_of()
  process = subprocess.run(
    [sys.executable, "-c", code], env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
  )
  assert process.returncode == 0, process.stderr
  assert process.stdout.strip().splitlines()[-1]


def test_the_configuration_page_is_current():
  assert (ROOT / "docs" / "configuration.md").read_text() == page()


def test_links_files_and_commands_of_the_documentation_lead_somewhere():
  process = execute(environment_of(), *command("tests.documents"))
  assert process.returncode == 0, process.stdout + process.stderr


@pytest.mark.parametrize(
  ("text", "wrong"),
  [
    ("[there](there.md)", "there.md"),
    ("# A `b`, c\n[there](#a-b-c) [not there](#a-b)", "#a-b"),
    ("![picture](images/none.png)", "images/none.png"),
  ],
)
def test_a_link_that_leads_nowhere_is_found(text, wrong, tmp_path):
  (tmp_path / "page.md").write_text(f"{text} `[code](is_no_link)` [outside](https://example.org)")
  assert documents.broken_links(tmp_path / "page.md") == [wrong]


@pytest.mark.parametrize(
  ("text", "wrong"),
  [
    ("make nothing", "nothing"),
    ('pip install "gippo_jax[nothing]"', "nothing"),
    ("python -m gippo_jax trian --config=any:ppo", "trian"),
    ("python -m gippo_jax train --config=functions:ackley64 --workdri=runs/a", "workdri"),
    ("python -m gippo_jax train --config=functions:ackley64 --config.alpha.intial=1", "intial"),
    ('python -m gippo_jax sweep --config=functions:ackley64 --grid="alpha.initial=-1"', "alpha.initial"),
    ("python -m experiments.table functions --presets=quick", "presets"),
    ("python -m experiments.tables", "tables"),
    ("pyhton -m gippo_jax list", "pyhton"),
  ],
)
def test_a_command_that_does_not_work_is_found(text, wrong, tmp_path):
  page = tmp_path / "page.md"
  page.write_text(f"```sh\n{text}\n```\n")
  assert wrong in (documents.problem(*documents.commands(page)) or "")


def test_commands_are_found_in_blocks_and_in_the_text(tmp_path):
  page = tmp_path / "page.md"
  page.write_text(
    "`make test` and `makes` `python -m gippo_jax\ntrain --config=any:ppo`\n<!-- run -->\n```sh\n"
    "XLA_FLAGS=--a python -m gippo_jax list \\\n  algorithms  # says all\nmake lint && make test\n```\n"
    "```text\nmake no\n```\n"
  )
  found = documents.commands(page)
  assert [(command.text, command.runs) for command in found] == [
    ("XLA_FLAGS=--a python -m gippo_jax list algorithms # says all", True),
    ("make lint", True),
    ("make test", True),
    ("make test", False),
    ("python -m gippo_jax train --config=any:ppo", False),
  ]
  assert (found[0].variables, found[0].words[-1]) == ({"XLA_FLAGS": "--a"}, "algorithms")


def test_blocks_say_whether_they_run_and_what_was_done_before(tmp_path):
  page = tmp_path / "page.md"
  page.write_text(
    "<!-- run, after: gippo-jax train --workdir=a -->\n```sh\ngippo-jax evaluate --workdir=a\n```\n"
    "<!-- not run: an hour -->\n```sh\nmake table1\n```\n- in a list\n  ```sh\n  make lint\n  ```\n"
  )
  assert [(command.words[1], command.runs) for command in documents.commands(page)] == [
    *(("train", True), ("evaluate", True), ("table1", False), ("lint", False))
  ]
  assert documents.unmarked(page) == ["  make lint"]


def test_the_python_examples_can_be_read():
  for document in documents.DOCUMENTS:
    if document.parent.name == "notebooks":  # their cells hold commands, too; `make notebooks` executes them
      continue
    for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)):
      compile(code, f"{document.name}, example {number + 1}", "exec")


def test_the_citation_names_this_version():
  assert f"\nversion: {gippo_jax.__version__}\n" in (ROOT / "CITATION.cff").read_text()
