"""The densities of the alpha-policy picture against Definition 4.1's closed form; the numbers beside pictures."""

import csv
import json

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from gippo_jax.errors import UserError
from gippo_jax.experiments.tables.documents import save_figure
from gippo_jax.experiments.tables.family import in_order
from gippo_jax.experiments.tables.figure_alpha_policies import alpha_policy
from gippo_jax.experiments.tables.figure_curves import STYLES, add_legend, draw_learning_curves, lines_of, runs_of
from gippo_jax.experiments.tables.lines import kept_lines, together
from gippo_jax.experiments.tables.problems import FAMILIES
from gippo_jax.runs.summary import write_summary
from tests.commands import ROOT, call, check_error
from tests.summaries import make_summary


def test_the_alpha_policy_of_a_quadratic_is_a_gaussian():
  """For `A = -c a^2`, `f(a) = (1 - 2 alpha c) a`: mean and deviation shrink by that factor."""
  actions = np.linspace(-2.0, 4.0, 101)
  image, density, jacobian = alpha_policy(lambda a: -1.5 * a**2, 1.0, 0.5, 0.1, actions)
  np.testing.assert_allclose(jacobian, 0.7)
  np.testing.assert_allclose(image, 0.7 * actions, atol=1e-12)
  std = 0.7 * 0.5
  expected = np.exp(-0.5 * ((image - 0.7) / std) ** 2) / (std * np.sqrt(2.0 * np.pi))
  np.testing.assert_allclose(density, expected, rtol=1e-12)


def test_a_density_integrates_to_one_until_it_folds():
  actions = np.linspace(-4.0, 4.0, 20_001)

  image, density, jacobian = alpha_policy(jnp.sin, 0.0, 0.4, 0.5, actions)
  assert 0.0 < jacobian.min() < 1.0
  assert np.all(np.diff(image) > 0)
  np.testing.assert_allclose(np.trapezoid(density, image), 1.0, rtol=1e-6)
  assert alpha_policy(jnp.sin, 0.0, 0.4, 2.0, actions)[2].min() < 0.0


def test_a_pictures_numbers_lie_beside_it(tmp_path):
  """Curves with bands, a band that is there in part, a line across, error bars, an image with its bar of colours."""
  figure = Figure()
  left, middle, right = figure.subplots(1, 3)
  x = np.asarray([1.0, 2.0, 4.0])
  left.set(title="a panel\nof two lines", xlabel="steps", ylabel="return")
  left.plot(x, -x, label="one")
  left.fill_between(x, -x - 0.5, -x + 0.25)
  left.plot(x, np.asarray([1 / 3, np.nan, 5.0]), label="two")
  left.fill_between(x, 0.0, x, where=x > 1.5)
  left.axhline(7.0)
  middle.errorbar(3.0, 1.0, xerr=0.5, label="end")
  right.imshow([[1.0, 2.0], [3.0, 4.0]], origin="lower", extent=(-1, 1, -1, 1))
  figure.colorbar(right.images[0])
  save_figure(figure, tmp_path, "picture")
  assert {path.suffix for path in tmp_path.iterdir()} == {".png", ".svg", ".csv"}
  with (tmp_path / "picture.csv").open() as file:
    rows = list(csv.DictReader(file))

  def read(panel, series, *columns):
    found = [row for row in rows if (row["panel"], row["series"]) == (panel, series)]
    return [tuple(float(row[name]) for name in columns) for row in found if all(row[name] for name in columns)]

  panel = "a panel of two lines"
  assert {(row["x is"], row["y is"]) for row in rows if row["panel"] == panel} == {("steps", "return")}
  assert read(panel, "one", "x", "y") == [(1.0, -1.0), (2.0, -2.0), (4.0, -4.0)]
  assert read(panel, "one", "x", "low", "high") == [(1.0, -1.5, -0.75), (2.0, -2.5, -1.75), (4.0, -4.5, -3.75)]
  assert read(panel, "two", "x", "y") == [(1.0, 0.333333), (4.0, 5.0)]
  assert read(panel, "two", "x", "low", "high") == [(2.0, 0.0, 2.0), (4.0, 0.0, 4.0)]
  assert read(panel, "two", "y")[-1] == (7.0,)
  assert sorted(read("panel 2", "", "x", "y"))[0] == (2.5, 1.0)
  assert read("panel 3", "", "x", "y", "value") == [
    *((-0.5, -0.5, 1.0), (0.5, -0.5, 2.0), (-0.5, 0.5, 3.0), (0.5, 0.5, 4.0))
  ]


def test_a_legend_of_many_long_names_fits_the_figure():
  """Broken by one row of all of them: names are cut off at both sides."""
  figure = Figure(figsize=(11.0, 8.0), layout="constrained")
  axis = figure.subplots()
  for index in range(11):
    axis.plot([0.0, 1.0], [0.0, 1.0], label=f"Algorithm {index}, normalised")
  add_legend(figure, {"one": axis}, "title")
  figure.draw_without_rendering()
  (legend,) = figure.legends
  assert legend.get_window_extent().width <= figure.bbox.width


