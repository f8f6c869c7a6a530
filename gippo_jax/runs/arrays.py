"""Files of named arrays: what is in them is verified byte by byte before it is used, and nothing is unpickled.

A file is a header and the arrays' raw bytes:

  magic, version | length of the header | checksum of both and the header | header (JSON) | bytes of the leaves

The header names every leaf by its path in the state (`states/actor/dense_0/kernel`), with shape, type, place, length
and checksum; the leaves lie side by side without a gap, so that every byte of the file is covered by a checksum.
"""

import io
import json
import pathlib
import struct
import zlib
from collections.abc import Mapping
from typing import BinaryIO, NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np

import gippo_jax
from gippo_jax.envs.base import PyTree
from gippo_jax.errors import UserError
from gippo_jax.plain import Plain
from gippo_jax.runs.files import replace_file

FORMAT = 1
_MAGIC = b"GIPPOJAX"
_PREFIX = struct.Struct("<8sIQI")  # magic, format, length of the header, checksum
_WIDE_TYPES = {name: np.dtype(getattr(ml_dtypes, name)) for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2")}
_HEADER_ENTRY = "__header__"

Metadata = Plain  # JSON


class DamagedFile(UserError):
  """A file that cannot be what was written."""


class Leaf(NamedTuple):
  """An array in a file.

  Attributes:
    array: its numbers; of random keys, their data.
    key: implementation of random keys, e.g. `threefry2x32`; `None` for other arrays.
  """

  array: np.ndarray
  key: str | None


def leaf_name(path: tuple) -> str:
  """A leaf's path, as `jax.tree_util` has it, in words: `actor/dense_0/kernel`."""
  return "/".join(str(getattr(entry, "name", getattr(entry, "key", getattr(entry, "idx", entry)))) for entry in path)


def named_leaves(tree: PyTree) -> dict[str, Leaf]:
  """The leaves of a tree on the host, by name."""
  paths, _ = jax.tree_util.tree_flatten_with_path(tree)
  keys = [_key_implementation(leaf) for _, leaf in paths]
  raw = [jax.random.key_data(leaf) if key else leaf for (_, leaf), key in zip(paths, keys, strict=True)]
  arrays = [np.asarray(leaf) for leaf in jax.device_get(raw)]  # all at once
  named = {leaf_name(path): Leaf(array, key) for (path, _), array, key in zip(paths, arrays, keys, strict=True)}
  if len(named) < len(paths):
    raise ValueError("two leaves of the state have the same name")
  return named


def write_arrays(path: pathlib.Path, leaves: Mapping[str, Leaf], metadata: Metadata) -> None:
  """Writes arrays at once: whoever looks sees the old file or the new one, also after a power cut.

  Args:
    path: the file; its folder exists.
    leaves: from `named_leaves`.
    metadata: plain data.

  Raises:
    OSError: when it cannot be written; the old file, if any, is untouched.
  """
  replace_file(path, lambda file: dump_arrays(file, leaves, metadata))


def dump_arrays(file: BinaryIO, leaves: Mapping[str, Leaf], metadata: Metadata) -> None:
  """What `write_arrays` writes, into an open file."""
  buffers = [np.ascontiguousarray(leaf.array).reshape(-1).view(np.uint8) for leaf in leaves.values()]
  header = _header(leaves, buffers, metadata)
  text = json.dumps(header, allow_nan=False, separators=(",", ":")).encode()
  start = _PREFIX.pack(_MAGIC, FORMAT, len(text), 0)
  file.write(_PREFIX.pack(_MAGIC, FORMAT, len(text), zlib.crc32(text, zlib.crc32(start))) + text)
  for buffer in buffers:
    file.write(buffer.data)


def read_header(path: pathlib.Path) -> Metadata:
  """The metadata of a file that `write_arrays` wrote.

  Raises:
    DamagedFile: when the file cannot be read as one.
  """
  with _opened(path) as file:
    return _read_header(path, file)["metadata"]


def read_arrays(path: pathlib.Path) -> tuple[dict[str, Leaf], Metadata]:
  """Everything in a file that `write_arrays` wrote, verified.

  Raises:
    DamagedFile: when the file is not what was written.
  """
  with _opened(path) as file:
    return load_arrays(path, file)


def load_arrays(path: pathlib.Path, file: BinaryIO) -> tuple[dict[str, Leaf], Metadata]:
  """As `read_arrays`, from an open file; `path` is its name in messages."""
  header = _read_header(path, file)
  leaves = {}
  for entry in header["leaves"]:
    data = file.read(entry["bytes"])
    if len(data) != entry["bytes"]:
      raise DamagedFile(f"{path} is damaged: it ends within {entry['name']}")
    leaves[entry["name"]] = _leaf(path, entry, data)
  if file.read(1):
    raise DamagedFile(f"{path} is damaged: there is more in it than its header says")
  return leaves, header["metadata"]


def write_npz(path: pathlib.Path, tree: PyTree, metadata: Metadata) -> None:
  """Writes a small tree as a NumPy archive, which `numpy.load` opens; names, metadata and checksums lie beside.

  Args:
    path: the file; its folder exists.
    tree: arrays without random keys.
    metadata: plain data.

  Raises:
    OSError: when it cannot be written; the old file, if any, is untouched.
  """
  leaves = named_leaves(tree)
  buffers = [np.ascontiguousarray(leaf.array).reshape(-1).view(np.uint8) for leaf in leaves.values()]
  text = json.dumps(_header(leaves, buffers, metadata), allow_nan=False).encode()
  arrays = {name: leaf.array for name, leaf in leaves.items()}
  entry = np.frombuffer(text + struct.pack("<I", zlib.crc32(text)), np.uint8)

  def write(file):
    np.savez(file, **({_HEADER_ENTRY: entry} | arrays))  # pyright: ignore[reportArgumentType]

  replace_file(path, write)


def read_npz(path: pathlib.Path) -> tuple[dict[str, np.ndarray], Metadata]:
  """Arrays and metadata of a file that `write_npz` wrote, verified.

  Raises:
    DamagedFile: when the file is not what was written, or of another version.
  """
  try:
    content = path.read_bytes()
  except OSError as error:
    raise UserError(f"{path} cannot be read ({error.strerror}); allowed: a file that a run wrote") from None
  try:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
      arrays = {name: archive[name] for name in archive.files}
  except Exception:  # whatever NumPy and its zip reader make of other bytes
    raise DamagedFile(f"{path} is damaged: it is not an archive of arrays; allowed: a file that a run wrote") from None
  entry = arrays.pop(_HEADER_ENTRY, np.zeros(0, np.uint8)).tobytes()
  text = entry[:-4]
  if len(entry) < 4 or struct.unpack("<I", entry[-4:])[0] != zlib.crc32(text):
    raise DamagedFile(f"{path} is damaged: its header is not what was written")
  header = _parse_header(path, text)
  expected = {entry["name"]: entry for entry in header["leaves"]}
  for name in [*expected, *arrays]:
    if name not in arrays or name not in expected:
      raise DamagedFile(f"{path} is damaged: {name} is {'missing' if name in expected else 'none of its leaves'}")
    array = np.ascontiguousarray(arrays[name])
    _leaf(path, expected[name], array.reshape(-1).view(np.uint8).tobytes())
  return arrays, header["metadata"]


def restore_tree(path: pathlib.Path, leaves: Mapping[str, Leaf], like: PyTree, prefix: str = "") -> PyTree:
  """The tree that a file's leaves make.

  Args:
    path: of the file, for messages.
    leaves: from `read_arrays`.
    like: of the expected structure, shapes and types; only those are used.
    prefix: of the leaves' names in the file; leaves without it do not count.

  Raises:
    UserError: naming the first leaf that does not fit.
  """
  paths, structure = jax.tree_util.tree_flatten_with_path(like)
  expected = {prefix + leaf_name(place): shape for place, shape in paths}
  for name in leaves:
    if name.startswith(prefix) and name not in expected:
      raise UserError(f"{path} does not fit: it holds {name}, which this run has not")
  return jax.tree.unflatten(structure, [_fitting(path, name, leaves, shape) for name, shape in expected.items()])


def _fitting(path: pathlib.Path, name: str, leaves: Mapping[str, Leaf], like: jax.ShapeDtypeStruct) -> jax.Array:
  found = leaves.get(name)
  if found is None:
    raise UserError(f"{path} does not fit: {name} is missing")
  implementation = _key_implementation(like)
  if found.key != implementation:
    kinds = [f"random keys of {key}" if key else "numbers" for key in (found.key, implementation)]
    raise UserError(f"{path} does not fit: {name} holds {kinds[0]}, {kinds[1]} were expected")
  array = found.array
  shape = array.shape[: len(like.shape)] if implementation else array.shape
  dtype = like.dtype if implementation is None else array.dtype
  if shape != tuple(like.shape) or array.dtype != dtype:
    raise UserError(
      f"{path} does not fit: {name} is {array.dtype}{list(array.shape)}, {dtype}{list(like.shape)} was expected"
    )
  return jax.random.wrap_key_data(jnp.asarray(array), impl=implementation) if implementation else jnp.asarray(array)


def _key_implementation(leaf: object) -> str | None:
  dtype = getattr(leaf, "dtype", None)
  if dtype is None or not jnp.issubdtype(dtype, jax.dtypes.prng_key):
    return None
  return dtype._impl.name if not isinstance(leaf, jax.Array) else str(jax.random.key_impl(leaf))


def _header(leaves: Mapping[str, Leaf], buffers: list[np.ndarray], metadata: Metadata) -> dict:
  return {
    "package": gippo_jax.__version__,
    "format": FORMAT,
    "metadata": metadata,
    "leaves": [
      {
        "name": name,
        "shape": list(leaf.array.shape),
        "dtype": leaf.array.dtype.name,
        "key": leaf.key,
        "bytes": buffer.size,
        "checksum": zlib.crc32(buffer.data),
      }
      for (name, leaf), buffer in zip(leaves.items(), buffers, strict=True)
    ],
  }


def _read_header(path: pathlib.Path, file: BinaryIO) -> dict:
  start = file.read(_PREFIX.size)
  if len(start) < _PREFIX.size or not start.startswith(_MAGIC):
    raise DamagedFile(f"{path} is damaged, or no file of ours: it does not begin as one")
  magic, version, length, checksum = _PREFIX.unpack(start)
  if length > _bytes_left(file):
    raise DamagedFile(f"{path} is damaged: it ends within its header")
  text = file.read(length)
  if zlib.crc32(text, zlib.crc32(_PREFIX.pack(magic, version, length, 0))) != checksum:
    raise DamagedFile(f"{path} is damaged: its header is not what was written")
  return _parse_header(path, text)


def _bytes_left(file: BinaryIO) -> int:
  here = file.tell()
  left = file.seek(0, io.SEEK_END) - here
  file.seek(here)
  return left


def _parse_header(path: pathlib.Path, text: bytes) -> dict:
  """A header whose checksum is right is what some version wrote."""
  header = json.loads(text)
  if header.get("format") != FORMAT:
    raise UserError(
      f"{path} is of format {header.get('format')}, written by version {header.get('package')}; allowed: format "
      f"{FORMAT}"
    )
  return header


def _leaf(path: pathlib.Path, entry: dict, data: bytes) -> Leaf:
  if len(data) != entry["bytes"] or zlib.crc32(data) != entry["checksum"]:
    raise DamagedFile(f"{path} is damaged: {entry['name']} is not what was written")
  dtype = _WIDE_TYPES.get(entry["dtype"]) or np.dtype(entry["dtype"])
  return Leaf(np.frombuffer(data, dtype).reshape(entry["shape"]), entry["key"])


def _opened(path: pathlib.Path) -> BinaryIO:
  try:
    return path.open("rb")
  except OSError as error:
    raise DamagedFile(f"{path} cannot be read ({error.strerror})") from None
