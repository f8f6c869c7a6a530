"""Other packages: none is imported, or has to be installed, before its environment is asked for."""

import subprocess
import sys

import pytest

from gippo_jax import envs


def test_no_other_package_is_imported_before_its_environment_is_asked_for():
  packages = ("brax", "mujoco", "mujoco_playground", "gymnax")
  code = f"import sys, envs; print([name for name in {packages} if name in sys.modules])"
  result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
  assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
  ("name", "package", "extra"),
  [("gymnax:Pendulum-v1", "gymnax", "gymnax"), ("playground:CartpoleSwingup", "mujoco_playground", "playground")],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch, name, package, extra):
  monkeypatch.setitem(sys.modules, package, None)
  with pytest.raises(ValueError, match=r"env\.name") as caught:
    envs.make(name)
  assert str(caught.value) == (
    f"env.name: '{name}' needs the package {package}, which is not installed; pip install \"gippo_jax[{extra}]\""
  )
