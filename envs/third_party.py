"""How other packages are used: under the rules they count on, without what they say at import, traced once."""

import contextlib
import functools
import io
import warnings
from collections.abc import Callable, Iterator
from typing import TypeVar, cast

import jax

F = TypeVar("F", bound=Callable[..., object])


@contextlib.contextmanager
def standard_promotion() -> Iterator[None]:
  """JAX's default promotion of types and ranks, for callers with stricter settings."""
  with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
    yield


@contextlib.contextmanager
def quiet_brax() -> Iterator[None]:
  """Hides what Brax and MuJoCo say at every import and load.

  Brax warns that it is no longer maintained (docs/environments.md says so once), MuJoCo prints that it has no Warp.
  """
  with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
    warnings.simplefilter("ignore", UserWarning)
    yield


def traced_once(method: F) -> F:
  """A pure method of an object that never changes, whose Python runs once for arguments of the same shapes and types.

  A simulator's step is a second of Python and more, and a training has it in several programs.
  """
  name = f"_traced_{method.__name__}"

  @functools.wraps(method)
  def call(own: object, *args: object) -> object:
    known = vars(own)
    if name not in known:
      # Inlined, so that programs are made of its operations, as they would be otherwise.
      known[name] = jax.jit(functools.partial(method, own), inline=True)
    return known[name](*args)

  return cast(F, call)
