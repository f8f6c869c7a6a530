"""Tuning: a batch equals its trials alone, compiles once, prunes, resumes, and refuses what it cannot do."""

import csv
import json
import pathlib

import jax
import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from gippo_jax import envs
from gippo_jax.config import traced
from gippo_jax.errors import UserError
from gippo_jax.experiments.configs.functions import get_config
from gippo_jax.parsing import parse
from gippo_jax.programs.epochs import train
from gippo_jax.runs.progress import NoProgress
from gippo_jax.runs.workdir import Workdir
from gippo_jax.tune.batches import Programs, group_by_structure
from gippo_jax.tune.opening import open_study
from gippo_jax.tune.results import best_trial
from gippo_jax.tune.space import PAPER_SPACE, Space
from gippo_jax.tune.study import Options, make_programs, num_finished, tune
from tests.commands import ROOT

RATE = """
def get_space(trial):
  return {"likelihood_ratio.learning_rate": trial.suggest_float("rate", 1e-6, 1e-1, log=True)}
"""
RATE_AND_PASSES = """
def get_space(trial):
  rate = trial.suggest_float("rate", 1e-6, 1e-1, log=True)
  return {"likelihood_ratio.learning_rate": rate, "critic.num_iterations": trial.suggest_int("passes", 1, 2)}
"""


def experiment_of(num_epochs=30, num_seeds=2):
  config = get_config("dejong1")
  config.algorithm = "lr"
  config.num_epochs, config.num_seeds = num_epochs, num_seeds
  config.num_envs, config.critic.num_iterations, config.critic.num_minibatches = 16, 1, 1
  config.actor.units, config.critic.units = (4,), (4,)
  config.ppo.minibatch_size = 16
  return parse(config)


def space_of(folder, source):
  path = folder / "my_space.py"
  path.write_text(source)
  return Space(path)


def tuned(folder, source, num_trials, batch=3, experiment=None, programs=None, **options):
  """Tunes, and returns the trials."""
  experiment, space = experiment or experiment_of(), space_of(folder, source)
  programs = programs or make_programs(envs.make(**experiment.env), experiment)
  options = Options(num_trials, batch, **options)
  workdir = Workdir(folder / "study")
  with open_study(workdir, experiment, space, options) as study:
    tune(study, experiment, programs, space, options, workdir.path, NoProgress())
    return study.get_trials()


@pytest.fixture(scope="module")
def programs():
  """Compiled programs, for the tests that train."""
  experiment = experiment_of()
  return make_programs(envs.make(**experiment.env), experiment)


@pytest.fixture(scope="module")
def whole(programs, tmp_path_factory):
  """Six trials in two batches: their folder and themselves."""
  folder = tmp_path_factory.mktemp("whole")
  trials = tuned(folder, RATE, 6, programs=programs, prune=False)
  assert programs.num_compiled == 1
  return folder / "study", trials


def test_tuning_finds_a_better_rate(whole):
  folder, trials = whole
  values = [trial.value for trial in trials]
  assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 6
  best = json.loads((folder / "best.json").read_text())
  assert best["value"] == max(values) == np.mean(best["best_returns"])
  assert best["value"] > 0.1 * min(values)  # returns are negative: ten times nearer than the worst
  rates = [trial.user_attrs["fields"]["likelihood_ratio.learning_rate"] for trial in trials]
  assert best["parameters"] == {"likelihood_ratio.learning_rate": rates[int(np.argmax(values))]}
  rows = list(csv.DictReader((folder / "trials.csv").read_text().splitlines()))
  assert [float(row["value"]) for row in rows] == values
  assert [float(row["likelihood_ratio.learning_rate"]) for row in rows] == rates


def test_a_trial_equals_its_runs_alone(whole):
  _, trials = whole
  experiment = experiment_of()
  env, config = envs.make(**experiment.env), experiment.config
  alone = jax.jit(lambda key, config: train(env, config, key, experiment.config.num_epochs)[1]["best_return"][-1])
  for trial in trials[1:5]:  # of both batches
    single = config.replace(
      likelihood_ratio=config.likelihood_ratio.replace(
        learning_rate=trial.user_attrs["fields"]["likelihood_ratio.learning_rate"]
      )
    )
    returns = [alone(jax.random.key(seed), traced(single)) for seed in (1, 2)]
    np.testing.assert_allclose(trial.user_attrs["best_returns"], returns, rtol=1e-9)


