"""The benchmark: operations are counted as they are done, commands are timed, drift is told."""

import itertools
import json
import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import pytest

from gippo_jax.errors import UserError
from gippo_jax.experiments.configs import functions
from gippo_jax.experiments.speed import accelerators, authors, pictures, report, roofline, tracing, trainings
from gippo_jax.experiments.speed.ceilings import Ceilings
from gippo_jax.experiments.speed.operations import Operations, count
from gippo_jax.experiments.speed.parts import Measured, Options, Watch
from gippo_jax.parsing import parse
from tests.commands import ROOT, call, check_error


def test_products_are_counted_through_their_derivatives():
  """Forward and two products back, `2 m n k` each; the tanh and its derivative's arithmetic beside."""
  x, w = jnp.ones((8, 3)), jnp.ones((3, 5))
  forward = count(lambda x, w: x @ w, x, w)
  assert (forward.products, forward.transcendental, forward.equations) == (2 * 8 * 3 * 5, 0, 1)
  assert forward.moved == 8 * (8 * 3 + 3 * 5 + 8 * 5)
  both = count(jax.grad(lambda w, x: jnp.sum(jnp.tanh(x @ w)), argnums=(0, 1)), w, x)
  assert (both.products, both.transcendental) == (3 * forward.products, 8 * 5)


def test_loops_count_as_often_as_they_run():
  def body(x, _):
    return jnp.exp(x) @ x, None

  x = jnp.ones((4, 4))
  once = count(lambda x: body(x, None)[0], x)
  scanned = count(lambda x: jax.lax.scan(body, x, None, length=7)[0], x)
  assert scanned == once.times(7)
  jitted = count(jax.jit(lambda x: jax.lax.fori_loop(0, 5, lambda _, x: body(x, None)[0], x)), x)
  assert jitted.products == 5 * once.products


def test_a_loop_whose_length_the_data_decides_runs_as_often_as_is_said():
  def grow(x):
    return jax.lax.while_loop(lambda x: jnp.sum(x) < 100.0, lambda x: x @ x, x)

  x = jnp.ones((2, 2))
  assert count(grow, x, trips=[3.5]).products == 3.5 * 16
  with pytest.raises(ValueError, match="1 loops of unknown length, and 0 lengths"):
    count(grow, x)


def test_of_a_condition_the_dearest_branch_counts():
  def choose(flag, x):
    return jax.lax.cond(flag, lambda: x @ x, lambda: x + 1.0)

  assert count(choose, True, jnp.ones((3, 3))).products == 54


def test_an_epoch_is_its_critics_products_and_more():
  """LR on a function of one variable: one backward pass of the actor, and the critic's 64 known steps."""
  rows = {name: experiment for label, name, experiment, _ in roofline.experiments() if label == "De Jong-1"}
  operations = roofline.count_epoch(rows["lr"], ())
  num_samples, units = 64 // 4, (1, 32, 32, 1)
  products = sum(2 * num_samples * one * two for one, two in itertools.pairwise(units))
  weights = products + products - 2 * num_samples * units[0] * units[1]  # no derivative by the observation
  critic = 64 * (products + weights)
  actor = 64 * 2 * (32 + 32 * 32 + 32 * 2)
  assert critic + 2 * actor < operations.products < critic + 8 * actor
  # Every attempt of PPO adds the same.
  one, two, three = (roofline.count_epoch(rows["ppo"], (tries,)).products for tries in (1, 2, 3))
  assert three - two == two - one > 0


def test_least_seconds_are_work_over_rates():
  ceilings = Ceilings(products=10.0, small_products=1.0, elementwise=5.0, transcendental=2.0, copies=1.0)
  least = roofline.least_seconds(Operations(products=20.0, elementwise=5.0, transcendental=1.0), ceilings)
  assert least == {"products": 2.0, "elementwise": 1.0, "transcendental": 0.5}


def test_what_others_do_meanwhile_is_not_ones_own(monkeypatch):
  from gippo_jax.experiments.speed import parts

  busy, own = iter([100.0, 103.0, 103.0]), iter([1.0, 2.0, 2.0])
  times = iter([0.0, 4.0, 4.0])
  monkeypatch.setattr(parts, "_busy_seconds", lambda: next(busy))
  monkeypatch.setattr(parts, "_own_seconds", lambda: next(own))
  monkeypatch.setattr(parts.time, "monotonic", lambda: next(times))
  watch = Watch()
  assert watch.other_cores() == (3.0 - 1.0) / 4.0
  assert watch.is_busy()


def test_ratios_that_drifted_are_named():
  part = report.PARTS["sweep"]
  committed = [
    {"label": "one", "num_seeds": 1, "run_seconds": 10.0},
    {"label": "many", "num_seeds": 4, "run_seconds": 20.0},
  ]
  now = [committed[0], {**committed[1], "run_seconds": 30.0}]
  assert report.drifted(part, now, committed, tolerance=0.2) == {"many": (0.5, 0.75)}
  assert report.drifted(part, now, committed, tolerance=0.6) == {}


