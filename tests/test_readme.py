"""The commands of the README are ones that the entry scripts take, and mean the models that they name."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

from common.training.recipes import MIXSTE
from common.training.settings import resolve
from common.training.setup import build_model
from model.complexity import count_parameters
from tests.conftest import ROOT

PAGES = {page: page.read_text(encoding="utf-8") for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/*.md")])}
TEXT = PAGES[ROOT / "README.md"] + PAGES[ROOT / "model/README.md"]
LINES = [
    line for line in TEXT.splitlines() if re.match(r"python main_\w+\.py .*--model ", line) and "--dataset" not in line
]
PLANS = [line for line in LINES if "--prune" in line or "h2ot" in line]
COMMANDS = [line for line in LINES if line not in PLANS]
PARAMETERS = {
    "mixste.mixste": 33_783_811, "mixste.hot_mixste": 35_000_323, "mixste.tpc_mixste": 33_783_811,
    "mhformer.mhformer": 31_516_125, "mhformer.tpc_mhformer": 31_516_125,
}  # fmt: skip


def test_the_ten_commands_of_the_paper_are_there() -> None:
    assert len(COMMANDS) == 10
    assert sorted("--test" in command for command in COMMANDS) == [False] * 5 + [True] * 5


@pytest.mark.parametrize(
    "command", COMMANDS, ids=lambda command: " ".join(re.findall(r"--test|--model (\S+)", command)) or "command"
)
def test_a_command_builds_the_model_that_it_names(command: str) -> None:
    script, *argv = shlex.split(command)[1:]
    assert (ROOT / script).exists()
    settings = resolve(MIXSTE, "mixste.hot_mixste", argv).settings
    with torch.device("meta"):
        model = build_model(settings, None)
    assert model.name == settings.model
    assert count_parameters(model) == PARAMETERS[model.name]
    assert (settings.stride, model.frames) in {(243, 243), (1, 243), (1, 351)}


@pytest.mark.parametrize("command", PLANS)
def test_a_command_builds_the_plan_that_it_names(command: str) -> None:
    script, *argv = shlex.split(command)[1:]
    assert (ROOT / script).exists()
    settings = resolve(MIXSTE, "mixste.hot_mixste", argv).settings
    with torch.device("meta"):
        plan = build_model(settings, None).plan
    named = {size: settings.sizes[size] for size in ("select", "recover") if size in settings.sizes}
    assert named == {size: getattr(plan, size) for size in named}
    assert len(plan.stages) > 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_links_to_exist(page: Path) -> None:
    text = re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL)  # code has brackets of its own
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("https://")]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_links_to_every_other_page_of_a_folder() -> None:
    readme = PAGES[ROOT / "README.md"]
    pages = [str(page.relative_to(ROOT)) for page in PAGES if page.name == "README.md" and page.parent != ROOT]
    assert [page for page in pages if f"({page})" not in readme] == []
