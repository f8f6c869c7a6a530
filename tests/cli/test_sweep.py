"""The command as a user runs it: files, resume, errors."""

import csv
import json
import re
import signal
import subprocess

import pytest

from gippo_jax.runs.stored import choose_seed, load_policy, open_run
from tests.commands import CONFIG, ROOT, SMALL, check_error, command, snapshot

GRID = "likelihood_ratio.learning_rate=1e-4,1e-2"
BASE = (f"--config={CONFIG}:dejong1", "--config.algorithm=lr", "--config.num_epochs=60", *SMALL)


@pytest.fixture(scope="module")
def finished(run, tmp_path_factory):
  """Two settings with two seeds each, in two chunks: folder, arguments and process."""
  arguments = (*BASE, "--config.num_seeds=2", f"--grid={GRID}", "--members-per-chunk=2")
  folder = tmp_path_factory.mktemp("sweeps") / "dejong1"
  return folder, arguments, run("gippo_jax", "sweep", *arguments, f"--workdir={folder}")


def results_of(folder):
  return json.loads((folder / "sweep.json").read_text())


def test_a_sweep_leaves_its_files(finished):
  folder, _, process = finished
  assert process.returncode == 0, process.stderr
  assert "2 settings, 4 members in 1 groups" in process.stdout
  assert re.search(
    r"group 1: .*4 members; 2 chunks of at most 2, [\d.]+ MiB of the .* there are; map over", process.stdout
  )
  assert "finished: best setting likelihood_ratio.learning_rate=" in process.stdout
  results = results_of(folder)
  assert results["status"] == "finished"
  assert [entry["values"] for entry in results["settings"]] == [
    {"likelihood_ratio.learning_rate": 1e-4},
    {"likelihood_ratio.learning_rate": 1e-2},
  ]
  means = [entry["best_return"]["mean"] for entry in results["settings"]]
  best = means.index(max(means))
  assert results["ranking"][0] == results["best"]["setting"] == best
  assert all("interval_95" in entry["best_return"] for entry in results["settings"])
  of_best = [row for row in results["members"] if row["setting"] == best]
  assert results["best"]["member"] == max(of_best, key=lambda row: row["best_return"])["member"]
  summary = json.loads((folder / "best" / "summary.json").read_text())
  assert summary["best_return"] == [results["members"][results["best"]["member"]]["best_return"]]
  with (folder / "sweep.csv").open() as file:
    rows = list(csv.DictReader(file))
  assert [(row["likelihood_ratio.learning_rate"], row["seed"], row["status"]) for row in rows] == [
    (rate, seed, "finished") for rate in ("0.0001", "0.01") for seed in ("1", "2")
  ]
  assert {path.name for path in folder.iterdir()} == {
    *("best", "definition.json", "heat_map.png", "members", "parallel_coordinates.png", "sweep.csv", "sweep.json")
  }
  for row in results["members"]:
    member = folder / "members" / row["folder"]
    assert len(list(member.glob(f"tensorboard/seed_{row['seed']}/events*"))) == 1
    assert (member / "learning_curve.png").exists() == (row["member"] == results["best"]["member"])


def test_a_finished_sweep_is_left_alone(finished, run):
  folder, arguments, _ = finished
  before = {path: stamp for path, stamp in snapshot(folder / "members").items() if path.is_file()}
  process = run("gippo_jax", "sweep", *arguments, f"--workdir={folder}", "--criterion=final_return")
  assert process.returncode == 0, process.stderr
  assert "nothing to train" in process.stdout
  assert before.items() <= snapshot(folder / "members").items()
  assert results_of(folder)["criterion"] == "final_return"


def test_other_commands_work_on_a_member(finished, run):
  folder, _, _ = finished
  member = folder / "members" / results_of(folder)["members"][3]["folder"]
  same = (*BASE, "--config.likelihood_ratio.learning_rate=1e-2", "--config.seed=2")
  for arguments in ((), same):
    process = run("gippo_jax.main", *arguments, f"--workdir={member}")
    assert process.returncode == 0, process.stderr
    assert "holds this run, finished; nothing to do" in process.stdout
  stored = open_run(member)
  assert choose_seed(stored.workdir, None, "best") == 2
  assert stored.experiment.config.likelihood_ratio.learning_rate == pytest.approx(1e-2)
  assert load_policy(member)([0.0]).shape == (1,)


