"""Files of arrays and checkpoints: what is read is what was written, or one line says what is wrong."""

import pathlib
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gippo_jax import envs
from gippo_jax.config import Config, traced
from gippo_jax.errors import UserError
from gippo_jax.programs.epochs import make_epochs
from gippo_jax.runs import checkpoint
from gippo_jax.runs.arrays import named_leaves, read_arrays, read_npz, restore_tree, write_arrays, write_npz
from gippo_jax.runs.checkpoint import Checkpoint

DTYPES = ["float64", "float32", "float16", "bfloat16", "int32", "int8", "uint32", "bool"]


class Pair(NamedTuple):
  first: object
  second: object


def tree_of_everything():
  return {
    "numbers": Pair(jnp.arange(6.0).reshape(2, 3), jnp.ones((4,), jnp.bfloat16)),
    "empty": jnp.zeros((0, 5)),
    "none": None,
    "nothing": {},
    "scalar": jnp.asarray(3, jnp.int8),
    "flags": [jnp.asarray([True, False]), jnp.asarray(False)],
    "keys": {"old": jax.random.split(jax.random.key(1), 3), "rbg": jax.random.key(2, impl="rbg")},
  }


def assert_same(actual, expected):
  assert jax.tree.structure(actual) == jax.tree.structure(expected)
  for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    is_key = jnp.issubdtype(a.dtype, jax.dtypes.prng_key)
    a, b = (np.asarray(jax.random.key_data(x) if is_key else x) for x in (a, b))
    assert a.tobytes() == b.tobytes()


def test_everything_comes_back_bit_for_bit(tmp_path):
  tree = tree_of_everything()
  write_arrays(tmp_path / "file", named_leaves(tree), {"epoch": 3})
  leaves, metadata = read_arrays(tmp_path / "file")
  assert metadata == {"epoch": 3}
  assert {"numbers/first", "numbers/second", "empty", "flags/0", "keys/old", "keys/rbg"} <= set(leaves)
  assert_same(restore_tree(tmp_path / "file", leaves, tree), tree)
  shapes = jax.eval_shape(lambda: tree)  # shapes suffice
  assert_same(restore_tree(tmp_path / "file", leaves, shapes), tree)
  assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_trees_come_back(tmp_path, data):
  shapes = st.lists(st.integers(0, 4), max_size=3)
  entries = data.draw(st.lists(st.tuples(st.sampled_from(DTYPES), shapes), min_size=1, max_size=5))
  generator = np.random.default_rng(0)
  tree = {}
  for index, (name, shape) in enumerate(entries):
    dtype = np.dtype(getattr(ml_dtypes, name)) if name == "bfloat16" else np.dtype(name)
    tree[f"leaf {index}"] = generator.integers(0, 2, shape).astype(dtype)
  write_arrays(tmp_path / "file", named_leaves(tree), {})
  assert_same(restore_tree(tmp_path / "file", read_arrays(tmp_path / "file")[0], tree), jax.tree.map(jnp.asarray, tree))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
  folder = tmp_path_factory.mktemp("written")
  write_arrays(folder / "file", named_leaves(tree_of_everything()), {"epoch": 3})
  write_npz(folder / "policy.npz", {"a": jnp.arange(5.0), "b": jnp.zeros((0,))}, {"seed": 1})
  return folder


def check_line(text, path):
  assert "\n" not in text
  assert str(path) in text


@settings(max_examples=150)
@given(data=st.data())
@pytest.mark.parametrize("name", ["file", "policy.npz"])
def test_no_damage_is_read_in_silence(written, name, data):
  """A bit that is flipped, bytes cut off or put in, anywhere: one line, or what was written."""
  content = (written / name).read_bytes()
  place = data.draw(st.integers(0, len(content) - 1))
  kind = data.draw(st.sampled_from(["flip", "cut", "insert", "garbage"]))
  if kind == "flip":
    changed = bytearray(content)
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
  elif kind == "cut":
    changed = content[:place]
  elif kind == "insert":
    changed = content[:place] + data.draw(st.binary(min_size=1, max_size=9)) + content[place:]
  else:
    changed = data.draw(st.binary(max_size=300))
  damaged = written / f"damaged_{name}"
  damaged.write_bytes(bytes(changed))
  read = read_arrays if name == "file" else read_npz
  try:
    leaves, metadata = read(damaged)
  except UserError as caught:
    check_line(str(caught), damaged)
    return
  # An archive has bytes of which nothing depends, such as the times of its entries.
  assert name == "policy.npz"
  expected, expected_metadata = read(written / name)
  assert metadata == expected_metadata
  assert all(np.array_equal(leaves[leaf], array) for leaf, array in expected.items())