def test_a_resumed_study_equals_an_uninterrupted_one(whole, programs, tmp_path):
  _, trials = whole
  tuned(tmp_path, RATE, 3, programs=programs, prune=False)
  experiment, space = experiment_of(), space_of(tmp_path, RATE)
  with open_study(Workdir(tmp_path / "study"), experiment, space, Options(6, 3, prune=False)) as study:
    space.draw(study.ask())  # as a kill leaves it
  resumed = tuned(tmp_path, RATE, 6, programs=programs, prune=False)
  assert resumed.pop(3).state == TrialState.FAIL
  assert [trial.params for trial in resumed] == [trial.params for trial in trials]
  assert [trial.value for trial in resumed] == [trial.value for trial in trials]
  assert len(tuned(tmp_path, RATE, 6, prune=False)) == 7


def test_one_compilation_for_each_structure_and_size(whole, programs):
  """Counted by XLA's own events: with a program at hand, new numbers compile nothing at all."""
  config = experiment_of().config
  faster = config.replace(likelihood_ratio=config.likelihood_ratio.replace(learning_rate=0.02))
  other = config.replace(critic=config.critic.replace(num_iterations=2))
  assert group_by_structure([config, other, faster]) == [[0, 2], [1]]
  events = []

  def note(event, duration, **_):
    if event.endswith("backend_compile_duration"):
      events.append(duration)

  jax.monitoring.register_event_duration_secs_listener(note)
  try:
    for configs, num_compiled in [([config, faster, config], 1), ([other] * 3, 2), ([other] * 3, 2)]:
      events.clear()
      is_new = num_compiled > programs.num_compiled
      for _ in programs.train(configs):
        pass
      assert programs.num_compiled == num_compiled
      assert bool(events) == is_new
  finally:
    jax.monitoring.unregister_event_duration_listener(note)


@pytest.fixture
def curves(monkeypatch):
  """Training replaced by straight lines that end at the rate; notes how far each group came."""
  ends = []

  def train(self, configs):
    rates = np.repeat([config.likelihood_ratio.learning_rate for config in configs], len(self.seeds))
    ends.append(0)
    for epoch in range(6, configs[0].num_epochs + 1, 6):
      ends[-1] = epoch
      returns = np.stack([rates * epoch] * 6, axis=1)
      # Rates above 0.09 diverge; those below 1e-5 end no episode.
      loss = np.where(rates > 0.09, np.nan, 0.0)[:, None] * np.ones(6)
      returns[rates < 1e-5] = np.nan
      yield epoch, {"return": returns, "best_return": returns, "critic_loss": loss}

  monkeypatch.setattr(Programs, "train", train)
  return ends


def space_in_turn(*rates):
  return f"def get_space(trial): return {{'likelihood_ratio.learning_rate': {rates}[trial.number]}}"


def test_pruned_trials_end_their_batch_early(curves, tmp_path):
  good, bad = (0.01, 0.02, 0.03, 0.04, 0.05), (0.001, 0.002, 0.06, 0.003)
  trials = tuned(tmp_path, space_in_turn(*good, *bad, *[0.01] * 64), 9, batch=1)
  assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 5 + [
    *(TrialState.PRUNED, TrialState.PRUNED, TrialState.COMPLETE, TrialState.PRUNED)
  ]
  assert curves == [30] * 5 + [6, 6, 30, 6]  # at the first report after a tenth of the epochs
  assert trials[5].user_attrs["reason"] == "below the median of earlier trials at epoch 6"
  assert list(trials[7].intermediate_values) == list(range(6, 31, 6))


