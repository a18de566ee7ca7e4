"""Train and test MHFormer."""

from common.experiment import run
from common.recipes import MHFORMER

if __name__ == "__main__":
    run(MHFORMER, default_model="mhformer.mhformer")
