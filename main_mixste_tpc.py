"""Train and test TPC w. MixSTE, the sequence to frame pipeline."""

from common.experiment import run
from common.recipes import MIXSTE

if __name__ == "__main__":
    run(MIXSTE, default_model="mixste.tpc_mixste")