def mismatches():
  tree = tree_of_everything()
  return {
    "missing": (tree | {"more": jnp.zeros(2)}, "more is missing"),
    "unexpected": ({k: v for k, v in tree.items() if k != "scalar"}, "it holds scalar, which this run has not"),
    "shape": (tree | {"empty": jnp.zeros((1, 5))}, r"empty is float64\[0, 5\], float64\[1, 5\] was expected"),
    "type": (tree | {"scalar": jnp.asarray(3, jnp.int16)}, r"scalar is int8\[\], int16\[\] was expected"),
    "key for number": (tree | {"scalar": jax.random.key(0)}, "scalar holds numbers, random keys of"),
    "other keys": (
      tree | {"keys": {"old": jax.random.key(0, impl="rbg"), "rbg": tree["keys"]["rbg"]}},
      "keys/old holds",
    ),
  }


@pytest.mark.parametrize("case", mismatches())
def test_the_leaf_that_does_not_fit_is_named(written, case):
  like, words = mismatches()[case]
  leaves, _ = read_arrays(written / "file")
  with pytest.raises(UserError, match=words):
    restore_tree(written / "file", leaves, like)


@pytest.fixture(scope="module")
def states():
  config = Config(algorithm="lr", num_envs=4, actor={"units": (4,)}, critic={"units": (4,)})
  env = envs.make("dejong", dimension=1)
  init = jax.jit(lambda keys: jax.vmap(lambda key: make_epochs(env, config).init(key, traced(config)))(keys))
  return init(jax.random.split(jax.random.key(0), 2))


def epochs_in(folder: pathlib.Path):
  return sorted(int(file.stem) for file in folder.glob("*.ckpt"))


def test_the_two_newest_are_kept_and_the_newest_is_read(tmp_path, states):
  for epoch in (1, 2, 10):
    checkpoint.save(tmp_path, Checkpoint(states, epoch, 1.5, 0.5))
  assert epochs_in(tmp_path) == [2, 10]
  found = checkpoint.restore(tmp_path, states)
  assert (found.epoch, found.run_seconds, found.compile_seconds) == (10, 1.5, 0.5)
  assert_same(found.states, states)


def test_what_is_saved_is_not_saved_again(tmp_path, states):
  checkpoint.save(tmp_path, Checkpoint(states, 7, 1.0, 0.5))
  before = (tmp_path / "7.ckpt").stat().st_mtime_ns
  checkpoint.save(tmp_path, Checkpoint(states, 7, 2.0, 0.5))
  assert (tmp_path / "7.ckpt").stat().st_mtime_ns == before


def test_what_a_killed_writer_left_is_no_checkpoint_and_goes(tmp_path, states):
  tmp_path.joinpath("9.ckpt.123.tmp").write_bytes(b"half")
  assert checkpoint.latest_epoch(tmp_path) is None
  checkpoint.save(tmp_path, Checkpoint(states, 3, 1.0, 0.5))
  assert [file.name for file in tmp_path.iterdir()] == ["3.ckpt"]


def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(tmp_path, states):
  for epoch in (1, 2):
    checkpoint.save(tmp_path, Checkpoint(states, epoch, 1.0, 0.5))
  content = bytearray((tmp_path / "2.ckpt").read_bytes())
  content[-3] ^= 16
  (tmp_path / "2.ckpt").write_bytes(bytes(content))
  told = []
  assert checkpoint.restore(tmp_path, states, told.append).epoch == 1
  (line,) = told
  assert "2.ckpt is damaged" in line
  assert "going on from the checkpoint before it, of epoch 1" in line
  (tmp_path / "1.ckpt").unlink()
  with pytest.raises(UserError, match=r"2\.ckpt is damaged"):
    checkpoint.restore(tmp_path, states, told.append)


def test_a_checkpoint_under_another_epochs_name_is_refused(tmp_path, states):
  checkpoint.save(tmp_path, Checkpoint(states, 1, 1.0, 0.5))
  (tmp_path / "1.ckpt").rename(tmp_path / "5.ckpt")
  with pytest.raises(UserError, match=r"5.ckpt holds epoch 1"):
    checkpoint.restore(tmp_path, states, print)


def test_a_checkpoint_is_quick(tmp_path, states):
  """De Jong-1's takes 2 to 4 ms on a quiet machine, of which the disk has its share; here a generous bound."""
  checkpoint.save(tmp_path, Checkpoint(states, 0, 1.0, 0.5))
  times = []
  for epoch in range(1, 6):
    begin = time.perf_counter()
    checkpoint.save(tmp_path, Checkpoint(states, epoch, 1.0, 0.5))
    times.append(time.perf_counter() - begin)
  assert min(times) < 0.05
