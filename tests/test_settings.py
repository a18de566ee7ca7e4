"""The command line of an entry script -> its settings: what is given, what a run or a recipe says, what is left."""

from __future__ import annotations

import dataclasses

import pytest

from common.arguments import build_parser
from common.errors import InputError
from common.training.recipes import MHFORMER, MIXSTE, WILD
from common.training.settings import Settings, resolve
from model.flags import size_flags

DEFAULT = "mixste.hot_mixste"


def test_every_flag_is_a_setting_and_every_setting_a_flag() -> None:
    flags = set(vars(build_parser(DEFAULT).parse_args([])))
    names = {field.name for field in dataclasses.fields(Settings)} - {"default_model", "sizes"}
    assert flags == names | set(size_flags())
    assert set(resolve(MIXSTE, DEFAULT, []).settings.flags) == flags


def test_what_is_given_goes_before_the_recipe_and_that_before_the_parser() -> None:
    plain = resolve(MIXSTE, DEFAULT, [])
    assert (plain.recipe, plain.resumed) == (MIXSTE, None)
    assert (plain.settings.batch_size, plain.settings.seed, plain.settings.keypoints) == (4, 1126, "cpn_ft_h36m_dbb")
    assert plain.settings.sizes == {}
    wild = resolve(MHFORMER, DEFAULT, ["--recipe", "wild", "--lr", "0.5", "--batch_size", "4"])
    assert wild.recipe is WILD
    assert (wild.settings.lr, wild.settings.batch_size, wild.settings.stride) == (0.5, 4, 4)
    assert (wild.settings.dataset, wild.settings.keypoints, wild.settings.seed) == ("wild", "noisy", 1)


def test_sizes_are_those_that_are_given() -> None:
    settings = resolve(MIXSTE, DEFAULT, ["--frames", "27", "--seed", "0", "--prune", "1:9"]).settings
    assert settings.sizes == {"frames": 27, "prune": "1:9"}
    assert settings.seed == 0
    assert settings.flags["frames"] == 27
    assert settings.flags["channel"] is None


@pytest.mark.parametrize(("flags", "test"), [([], False), (["--test"], True), (["--train", "0"], True)])
def test_no_training_is_a_test(flags: list[str], test: bool) -> None:
    assert resolve(MIXSTE, DEFAULT, flags).settings.test is test


@pytest.mark.parametrize(
    "flags", [["--out_channels", "2"], ["--resume", "x", "--test"], ["--resume", "x", "--train", "0"]]
)
def test_flags_that_do_not_go_together(flags: list[str]) -> None:
    with pytest.raises(InputError, match=flags[0]):
        resolve(MIXSTE, DEFAULT, flags)
