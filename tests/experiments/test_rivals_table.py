"""The rivals' table: equal budgets, cells that are trained side by side, and what is said of who beats whom."""

import json

import numpy as np
import pytest

from gippo_jax.errors import UserError
from gippo_jax.experiments.tables import comparison, comparison_text, rivals
from gippo_jax.experiments.tables.figure_profiles import draw_profiles
from gippo_jax.experiments.tables.kept import add_kept, kept_results
from gippo_jax.experiments.tables.problems import FAMILIES
from gippo_jax.parsing import parse
from gippo_jax.runs.lock import locked
from gippo_jax.runs.summary import write_summary
from gippo_jax.runs.workdir import Workdir
from tests.commands import call, check_error
from tests.summaries import SCORES, make_summary


def cell(*returns, **others):
  known = {"evaluation_returns": list(returns), "best_evaluation_returns": list(returns), "diverged": []}
  return {
    **known,
    "seconds": 30.0,
    "compile_seconds": 10.0,
    "processor_seconds": 12.0,
    "epochs": 500,
    "steps": 1_024_000,
    **others,
  }


RESULTS = {
  "cartpole": {"shac": cell(1.0, 3.0, 5.0), "ppo": cell(2.0, 4.0, None), "rpo": cell(6.0, 7.0, 8.0)},
  "quadrotor": {"shac": cell(10.0, 10.0), "ppo": cell(10.0, 30.0)},
}


@pytest.mark.parametrize("name", ["rivals", "optimism", "learned_models"])
def test_all_algorithms_have_the_same_steps_and_networks_of_one_size(name):
  family = FAMILIES[name]
  for preset in family.presets.values():
    for problem, budget in preset.items():
      configs = []
      for column in family.algorithms:
        plain = family.config_of(problem, column)
        plain.update_from_flattened_dict(dict(budget.changes))
        configs.append(parse(plain).config)
      assert len({(each.num_epochs, each.num_envs, each.horizon) for each in configs}) == 1
      assert len({(each.actor.units, each.critic.units, each.discount) for each in configs}) == 1


def test_the_relatives_of_shac_have_its_rate_and_its_policy():
  family = rivals.FAMILY
  for problem in family.problems:
    shac = family.config_of(problem, "shac")
    for name in ("dva", "ahac", "sapo", "ivw_h", "aobg", "ddcg", "rpo"):
      config = family.config_of(problem, name)
      rate = shac.shac.learning_rate / (5.0 if name == "rpo" else 1.0)
      assert config[name].learning_rate == pytest.approx(rate)
      assert (config.actor.fixed_std, config.actor.initial_log_std) == (True, shac.actor.initial_log_std)


def test_a_lost_run_is_beaten_by_every_other():
  """By hand: SHAC wins 1 + 2 + 3 of 9 pairs against PPO with a lost seed, and half of the ties on the quadrotor."""
  pairs = comparison.pairwise(RESULTS)
  assert pairs["shac", "ppo"].probability == pytest.approx((6 / 9 + 1 / 4) / 2)
  assert pairs["ppo", "shac"].probability == pytest.approx(1 - pairs["shac", "ppo"].probability)
  assert (pairs["rpo", "ppo"].probability, pairs["rpo", "ppo"].problems, pairs["shac", "ppo"].problems) == (1.0, 1, 2)
  assert pairs["rpo", "ppo"].decided
  assert not pairs["shac", "ppo"].decided


def test_a_profile_has_no_unit_and_ends_at_the_lost_runs():
  profiles = comparison.profiles(RESULTS)
  for profile in profiles.values():
    assert np.all(np.diff(profile.share) <= 0.0)
  assert profiles["ppo"].share[0] == pytest.approx((2 / 3 + 1) / 2)
  assert profiles["rpo"].share[np.argmin(np.abs(comparison.THRESHOLDS - 0.5))] == 1.0
  scaled = {
    problem: {
      name: cell(*(None if each is None else 100.0 * each - 7.0 for each in entry["evaluation_returns"]))
      for name, entry in cells.items()
    }
    for problem, cells in RESULTS.items()
  }
  for name, profile in comparison.profiles(scaled).items():
    np.testing.assert_allclose(profile.share, profiles[name].share)