def test_a_batch_goes_on_for_those_not_pruned(curves, tmp_path):
  rates = (0.01, 0.02, 0.03, 0.04, 0.05, 0.001, 0.06, 0.001, 0.002)
  trials = tuned(tmp_path, space_in_turn(*rates, *[0.01] * 64), 9, batch=2)
  assert curves == [30, 30, 30, 30, 6]  # 0 and 1, 2 and 3, 4 and 5, 6 and 7, 8
  assert [trial.state == TrialState.PRUNED for trial in trials] == [False] * 7 + [True, True]


def test_no_pruning_on_request(curves, tmp_path):
  trials = tuned(tmp_path, space_in_turn(*[0.05] * 5, 0.001, *[0.01] * 64), 6, batch=1, prune=False)
  assert {trial.state for trial in trials} == {TrialState.COMPLETE}


def test_trials_that_diverge_or_end_no_episode_are_told_with_their_reason(curves, tmp_path):
  trials = tuned(tmp_path, space_in_turn(0.095, 1e-6, *[0.01] * 64), 3)
  assert [trial.state for trial in trials] == [TrialState.PRUNED, TrialState.PRUNED, TrialState.COMPLETE]
  diverged, no_episode = (trial.user_attrs["reason"] for trial in trials[:2])
  assert diverged.startswith("diverged: seed 1, epoch 24: the critic's loss was nan; seed 2, epoch 24")
  assert no_episode == "no episode ended"
  rows = list(csv.DictReader((tmp_path / "study" / "trials.csv").read_text().splitlines()))
  assert [row["outcome"] for row in rows] == ["pruned", "pruned", "complete"]
  assert rows[0]["reason"] == diverged


def test_a_study_of_another_kind_is_refused(curves, tmp_path):
  tuned(tmp_path, RATE, 1)
  with pytest.raises(UserError, match=r"config\.num_epochs = 30, asked for 40"):
    tuned(tmp_path, RATE, 1, experiment=experiment_of(num_epochs=40))
  with pytest.raises(UserError, match="is not the space of this study"):
    tuned(tmp_path, RATE_AND_PASSES, 1)
  with pytest.raises(UserError, match=r"config\.tune\.sampler_seed = 0, asked for 1"):
    tuned(tmp_path, RATE, 1, sampler_seed=1)


def test_a_failure_leaves_no_trial_running(monkeypatch, tmp_path):
  def train(self, configs):
    raise KeyboardInterrupt

  monkeypatch.setattr(Programs, "train", train)
  experiment, space, options = experiment_of(), space_of(tmp_path, RATE), Options(4, 2)
  with open_study(Workdir(tmp_path / "study"), experiment, space, options) as study:
    with pytest.raises(KeyboardInterrupt):
      tune(study, experiment, Programs(None, [1, 2], 1), space, options, tmp_path, NoProgress())
    assert [trial.state for trial in study.get_trials()] == [TrialState.FAIL] * 2
    assert num_finished(study) == 0
    assert best_trial(study) is None


BAD_SPACES = {
  "no get_space": ("def space(trial): return {}", "has no get_space"),
  "syntax": ("def get_space(trial) return {}", "cannot be run: SyntaxError"),
  "unknown field": (
    "def get_space(trial): return {'ppo.nosuch': 1}",
    r"config\.ppo\.nosuch is not a field; known: learn",
  ),
  "group": ("def get_space(trial): return {'ppo': 1}", r"config\.ppo is a group"),
  "run field": ("def get_space(trial): return {'seed': 1}", r"config\.seed says what is tuned for"),
  "environment": ("def get_space(trial): return {'env.dimension': 1}", r"config\.env\.dimension says"),
  "no name": ("def get_space(trial): return {3: 1}", "3 is not a name of a field"),
  "nothing": ("def get_space(trial): return None", "get_space returned None"),
  "empty": ("def get_space(trial): return {}", "get_space returned {}"),
  "upside down": (
    "def get_space(trial): return {'likelihood_ratio.learning_rate': trial.suggest_float('rate', 0.1, 0.01)}",
    "get_space failed: ValueError: .*low",
  ),
  "an end out of range": (
    "def get_space(trial): return {'discount': trial.suggest_float('discount', 0.9, 1.0001)}",
    r"config\.discount: 1\.0001 is not allowed; allowed: a number > 0 and <= 1",
  ),
  "a choice out of range": (
    "def get_space(trial): return {'num_envs': trial.suggest_categorical('n', [16, 32, 0])}",
    r"config\.num_envs: 0 is not allowed; allowed: an integer >= 1",
  ),
}


