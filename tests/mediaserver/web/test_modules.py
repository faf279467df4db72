"""The pages' modules: what is pure in them runs under Node, everything holds to the rules of the pages."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mediaserver.delivery.pages import WEB_FOLDER

HERE = Path(__file__).parent
MODULES = sorted(WEB_FOLDER.rglob("*.js"))
PAGES = sorted(WEB_FOLDER.glob("*.html"))
NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_pure_modules_under_node() -> None:
    tests = [str(path) for path in sorted(HERE.glob("*.test.mjs"))]
    assert tests
    run = subprocess.run(["node", "--test", *tests], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_pages_hold_no_script_and_no_style(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", text)
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", text), "third-party address"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_modules_import_only_what_is_there(module: Path) -> None:
    for name in re.findall(r"from '([^']+)'", module.read_text()):
        assert name.startswith("."), f"{name}: no third-party code"
        assert (module.parent / name).resolve() in MODULES, f"{name} is missing"


def test_every_picture_that_is_named_exists() -> None:
    drawn = set(re.findall(r'<symbol id="([a-z]+)"', (WEB_FOLDER / "icons.svg").read_text()))
    named = {name for page in PAGES for name in re.findall(r"icons\.svg#([a-z]+)", page.read_text())}
    assert named <= drawn


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_element_a_module_asks_for_exists(page: Path) -> None:
    """Follow the page's modules and look for each id they use."""
    text = page.read_text()
    seen = {WEB_FOLDER / name for name in re.findall(r'src="\{\{static\}\}/([^"]+\.js)"', text)}
    to_read = list(seen)
    while to_read:
        module = to_read.pop()
        source = module.read_text()
        for name in re.findall(r"(?:byId|getElementById|setIcon)\('([a-z-]+)'", source):
            assert f'id="{name}"' in text, f"{module.name} asks for #{name}"
        imported = {(module.parent / name).resolve() for name in re.findall(r"from '([^']+)'", source)}
        to_read += imported - seen
        seen |= imported
