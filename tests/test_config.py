"""Configurations: checks at the door, groups that belong to algorithms, what is traced and what is static."""

import contextlib
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from hypothesis import given, settings
from hypothesis import strategies as st

from gippo_jax import registry
from gippo_jax.config import Config, RunConfig, traced
from gippo_jax.errors import UserCodeError, UserError
from gippo_jax.fields import Allowed, Real, real
from gippo_jax.parsing import Experiment, allowed_values, default_config, parse
from gippo_jax.registry import AlgorithmSpec, register
from tests.configs import ALGORITHMS

REFUSED = {
  "choice": ({"algorithm": "sarsa"}, r"config.algorithm: 'sarsa' is not allowed; allowed: one of lr, rp"),
  "no field": ({"nosuch": 1}, "config.nosuch is not a field"),
  "no field of a group": ({"ppo": {"nosuch": 1}}, "config.ppo.nosuch is not a field; known: learning_rate"),
  "foreign group": (
    {"algorithm": "gippo", "rp": {"learning_rate": 0.1}},
    "config.rp: gippo has no such group, it belongs to rp; allowed: config.alpha, config.safe, config.ppo",
  ),
  "not a group": ({"ppo": 3}, "config.ppo: 3 is not allowed; allowed: PPOConfig or a dictionary"),
  "a decay of 1": ({"adam": {"beta1": 1}}, r"config.adam.beta1: 1 is not allowed; allowed: a number >= 0 and < 1"),
  "another decay of 1": ({"adam": {"beta2": 1.0}}, "config.adam.beta2: 1.0"),
  "the surrogate's decay": ({"ppo": {"beta1": 1.0}}, "config.ppo.beta1: 1.0"),
  "more than 32 bits": ({"horizon": 2**31}, "config.horizon: 2147483648 is not allowed; allowed: an integer >= 1"),
  "half an integer": ({"horizon": 1.5}, "config.horizon: 1.5"),
  "a truth value": ({"horizon": True}, "config.horizon: True"),
  "window": ({"num_envs": 1}, "config.num_envs: 1 is not allowed with horizon 1"),
  "minibatch": ({"ppo": {"minibatch_size": 48}}, "48 is not allowed; allowed: a divisor of num_envs \\* horizon = 64"),
  "alpha": ({"alpha": {"initial": 2.0}}, "at most alpha.maximum = 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_configuration_from_python_is_checked_as_the_command_lines(case):
  values, message = REFUSED[case]
  with pytest.raises(UserError, match=message) as caught:
    Config(**values)
  assert "\n" not in str(caught.value)


def test_groups_are_dictionaries_or_objects():
  config = Config(num_envs=1e2, ppo={"minibatch_size": 50}, critic=Config().critic.replace(units=(3,)))
  assert (config.num_envs, config.ppo.minibatch_size, config.critic.units) == (100, 50, (3,))
  assert Config(ppo=config.ppo, num_envs=100).ppo == config.ppo
  with pytest.raises(AttributeError, match="has no rp"):
    _ = config.rp


def test_another_algorithm_brings_its_own_groups():
  config = Config(ppo={"clip_range": 0.3})
  changed = config.replace(algorithm="ppo")
  assert set(changed.own) == {"ppo", "retry", "optimism"}
  assert changed.ppo.clip_range == 0.3
  with pytest.raises(UserError, match="it belongs to gippo"):
    changed.replace(alpha=config.alpha)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_configuration_is_a_pytree_of_its_real_numbers(algorithm):
  config = Config(algorithm=algorithm, horizon=4)
  leaves, structure = jax.tree.flatten(config)
  assert jax.tree.unflatten(structure, leaves) == config
  other = config.replace(num_epochs=7, discount=0.5)
  assert jax.tree.structure(other) == structure
  assert jax.tree.structure(config.replace(horizon=2)) != structure
  assert all(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(traced(config)))
  doubled = jax.jit(lambda c: c.replace(discount=2.0 * c.discount))(traced(config))
  np.testing.assert_allclose(doubled.discount, 2.0 * config.discount)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_written_reads_as_itself(algorithm):
  experiment = Experiment(Config(algorithm=algorithm, horizon=4), RunConfig(seed=3), {"name": "dejong", "dimension": 2})
  assert parse(experiment.to_dict()) == experiment
  preset = default_config()
  preset.algorithm, preset.horizon, preset.env.name = algorithm, 4, "dejong"
  assert parse(preset).config == Config(algorithm=algorithm, horizon=4)


def test_seeds_have_32_bits():
  base = Experiment(Config(), RunConfig(), {"name": "dejong"}).to_dict()
  assert parse({**base, "seed": 2**32 - 1}).run.seed == 2**32 - 1
  with pytest.raises(UserError, match=r"config\.seed: 4294967296"):
    parse({**base, "seed": 2**32})
  with pytest.raises(UserError, match=r"config\.num_seeds: 2 is not allowed with seed 4294967295"):
    parse({**base, "seed": 2**32 - 1, "num_seeds": 2})


plain = st.recursive(
  st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
  lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
  max_leaves=5,
)


@settings(max_examples=200)
@given(name=st.sampled_from([*Config().__dict__, "alpha", "ppo", "rp", "seed", "env", "nosuch"]), value=plain)
def test_garbage_is_refused_in_one_line_or_read(name, value):
  values = {**Experiment(Config(), RunConfig(), {"name": "dejong"}).to_dict(), name: value}
  with contextlib.suppress(UserError):
    assert isinstance(parse(values), Experiment)


@settings(max_examples=200)
@given(text=st.text(max_size=12), kind=st.sampled_from(["integer", "real", "switch", "sizes", "text", "texts"]))
def test_any_text_of_the_command_line_is_read_or_refused(text, kind):
  allowed = Allowed(kind)
  with contextlib.suppress(ValueError):
    assert allowed.check(allowed.read(text)) == allowed.read(text)


class MineConfig(struct.PyTreeNode):
  """The hyper-parameters of an algorithm that is not ours."""

  strength: Real = real(0.5, "of something", above=0)


@pytest.fixture
def mine():
  spec = register(AlgorithmSpec("mine", "Mine", {"mine": MineConfig}, lambda setup: None))
  yield spec
  del registry._specs["mine"]


def test_a_registered_algorithm_has_its_fields_everywhere(mine):
  assert Config(algorithm="mine", mine={"strength": 2.0}).mine.strength == 2.0
  assert allowed_values("mine.strength") == "a number > 0"
  assert default_config().mine.strength == 0.5
  assert registry.plugin_of("mine") == __name__
  assert registry.plugin_of("gippo") is None
  with pytest.raises(UserError, match=r"algorithm 'mine' is registered already, by tests\.test_config"):
    register(mine)
  with pytest.raises(UserError, match="its group 'ppo' is another class in 'ppo'"):
    register(AlgorithmSpec("yours", "Yours", {"ppo": MineConfig}, lambda setup: None))


def test_fields_that_would_be_ignored_are_refused(mine):
  registry.require_used(["horizon", "critic.units", "ppo.clip_range", "env.name"], Config(algorithm="gippo"))
  with pytest.raises(UserError, match=r"config\.mine\.strength is a field of mine and does nothing under gippo"):
    registry.require_used(["mine.strength"], Config(algorithm="gippo"))


def test_a_plugin_that_cannot_be_imported_is_told(tmp_path, monkeypatch):
  monkeypatch.syspath_prepend(tmp_path)
  with pytest.raises(UserError, match="there is no module 'no_such_plugin'"):
    registry.load(["no_such_plugin"])
  (tmp_path / "broken_plugin.py").write_text("import no_such_package\n")
  with pytest.raises(UserCodeError, match="broken_plugin raised ModuleNotFoundError") as caught:
    registry.load(["broken_plugin"])
  assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_every_field_says_what_it_is():
  groups = [RunConfig, *registry.groups().values(), type(Config().actor), type(Config().critic)]
  for cls in groups:
    for field in dataclasses.fields(cls):
      assert field.metadata["allowed"].doc


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("ppo.learning_rate", 1e-60),  # 0 as a 32-bit float: nothing would move
    ("ppo.learning_rate", 1e39),  # infinite
    ("adam.beta1", 0.99999999999),  # 1, which is not below 1
    ("discount", 1e-50),  # 0, which is not above 0
    ("max_gradient_norm", 10**400),  # beyond all floats
  ],
)
def test_bounds_hold_in_32_bits(name, value):
  """Broken by checking Python's floats alone: training would do nothing, in silence."""
  group, _, field = name.rpartition(".")
  with pytest.raises(UserError, match=f"config.{name}: .* is not allowed; allowed: a number"):
    Config(**({group: {field: value}} if group else {field: value}))
  assert Config(adam={"beta1": 0.0}).adam.beta1 == 0.0