def test_curves_of_metrics_that_were_counted_in_different_ways_are_not_drawn(tmp_path):
  problem = next(iter(FAMILIES["physics"].problems))
  for algorithm, version in (("ppo", 1), ("shac", 2)):
    folder = tmp_path / f"{problem}_{algorithm}"
    folder.mkdir()
    (folder / "metrics.jsonl").write_text('{"return": 1.0}\n')
    (folder / "config.json").write_text(json.dumps({"metrics_version": version}))
    write_summary(folder / "summary.json", make_summary())
  refused = call("experiments.figures", "physics", f"--runs={tmp_path}", f"--out={tmp_path / 'out'}")
  check_error(refused, "--runs: the metrics of", "are of version", "allowed: runs of one version")
  assert not (tmp_path / "out").exists()


def test_an_algorithm_has_one_colour_in_all_panels_and_unfinished_runs_are_left_out(tmp_path):
  """Broken by colours by the panel's own list: where one algorithm is missing the next ones take its colour."""
  family = FAMILIES["rivals"]
  first, second = list(family.problems)[:2]
  further = in_order(name for name in family.algorithms if name not in STYLES)
  ended = {(first, name) for name in further} | {(second, name) for name in further[1:]}
  for problem, name in ended | {(second, further[0])}:
    folder = tmp_path / f"{problem}_{name}"
    folder.mkdir()
    rows = [{"seed": 1, "epoch": n, "steps": n, "steps_per_second": 1, "return": -n, "best_return": -1} for n in (1, 2)]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    status = "finished" if (problem, name) in ended else "interrupted"
    write_summary(folder / "summary.json", make_summary(status=status))
  runs = runs_of(family, tmp_path, "return")
  assert {(problem, name) for problem in runs for name in runs[problem]} == ended
  panels = draw_learning_curves(family, lines_of(family, runs)).axes
  colours = [
    {line.get_label(): line.get_color() for line in axis.lines if not str(line.get_label()).startswith("_")}
    for axis in panels
  ]
  assert len(set(colours[0].values())) == len(further) == len(colours[0])
  assert colours[1].items() < colours[0].items()


def test_curves_of_an_earlier_picture_stand_where_there_are_no_runs(tmp_path):
  """The hopper's runs are gone, but for the picture of them; the ant's are there; a band is of several seeds alone."""
  family = FAMILIES["rivals"]
  for problem, algorithm, num_seeds in (("hopper", "rpo", 3), ("hopper", "ppo", 1), ("ant", "rpo", 3)):
    folder = tmp_path / problem / f"{problem}_{algorithm}"
    folder.mkdir(parents=True)
    rows = [
      {"seed": seed, "epoch": n, "steps": 64 * n, "steps_per_second": 10.0, "best_return": (seed + n) / 3.0}
      | {"return": seed - n / 7.0 if n > 1 else None}
      for seed in range(num_seeds)
      for n in range(1, 9)
    ]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    write_summary(folder / "summary.json", make_summary())
  expected = lines_of(family, runs_of(family, tmp_path / "hopper", "return"))["hopper"]
  save_figure(draw_learning_curves(family, {"hopper": expected}), tmp_path / "old", "rivals_learning_curves")
  kept = kept_lines(family, tmp_path / "old" / "rivals_learning_curves.csv")["hopper"]
  assert kept["ppo"].band.shape == (3, 0)
  assert kept["rpo"].band.shape == (3, 7)
  for algorithm, line in expected.items():
    for name in ("x", "mean", "band", "best"):
      np.testing.assert_allclose(getattr(kept[algorithm], name), getattr(line, name), rtol=1e-5, err_msg=name)

  ours = lines_of(family, runs_of(family, tmp_path / "ant", "return"))
  panels = draw_learning_curves(family, together(family, ours, {"hopper": kept})).axes
  assert [axis.get_title() for axis in panels] == ["Hopper (Brax)", "Ant (Brax)"]


def test_what_is_no_folder_of_pictures_is_refused(tmp_path):
  (tmp_path / "rivals_learning_curves.csv").write_text("panel,series,x,y\nNowhere,RPO,1.0,2.0\n")
  with pytest.raises(UserError, match=r"--keep: .* is not allowed; allowed: a folder with an earlier picture"):
    kept_lines(FAMILIES["rivals"], tmp_path / "rivals_learning_curves.csv")
  with pytest.raises(UserError, match="--keep"):
    kept_lines(FAMILIES["rivals"], tmp_path / "none.csv")


@pytest.mark.parametrize("name", ["rivals", "optimism", "learned_models"])
def test_the_pictures_of_the_pages_are_drawn_again_from_their_numbers(tmp_path, name):
  family, picture = FAMILIES[name], f"{name}_learning_curves"
  earlier = ROOT / "docs" / "images" / f"{picture}.csv"
  save_figure(draw_learning_curves(family, together(family, {}, kept_lines(family, earlier))), tmp_path, picture)
  assert (tmp_path / earlier.name).read_text() == earlier.read_text()
