"""The command `export`: what it writes beside a policy, and what it says of wrong words."""

import json
import re
import shlex
import subprocess
import sys

import jax
import numpy as np
import pytest

import gippo_jax as gj
from gippo_jax.cli.configuration import experiment_of
from gippo_jax.cli.flags import split_config
from gippo_jax.cli.training_command import training_command
from gippo_jax.errors import UserError
from gippo_jax.export.formats import FORMATS
from gippo_jax.export.policy import export_policy
from gippo_jax.learning.state import PolicyState
from gippo_jax.runs.policy_files import Sizes, write_policy
from gippo_jax.runs.provenance import versions
from gippo_jax.runs.stored import open_run
from gippo_jax.runs.summary import write_summary
from gippo_jax.runs.workdir import Workdir
from gippo_jax.sweep.members import member_folder
from tests.commands import call, check_error
from tests.export.policies import make_policy
from tests.summaries import make_summary


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """The folder of a run of two seeds, as a training leaves it."""
  return make_run(tmp_path_factory.mktemp("runs") / "cartpole")


def make_run(folder, env="cartpole", spoil=None):
  flags = ("--config=any:shac", f"--config.env.name={env}", "--config.num_seeds=2", "--config.actor.units=(32,32)")
  more = ("--config.actor.fixed_std=False", "--config.evaluation_episodes=4", "--config.env.episode_length=20")
  experiment, workdir = experiment_of(split_config([*flags, *more])[0]), Workdir(folder)
  workdir.open(experiment)
  for seed in (1, 2):
    best, final = (make_policy("elu", num_actions=1, draw=seed + which) for which in (0, 2))
    states = [PolicyState(policy.actor, policy.observation_statistics) for policy in (best, final)]
    if spoil:
      states = [jax.tree.map(lambda leaf: leaf * spoil, state) for state in states]
    write_policy(folder, experiment, Sizes(5, 1), seed, 3, *jax.device_get(states))
  returns = {"evaluation_return": [-7.25, -8.5], "best_evaluation_return": [-6.125, -9.0]}
  write_summary(workdir.summary, make_summary(2, seeds=[1, 2], algorithm="shac", versions=versions(), **returns))
  return folder