def test_other_families_tables_lend_cells_of_the_same_problem_and_budget(tmp_path):
  """The benchmarks call the quadrotor's hover otherwise; the first table that has a cell counts."""
  lent = {name: cell(*range(5), epochs=489) for name in ("shac", "ppo")} | {"rpo": cell(*range(5), epochs=7)}
  earlier = {
    name: {**each, "best_returns": [0.0] * 5, "mean": 0.0, "iqm": 0.0, "interval": None, "paper": None}
    | {"status": "finished", "made": "2026-01-31"}
    for name, each in lent.items()
  }
  for each in earlier.values():
    del each["steps"], each["best_evaluation_returns"]
  table = tmp_path / "table.json"
  table.write_text(json.dumps({"family": "benchmarks", "results": {"quadrotor_hover": earlier, "pendulum": earlier}}))
  kept = kept_results(rivals.FAMILY, [table])
  assert list(kept) == ["quadrotor"]
  otherwise = {"quadrotor_hover": {"shac": earlier["shac"] | {"metrics_version": 9}}}
  (tmp_path / "other.json").write_text(json.dumps({"family": "benchmarks", "results": otherwise}))
  with pytest.raises(UserError, match=r"--keep: the metrics of .* are of version 9, those of this table of version 1"):
    kept_results(rivals.FAMILY, [tmp_path / "other.json"])
  budget = rivals.FAMILY.presets["cpu"]["quadrotor"]
  experiments = {}
  for column in ("shac", "ppo", "rpo"):
    config = rivals.FAMILY.config_of("quadrotor", column)
    config.num_seeds = budget.num_seeds
    experiments["quadrotor", column] = parse(config)
  own = cell(9.0)
  added = add_kept({"quadrotor": {"ppo": own}}, kept, experiments)["quadrotor"]
  assert list(added) == ["shac", "ppo"]
  assert added["ppo"] is own
  assert added["shac"]["steps"] == 489 * 64 * 32
  assert "| SHAC | **2** (0.8 to 3.2) |\n" in comparison_text.markdown(
    rivals.FAMILY, {"quadrotor": added | {"ppo": cell(*range(5))}}
  )


def test_the_text_has_returns_costs_pairs_and_profiles():
  text = comparison_text.markdown(rivals.FAMILY, RESULTS)
  assert "| SHAC | 3 (1 to 5)<br>best policy 3 |" in text
  assert "| PPO | 3 (2 to 4)<br>best policy 3<br>1 of 3 seeds lost | **20** (10 to 30)" in text
  assert "| RPO | **7** (6 to 8)<br>best policy 7 | - |" in text
  assert "| RPO | 1 | 12 s | - |" in text
  assert "Cart-pole 1,024,000 steps in 500 epochs" in text
  assert len(draw_profiles(RESULTS).axes[0].lines) == 3


def test_a_table_is_put_together_from_its_folders_while_others_train_into_them(run, tmp_path):
  """Broken by one lock for the whole training: refused."""
  out, docs = tmp_path / "runs", tmp_path / "docs"
  for index, name in enumerate(("shac", "dva", "gippo_safe")):
    config = rivals.FAMILY.config_of("cartpole", name)
    config.update({"num_seeds": 2, "num_epochs": 50})
    experiment = parse(config)
    workdir = Workdir(out / f"cartpole_{name}")
    workdir.open(experiment)
    if name != "dva":
      scores = {key: [-500.0 + 100.0 * index, -490.0] for key in SCORES}
      write_summary(workdir.summary, make_summary(2, algorithm=experiment.config.algorithm, epochs=50, **scores))
  docs.mkdir()
  (docs / "rivals.md").write_text("<!-- begin table rivals -->\n<!-- end table rivals -->\n")
  (tmp_path / "README.md").write_text("")
  with locked(out / "cartpole_dva"):
    process = run("experiments.table", "rivals", "--preset=quick", f"--out={out}", "--notrain", f"--docs={docs}")
  assert process.returncode == 0, process.stderr
  assert list(json.loads((docs / "table_rivals.json").read_text())["results"]["cartpole"]) == ["gippo_safe", "shac"]
  assert "| GI-PPO, safe | **-395** (-490 to -300)" in (docs / "rivals.md").read_text()


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (("--preset=quick", "--notrain"), "has no finished run; allowed: a folder that has"),
    (("--preset=quick", "--algorithms=sac"), "'sac' is unknown; allowed: ppo, gippo, gippo_safe, shac"),
    (("--preset=paper",), "allowed: quick, closed_form, cpu"),
  ],
)
def test_bad_arguments_end_in_one_line(tmp_path, arguments, words):
  check_error(call("experiments.table", "rivals", *arguments, f"--out={tmp_path / 'out'}"), words)
