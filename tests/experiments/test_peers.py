"""The comparison with other packages' trainers, whose interpreter is a script here."""

import functools
import json
import sys
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gippo_jax.errors import UserError
from gippo_jax.experiments.peers import text, train_ours
from gippo_jax.experiments.peers.children import ChildError, require_interpreter
from gippo_jax.experiments.peers.figure import STYLES, draw_returns
from gippo_jax.experiments.peers.lines import Finished, Request, Segment, event_of, line_of
from gippo_jax.experiments.peers.problems import (
  MINIBATCH_SIZE,
  NUM_PASSES,
  PRESETS,
  PROBLEMS,
  STEPS_PER_EPOCH,
  TRAINERS,
  Budget,
)
from gippo_jax.experiments.peers.results import path_of, read_runs, rivals_of, row_of, run_of, verdict
from gippo_jax.experiments.peers.training import train
from tests.commands import call, check_error, command, environment_of, execute

BUDGET = Budget(num_seeds=2, epochs=4, checkpoints=2)
REQUEST = Request("ppo", "cartpole", 240, {}, [], 4, 2, 128)

# Answers as a trainer does: the return of seed s after n steps is n - 1000 s.
ANSWERS = """
  import json, sys
  module, request = sys.argv[3:]
  request = json.loads(request)
  open({log!r}, "a").write(json.dumps([module, request["seeds"]]) + "\\n")
  for seed in request["seeds"]:
    for index in range(request["checkpoints"] + 1):
      steps = 2048 * index * (request["epochs"] // request["checkpoints"])
      segment = dict(event="segment", seed=seed, steps=steps, seconds=0.5 * (index > 0), cpu_seconds=0.25 * (index > 0))
      segment |= dict(mean_return=steps - 1000.0 * seed, policy_steps=steps / 100, value_steps=steps / 50)
      print(json.dumps(segment), flush=True)
    {between}
    print(json.dumps(dict(event="finished", seed=seed, compile_seconds=3.0, versions=dict(jax="0.9.2"))), flush=True)
"""


@pytest.fixture
def interpreter(tmp_path):
  """Makes a script that takes an interpreter's place, and the file of what it was asked."""
  log = tmp_path / "asked"

  def make(between="pass"):
    path = tmp_path / "python"
    path.write_text(f"#!{sys.executable}\n" + textwrap.dedent(ANSWERS.format(log=str(log), between=between)))
    path.chmod(0o755)
    return str(path)

  return make, log


def test_finished_seeds_are_kept_and_not_run_again(interpreter, tmp_path):
  make, log = interpreter
  train("cartpole", "brax_ppo", BUDGET, 1, make(), tmp_path)
  train("cartpole", "brax_ppo", BUDGET, 3, make(), tmp_path)
  train("cartpole", "brax_ppo", BUDGET, 3, make(), tmp_path)
  assert [json.loads(line) for line in log.read_text().splitlines()] == [["train_brax", [1]], ["train_brax", [2, 3]]]
  runs = read_runs(tmp_path)["cartpole"]["brax_ppo"]
  assert [run.returns for run in runs] == [[-1000.0 * seed + steps for steps in (0, 4096, 8192)] for seed in (1, 2, 3)]
  assert [run.is_first for run in runs] == [True, True, False]
  assert runs[0].versions == {"jax": "0.9.2"}
  assert runs[0].clock.tolist() == [0.0, 0.25, 0.5]


def test_another_budget_needs_another_folder(interpreter, tmp_path):
  make, _ = interpreter
  train("cartpole", "brax_ppo", BUDGET, 1, make(), tmp_path)
  with pytest.raises(UserError, match="another budget or other settings; allowed: another folder"):
    train("cartpole", "brax_ppo", BUDGET._replace(epochs=8), 1, make(), tmp_path)


def test_a_damaged_file_is_trained_again(interpreter, tmp_path):
  make, log = interpreter
  train("cartpole", "brax_ppo", BUDGET, 1, make(), tmp_path)
  path = path_of(tmp_path, "cartpole", "brax_ppo", 1)
  path.write_text(path.read_text()[:100])
  train("cartpole", "brax_ppo", BUDGET, 1, make(), tmp_path)
  assert len(log.read_text().splitlines()) == 2
  assert len(read_runs(tmp_path)["cartpole"]["brax_ppo"]) == 1


