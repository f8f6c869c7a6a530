"""The table command end to end, on a small budget."""

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def run(tmp_path, *arguments):
  environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
  command = [sys.executable, "-m", "experiments.table", *arguments]
  return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_a_table_of_one_cell_and_again(tmp_path):
  arguments = ("functions", "--problems=dejong1", "--algorithms=ppo", "--seeds=2", f"--out={tmp_path / 'out'}")
  first = run(tmp_path, *arguments)
  assert first.returncode == 0, first.stderr
  cell = json.loads((tmp_path / "out" / "table.json").read_text())["results"]["dejong1"]["ppo"]
  assert len(cell["best_returns"]) == len(cell["final_returns"]) == 2
  assert cell["status"] == "finished"
  assert cell["mean"] == sum(cell["best_returns"]) / 2
  assert "dejong1" in (tmp_path / "out" / "table.md").read_text()
  summary = tmp_path / "out" / "dejong1_ppo" / "summary.json"
  written = summary.stat().st_mtime_ns
  assert run(tmp_path, *arguments).returncode == 0
  assert summary.stat().st_mtime_ns == written  # a finished pair is not run again
  other = run(tmp_path, *arguments[:3], "--seeds=3", arguments[4])
  assert other.returncode == 2
  assert "num_seeds = 2" in other.stderr


def test_unknown_names_are_refused(tmp_path):
  process = run(tmp_path, "functions", "--problems=mars", f"--out={tmp_path / 'out'}")
  assert process.returncode == 2
  assert "known: dejong1, dejong64, ackley1, ackley64" in process.stderr
  assert not (tmp_path / "out").exists()
