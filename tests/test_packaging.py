"""The packages that are tested are this project's, not ones of the same name that are installed somewhere."""

import importlib
from configparser import ConfigParser
from pathlib import Path
from typing import Final

import pytest

PROJECT: Final = Path(__file__).parents[1].resolve()
PACKAGES: Final = ("mediaserver", "rtmp", "sfu", "control_api", "chat", "storage", "bench")


@pytest.mark.parametrize("name", PACKAGES)
def test_the_package_is_the_one_in_this_project(name: str) -> None:
    package = importlib.import_module(name)
    assert package.__file__ is not None, "a folder without __init__.py"
    assert Path(package.__file__).resolve() == PROJECT / name / "__init__.py"


@pytest.mark.parametrize("name", PACKAGES)
def test_the_package_says_that_it_is_typed(name: str) -> None:
    assert (PROJECT / name / "py.typed").exists()


def test_exactly_these_packages_are_installed() -> None:
    setup = ConfigParser()
    setup.read(PROJECT / "setup.cfg")
    included = setup["options.packages.find"]["include"].split()
    assert sorted(included) == sorted(f"{name}*" for name in PACKAGES)
