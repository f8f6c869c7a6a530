"""The rivals' table: what is read of a run, and one line for a run that is not there."""

from gippo_jax.experiments.measurements.rivals import row_of

SUMMARY = {"evaluation_return": [-455.4, -440.0], "best_evaluation_return": [-450.2, -439.6]}


def test_a_row_has_every_seed_and_the_cost_beside_shacs():
  row = row_of("sapo", SUMMARY, {"shac": 0.05, "sapo": 0.09})
  assert row == ["SAPO", "-455, -440", "-450, -440", "1.80"]


def test_a_run_that_is_not_there_is_named(run, tmp_path):
  process = run("experiments.rivals", f"--runs={tmp_path}")
  assert process.returncode == 2
  assert process.stderr.strip().splitlines()[-1].endswith("shac/summary.json is missing; `make rivals` trains it")
