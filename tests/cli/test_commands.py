"""The commands beside train, sweep and tune: evaluate, compare, list; and what all of them share."""

import csv
import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

import gippo_jax as gj
from gippo_jax.cli.commands import COMMANDS
from gippo_jax.cli.configuration import experiment_of
from gippo_jax.cli.flags import split_config
from gippo_jax.errors import UserError
from gippo_jax.runs.summary import write_summary
from gippo_jax.runs.workdir import Workdir
from tests.commands import SMALL, call, check_error

SHORT = (*SMALL, "--config.num_epochs=20", "--config.evaluation_episodes=4")


@pytest.fixture(scope="module")
def trained(run, tmp_path_factory):
  """Two runs of two seeds: SHAC and LR on De Jong's function."""
  folder = tmp_path_factory.mktemp("runs")
  for algorithm in ("shac", "lr"):
    flags = (f"--config.algorithm={algorithm}", "--config.num_seeds=2", *SHORT)
    process = run("gippo_jax", "train", "--config=functions:dejong2", *flags, f"--workdir={folder / algorithm}")
    assert process.returncode == 0, process.stderr
  return folder


def test_evaluate_reports_every_seed_with_an_interval(run, trained):
  process = run("gippo_jax", "evaluate", f"--workdir={trained / 'shac'}", "--episodes=6", "--policy=final")
  assert process.returncode == 0, process.stderr
  results = json.loads((trained / "shac" / "evaluation.json").read_text())
  assert [row["seed"] for row in results["seeds"]] == [1, 2]
  assert all(len(row["returns"]) == 6 for row in results["seeds"])
  summary = json.loads((trained / "shac" / "summary.json").read_text())
  # All episodes of this environment start alike.
  assert [row["mean"] for row in results["seeds"]] == pytest.approx(summary["evaluation_return"], rel=1e-5)
  low, high = results["interval_95"]
  assert low <= results["mean"] <= high
  assert results["failed_share"] == 0.0
  assert "final policy: mean" in process.stdout


def test_a_stored_policy_can_be_held(trained):
  policy = gj.load_policy(trained / "shac", seed=2)
  obs = np.zeros((1,), np.float32)
  action = policy(obs)
  assert action.shape == (2,)
  assert np.all(np.abs(action) <= 1.0)
  draws = jax.vmap(lambda key: policy(obs, key))(jax.random.split(jax.random.key(0), 500))
  mean, log_std = policy.distribution(obs)
  np.testing.assert_allclose(np.std(np.arctanh(np.clip(draws, -0.999999, 0.999999)), axis=0), np.exp(log_std), rtol=0.2)
  np.testing.assert_allclose(jax.jit(lambda policy: policy(obs))(policy), np.tanh(mean), rtol=1e-5)
  np.testing.assert_allclose(policy(np.zeros((5, 1), np.float32))[3], action, rtol=1e-5)
  env = gj.make_env("dejong", dimension=2)
  returns = gj.evaluate(policy, env, jax.random.key(0), num_episodes=3)
  summary = json.loads((trained / "shac" / "summary.json").read_text())
  np.testing.assert_allclose(returns, summary["best_evaluation_return"][1], rtol=1e-4)
  with pytest.raises(UserError, match="seed: 9 is not in the run; allowed: 1, 2"):
    gj.load_policy(trained / "shac", seed=9)
  with pytest.raises(UserError, match="holds no trained policy"):
    gj.load_policy(trained)


def test_compare_sets_runs_beside_each_other(run, trained, tmp_path):
  process = run("gippo_jax", "compare", str(trained / "shac"), str(trained / "lr"), f"--out={tmp_path}")
  assert process.returncode == 0, process.stderr
  shac, lr = json.loads((tmp_path / "compare.json").read_text())["rows"]
  best = [json.loads((trained / name / "summary.json").read_text())["best_return"] for name in ("shac", "lr")]
  assert (shac["mean"], lr["mean"]) == pytest.approx(tuple(np.mean(best, axis=1)))
  wins = np.mean([a > b for a in best[0] for b in best[1]])
  assert shac["probability_of_improvement"] == {"lr (lr)": pytest.approx(wins)}
  assert "| shac (shac) |" in process.stdout
  assert (tmp_path / "compare.png").stat().st_size > 10_000
  with (tmp_path / "compare.csv").open() as file:
    curve = [row for row in csv.DictReader(file) if row["run"] == "shac (shac)"]
  assert [int(row["steps"]) for row in curve] == [64, 640, 1280]
  assert float(curve[0]["low"]) <= float(curve[0]["mean"]) <= float(curve[0]["high"])
  check_error(call("gippo_jax", "compare", str(tmp_path)), "holds neither a run that has ended nor a table")
  table = {"results": {"dejong2": {"shac": {"best_returns": [-1.0], "metrics_version": 2}}}}
  (tmp_path / "table.json").write_text(json.dumps(table))
  mixed = call("gippo_jax", "compare", str(trained / "shac"), str(tmp_path))
  check_error(mixed, "dejong2 shac are of version 2, those of shac (shac) of version 1")


