"""The house: arrows run down only, no circle, small modules."""

import ast
import pathlib
import subprocess
import sys

import pytest

from tests.commands import environment_of

ROOT = pathlib.Path(__file__).parents[1]

# From the bottom up; a package may use those before it (and itself).
LAYERS = [
  {"gippo_jax.errors", "gippo_jax.plain", "gippo_jax.importing"},
  {"gippo_jax.envs"},
  {"gippo_jax.fields"},
  {"gippo_jax.registry"},
  {"gippo_jax.config"},
  {"gippo_jax.parsing"},
  {"gippo_jax.learning"},
  {"gippo_jax.algorithms"},
  {"gippo_jax.programs"},
  {"gippo_jax.runs"},
  {"gippo_jax.export", "gippo_jax.sweep", "gippo_jax.tune"},
  {"gippo_jax.cli"},
]
FILES = [
  *(path for path in sorted((ROOT / "gippo_jax").rglob("*.py")) if path.parent.name not in ("envs", "experiments")),
  *(ROOT / "gippo_jax" / "envs" / path.relative_to(ROOT / "envs") for path in sorted((ROOT / "envs").rglob("*.py"))),
]


def module_of(path):
  parts = path.relative_to(ROOT).with_suffix("").parts
  return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path):
  """Modules that a file imports, also inside functions; not for a type checker alone."""
  tree = ast.parse(path.read_text())
  skipped = {
    id(node)
    for test in ast.walk(tree)
    if isinstance(test, ast.If) and isinstance(test.test, ast.Name) and test.test.id == "TYPE_CHECKING"
    for statement in test.body
    for node in ast.walk(statement)
  }
  for node in ast.walk(tree):
    if id(node) in skipped:
      continue
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
      for alias in node.names:
        yield f"{node.module}.{alias.name}"


def layer_of(module):
  for index, packages in enumerate(LAYERS):
    if any(module == package or module.startswith(f"{package}.") for package in packages):
      return index
  return None


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_arrows_run_down_only(path):
  module = module_of(path)
  mine = layer_of(module)
  if mine is None:  # the public face, which is above all
    return
  for imported in imports_of(path):
    theirs = layer_of(imported)
    assert theirs is None or theirs <= mine, f"{module} imports {imported}"


def test_no_module_imports_one_that_imports_it():
  modules = {module_of(path): path for path in FILES}
  graph = {}
  for module, path in modules.items():
    targets = set()
    for imported in imports_of(path):
      # `from package import module` names a module; `from module import name` one level above.
      for name in (imported, imported.rpartition(".")[0]):
        if name in modules and name != module:
          targets.add(name)
          break
    # A package's __init__ is above its modules: they never need what it gathers.
    graph[module] = {target for target in targets if not module.startswith(f"{target}.")}
  done, path = set(), []

  def visit(module):
    assert module not in path, " -> ".join([*path[path.index(module) :], module])
    if module in done:
      return
    path.append(module)
    for target in sorted(graph[module]):
      visit(target)
    path.pop()
    done.add(module)

  for module in graph:
    visit(module)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_modules_are_small(path):
  assert len(path.read_text().splitlines()) <= 300


def test_signatures_say_what_they_take():
  """`Any` only where JAX, JSON or a field's default allows no better; 40 of them at most."""
  count = 0
  for path in [*FILES, *(ROOT / "experiments").rglob("*.py")]:
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        arguments = [*node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        annotations = [argument.annotation for argument in arguments if argument and argument.annotation]
        annotations += [node.returns] if node.returns else []
        names = [name for annotation in annotations for name in ast.walk(annotation) if isinstance(name, ast.Name)]
        count += sum(name.id == "Any" for name in names)
  assert count < 40


def test_importing_the_package_takes_no_time():
  """Nothing heavy is imported, and little processor time goes by: 0.3 s are promised."""
  code = (
    "import time; begin = time.process_time()\n"
    "import gippo_jax, sys\n"
    "print(time.process_time() - begin, sorted({'jax', 'numpy', 'flax', 'absl', 'matplotlib'} & set(sys.modules)))"
  )
  process = subprocess.run(
    [sys.executable, "-c", code], env=environment_of(), capture_output=True, text=True, check=True
  )
  seconds, heavy = process.stdout.split(maxsplit=1)
  assert heavy.strip() == "[]"
  assert float(seconds) < 0.3
