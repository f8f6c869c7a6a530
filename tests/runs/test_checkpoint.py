"""Files of arrays and checkpoints: what is read is what was written, or one line says what is wrong."""

import itertools
import os
import pathlib
import shutil
import signal
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
from gippo_jax.runs.history import History

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


def history(run_seconds=1.0, compile_seconds=0.5):
  return History(run_seconds=run_seconds, compile_seconds=compile_seconds, precision="float64")


def epochs_in(folder: pathlib.Path):
  return sorted(int(file.stem) for file in folder.glob("*.ckpt"))


def test_the_two_newest_are_kept_and_the_newest_is_read(tmp_path, states):
  for epoch in (1, 2, 10):
    checkpoint.save(tmp_path, Checkpoint(states, epoch, history(1.5, 0.5)))
  assert epochs_in(tmp_path) == [2, 10]
  found = checkpoint.restore(tmp_path, states)
  assert (found.epoch, found.history) == (10, history(1.5, 0.5))
  assert_same(found.states, states)


def test_what_is_saved_is_not_saved_again(tmp_path, states):
  checkpoint.save(tmp_path, Checkpoint(states, 7, history(1.0, 0.5)))
  before = (tmp_path / "7.ckpt").stat().st_mtime_ns
  checkpoint.save(tmp_path, Checkpoint(states, 7, history(2.0, 0.5)))
  assert (tmp_path / "7.ckpt").stat().st_mtime_ns == before


def test_the_one_of_the_best_return_is_kept_too(tmp_path, states):
  """Broken by keeping the newest alone: epoch 2's is gone."""
  for epoch, mean in ((1, -5.0), (2, -1.0), (3, -4.0), (4, -3.0), (5, -2.0)):
    returns = states.returns.replace(mean=jnp.full((2,), mean), finished=jnp.ones((2,), jnp.int32))
    checkpoint.save(tmp_path, Checkpoint(states.replace(returns=returns), epoch, history()))
  assert epochs_in(tmp_path) == [2, 4, 5]


def test_a_damaged_checkpoint_gives_way_to_the_one_before_it_and_is_set_aside(tmp_path, states):
  """Broken by reading without the checksum: epoch 2's comes back with another number.

  It is set aside, since an epoch that is saved already is not saved again.
  """
  for epoch in (1, 2):
    checkpoint.save(tmp_path, Checkpoint(states, epoch, history()))
  damage(tmp_path / "2.ckpt")
  told = []
  assert checkpoint.restore(tmp_path, states, told.append).epoch == 1
  (line,) = told
  assert "2.ckpt is damaged" in line
  assert "going on from the checkpoint before it, of epoch 1" in line
  assert sorted(file.name for file in tmp_path.iterdir()) == ["1.ckpt", "2.ckpt.damaged"]
  damage(tmp_path / "1.ckpt")
  with pytest.raises(UserError, match=r"1\.ckpt is damaged"):
    checkpoint.restore(tmp_path, states, told.append)
  assert epochs_in(tmp_path) == [1]  # nothing is touched when nothing takes its place


def damage(file):
  content = bytearray(file.read_bytes())
  content[-3] ^= 16
  file.write_bytes(bytes(content))


def test_a_checkpoint_under_another_epochs_name_is_damage(tmp_path, states):
  checkpoint.save(tmp_path, Checkpoint(states, 1, history()))
  (tmp_path / "1.ckpt").rename(tmp_path / "5.ckpt")
  with pytest.raises(UserError, match=r"5.ckpt holds epoch 1"):
    checkpoint.restore(tmp_path, states, print)


def test_another_precision_is_refused(tmp_path, states):
  """Broken by not recording it: the arrays' types speak, of no precision."""
  checkpoint.save(tmp_path, Checkpoint(states, 1, history()._replace(precision="float32")))
  with pytest.raises(UserError, match="was trained in float32, this process computes in float64; allowed: JAX_ENABLE"):
    checkpoint.restore(tmp_path, states, print)


@pytest.mark.filterwarnings("ignore")  # of the fork: the child runs nothing of JAX's
def test_a_kill_in_any_system_call_of_a_save_leaves_a_whole_checkpoint(tmp_path, states):
  """A child of its own saves, and dies in its n-th call that changes a file; every n until it lives.

  Broken by removing older ones before the new one is there: no checkpoint is left.
  """
  host = jax.device_get(states.replace(key=jax.random.key_data(states.key)))
  checkpoint.save(tmp_path, Checkpoint(host, 1, history()))
  checkpoint.save(tmp_path, Checkpoint(host, 2, history()))
  for call in range(1, 100):
    folder = tmp_path.with_name(f"killed_{call}")
    shutil.copytree(tmp_path, folder)
    if survives(folder, Checkpoint(host, 3, history()), call):
      break
    whole = [epoch for epoch in epochs_in(folder) if checkpoint.read(folder / f"{epoch}.ckpt", epoch, host)]
    assert whole in ([1, 2], [1, 2, 3], [2, 3])
  assert 5 < call < 99
  assert epochs_in(folder) == [2, 3]


def survives(folder, new, dies_in):
  """Saves in a child that is killed in its n-th call of os.fsync, os.replace, os.unlink or write."""
  pid = os.fork()
  if pid:
    _, status = os.waitpid(pid, 0)
    return status == 0
  calls = itertools.count(1)

  def dying(function):
    def wrapped(*arguments, **options):
      if next(calls) == dies_in:
        os.kill(os.getpid(), signal.SIGKILL)
      return function(*arguments, **options)

    return wrapped

  for name in ("fsync", "replace", "unlink"):
    setattr(os, name, dying(getattr(os, name)))
  pathlib.Path.unlink = dying(pathlib.Path.unlink)
  pathlib.Path.open = dying(pathlib.Path.open)
  checkpoint.save(folder, new)
  os._exit(0)


def test_a_checkpoint_is_quick(tmp_path, states):
  """De Jong-1's takes 2 to 4 ms on a quiet machine, of which the disk has its share; here a generous bound."""
  checkpoint.save(tmp_path, Checkpoint(states, 0, history(1.0, 0.5)))
  times = []
  for epoch in range(1, 6):
    begin = time.perf_counter()
    checkpoint.save(tmp_path, Checkpoint(states, epoch, history(1.0, 0.5)))
    times.append(time.perf_counter() - begin)
  assert min(times) < 0.05