def test_a_busy_row_says_so():
  row = {
    "problem": "cartpole",
    "pair": ["ppo_work", "brax_ppo_ours"],
    "steps_per_second": [3e5, 2e5],
    "spread": [[1e5, 4e5], [1e5, 3e5]],
    "compile_seconds": [5.0, 7.0],
    "ratio": 1.5,
    "busy": True,
  }
  text = report.markdown("ppo", Measured([row], "a machine", "2026-01-31", 3))
  assert "| Cart-pole swing-up (busy) | PPO, ours, equal work | 300,000 (100,000 to 400,000) | 5.0 |" in text
  assert "shared the machine" in text
  assert "shared the machine" not in report.markdown("ppo", Measured([row | {"busy": False}], "", "", 3))


def test_every_command_of_the_benchmark_is_one_that_can_be_given():
  for rows in (trainings._FUNCTIONS, trainings._TRAININGS, trainings._COMPILES):
    for row in rows:
      given = dict(word.removeprefix("--config").split("=", 1) for word in row.words[1:])
      assert given[".algorithm"] in row.label
      assert int(given[".num_seeds"]) == row.num_seeds
  assert trainings._FUNCTIONS[0].authors == ("ackley64", "lr")
  assert all(row.authors is None for row in trainings._TRAININGS + trainings._COMPILES)


@pytest.mark.parametrize(
  ("words", "message"),
  [
    ((), "PART is missing; allowed: all, functions,"),
    (("speed",), "PART: 'speed' is unknown; allowed: all, functions,"),
    (("ppo", "--peers_python=nowhere"), "--peers_python: there is no nowhere; allowed:"),
    (("sweep", "--check=nowhere.json"), "--check: nowhere.json cannot be read; allowed: a benchmark.json"),
    (("sweep", "--repeats=0"), "repeats"),
    (("sweep", "--authors=docs"), "--authors: docs has no train.py; allowed: a copy of github.com/SonSang/gippo"),
    (("sweep", "--keep"), "--keep: there is nothing to write, or something to measure; allowed: with --docs,"),
    (("sweep", "--keep", "--docs=tests"), "--docs: tests/benchmark.json cannot be read; allowed: a benchmark.json"),
  ],
)
def test_bad_words_are_one_line(words, message):
  check_error(call("experiments.benchmark", *words), message)


@pytest.mark.slow
def test_a_command_is_timed_cold_and_warm(tmp_path):
  from gippo_jax.experiments.speed import commands

  row = commands.measure(trainings._train("functions:dejong1", "lr", epochs=3), repeats=1)
  assert (row["epochs"], row["num_seeds"]) == (3, 1)
  assert row["warm_compile_seconds"] < row["cold_compile_seconds"]
  assert row["least_run_seconds"] <= row["run_seconds"] <= row["most_run_seconds"]
  assert row["times_faster"] is None
  assert row["peak_bytes"] > 50 * 2**20
  with pytest.raises(RuntimeError, match=r"ended with 2 and said: error: "):
    commands.run(["gippo_jax.main", "--config=functions:nowhere"], tmp_path / "run", tmp_path)


def test_what_is_committed_can_be_compared_with():
  path = ROOT / "docs" / "benchmark.json"
  committed = json.loads(path.read_text())
  for name, measured in committed.items():
    ratios = report.PARTS[name].ratios(measured["rows"])
    assert ratios
    assert all(value > 0 for value in ratios.values())


def test_an_accelerator_is_asked_for():
  with pytest.raises(UserError, match=r"PART: 'accelerator' is for a machine with one, and JAX sees only a CPU"):
    accelerators.PART.require(Options(1, ""))


def test_seeds_side_by_side_are_rows_of_the_accelerators_table(monkeypatch, capfd):
  """On a CPU, whose products are of one precision, so that the coarse one's gradient has no error.

  A problem whose process ends is left out, and holds up no other.
  """
  config = functions.get_config("dejong1")
  config.algorithm, config.matmul_precision = "shac", "bf16"
  points = [accelerators.Point("De Jong-1", parse(config), num_members, True) for num_members in (1, 2)]
  broken = accelerators.Point("broken", parse(config)._replace(env={"name": "nowhere"}), 1, False)
  monkeypatch.setattr(accelerators, "points", lambda: iter([broken, *points]))
  one, two = accelerators.PART.rows(Options(2, ""))
  assert "broken is left out: its process ended" in capfd.readouterr().out
  assert (one["over_one_seed"], one["gradient_error"], two["gradient_error"]) == (1.0, 0.0, 0.0)
  assert len(two["epoch_seconds"]) == 2
  assert 0.1 < two["over_one_seed"] < 10
  assert accelerators.cells(two)[:4] == ["De Jong-1", "bf16", "2", "64"]


