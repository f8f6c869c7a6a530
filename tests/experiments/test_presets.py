"""The presets of the shared benchmarks: one set of settings, a word for the algorithm, one line for what is wrong."""

import pytest

from gippo_jax import registry
from gippo_jax.errors import UserError
from gippo_jax.experiments.configs import brax, gymnax, learned_model, playground, quadrotor
from gippo_jax.experiments.tables import benchmarks
from gippo_jax.experiments.tables import text as table_text
from gippo_jax.experiments.tables.results import cell_of
from gippo_jax.parsing import parse

PRESETS = {
  "brax.py": brax,
  "gymnax.py": gymnax,
  "playground.py": playground,
  "quadrotor.py": quadrotor,
  "learned_model.py": learned_model,
}


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_all_tasks_of_a_preset_have_the_same_settings(preset):
  for algorithm in registry.algorithms():
    settings = []
    for task, num_steps in preset.TASKS.items():
      config = preset.get_config(f"{task},{algorithm}")
      experiment = parse(config)
      steps = experiment.config.num_epochs * experiment.config.num_envs * experiment.config.horizon
      assert num_steps <= steps < num_steps + experiment.config.num_envs * experiment.config.horizon
      assert task in (*str(experiment.env["name"]).split(":"), experiment.env.get("task"))
      values = config.to_dict()
      settings.append({name: value for name, value in values.items() if name not in ("env", "num_epochs")})
    assert all(each == settings[0] for each in settings)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_the_algorithm_is_the_presets_own_unless_a_word_names_another(preset):
  task = next(iter(preset.TASKS))
  default = "rp_dp" if preset is learned_model else "gippo"
  assert preset.get_config().algorithm == preset.get_config(task).algorithm == default
  assert preset.get_config(f"{task},ppo").algorithm == "ppo"


@pytest.mark.parametrize("name", PRESETS)
def test_an_unknown_task_or_word_is_named(name):
  task = next(iter(PRESETS[name].TASKS))
  with pytest.raises(UserError, match=f"{name}:Nowhere: no such task; known: {task}"):
    PRESETS[name].get_config("Nowhere")
  with pytest.raises(UserError, match=f"{name}:{task},sac: 'sac' is not allowed; allowed: .*gippo"):
    PRESETS[name].get_config(f"{task},sac")


def test_brax_takes_a_backend_and_makes_its_solver_differentiable():
  assert brax.get_config("ant").env.backend == "spring"
  config = brax.get_config("ant,mjx,shac")
  assert (config.env.backend, config.env.iterations, config.algorithm) == ("mjx", 1, "shac")


def test_every_benchmark_has_a_configuration_for_every_column():
  family = benchmarks.FAMILY
  for preset in family.presets.values():
    for problem in preset:
      for column in family.algorithms:
        parse(family.config_of(problem, column))
  assert family.config_of("pendulum", "gippo_safe").alpha.rule == "safe"
  assert family.config_of("pendulum", "gippo").alpha.rule == "paper"


def test_a_cards_preset_spends_three_million_steps_of_wide_windows_on_each_task():
  family = benchmarks.FAMILY
  for problem, budget in family.presets["gpu"].items():
    config = family.config_of(problem, "sapo")
    changes = dict(budget.changes)
    steps = round(budget.share_of_epochs * config.num_epochs) * changes["num_envs"] * config.horizon
    assert abs(steps - 3e6) < changes["num_envs"] * config.horizon, problem


def test_the_table_shows_what_others_publish_with_its_budget_and_source():
  summary = {
    "seeds": [1],
    "diverged": [False],
    "best_return": [-140.0],
    "final_return": [-141.0],
    "evaluation_return": [-139.0],
    "best_evaluation_return": [-138.0],
    "compile_seconds": 5.0,
    "run_seconds": 7.0,
    "epochs": 49,
    "steps": 100_352,
    "status": "finished",
  }
  results = {"pendulum": {"shac": cell_of(summary, None)}}
  text = table_text.markdown(benchmarks.FAMILY, results)
  assert "| problem | SHAC | published |" in text
  assert "best policy -138, last -139<br>0.1 M steps, 7 s + 5 s" in text
  assert "PPO of SLM-Lab -175 (0.3 M steps)" in text
  assert "Published by: " in text
  assert "SLM-Lab's docs/BENCHMARKS.md (2026-03)" in text