@pytest.mark.parametrize("form", FORMATS)
def test_what_lies_beside_a_policy(form, trained):
  run = open_run(trained)
  files, contract = export_policy(run, 2, "final", form, commands=("made by this",))
  assert files[0] == trained / "export" / f"seed_2_final{FORMATS[form].suffix}"
  assert json.loads(files[-2].read_text()) == contract
  assert contract["task"] == {"name": "cartpole", "episode_length": 20}
  assert (contract["seed"], contract["policy"], contract["epochs"]) == (2, "final", 3)
  assert contract["observation"]["shape"] == ["batch", 5]
  assert contract["observation"]["entries"][2] == "sin(angle)"
  assert (contract["action"]["minimum"], contract["action"]["maximum"]) == (-1.0, 1.0)
  assert contract["check"]["largest_difference"] <= 1e-6
  policy = gj.load_policy(trained, seed=2, which="final")
  np.testing.assert_array_equal(contract["observation"]["normalization"]["mean"], policy.observation_statistics.mean)
  for example in contract["examples"]:
    np.testing.assert_allclose(policy(np.asarray(example["observation"], np.float32)), example["action"], atol=1e-6)

  card = files[-1].read_text()
  summary = json.loads((trained / "summary.json").read_text())
  for text in (
    f"| 2 (this policy) | {summary['evaluation_return'][1]:.6g} | 0 |",
    "95 % bootstrap interval",
    "made by this",
    "`cartpole` (episode_length = 20)",
    f"jax {summary['versions']['jax']}",
    FORMATS[form].promise,
  ):
    assert text in card
  (example,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
  process = subprocess.run(
    [sys.executable, "-c", f"{example}\nprint(actions.shape)"],
    cwd=files[0].parent,
    capture_output=True,
    text=True,
    check=False,
  )
  assert process.stdout == "(1, 1)\n", process.stderr


def test_the_card_takes_the_episodes_of_evaluate(trained):
  run, file = open_run(trained), trained / "evaluation.json"
  returns = [1.0, 2.0, 3.0, None]
  rows = [{"seed": 1, "returns": returns}, {"seed": 2, "returns": [5.0] * 4}]
  for stored, found in (({"policy": "best", "seeds": rows}, True), ({"policy": "final", "seeds": rows}, False)):
    file.write_text(json.dumps(stored))
    card = export_policy(run, 1, "best", "npz").files[-1].read_text()
    assert ("This policy in 3 episodes of `evaluate`: mean 2, 95 % bootstrap interval" in card) == found
    assert ("is added by `python -m gippo_jax evaluate" in card) != found
  file.unlink()


def test_a_policy_needs_no_environment(tmp_path):
  folder = make_run(tmp_path / "run", env="nowhere.to:Be")
  contract = export_policy(open_run(folder), 1, "best", "npz").contract
  assert contract["observation"]["entries"] is None
  assert contract["observation"]["shape"] == ["batch", 5]


def test_a_policy_that_is_not_finite_is_refused(tmp_path):
  folder = make_run(tmp_path / "run", spoil=np.float32(np.nan))
  with pytest.raises(UserError, match="does not play what the policy plays: actions differ by up to nan"):
    export_policy(open_run(folder), 1, "best", "npz")


def test_a_name_of_another_format_is_refused(trained, tmp_path):
  with pytest.raises(UserError, match=r"--out: .* is not allowed; allowed: a name that ends in .npz"):
    export_policy(open_run(trained), 1, "best", "npz", tmp_path / "policy.onnx")


def test_the_command(run, trained, tmp_path):
  out = f"--out={tmp_path / 'p.onnx'}"
  process = run("gippo_jax", "export", f"--workdir={trained}", "--format=onnx", "--seed=1", out)
  assert process.returncode == 0, process.stderr
  assert "best policy of seed 1; its actions differ from the policy's by at most" in process.stdout
  assert sorted(file.name for file in tmp_path.iterdir()) == ["p.onnx", "p.onnx.json", "p.onnx.md"]
  card = (tmp_path / "p.onnx.md").read_text()
  ((train, export),) = re.findall(r"```\n(python .*)\n(python .*)\n```", card)
  words = shlex.split(train)
  assert words[:4] == ["python", "-m", "gippo_jax", "train"]
  assert experiment_of(split_config(words[4:])[0]) == open_run(trained).experiment
  assert shlex.split(export)[3:] == [
    *("export", f"--workdir={trained}", "--seed=1", "--policy=best", "--format=onnx", out)
  ]


def test_wrong_words_end_in_one_line(trained):
  check_error(call("gippo_jax", "export", f"--workdir={trained}"), "--format is missing; allowed: onnx, stablehlo, npz")
  check_error(
    call("gippo_jax", "export", f"--workdir={trained}", "--format=tflite"), "'tflite' is unknown; allowed: onnx"
  )


@pytest.mark.parametrize(
  "flags",
  [
    ("--config=functions:ackley64", "--config.seed=3"),
    ("--config=traffic:pace_car_2", "--config.algorithm=ppo", "--config.normalize_values=False"),
    ("--config=physics:cartpole", "--config.actor.units=(8,)", "--config.alpha.initial=1e-7"),
    ("--config=any:rp", "--config.env.name=my_package.hover:Hover", "--config.env.gust=0.25", "--config.env.kind='3'"),
  ],
)
def test_a_training_is_written_as_a_command(flags, tmp_path):
  wanted = experiment_of(split_config(flags)[0])
  words = shlex.split(training_command(wanted, tmp_path))
  given, rest = split_config(words[4:])
  assert rest == [f"--workdir={tmp_path}"]
  assert experiment_of(given) == wanted


def test_a_member_of_a_sweep_is_found(tmp_path):
  assert member_folder(tmp_path, None) == tmp_path
  for name in ("0000_rate=0.1_seed=1", "0001_rate=0.2_seed=1"):
    (tmp_path / "members" / name).mkdir(parents=True)
    (tmp_path / "members" / name / "config.json").touch()
  assert member_folder(tmp_path, 1).name == "0001_rate=0.2_seed=1"
  with pytest.raises(UserError, match="a sweep without a best member yet; allowed: --member"):
    member_folder(tmp_path, None)
  (tmp_path / "best").symlink_to("members/0000_rate=0.1_seed=1")
  assert member_folder(tmp_path, None).name == "0000_rate=0.1_seed=1"
  with pytest.raises(UserError, match="--member: 2 is not in the sweep; allowed: those of its 2 members"):
    member_folder(tmp_path, 2)