def test_a_last_policy_that_is_worse_without_its_noise_is_told_of(trained, tmp_path):
  """Of a run whose summary says that with noise it was far better."""
  shutil.copytree(trained / "shac", tmp_path / "run")
  summary = Workdir(tmp_path / "run").read_summary()
  assert summary["mean_action_worse"] == [False, False]
  assert all(error > 0.0 for error in summary["final_return_error"])
  better = {"final_return": [5.0, summary["final_return"][1]], "mean_action_worse": [True, False]}
  write_summary(tmp_path / "run" / "summary.json", summary | better)
  for command in (("evaluate", "--policy=final", "--episodes=4"), ("train",)):
    told = call("gippo_jax", *command, f"--workdir={tmp_path / 'run'}")
    assert told.returncode == 0, told.stderr
    assert "the mean action does worse than the policy with its noise did" in told.stdout
    assert "seed 1: " in told.stdout.splitlines()[-1]
    assert "seed 2" not in told.stdout.splitlines()[-1]
  assert "mean action" not in call("gippo_jax", "evaluate", "--episodes=4", f"--workdir={tmp_path / 'run'}").stdout


def test_a_run_starts_from_another_ones_networks_and_statistics(run, trained, tmp_path):
  flags = ("--config=functions:dejong2", "--config.algorithm=shac", *SHORT, "--config.shac.learning_rate=0.0")
  frozen = (*flags, "--config.shac.final_learning_rate=0.0", "--config.seed=2", f"--init_from={trained / 'shac'}")
  process = run("gippo_jax", "train", *frozen, f"--workdir={tmp_path / 'next'}")
  assert process.returncode == 0, process.stderr
  assert json.loads((tmp_path / "next" / "config.json").read_text())["init_from"] == str(trained / "shac")
  # Its actor does not move: it still is the one of the other run's end.
  ours = gj.load_policy(tmp_path / "next", which="final")
  theirs = gj.load_policy(trained / "shac", seed=2, which="final")
  for a, b in zip(jax.tree.leaves(ours.actor), jax.tree.leaves(theirs.actor), strict=True):
    np.testing.assert_array_equal(a, b)
  assert ours.observation_statistics.count > theirs.observation_statistics.count
  wider = [flag for flag in frozen if "actor.units" not in flag]
  process = run("gippo_jax", "train", *wider, "--config.actor.units=(9,)", f"--workdir={tmp_path / 'wider'}")
  check_error(process, "--init_from", "actor/dense_0/bias is float32[2, 8], float32[2, 9] was expected")
  process = call("gippo_jax", "train", *flags, f"--init_from={tmp_path / 'nowhere'}", f"--workdir={tmp_path / 'x'}")
  check_error(process, "--init_from:", "holds no run")


def test_a_finished_run_goes_on(run, trained):
  workdir = trained / "lr"
  process = run("gippo_jax", "train", f"--workdir={workdir}", "--config.num_epochs=30", "--csv", "--tracker=none")
  assert process.returncode == 0, process.stderr
  with (workdir / "metrics.csv").open() as file:
    assert [row["epoch"] for row in csv.DictReader(file) if row["seed"] == "1"] == ["1", "10", "20", "30"]
  assert json.loads((workdir / "summary.json").read_text())["epochs"] == 30
  config = json.loads((workdir / "config.json").read_text())
  assert (config["num_epochs"], config["continued_from"]) == (30, [20])
  rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
  assert [row["epoch"] for row in rows if row["seed"] == 1] == [1, 10, 20, 30]
  process = call("gippo_jax", "train", f"--workdir={workdir}", "--config.num_epochs=25")
  check_error(process, "num_epochs = 30, asked for 25")


