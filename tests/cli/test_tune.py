"""The tune command as a user runs it."""

import json
import shlex
import sys

import pytest

from gippo_jax.parsing import METRICS_VERSION
from tests.commands import call, check_error, execute
from tests.tune.test_study import RATE_AND_PASSES, space_of

PRINT_CONFIGURATION = """
import json, sys
from gippo_jax.cli.configuration import experiment_of
from gippo_jax.cli.flags import split_config
print(json.dumps(experiment_of(split_config(sys.argv[1:])[0]).to_dict()))
"""


def test_the_command_tunes_and_says_how_to_train_the_best(run, environment, tmp_path):
  space = space_of(tmp_path, RATE_AND_PASSES).path
  small = ("--config.algorithm=lr", "--config.num_epochs=8", "--config.actor.units=(4,)", "--config.critic.units=(4,)")
  arguments = ("--config=experiments/configs/functions.py:dejong1", *small, f"--space={space}", "--batch=1")
  arguments = (*arguments, f"--workdir={tmp_path / 'study'}", "--trials=1")
  process = run("gippo_jax", "tune", *arguments)
  assert process.returncode == 0, process.stderr
  assert "finished: 1 trials; the best is trial 0" in process.stdout
  again = run("gippo_jax", "tune", *arguments)
  assert again.returncode == 0
  assert "holds 1 finished trials; nothing to do" in again.stdout
  (line,) = [line for line in again.stdout.splitlines() if line.startswith("python -m gippo_jax.main")]
  trained = json.loads(execute(environment, sys.executable, "-c", PRINT_CONFIGURATION, *shlex.split(line)[3:]).stdout)
  tuned_with = json.loads((tmp_path / "study" / "config.json").read_text())
  best = json.loads((tmp_path / "study" / "best.json").read_text())["parameters"]
  tuned_with["likelihood_ratio"]["learning_rate"] = best["likelihood_ratio.learning_rate"]
  tuned_with["critic"]["num_iterations"] = best["critic.num_iterations"]
  del tuned_with["tune"], tuned_with[METRICS_VERSION]
  assert trained == tuned_with


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (("--trials=0",), "--trials"),
    (("--config.algorithm=ppo",), "--space is missing"),
  ],
)
def test_bad_commands_end_in_one_line(tmp_path, arguments, words):
  workdir = tmp_path / "study"
  config = "--config=experiments/configs/functions.py:dejong1"
  process = call("gippo_jax", "tune", config, *arguments, f"--workdir={workdir}")
  check_error(process, words)
  assert not workdir.exists()


def test_without_optuna_it_says_what_to_install(environment):
  code = "import runpy, sys; sys.modules['optuna'] = None; runpy.run_module('gippo_jax', run_name='__main__')"
  config = "--config=experiments/configs/functions.py:dejong1"
  process = execute(environment, sys.executable, "-c", code, "tune", config)
  check_error(process, 'pip install "gippo_jax[tune]"')
