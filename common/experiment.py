"""One run of an entry script, from its command line to its table."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from common.errors import InputError, exit_on_input_error
from common.files import check_writable, only_run, sweep
from common.inference.checkpoint import LAST
from common.inference.compute import check_compiler, choose_compute, out_of_memory_named
from common.training.interrupt import Signals
from common.training.recipes import Recipe, prepare
from common.training.settings import Call, Settings, resolve
from common.training.setup import (
    choose_normaliser,
    first_weights,
    make_model,
    read_data,
    windows_to_test,
    windows_to_train,
)
from common.training.tester import Tester
from common.training.trainer import Trainer
from model import PoseTransformer
from model.complexity import count_parameters, gflops


def run(recipe: Recipe, default_model: str, argv: list[str] | None = None) -> None:
    """Run an entry script. argv: the command line without the program, None for this process's own."""

    def main() -> None:
        with contextlib.ExitStack() as locks, out_of_memory_named():
            _run(resolve(recipe, default_model, argv, locks), locks)

    exit_on_input_error(main)


def _run(call: Call, locks: contextlib.ExitStack) -> None:
    """locks: hold the folder of the run until it ends."""
    settings, recipe, resumed = call.settings, call.recipe, call.resumed
    _check_files(call)
    compute = choose_compute(settings.device, settings.gpu, settings.precision)
    if settings.compile and not settings.test:
        check_compiler()
    weights = None if resumed else first_weights(settings, recipe)
    model = make_model(settings, recipe, weights, compute)
    _describe(model)
    print(f"device: {compute.device}, {compute.precision}")
    folder = None if settings.test else _claim_folder(call, model, locks)
    test_data = read_data(settings, "test", model)
    normaliser = choose_normaliser(settings, recipe, model, weights, test_data)
    test_set = windows_to_test(settings, test_data, model, normaliser)
    tester = Tester(settings, compute, normaliser, test_data, test_set, Signals())
    if folder is None:
        tester.report(model, tester.scores(model))
        return
    prepare(model, recipe, fresh=not (weights or resumed))
    train_set = windows_to_train(settings, recipe, model, normaliser, weights, test_data, compute)
    trainer = Trainer(settings, recipe, model, train_set, tester, folder)
    if resumed:
        trainer.go_on_from(resumed)
    best, epoch = trainer.train()
    tester.report(model, best, epoch=epoch, checkpoint=trainer.progress.best_name)


def _check_files(call: Call) -> None:
    """Raise InputError, before the work, for --results that cannot be written, and --previous_name that is no file."""
    settings = call.settings
    if settings.results:
        check_writable(settings.results)
        sweep(Path(settings.results).parent, Path(settings.results).name)
    if settings.previous_name and not call.resumed and not Path(settings.previous_name).is_file():
        raise InputError(
            f"--previous_name is {settings.previous_name}, which is no file; give the best checkpoint so far, or leave "
            "it out"
        )


def _describe(model: PoseTransformer) -> None:
    paper, products = gflops(model)
    print(f"model: {model.name} {model.sizes}")
    print(f"parameters: {count_parameters(model):,}, GFLOPs: {paper:.2f} (with products {products:.2f})")


def _claim_folder(call: Call, model: PoseTransformer, locks: contextlib.ExitStack) -> Path:
    """The folder that the run writes to; nobody else may while the locks are held."""
    if call.resumed:
        return call.resumed.folder
    settings: Settings = call.settings
    folder = Path(settings.checkpoint or f"checkpoint/{time.strftime('%m%d_%H%M_%S')}_{model.frames}")
    locks.enter_context(only_run(folder))
    if (folder / LAST).exists():
        raise InputError(
            f"{folder / LAST}: a run is there already; give --resume {folder} to go on, or another --checkpoint"
        )
    return folder