@pytest.mark.slow
def test_a_member_equals_the_same_configuration_run_alone_in_float32(finished, run, tmp_path):
  """Bit for bit, where the members of a device run one after the other."""
  row = results_of(finished[0])["members"][3]
  alone = (*BASE, "--config.likelihood_ratio.learning_rate=1e-2", "--config.seed=2", f"--workdir={tmp_path}")
  process = run("gippo_jax.main", *alone)
  assert process.returncode == 0, process.stderr
  assert json.loads((tmp_path / "summary.json").read_text())["best_return"] == [row["best_return"]]


def test_shards_make_the_sweep_together(finished, run, tmp_path):
  whole, arguments, _ = finished
  arguments = (*arguments, f"--workdir={tmp_path}")
  first = run("gippo_jax", "sweep", *arguments, "--shard=0/2")
  assert first.returncode == 0, first.stderr
  assert results_of(tmp_path)["status"] == "running"
  assert [row["status"] for row in results_of(tmp_path)["members"]] == ["finished", "not done"] * 2
  second = run("gippo_jax", "sweep", *arguments, "--shard=1/2")
  assert second.returncode == 0, second.stderr
  assert results_of(tmp_path)["status"] == "finished"
  assert [row["best_return"] for row in results_of(tmp_path)["members"]] == [
    row["best_return"] for row in results_of(whole)["members"]
  ]
  check_error(run("gippo_jax", "sweep", *arguments, "--shard=2/2"), "--shard", "'2/2'")


def test_a_killed_sweep_loses_nothing_but_the_current_chunk(finished, run, environment, tmp_path):
  whole, arguments, _ = finished
  arguments = (*arguments, f"--workdir={tmp_path}")
  process = subprocess.Popen(
    command("gippo_jax", "sweep", *arguments),
    env=environment,
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
  )
  for line in process.stdout:
    if line.startswith("chunk 2 of 2"):
      break
  process.send_signal(signal.SIGKILL)
  process.communicate(timeout=60)
  first = snapshot(tmp_path / "members")
  assert len([path for path in first if path.name == "summary.json"]) == 2
  assert results_of(tmp_path)["status"] == "running"
  resumed = run("gippo_jax", "sweep", *arguments)
  assert resumed.returncode == 0, resumed.stderr
  assert "2 members, 2 done before; 1 chunk of at most 2" in resumed.stdout
  after = snapshot(tmp_path / "members")
  assert all(after[path] == stamp for path, stamp in first.items() if path.name in ("summary.json", "metrics.jsonl"))
  assert [row["best_return"] for row in results_of(tmp_path)["members"]] == [
    row["best_return"] for row in results_of(whole)["members"]
  ]


BAD = {
  "no such field": (("--grid=ppo.nosuch=1",), "config.ppo.nosuch is not a field"),
  "bad environment": (("--grid=env.dimension=1,0",), "config.env.dimension: 0 is not allowed"),
  "no space": ((), "--grid, --sweep: one of them is needed"),
  "another sweep": (("--grid=likelihood_ratio.learning_rate=1e-4",), "holds a sweep with other settings"),
  "a chunk too large": (
    ("--grid=discount=0.9,0.8", "--members_per_chunk=2", "--memory-gib=1e-6"),
    "--members-per-chunk: 2 is not allowed",
  ),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_input_ends_in_one_line_before_anything_is_trained(finished, run, tmp_path, case):
  arguments, words = BAD[case]
  folder = finished[0] if case == "another sweep" else tmp_path / "sweep"
  before = snapshot(folder)
  check_error(run("gippo_jax", "sweep", *BASE, *arguments, f"--workdir={folder}"), words)
  assert snapshot(folder) == before
  assert folder.exists() == (case == "another sweep")
