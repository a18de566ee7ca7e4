"""Train and test MixSTE and HoT w. MixSTE; MotionBERT and MotionAGFormer run here by name (--model)."""

from common.errors import exit_on_input_error


def main() -> None:
    """Imports that take seconds come here, where Ctrl-C is a sentence already."""
    from common.experiment import run
    from common.training.recipes import MIXSTE

    run(MIXSTE, default_model="mixste.hot_mixste")


if __name__ == "__main__":
    exit_on_input_error(main)
