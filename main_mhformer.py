"""Train and test MHFormer."""

from common.errors import exit_on_input_error


def main() -> None:
    """Imports that take seconds come here, where Ctrl-C is a sentence already."""
    from common.experiment import run
    from common.training.recipes import MHFORMER

    run(MHFORMER, default_model="mhformer.mhformer")


if __name__ == "__main__":
    exit_on_input_error(main)
