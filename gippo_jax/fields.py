"""Fields of a configuration: what each takes, in words and as a check, and whether it is traced or static.

A group of hyper-parameters is a `flax.struct.PyTreeNode` whose fields are made here:

  class MyConfig(struct.PyTreeNode):
    rate: Real = real(1e-3, "step of the actor", minimum=0)
    num_passes: int = integer(4, "passes over the window", minimum=1)

Fields made by `real` are pytree leaves, traced by `jit`: a sweep stacks them for `vmap`. All others are part of the
tree's structure, hence of the compile key.
"""

import ast
import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeAlias, cast

import jax
import numpy as np
from flax import struct

from gippo_jax.errors import UserError
from gippo_jax.plain import Plain

# What a traced field holds: a number, as the user gave it; under `jit` an array.
Real: TypeAlias = float | jax.Array

# What makes a field: to a type checker it stands for the field's default, of whatever type.
FieldDefault: TypeAlias = Any
# A field of a group, of whatever type.
Field: TypeAlias = dataclasses.Field[Any]

# JAX's integers have 32 bits.
LARGEST_INTEGER = 2**31 - 1
# Below it float32 has no full precision, and many machines round to 0.
_SMALLEST_FLOAT32 = float(np.finfo(np.float32).tiny)


@dataclasses.dataclass(frozen=True)
class Allowed:
  """What a field takes: `describe()` says it, `check(value)` returns the value in its type or raises."""

  kind: str
  minimum: float | None = None
  above: float | None = None
  maximum: float | None = None
  below: float | None = None
  options: tuple[str, ...] = ()
  doc: str = ""

  def describe(self) -> str:
    """The allowed values in words."""
    if self.kind == "choice":
      return "one of " + ", ".join(self.options)
    if self.kind == "switch":
      return "True or False"
    if self.kind == "text":
      return "a text"
    if self.kind == "texts":
      return "a tuple of texts"
    if self.kind == "sizes":
      return "a non-empty tuple of integers >= 1"
    noun = "an integer" if self.kind == "integer" else "a number"
    bounds = [
      f"{sign} {_in_words(bound)}"
      for sign, bound in ((">=", self.minimum), (">", self.above), ("<=", self.maximum), ("<", self.below))
      if bound is not None and bound != LARGEST_INTEGER
    ]
    return " ".join([noun, " and ".join(bounds)]).strip()

  def check(self, value: object) -> Any:
    """Returns `value` as its type, or raises `ValueError`, whose text goes behind `describe()`."""
    if self.kind == "choice":
      return self._require(value, isinstance(value, str) and value in self.options)
    if self.kind == "text":
      return self._require(value, isinstance(value, str))
    if self.kind == "switch":
      return self._require(value, isinstance(value, bool))
    if self.kind in ("sizes", "texts"):
      if not isinstance(value, (tuple, list)):
        raise ValueError
      if self.kind == "texts":
        return self._require(tuple(value), all(isinstance(entry, str) for entry in value))
      return tuple(self._integer(entry, 1, LARGEST_INTEGER) for entry in self._require(value, len(value) > 0))
    if self.kind == "integer":
      return self._integer(value, self.minimum, self.maximum)
    self._require(value, isinstance(value, (int, float)) and not isinstance(value, bool))
    try:
      return self._in_float32(float(self._require(value, math.isfinite(value))))  # type: ignore[arg-type]
    except OverflowError:  # an integer beyond all floats
      raise ValueError from None

  def read(self, text: str) -> Any:
    """The value that a text of the command line stands for; raises `ValueError` as `check` does."""
    if self.kind in ("choice", "text"):
      return self.check(text)
    if self.kind == "texts":
      return self.check(tuple(filter(None, text.split(","))))
    if self.kind == "switch" and text.lower() in ("true", "false"):
      return text.lower() == "true"
    try:
      value = ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
      raise ValueError from None
    return self.check(value)

  def _integer(self, value: object, minimum: float | None, maximum: float | None) -> int:
    # 1e4 is an integer to whoever writes it.
    integral = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if not integral or isinstance(value, bool):
      raise ValueError
    number = int(value)  # type: ignore[call-overload]
    self._require(number, (minimum is None or number >= minimum) and (maximum is None or number <= maximum))
    return number

  def _in_float32(self, value: float) -> float:
    """The value, when it keeps its bounds in float32 too, where it is computed with, and does not vanish there."""
    with np.errstate(over="ignore", under="ignore"):
      rounded = float(np.float32(value))
    self._in_range(value)
    vanishes = value != 0 and abs(rounded) < _SMALLEST_FLOAT32
    try:
      self._in_range(self._require(rounded, math.isfinite(rounded) and not vanishes))
    except ValueError:
      raise ValueError(f", also as a 32-bit float, as which it is {0.0 if vanishes else rounded:g}") from None
    return value

  def _in_range(self, value: float) -> float:
    above = (self.minimum is None or value >= self.minimum) and (self.above is None or value > self.above)
    below = (self.maximum is None or value <= self.maximum) and (self.below is None or value < self.below)
    return self._require(value, above and below)

  def _require(self, value: Any, condition: bool) -> Any:
    if not condition:
      raise ValueError
    return value


