"""What the table says of given runs."""

import math

import pytest

from gippo_jax.errors import UserError
from gippo_jax.experiments.tables import text as table_text
from gippo_jax.experiments.tables.documents import docs_folder, replace_block
from gippo_jax.experiments.tables.problems import FAMILIES
from gippo_jax.experiments.tables.results import cell_of, compare_with_paper, improvements, standings, winner_of

FAMILY = FAMILIES["functions"]


def summary_of(best, diverged=None):
  return {
    "seeds": list(range(1, len(best) + 1)),
    "diverged": diverged or [False] * len(best),
    "best_return": best,
    "final_return": best,
    "evaluation_return": best,
    "best_evaluation_return": best,
    "compile_seconds": 1.0,
    "run_seconds": 2.0,
    "epochs": 10,
    "steps": 640,
    "status": "finished",
  }


def test_a_cell_summarises_its_seeds():
  cell = cell_of(summary_of([-4.0, -3.0, -2.0, -1.0, -100.0]), -2.5)
  assert cell["mean"] == -22.0
  assert cell["iqm"] == -3.0
  assert cell["interval"][0] < cell["mean"] < cell["interval"][1] <= -1.0
  assert cell["seconds"] == 3.0
  assert cell["diverged"] == []


def test_a_diverged_seed_is_named_and_does_not_sink_the_others():
  cell = cell_of(summary_of([-4.0, None, -2.0, -1e9], [False, False, False, True]), -2.5)
  assert cell["diverged"] == [2, 4]
  assert cell["mean"] == -3.0
  assert cell["best_returns"] == [-4.0, None, -2.0, -1e9]
  text = table_text.markdown(FAMILY, {"dejong1": {"lr": cell}})
  assert "diverged: seed 2, 4" in text


def test_a_pair_of_which_nothing_is_left_wins_nothing():
  lost = cell_of(summary_of([None, None], [True, True]), -2.5)
  assert lost["mean"] is None
  assert lost["interval"] is None
  good = cell_of(summary_of([-4.0, -3.0]), -2.5)
  assert winner_of({"lr": lost, "rp": good}) == "rp"
  assert "-" in table_text.markdown(FAMILY, {"dejong1": {"lr": lost, "rp": good}})
  assert improvements({"dejong1": {"gippo": good, "lr": lost}}) == {}


def test_the_comparison_with_the_paper():
  results = {
    "dejong1": {  # another winner, far off
      "lr": cell_of(summary_of([-1.0, -1.1, -1.0]), -1.0),
      "gippo": cell_of(summary_of([-8.0, -9.0, -10.0]), -0.5),
    },
    "ackley1": {  # another winner by a hair
      "lr": cell_of(summary_of([-1.0, -1.2, -0.7]), -1.0),
      "gippo": cell_of(summary_of([-1.1, -1.0, -0.9]), -0.5),
    },
  }
  rows = compare_with_paper(FAMILY, results)
  assert (rows["dejong1"]["winner"], rows["dejong1"]["paper_winner"]) == ("lr", "gippo")
  assert not rows["dejong1"]["agrees"]
  assert rows["dejong1"]["ratios"]["gippo"] == pytest.approx(18.0)
  assert rows["ackley1"]["agrees"]
  text = table_text.markdown(FAMILY, results)
  assert "best of the paper's here LR, in the paper GI-PPO; their intervals do not overlap" in text
  assert "De Jong-1 GI-PPO (18 times)" in text
  assert improvements(results)["lr"]["probability"] == pytest.approx((0.0 + 4.0 / 9.0) / 2.0, abs=0.06)


def test_a_variant_stands_beside_the_better_rival():
  """Level where the intervals overlap; the better of the rivals counts, and what is no rival does not."""

  def cells(ours, lost_at_the_end=False):
    own = summary_of(ours)
    if lost_at_the_end:
      own["evaluation_return"] = [-9.0] * len(ours)
    return {
      "lr": cell_of(summary_of([-0.01, -0.01, -0.01]), -1.0),
      "rp": cell_of(summary_of([-1.0, -1.1, -1.2]), -1.0),
      "ppo": cell_of(summary_of([-5.0, -5.1, -5.2]), -1.0),
      "gippo_safe": cell_of(own, None),
    }

  results = {
    "dejong1": cells([-0.5, -0.6, -0.7], lost_at_the_end=True),
    "dejong64": cells([-1.0, -1.1, -1.3]),
    "ackley1": cells([-2.0, -2.1, -2.2]),
  }
  found = standings(results, "gippo_safe", "best_returns")
  assert found == {"ahead": ["dejong1"], "level": ["dejong64"], "behind": ["ackley1"]}
  assert standings(results, "gippo_safe", "evaluation_returns")["behind"] == ["dejong1", "ackley1"]
  text = table_text.markdown(FAMILY, results)
  assert "GI-PPO, safe beside the better of RP and PPO, by the best returns: ahead De Jong-1; level De Jong-64" in text
  assert "- Probability that a run of GI-PPO, safe beats" in text
  assert "- De Jong-1: best of the paper's here LR, in the paper LR." in text
  assert "| De Jong-1 | **-0.01** (-1) | -1.1 (-1) | -5.1 (-1) | -0.6 |" in table_text.short_markdown(FAMILY, results)


def test_the_short_table_marks_the_winner():
  results = {"dejong1": {"lr": cell_of(summary_of([-1.0, -1.0]), -1.0), "rp": cell_of(summary_of([-0.1, -0.1]), -0.2)}}
  assert "| De Jong-1 | -1 (-1) | **-0.1** (-0.2) |" in table_text.short_markdown(FAMILY, results)


def test_the_papers_numbers_are_complete():
  for problem in FAMILY.problems.values():
    assert set(problem.paper) == {"lr", "rp", "ppo", "lrp", "gippo"}
    assert all(math.isfinite(value) and value < 0 for value in problem.paper.values())


def test_a_block_of_a_document_is_replaced(tmp_path):
  document = tmp_path / "page.md"
  document.write_text("before\n<!-- begin table -->\nold\n<!-- end table -->\nafter\n")
  replace_block(document, "table", "new\n")
  assert document.read_text() == "before\n<!-- begin table -->\nnew\n<!-- end table -->\nafter\n"
  with pytest.raises(UserError, match="no block"):
    replace_block(document, "nosuch", "new\n")


def test_a_folder_of_documents_is_asked_before_anything_is_measured(tmp_path):
  (tmp_path / "page.md").write_text("<!-- begin table -->\n<!-- end table -->\n")
  assert docs_folder(None, "page.md", "table") is None
  assert docs_folder(str(tmp_path), "page.md", "table") == tmp_path
  for document, block in (("other.md", "table"), ("page.md", "nosuch")):
    with pytest.raises(UserError, match=rf"--docs: .*{document} with a block '{block}' is missing; allowed: the proj"):
      docs_folder(str(tmp_path), document, block)