@pytest.mark.parametrize(
  ("between", "said"),
  [
    ("if seed == 2: sys.exit('no memory left')", "train_brax ended with 1 and said: no memory left"),
    ("if seed == 2: import os; os.kill(os.getpid(), 9)", "train_brax ended with -9 and said: nothing"),
    ("if seed == 2: print('Failed to import warp', flush=True)", "'Failed to import warp', which is not an event"),
    ('if seed == 2: print(\'{"event": "segment"}\', flush=True)', "which is not an event"),
    ("if seed == 2: break", "train_brax ended before seed 2"),
    ("if seed == 2: print(json.dumps(segment), flush=True)", "made 4 evaluations of 3"),
    ("if seed == 2: print(json.dumps(segment | dict(seed=7)), flush=True)", "told of seed 7"),
  ],
)
def test_a_child_that_ends_badly_is_told_in_one_line_and_what_it_finished_is_kept(interpreter, tmp_path, between, said):
  make, _ = interpreter
  with pytest.raises(ChildError) as error:
    train("cartpole", "brax_ppo", BUDGET, 2, make(between), tmp_path)
  assert said in str(error.value)
  assert "\n" not in str(error.value)
  assert [run.returns[-1] for run in read_runs(tmp_path)["cartpole"]["brax_ppo"]] == [7192.0]


def test_a_missing_interpreter_says_how_to_get_it(tmp_path):
  (tmp_path / "python").write_text("not executable")
  for path in ("nowhere/python", "python"):
    with pytest.raises(UserError, match="make peers"):
      require_interpreter(str(tmp_path / path))


def test_the_command(interpreter, tmp_path):
  make, _ = interpreter
  (tmp_path / "docs").mkdir()
  (tmp_path / "docs" / "peers.md").write_text("Before\n<!-- begin peers -->\n<!-- end peers -->\nafter\n")
  environment = environment_of()

  def run(*arguments):
    return execute(environment, *command("experiments.peers", f"--out={tmp_path}", *arguments))

  good = ("--problems=cartpole", "--trainers=brax_ppo", f"--peers_python={make()}", f"--docs={tmp_path / 'docs'}")
  process = run(*good)
  assert process.returncode == 0, process.stderr
  document = (tmp_path / "docs" / "peers.md").read_text()
  assert document.startswith("Before\n<!-- begin peers -->\n### Cart-pole swing-up")
  assert (tmp_path / "peers.md").read_text() in document
  assert (tmp_path / "docs" / "images" / "peers_returns.png").exists()
  assert len(json.loads((tmp_path / "docs" / "peers.json").read_text())) == PRESETS["quick"]["cartpole"].num_seeds
  refused = functools.partial(call, "experiments.peers", f"--out={tmp_path}")
  check_error(refused("--peers_python=nowhere"), "--peers_python: there is no nowhere", "`make peers`")
  check_error(refused("--trainers=hovercraft"), "--trainers: 'hovercraft' is unknown; allowed: ppo, ")


def made_run(trainer, returns, seconds=1.0, steps_per_epoch=(0.01, 0.02), problem="cartpole", seed=1):
  """A run of evaluations at 0, 1000, 2000, ... steps, of `seconds` between two."""
  segments = [
    Segment(seed, 1000 * i, 2 * seconds * (i > 0), seconds * (i > 0), value, *(1000 * i * s for s in steps_per_epoch))
    for i, value in enumerate(returns)
  ]
  return run_of(problem, trainer, REQUEST, segments, Finished(seed, 5.0, {"jax": "1"}), is_first=seed == 1)


def test_a_row_sums_seeds_up():
  runs = [made_run("ppo", [-3000, -1400, -1250], 0.5), made_run("ppo", [-3000, -1200, -1350], 0.5, seed=2)]
  row = row_of(runs, seconds=0.75, threshold=-1300.0)
  assert row.mean == -1300.0
  assert row.interval == (-1350.0, -1250.0)
  assert row.at_seconds == pytest.approx(-1300.0)  # half way from -1300 to -1300
  assert row.steps_per_second == 1000.0
  assert row.steps_per_cpu_second == 2000.0
  assert (row.policy_steps, row.value_steps) == pytest.approx((0.01, 0.02))
  assert (row.reached, row.num_seeds) == (2, 2)
  assert row.threshold_steps == 1500.0  # the first at 2000, the second at 1000, however it ends
  assert row.threshold_seconds == pytest.approx(0.75)
  assert row.compile_seconds == 5.0
  assert row_of(runs, 1.0, -1000.0).threshold_steps is None


