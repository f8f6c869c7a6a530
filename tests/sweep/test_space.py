"""What may be swept, how it is read, and who trains with whom."""

import pytest

from gippo_jax.config import Config, RunConfig
from gippo_jax.errors import UserError
from gippo_jax.parsing import Experiment
from gippo_jax.sweep.plan import Memory, chunk_length, cut, group_members, make_members, measure_memory, stack
from gippo_jax.sweep.results import rank
from gippo_jax.sweep.space import LogUniform, Uniform, assignments, check_space, expand, load_space, parse_grid

BASE = Experiment(Config(), RunConfig(seed=3, num_seeds=2), {"name": "dejong", "dimension": 1})


def test_a_grid_is_read():
  assert parse_grid("alpha.initial=1e-5,1e-4; config.algorithm=ppo,gippo;actor.units=(8,),(32, 32)") == {
    "alpha.initial": [1e-5, 1e-4],
    "algorithm": ["ppo", "gippo"],
    "actor.units": [(8,), (32, 32)],
  }


BAD_SPACES = {
  "no such field": ({"alpha.nosuch": [1]}, False, "config.alpha.nosuch is not a field; known: rule, initial"),
  "no such group": ({"nosuch.rate": [1]}, False, "config.nosuch is not a field; known: algorithm"),
  "a group": ({"alpha": [1]}, False, "config.alpha: a group is not allowed"),
  "the host's": ({"num_seeds": [1, 2]}, False, "config.num_seeds: not allowed in a sweep; allowed: --config.num_seeds"),
  "empty": (
    {"alpha.initial": []},
    False,
    "an empty list is not allowed; allowed: one value or more, each a number > 0",
  ),
  "no list": ({"alpha.initial": 1e-3}, False, "0.001 is not allowed; allowed: a list of values"),
  "twice": ({"alpha.initial": [1e-3, 1e-3]}, False, "allowed: values that differ"),
  "upside down": (
    {"alpha.initial": Uniform(2, 1)},
    True,
    "Uniform(low=2, high=1) is not allowed; allowed: a range with",
  ),
  "not positive": ({"alpha.initial": LogUniform(0, 1)}, True, "allowed: a range with 0 < low < high"),
  "not numbers": ({"alpha.initial": Uniform("a", "b")}, True, "allowed: a range with low < high"),
  "static": ({"horizon": Uniform(1, 8)}, True, "allowed: a list of values, since the field is static"),
  "environment": ({"env.dimension": Uniform(1, 8)}, True, "allowed: a list of values, since the field is static"),
  "range in a grid": ({"alpha.initial": Uniform(1, 2)}, False, "not allowed in a grid; allowed: a list of values, or"),
}


@pytest.mark.parametrize("case", BAD_SPACES, ids=str)
def test_a_bad_space_is_refused(case):
  space, random, words = BAD_SPACES[case]
  with pytest.raises(UserError) as error:
    check_space(space, random)
  assert words in str(error.value)
  assert "\n" not in str(error.value)


@pytest.mark.parametrize(
  ("text", "words"),
  [
    ("", "is empty"),
    (" ; ", "is empty"),
    ("alpha.initial", "allowed: FIELD=VALUE,VALUE"),
    ("horizon=1;horizon=2", "horizon is given twice"),
  ],
)
def test_a_grid_that_cannot_be_read_is_refused(text, words):
  with pytest.raises(UserError, match=words):
    parse_grid(text)


def test_values_and_their_combinations_are_checked():
  with pytest.raises(UserError, match=r"config.alpha.initial: -1 is not allowed; allowed: a number > 0"):
    expand(BASE, [{"alpha.initial": 1e-3}, {"alpha.initial": -1}])
  with pytest.raises(UserError, match="divisor of num_envs"):
    expand(BASE, [{"num_envs": 48, "algorithm": "ppo"}])


def test_a_sweep_file_is_read(tmp_path):
  file = tmp_path / "sweep.py"
  text = "from gippo_jax.sweep import LogUniform\ndef get_sweep():\n  return {}"
  file.write_text(text.format('{"alpha.initial": LogUniform(1e-5, 1e-2), "horizon": [1, 4]}'))
  space = load_space(str(file))
  assert space == {"alpha.initial": LogUniform(1e-5, 1e-2), "horizon": [1, 4]}
  drawn = assignments(space, 200, 7)
  assert drawn == assignments(space, 200, 7)
  assert drawn != assignments(space, 200, 8)
  alphas = sorted(setting["alpha.initial"] for setting in drawn)
  assert 1e-5 < alphas[0] < 2e-5 < 5e-3 < alphas[-1] < 1e-2
  assert 1e-4 < alphas[100] < 1e-3  # the middle of the logarithms
  assert {setting["horizon"] for setting in drawn} == {1, 4}
  for broken, words in ((text.format("{}"), "returns {}"), ("x = 1", "AttributeError"), ("def", "SyntaxError")):
    file.write_text(broken)
    with pytest.raises(UserError, match=words):
      load_space(str(file))
  with pytest.raises(UserError, match="is not a file"):
    load_space(str(tmp_path / "nosuch.py"))


def test_traced_fields_share_a_group_and_static_ones_make_groups():
  space = parse_grid("alpha.initial=1e-5,1e-4;horizon=1,2;env.dimension=1,2")
  settings = assignments(space, None, 0)
  members = make_members(expand(BASE, settings), settings)
  assert len(members) == 16
  assert [member.index for member in members] == list(range(16))
  assert len({member.folder for member in members}) == 16
  assert members[1].folder == "0001_alpha.initial=1e-05_horizon=1_env.dimension=1_seed=4"
  assert (members[1].experiment.run.num_seeds, members[1].experiment.run.seed, members[1].seed) == (1, 4, 4)
  groups = group_members(members)
  assert [len(group) for group in groups] == [4, 4, 4, 4]
  assert stack(groups[0]).alpha.initial.tolist() == [1e-5, 1e-5, 1e-4, 1e-4]
  for group in groups:
    assert len({(member.experiment.config.horizon, member.experiment.env["dimension"]) for member in group}) == 1


def test_chunks_are_even_and_fit():
  assert chunk_length(72, None, 2) == 72
  assert chunk_length(300, None, 2) == 150
  assert chunk_length(600, None, 4) == 200
  assert chunk_length(5, None, 2) == 5
  assert chunk_length(10, 4, 2) == 4
  assert [len(chunk) for chunk in cut(list(range(10)), 4)] == [4, 4, 2]
  memory = measure_memory({"state": 600, "temporary": 400}, 10, 2, 1000.0)
  assert memory == Memory(needed=2000, available=1000, num_members=10)
  assert not memory.fits
  assert memory.most_members == 5
  with pytest.raises(UserError, match=r"--members-per-chunk: 10 is not allowed.*allowed: at most 5"):
    memory.require(10)
  assert measure_memory({"state": 600, "temporary": 400}, 10, 2, None).fits


def test_settings_with_diverged_seeds_come_last():
  def entry(setting, diverged, mean):
    return {"setting": setting, "diverged": diverged, "best_return": {"mean": mean}}

  entries = [entry(0, 0, 1.0), entry(1, 1, 9.0), entry(2, 0, 3.0), entry(3, 2, None)]
  assert [one["setting"] for one in rank(entries, "best_return")] == [2, 0, 1]