def test_what_is_committed_is_what_the_pages_show(tmp_path):
  """`--keep` writes the same tables again, and a picture beside each; it measures nothing."""
  docs = tmp_path / "docs"
  docs.mkdir()
  pages = {part.document for part in report.PARTS.values()}
  for name in (*pages, "benchmark.json"):
    (docs / name).write_bytes((ROOT / "docs" / name).read_bytes())
  done = call("experiments.benchmark", "all", "--keep", f"--docs={docs}")
  assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
  for name in pages:
    assert (docs / name).read_text() == (ROOT / "docs" / name).read_text(), name
  drawn = {path.stem for path in (docs / "images").glob("*.png")}
  assert drawn == {f"speed_{name}" for name in json.loads((docs / "benchmark.json").read_text())}
  for path in (docs / "images").glob("*.png"):
    assert path.stat().st_size > 10_000
    assert f"images/{path.name}" in "".join((docs / page).read_text() for page in pages), path.name


def test_a_stacked_bar_ends_where_its_parts_add_up_to():
  measured = {"problem": "De Jong-1", "algorithm": "lr", "seconds": 2.0, "share": 0.4}
  row = measured | {"least_seconds": {"products": 0.2, "elementwise": 0.5, "transcendental": 0.1}}
  (axis,) = pictures.PICTURES["roofline"]([{"problem": "machine", "ceilings": {}}, row]).axes
  ends = [bar.get_x() + bar.get_width() for bar in axis.patches]
  assert ends == pytest.approx([10.0, 35.0, 40.0])
  assert [text.get_text() for text in axis.texts] == ["40"]


@pytest.mark.parametrize(("times_faster", "length"), [(50.0, 50.0), (None, 2.0)])
def test_without_the_authors_code_functions_are_drawn_by_their_seconds(times_faster, length):
  row = {"label": "ackley64, lr, 1", "run_seconds": 2.0, "least_run_seconds": 1.0, "most_run_seconds": 3.0}
  (axis,) = pictures.PICTURES["functions"]([row | {"times_faster": times_faster}]).axes
  assert [bar.get_width() for bar in axis.patches] == [length]


def test_every_part_has_a_picture():
  assert set(pictures.PICTURES) == set(report.PARTS)


TRAIN = """
import sys, time
assert "--device=cpu" in sys.argv and __import__("os").environ["OMP_NUM_THREADS"] == "1"
for epoch in range(1, 2001):
  time.sleep(0.01)
  print(f"Num steps: {64 * epoch}")
  print(f"epoch: {epoch} fps step: 1.0")
  if epoch == STOP:
    raise ValueError("no more")
"""


def test_the_authors_code_is_timed_from_its_first_epoch_on(tmp_path, monkeypatch):
  (tmp_path / "theirs").mkdir()
  (tmp_path / "theirs" / "train.py").write_text(f"STOP = 3000\n{TRAIN}")
  (tmp_path / "python").symlink_to(sys.executable)
  monkeypatch.chdir(tmp_path)  # paths as they are typed
  theirs = authors.Authors(pathlib.Path("theirs"), "python")
  theirs.require()
  seconds = theirs.seconds("dejong1", "lr")  # after a tenth of its epochs it is stopped
  assert 20.0 < seconds < 40.0
  begin = time.monotonic()
  assert theirs.seconds("dejong1", "lr") == seconds
  assert time.monotonic() - begin < 0.1
  (tmp_path / "theirs" / "train.py").write_text(f"STOP = 5\n{TRAIN}")
  with pytest.raises(RuntimeError, match=r"the authors' dejong1, rp ended with 1 and said: ValueError: no more"):
    theirs.seconds("dejong1", "rp")


def test_the_roofline_is_measured_with_the_threads_of_a_training(monkeypatch):
  """A small problem's process gets one, a large one's is left as it is."""
  small = roofline._PROBLEMS["De Jong-1"]
  monkeypatch.setattr(roofline, "_PROBLEMS", {"small": (*small[:2], 3)})
  monkeypatch.setattr(roofline, "_ALGORITHMS", ("lr", "shac"))
  monkeypatch.setattr(roofline, "measure_ceilings", lambda: Ceilings(1e9, 1e9, 1e9, 1e9, 1e9))
  machine, *rows = roofline.PART.rows(Options(1, ""))
  assert machine["ceilings"]["products"] == 1e9
  assert [(row["problem"], row["algorithm"], row["threads"]) for row in rows] == [
    ("small", "lr", 1),
    ("small", "shac", 1),
  ]
  assert all(row["seconds"] > 0 and "busy" in row for row in rows)
  assert all(100 < row["xla_operations"] < row["operations"]["equations"] for row in rows)


def test_xlas_operations_are_counted_as_often_as_a_loop_runs_them():
  def body(_, x):
    return x @ x  # products are not merged

  x = jnp.full((16, 16), 0.01)
  counts = []
  for length in (3, 8):
    program = jax.jit(lambda x, length=length: jax.lax.fori_loop(0, length, body, x))
    jax.block_until_ready(program(x))
    counts.append(tracing.operations_run(lambda program=program: jax.block_until_ready(program(x))))
  of_a_round, rest = divmod(counts[1] - counts[0], 5)
  assert rest == 0
  assert of_a_round >= 1
