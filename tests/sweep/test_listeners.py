"""Members of a sweep that have ended are told of, each as a run of its own, once."""

import csv
import sys

import pytest

from gippo_jax.config import Config, RunConfig
from gippo_jax.parsing import Experiment
from gippo_jax.runs.files import write_text
from gippo_jax.runs.sinks import line_of
from gippo_jax.runs.summary import write_summary
from gippo_jax.runs.tracking import Tracker, read_mark
from gippo_jax.sweep.folder import SweepFolder
from gippo_jax.sweep.listeners import Listeners
from gippo_jax.sweep.plan import make_members
from gippo_jax.sweep.space import assignments, expand
from tests.runs.test_loggers import FakeModule
from tests.summaries import make_summary


def ended_sweep(path, num_ended):
  """A folder of two settings with two seeds each, of which some have ended after three epochs."""
  base = Experiment(Config(algorithm="lr"), RunConfig(num_seeds=2), {"name": "dejong", "dimension": 1})
  settings = assignments({"likelihood_ratio.learning_rate": [1e-3, 1e-2]}, None, 0)
  members = make_members(expand(base, settings), settings)
  folder = SweepFolder(path, base, settings, members)
  for member in members[:num_ended]:
    workdir = folder.workdir_of(member)
    workdir.open(member.experiment)
    rows = [{"epoch": n, "seed": member.seed, "steps": 64 * n, "return": -float(member.index)} for n in (1, 2, 3)]
    write_text(workdir.metrics, b"".join(map(line_of, rows)).decode())
    summary = make_summary(1, seeds=[member.seed], epochs=3, steps=192, status="finished", evaluation_return=[-0.5])
    write_summary(workdir.summary, summary)
  return folder, members


def test_each_member_is_a_run_of_the_trackers(tmp_path, monkeypatch):
  """Broken by telling again of members that were told of."""
  wandb = FakeModule()
  monkeypatch.setitem(sys.modules, "wandb", wandb)
  folder, members = ended_sweep(tmp_path, num_ended=3)
  for _ in range(2):
    Listeners(folder, True, Tracker("wandb", "rates"), pytest.fail).hear(members)
  assert [run["name"] for run in wandb.begun] == [member.folder for member in members[:3]]
  assert len({run["id"] for run in wandb.begun}) == wandb.ended == 3
  assert [run["config"]["likelihood_ratio"]["learning_rate"] for run in wandb.begun] == [1e-3, 1e-3, 1e-2]
  assert [step for step, _ in wandb.heard] == [64, 128, 192, 192] * 3
  assert [numbers["return/mean"] for _, numbers in wandb.heard[4:7]] == [-1.0] * 3
  assert wandb.heard[3][1]["evaluation/final"] == -0.5
  assert read_mark(folder.workdir_of(members[2]).path).epoch == 3
  with folder.workdir_of(members[1]).metrics_table.open() as file:
    assert [(row["epoch"], row["return"]) for row in csv.DictReader(file)] == [(str(n), "-1.0") for n in (1, 2, 3)]
  assert not folder.workdir_of(members[3]).path.exists()


def test_a_tracker_that_refuses_does_not_end_the_sweep(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "wandb", FakeModule(RuntimeError("No API key")))
  told, (folder, members) = [], ended_sweep(tmp_path, num_ended=4)
  Listeners(folder, True, Tracker("wandb"), told.append).hear(members)
  assert all(folder.workdir_of(member).metrics_table.exists() for member in members)
  (line,) = told
  assert "wandb.init raised RuntimeError: No API key" in line
  assert "the same command tells of them later" in line