def _in_words(bound: float) -> str:
  return str(bound) if isinstance(bound, int) else f"{bound:g}"


def real(
  default: float,
  doc: str,
  minimum: float | None = None,
  above: float | None = None,
  maximum: float | None = None,
  below: float | None = None,
) -> FieldDefault:
  """A traced real number within its bounds; `above` and `below` are not among the values."""
  allowed = Allowed("real", minimum, above, maximum, below, doc=doc)
  return struct.field(default=default, metadata={"allowed": allowed})


def _static(default: object, allowed: Allowed) -> FieldDefault:
  return struct.field(pytree_node=False, default=default, metadata={"allowed": allowed})


def integer(default: int, doc: str, minimum: int = 1, maximum: int = LARGEST_INTEGER) -> FieldDefault:
  """A static integer."""
  return _static(default, Allowed("integer", doc=doc, minimum=minimum, maximum=maximum))


def traced_integer(default: int, doc: str, minimum: int = 1, maximum: int = LARGEST_INTEGER) -> FieldDefault:
  """An integer that the compiled code takes as a number: another value needs no other program."""
  allowed = Allowed("integer", doc=doc, minimum=minimum, maximum=maximum)
  return struct.field(default=default, metadata={"allowed": allowed})


def switch(default: bool, doc: str) -> FieldDefault:
  """A static truth value."""
  return _static(default, Allowed("switch", doc=doc))


def choice(default: str, options: tuple[str, ...], doc: str) -> FieldDefault:
  """A static word out of a few."""
  return _static(default, Allowed("choice", options=options, doc=doc))


def text(default: str, doc: str) -> FieldDefault:
  """A static text."""
  return _static(default, Allowed("text", doc=doc))


def texts(doc: str) -> FieldDefault:
  """A static tuple of texts, empty unless given."""
  return _static((), Allowed("texts", doc=doc))


def sizes(default: tuple[int, ...], doc: str) -> FieldDefault:
  """A static tuple of positive integers."""
  return _static(default, Allowed("sizes", doc=doc))


def group(cls: type) -> FieldDefault:
  """A nested group of fields."""
  return struct.field(default_factory=cls)


def fields_of(cls: type) -> dict[str, Field]:
  """The fields of a group by name."""
  return {field.name: field for field in dataclasses.fields(cls)}


def allowed_of(field: Field) -> Allowed | None:
  """What a field takes; `None` for a group."""
  return field.metadata.get("allowed")


def group_of(field: Field) -> type:
  """The class of a field that is a group."""
  return cast(type, field.default_factory)


def is_traced(field: Field) -> bool:
  """Whether the field is a leaf of the configuration."""
  return bool(field.metadata.get("pytree_node", True))


def check_value(field: Field, value: object, path: str) -> Any:
  """The value in its type.

  Args:
    field: of a group.
    value: as a user gave it; an array (a stack of numbers, or a traced one) passes unchecked.
    path: the field's name in messages, e.g. `config.ppo.learning_rate`.

  Raises:
    UserError: naming the field, its value and what is allowed.
  """
  allowed = allowed_of(field)
  if allowed is None or (is_traced(field) and hasattr(value, "dtype")):
    return value
  try:
    return allowed.check(value)
  except ValueError as error:
    raise UserError(f"{path}: {value!r} is not allowed; allowed: {allowed.describe()}{error}") from None


def build(cls: type, values: Mapping[str, object], path: str) -> FieldDefault:
  """A group from plain data, every value checked.

  Args:
    cls: of the group.
    values: by field; those missing are at their defaults.
    path: the group's name in messages.

  Raises:
    UserError: for an unknown field or a value that is not allowed.
  """
  fields = fields_of(cls)
  for name in values:
    if name not in fields:
      raise unknown_field(f"{path}.{name}", fields)
  return cls(**{name: check_value(fields[name], value, f"{path}.{name}") for name, value in values.items()})


def plain(group: Any) -> Plain:
  """A group as plain data, its own groups as dictionaries; any dataclass."""
  return {
    field.name: plain(value) if dataclasses.is_dataclass(value) else value
    for field in dataclasses.fields(group)
    for value in [getattr(group, field.name)]
  }


def unknown_field(path: str, known: Mapping[str, object]) -> UserError:
  """The error for a field that does not exist."""
  return UserError(f"{path} is not a field; known: {', '.join(known)}")
