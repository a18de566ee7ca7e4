"""Train and test TPC w. MHFormer, the sequence to frame pipeline."""

from common.experiment import run
from common.recipes import MHFORMER

if __name__ == "__main__":
    run(MHFORMER, default_model="mhformer.tpc_mhformer")