def test_list_tells_what_there_is(run):
  process = run("gippo_jax", "list")
  assert process.returncode == 0, process.stderr
  for word in ("cartpole", "brax:NAME", "gippo", "GI-PPO:", "functions", "any"):
    assert word in process.stdout
  assert "ackley" not in call("gippo_jax", "list", "algorithms").stdout
  check_error(call("gippo_jax", "list", "planets"), "'planets' is not allowed; allowed: environments")


@pytest.mark.parametrize("name", [*COMMANDS, None])
def test_help_shows_the_flags_without_jax(name):
  words = [name] if name else []
  code = (
    f"import sys; sys.argv = ['gippo_jax', *{words!r}, '--help']\n"
    "from gippo_jax.cli.commands import main\n"
    "try: main()\n"
    "finally: print('jax' in sys.modules)\n"
  )
  process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
  assert process.returncode == 0
  assert process.stdout.splitlines()[-1] == "False"
  wanted = {"compare": "--out", "list": "--plugin", "completion": "zsh", None: "evaluate"}.get(name, "--workdir")
  assert wanted in process.stdout
  assert ("--config.FIELD" in process.stdout) == (name in ("train", "sweep", "tune", "list", "gradients"))


@pytest.mark.parametrize(
  ("words", "message"),
  [
    (["trian"], "'trian' is not a command (did you mean train?); allowed: train, evaluate"),
    (["render", "--config=functions:dejong1"], "--config: render takes no configuration"),
    (["train", "--episodes=3"], "--episodes is not a flag of train"),
    (["evaluate", "--wrokdir=x"], "did you mean --workdir?"),
    (["evaluate"], "--workdir is missing"),
    (["train", "--config=planets:mars"], "'planets:mars' is neither a preset nor a file; allowed: NAME:ARGUMENT"),
    (["train", "--config=any:gippo"], "config.env.name is missing"),
    (["train", "--config=functions:dejong1", "--tracker=mlflow"], "'mlflow' is unknown; allowed: wandb, trackio, none"),
    (
      ["train", "--config=functions:dejong1", "--config.rp.learning_rate=0.1"],
      "config.rp.learning_rate is a field of rp",
    ),
    (
      ["sweep", "--config=functions:dejong1", "--grid=shac.learning_rate=0.1"],
      "is a field of shac, shac_model and does nothing",
    ),
  ],
)
def test_wrong_words_end_in_one_line(words, message, tmp_path):
  check_error(call("gippo_jax", *words, cwd=tmp_path), message)
  assert not list(tmp_path.iterdir())


def experiment(*flags):
  return experiment_of(split_config(flags)[0])


def test_fields_on_the_command_line():
  made = experiment(
    *("--config=functions:ackley64", "--config.num_epochs=1e4", "--config.actor.units=(8,4)", "--config.seed", "3"),
    *("--noconfig.normalize_values", "--config.env.dimension=2"),
  )
  assert (made.config.num_epochs, made.config.actor.units, made.run.seed) == (10_000, (8, 4), 3)
  assert not made.config.normalize_values
  assert made.env == {"name": "ackley", "dimension": 2}


def test_another_environment_begins_without_the_presets_parameters():
  made = experiment("--config=functions:ackley64", "--config.env.name=brax:ant", "--config.env.backend=mjx")
  assert made.env == {"name": "brax:ant", "backend": "mjx"}
  made = experiment("--config=functions:ackley64", "--config.env.name=ackley")
  assert made.env == {"name": "ackley", "dimension": 64}


def test_a_file_of_ones_own_is_a_configuration(tmp_path):
  file = tmp_path / "mine.py"
  file.write_text("def get_config():\n  return {'algorithm': 'ppo', 'horizon': 8, 'env': {'name': 'cartpole'}}\n")
  made = experiment(f"--config={file}", "--config.ppo.minibatch_size=32")
  assert (made.config.algorithm, made.config.horizon, made.config.ppo.minibatch_size) == ("ppo", 8, 32)
  file.write_text("def get_config():\n  return 1 / 0\n")
  with pytest.raises(UserError, match=r"get_config of .* raised ZeroDivisionError") as caught:
    experiment(f"--config={file}")
  assert isinstance(caught.value.__cause__, ZeroDivisionError)
  with pytest.raises(UserError, match=r"takes no argument, .x. was given"):
    experiment(f"--config={file}:x")