@pytest.mark.parametrize("case", BAD_SPACES, ids=str)
def test_bad_spaces_end_in_one_line(tmp_path, case):
  source, words = BAD_SPACES[case]
  with pytest.raises(UserError, match=words) as error:
    space_of(tmp_path, source).check(experiment_of())
  assert "\n" not in str(error.value)
  assert "my_space.py" in str(error.value)


def test_a_missing_space_file_is_named():
  with pytest.raises(UserError, match=r"'nosuch\.py' is not a file"):
    Space(pathlib.Path("nosuch.py"))


def test_the_spaces_of_the_package_are_allowed():
  config = get_config("dejong1")
  for path in [PAPER_SPACE, ROOT / "experiments" / "spaces" / "functions.py"]:
    Space(path).check(parse(config))
  trial = optuna.trial.FixedTrial(
    {
      "ppo.rate_schedule": "adaptive_kl",
      "ppo.kl_threshold": 0.015,
      "alpha.initial": 0.2,
      "alpha.learning_rate": 5e-3,
      "alpha.determinant_interval": 0.2,
      "alpha.max_out_of_range_ratio": 0.75,
    }
  )
  space = Space(PAPER_SPACE)
  tuned_config = space.apply(parse(config), space.draw(trial)).config
  assert (tuned_config.ppo.rate_schedule, tuned_config.ppo.kl_threshold) == ("adaptive_kl", 0.015)
  assert (tuned_config.alpha.update_factor, tuned_config.alpha.num_steps) == (1.02, 16)


SOME_INVALID = """
def get_space(trial):
  return {"critic.num_minibatches": trial.suggest_int("minibatches", 1, 4)}
"""


def test_a_point_that_is_not_allowed_is_pruned_with_its_reason(tmp_path):
  """1 and 4 divide the 16 samples, 3 does not."""
  trials = tuned(tmp_path, SOME_INVALID, 8, batch=2, experiment=experiment_of(num_epochs=2, num_seeds=1), prune=False)
  refused = [trial for trial in trials if trial.state == TrialState.PRUNED]
  assert refused
  assert all(trial.params["minibatches"] == 3 for trial in refused)
  assert all("a divisor of num_envs * horizon" in trial.user_attrs["reason"] for trial in refused)
  assert all(trial.params["minibatches"] != 3 for trial in trials if trial.state == TrialState.COMPLETE)


def test_a_space_may_prune_its_points(tmp_path):
  source = (
    "import optuna\n"
    "def get_space(trial):\n"
    "  size = trial.suggest_int('size', 1, 2)\n"
    "  if size == 2:\n"
    "    raise optuna.TrialPruned('two is too many')\n"
    "  return {'critic.num_iterations': size}\n"
  )
  trials = tuned(tmp_path, source, 5, batch=1, experiment=experiment_of(num_epochs=2, num_seeds=1), prune=False)
  reasons = [trial.user_attrs["reason"] for trial in trials if trial.state == TrialState.PRUNED]
  assert set(reasons) == {"pruned by get_space: two is too many"}
  with pytest.raises(UserError, match="get_space prunes every point"):
    space_of(tmp_path, source.replace("size == 2", "True")).check(experiment_of())


@pytest.mark.parametrize("name", ["100%", "what?", "a#b c", "ünï", "x%20y"])
def test_a_study_lies_where_its_folder_is(tmp_path, name):
  experiment, space = experiment_of(), space_of(tmp_path, RATE)
  with open_study(Workdir(tmp_path / name), experiment, space, Options(1, 1)) as study:
    study.ask()
  assert (tmp_path / name / "optuna.db").stat().st_size > 0
  assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "my_space.py"])
