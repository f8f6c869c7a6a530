"""The distributions, built and tried: `python -m tests.packaging build`, `install` and `use`, or `make package`.

`build` makes both from what git tracks, in a clean folder, and looks into them; `install` puts the wheel into an empty
environment; `use` works with it from a folder that knows nothing of the repository.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile

from tests.documents import ROOT

DIST = ROOT / "dist"
ENVIRONMENT = ROOT / "build" / "package_environment"
PYTHON = ENVIRONMENT / "bin" / "python"
HOVER = "--config.env.name=my_package.hover:Hover"
SMALL = ("--config.num_epochs=2", "--config.num_envs=8", "--config.horizon=8", "--config.evaluation_episodes=2")
PRESETS = """
from gippo_jax.cli.configuration import experiment_of, presets
from gippo_jax.cli.flags import ConfigFlags
for name in presets():
  needed = {"env.name": "cartpole"} if name == "any" else {}
  print(name, experiment_of(ConfigFlags(name, needed, ())).label)
"""


def execute(*words: object, cwd: pathlib.Path = ROOT) -> str:
  """Runs a program, and ends everything when it fails; returns what it printed."""
  ended = subprocess.run(list(map(str, words)), cwd=cwd, capture_output=True, text=True, check=False)
  shown = " ".join(map(str, words)) if len(words) < 12 else f"{words[0]} ..."
  if ended.returncode:
    sys.exit(f"{shown} failed:\n{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}")
  print(f"ok: {shown}", flush=True)
  return ended.stdout


def modules() -> set[str]:
  """Files that both distributions hold, as git tracks them, under the names that they are imported by."""
  tracked = execute("git", "ls-files", "gippo_jax", "envs", "experiments").split()
  files = {name if name.startswith("gippo_jax/") else f"gippo_jax/{name}" for name in tracked}
  return {name for name in files if name.endswith((".py", ".html", ".xml", "py.typed"))}


def build() -> None:
  """Builds both distributions in a clean folder, checks what they say of themselves and what they hold."""
  shutil.rmtree(DIST, ignore_errors=True)
  with tempfile.TemporaryDirectory() as name:
    clean = pathlib.Path(name)
    for tracked in execute("git", "ls-files", "-z").split("\0")[:-1]:
      (clean / tracked).parent.mkdir(parents=True, exist_ok=True)
      shutil.copy2(ROOT / tracked, clean / tracked, follow_symlinks=False)
    execute(sys.executable, "-m", "build", "--outdir", DIST, clean)
  execute(sys.executable, "-m", "twine", "check", "--strict", *DIST.iterdir())
  (wheel,), (source,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
  expected = modules()
  with zipfile.ZipFile(wheel) as archive:
    in_wheel = {name for name in archive.namelist() if ".dist-info/" not in name}
  with tarfile.open(source) as archive:
    members = archive.getmembers()
    in_source = {member.name.partition("/")[2] for member in members if not member.isdir()}
    links = [member.name for member in members if member.issym() or member.islnk()]
  problems = [
    *(f"the wheel lacks {name}" for name in sorted(expected - in_wheel)),
    *(f"the wheel should not hold {name}" for name in sorted(in_wheel - expected)),
    *(f"the source distribution lacks {name}" for name in sorted(expected - in_source)),
    *(f"the source distribution holds a link, {name}" for name in links),
  ]
  if problems:
    sys.exit("\n".join(problems))
  others = sorted(in_source - expected)
  print(f"{wheel.name}: {len(in_wheel)} files, {wheel.stat().st_size / 1e6:.2f} MB")
  print(f"{source.name}: the same and {', '.join(others)}, {source.stat().st_size / 1e6:.2f} MB")


def install() -> None:
  """Makes an empty environment and installs the wheel into it, and nothing else; asks whether each extra could be."""
  shutil.rmtree(ENVIRONMENT, ignore_errors=True)
  execute(sys.executable, "-m", "venv", ENVIRONMENT)
  (wheel,) = DIST.glob("*.whl")
  installing = (PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", "constraints.txt")
  execute(*installing, wheel)
  extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
  for extra in extras:
    execute(*installing, "--dry-run", f"{wheel}[{extra}]")
  packages = ENVIRONMENT / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
  sizes = sorted(((_megabytes(path), path.name) for path in packages.iterdir()), reverse=True)
  print(f"{sum(size for size, _ in sizes):.0f} MB: " + ", ".join(f"{name} {size:.0f}" for size, name in sizes[:14]))


def use() -> None:
  """Every command, trainings of each kind and pictures, from a folder of a stranger's."""
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    shutil.copytree(ROOT / "tests" / "outside" / "my_package", folder / "my_package")

    def run(*words: object) -> str:
      return execute(PYTHON, "-m", "gippo_jax", *words, cwd=folder)

    where = execute(PYTHON, "-c", "import gippo_jax; print(gippo_jax.__file__)", cwd=folder).strip()
    if not pathlib.Path(where).is_relative_to(ENVIRONMENT):
      sys.exit(f"gippo_jax comes from {where}, not from the empty environment")
    execute(ENVIRONMENT / "bin" / "gippo-jax", "--help", cwd=folder)
    for command in json.loads(_evaluate("from gippo_jax.cli.commands import COMMANDS; print(json.dumps([*COMMANDS]))")):
      run(command, "--help")
    print(execute(PYTHON, "-c", PRESETS, cwd=folder), end="")
    run("list")
    run("train", "--config=functions:dejong1", *SMALL, "--config.ppo.minibatch_size=64", "--workdir=runs/function")
    run("train", "--config=traffic:pace_car_1,rp", *SMALL, "--workdir=runs/traffic")
    run("render", "--workdir=runs/traffic", "--out=traffic.html")  # its page is a file of the package
    run("train", "--config=any:shac", HOVER, *SMALL, "--workdir=runs/hover")
    run("train", "--config=any:clipped", "--plugin=my_package.clipped", HOVER, *SMALL, "--workdir=runs/clipped")
    run("evaluate", "--workdir=runs/hover", "--episodes=2")
    run("export", "--workdir=runs/hover", "--format=npz")
    for kind in ("html", "gif", "png"):
      run("render", "--workdir=runs/hover", f"--out=hover.{kind}", *(["--seconds=1"] if kind == "gif" else []))
    # The cart-pole on Brax is read from an XML file of the package.
    _evaluate("import jax; from gippo_jax import envs; e = envs.make('cartpole_swing_up'); e.reset(jax.random.key(0))")
    run("gradients", "--config=any:shac", HOVER, "--num_envs=4")
    run("sweep", "--config=functions:dejong1", *SMALL, "--grid=discount=0.9,0.99")
    print("the wheel works")


def _evaluate(code: str) -> str:
  return execute(PYTHON, "-c", f"import json; {code}", cwd=pathlib.Path(tempfile.gettempdir()))


def _megabytes(path: pathlib.Path) -> float:
  files = path.rglob("*") if path.is_dir() else [path]
  return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink()) / 1e6


if __name__ == "__main__":
  for stage in sys.argv[1:]:
    {"build": build, "install": install, "use": use}[stage]()