def test_intervals_decide_where_ours_stands():
  def row(*lasts):
    return row_of([made_run("ppo", [-3000, last], seed=seed) for seed, last in enumerate(lasts)], 1.0, None)

  high, low, wide = row(-1000, -1010, -990), row(-2000, -2010, -1990), row(-900, -3000, -1000)
  assert verdict(high, low) == "above"
  assert verdict(low, high) == "below"
  assert verdict(high, wide) == "level"
  assert verdict(row(-1000), low) == "level"  # one seed tells nothing


def test_ours_stands_beside_peers_of_its_kind():
  assert rivals_of(PROBLEMS["cartpole"].trainers).count(("shac", "brax_apg")) == 1
  assert all((ours == "shac") == ("apg" in theirs) for ours, theirs in rivals_of(PROBLEMS["cartpole"].trainers))


def test_the_table_and_the_picture_show_every_trainer():
  runs = {
    problem: {
      name: [
        made_run(name, [-3000, -1500, last], problem=problem, seed=seed) for seed, last in ((1, -1200), (2, -1210))
      ]
      for name in entry.trainers
    }
    for problem, entry in PROBLEMS.items()
  }
  runs["cartpole"]["brax_ppo"] = [made_run("brax_ppo", [-3000, -2000, last], seed=-last) for last in (-1900, -1800)]
  table = text.markdown(runs)
  for entry in PROBLEMS.values():
    section = table.partition(f"### {entry.label}\n")[2].partition("###")[0]
    assert section
    assert ("to the threshold" in section) == (entry.threshold is not None)
    assert all(f"| {TRAINERS[name].label} |" in table for name in entry.trainers)
  assert "PPO, ours, at equal steps: above Brax PPO; level with Brax PPO, our settings." in table
  assert "| 10.0 / 20.0 |" in table
  assert "2 thousand steps, 2.0 s (2 of 2)" in table
  assert "0 of 2" in table
  figure = draw_returns(runs)
  assert len(figure.axes) == 2 * len(PROBLEMS)
  assert {line.get_label() for line in figure.axes[0].lines} >= {
    TRAINERS[name].label for name in PROBLEMS["cartpole"].trainers
  }
  plt.close("all")


def test_every_trainer_is_complete():
  assert set(STYLES) == set(TRAINERS) == {name for entry in PROBLEMS.values() for name in entry.trainers}
  for preset in PRESETS.values():
    assert set(preset) == set(PROBLEMS)
    assert all(budget.epochs % budget.checkpoints == 0 for budget in preset.values())


@settings(max_examples=20, deadline=None)
@given(
  st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
  )
)
def test_what_is_no_event_is_refused(value):
  with pytest.raises(ValueError):  # noqa: PT011
    event_of(json.dumps(value))


def test_events_survive_their_line():
  for event in (Segment(1, 2048, 0.5, 0.25, -1.5, 10.0, 20.0), Finished(1, None, {"jax": "1"}), Finished(2, 1.5, {})):
    assert event_of(line_of(event)) == event


@pytest.fixture(scope="module")
def our_events():
  request = Request("ppo", "point_mass", 20, {"critic.num_iterations": NUM_PASSES}, [1, 2], 4, 2, 16)
  events = []
  train_ours.train(request, events.append)
  return events


def test_our_trainer_tells_of_every_evaluation(our_events):
  segments = [event for event in our_events if isinstance(event, Segment)]
  assert [(event.seed, event.steps) for event in segments] == [
    (seed, index * 2 * STEPS_PER_EPOCH) for seed in (1, 2) for index in range(3)
  ]
  assert [type(event) for event in our_events] == [*[Segment] * 3, Finished] * 2
  assert our_events[3].compile_seconds > 0
  assert our_events[7].compile_seconds is None
  assert segments[0].mean_return != segments[3].mean_return
  assert np.isfinite([event.mean_return for event in segments]).all()


def test_at_equal_steps_the_critic_makes_the_policy_s_number(our_events):
  last = our_events[2]
  passes = 4 * NUM_PASSES
  # An epoch's minibatches are as many for the critic; the policy may try a pass again.
  assert last.value_steps == passes * STEPS_PER_EPOCH / MINIBATCH_SIZE
  assert last.policy_steps >= last.value_steps
  assert last.policy_steps % (NUM_PASSES * STEPS_PER_EPOCH / MINIBATCH_SIZE) == 0
