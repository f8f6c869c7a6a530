"""The table and figure commands end to end, on a small budget."""

import json
import os
import subprocess

import pytest

from gippo_jax.experiments.tables.text import number
from tests.commands import call, check_error, command, environment_of, execute


@pytest.fixture(scope="module")
def run():
  """Runs a module as a command; a table trains longer than it compiles, and is optimised."""
  flags = [flag for flag in os.environ.get("XLA_FLAGS", "").split() if "optimization_level" not in flag]
  environment = environment_of(XLA_FLAGS=" ".join(flags))
  return lambda module, *arguments: execute(environment, *command(module, *arguments))


@pytest.fixture(scope="module")
def table(run, tmp_path_factory):
  """A table of two cells: its folder, arguments and process."""
  out = tmp_path_factory.mktemp("table")
  arguments = ("functions", "--problems=dejong1", "--algorithms=gippo,rp", "--seeds=2", f"--out={out}")
  return out, arguments, run("experiments.table", *arguments)


def test_a_table_of_two_cells(table):
  out, _, process = table
  assert process.returncode == 0, process.stderr
  cells = json.loads((out / "table.json").read_text())["results"]["dejong1"]
  assert list(cells) == ["rp", "gippo"]  # in the paper's order
  for cell in cells.values():
    assert len(cell["best_returns"]) == len(cell["final_returns"]) == 2
    assert cell["status"] == "finished"
    assert cell["mean"] == sum(cell["best_returns"]) / 2
    assert cell["interval"][0] <= cell["mean"] <= cell["interval"][1]
  winner = max(cells, key=lambda name: cells[name]["mean"])
  label = {"rp": "RP", "gippo": "GI-PPO"}[winner]
  assert f"**{cells[winner]['mean']:.3g}**" in (out / "table.md").read_text()
  assert f"best of the paper's here {label}" in (out / "table.md").read_text()
  assert f"{cells[winner]['mean']:.3g}*" in process.stdout
  header, *rows = (out / "table.csv").read_text().splitlines()
  assert header.startswith("problem,algorithm,mean,iqm")
  assert len(rows) == 2


def test_finished_pairs_are_not_run_again(run, table):
  out, arguments, _ = table
  summaries = [out / f"dejong1_{name}" / "summary.json" for name in ("rp", "gippo")]
  written = [path.stat().st_mtime_ns for path in summaries]
  assert run("experiments.table", "functions", "--problems=dejong1", "--algorithms=rp", *arguments[3:]).returncode == 0
  assert [path.stat().st_mtime_ns for path in summaries] == written
  # The table keeps what the folder has, not only what was asked for this time.
  assert list(json.loads((out / "table.json").read_text())["results"]["dejong1"]) == ["rp", "gippo"]


def test_an_earlier_table_fills_what_the_folder_lacks(run, table, tmp_path):
  """Cells of another budget are left out; the folder's own win."""
  out, arguments, _ = table
  earlier = json.loads((out / "table.json").read_text())
  cells = earlier["results"]["dejong1"]
  cells["rp"] |= {"mean": -77.0}
  cells["ppo"] = cells["rp"] | {"made": "2025-01-31"}
  cells["lr"] = cells["rp"] | {"epochs": 3}
  file = tmp_path / "earlier.json"
  file.write_text(json.dumps(earlier))
  command = ("functions", "--problems=dejong1", "--algorithms=rp", *arguments[3:], f"--keep={file}")
  undated = tmp_path / "undated.json"
  undated.write_text(json.dumps(earlier).replace('"made"', '"day"'))
  check_error(call("experiments.table", *command[:-1], f"--keep={undated}"), "--keep", "allowed: a table.json")
  assert run("experiments.table", *command).returncode == 0
  made = json.loads((out / "table.json").read_text())
  assert list(made["results"]["dejong1"]) == ["rp", "ppo", "gippo"]
  assert made["results"]["dejong1"]["rp"]["mean"] != -77.0
  assert made["results"]["dejong1"]["ppo"]["mean"] == -77.0
  assert "Made on 2025-01-31 to 2" in made["caption"]
  (out / "table.json").unlink()  # without the rows that were kept
  assert run("experiments.table", *command[:-1]).returncode == 0


def test_another_setup_is_refused_unless_overwritten(run, table, tmp_path):
  out, arguments, _ = table
  before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
  process = run("experiments.table", *arguments[:3], "--seeds=3", arguments[4])
  check_error(process, "num_seeds = 2, asked for 3", "--overwrite")
  assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before

  copy = tmp_path / "copy"
  subprocess.run(["cp", "-r", out, copy], check=True)
  (copy / "notes.txt").write_text("mine")
  process = run(
    "experiments.table",
    "functions",
    "--problems=dejong1",
    "--algorithms=rp",
    "--seeds=1",
    f"--out={copy}",
    "--overwrite",
  )
  assert process.returncode == 0, process.stderr
  results = json.loads((copy / "table.json").read_text())["results"]
  assert list(results["dejong1"]) == ["rp"]
  assert len(results["dejong1"]["rp"]["best_returns"]) == 1
  assert (copy / "notes.txt").read_text() == "mine"


def test_the_figures_of_a_table(run, table):
  out, _, _ = table
  process = run("experiments.figures", "functions", f"--out={out}")
  assert process.returncode == 0, process.stderr
  for name in ("alpha_policies", "learning_curves", "alpha"):
    assert (out / f"functions_{name}.png").stat().st_size > 20_000
    assert "<svg" in (out / f"functions_{name}.svg").read_text()
  svg = (out / "functions_learning_curves.svg").read_bytes()
  assert run("experiments.figures", "functions", f"--out={out}").returncode == 0
  assert (out / "functions_learning_curves.svg").read_bytes() == svg


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (("experiments.table", "functions", "--problems=mars"), "allowed: dejong1, dejong64, ackley1, ackley64"),
    (("experiments.table", "functions", "--algorithms=sarsa"), "allowed: lr, rp, ppo, lrp, tp, gippo"),
    (("experiments.table", "functions", "--preset=huge"), "allowed: quick, paper"),
    (("experiments.table", "functions", "--keep=nosuch.json"), "allowed: a table.json that experiments.table wrote"),
    (("experiments.table", "functions", "--keep=docs/table_traffic.json"), "a problem of dejong1, dejong64, ackley1"),
    (("experiments.table", "chess"), "'chess' is not a family of problems; allowed: functions, traffic"),
    (("experiments.figures", "chess"), "'chess' is not a family of problems; allowed: functions, traffic"),
    (("experiments.figures", "functions", "--runs=/nowhere"), "/nowhere holds no runs of functions"),
  ],
)
def test_bad_arguments_end_in_one_line(tmp_path, arguments, words):
  check_error(call(*arguments, f"--out={tmp_path / 'out'}"), words)
  assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
  ("value", "expected"),
  [
    (None, "-"),
    (0.012345, "0.0123"),
    (999.4, "999"),
    (999.6, "1000"),
    (-999.6, "-1000"),
    (12345.0, "12300"),
    (2e6, "2e+06"),
  ],
)
def test_thousands_are_written_out_from_where_they_are_rounded_to(value, expected):
  assert number(value) == expected
