"""Train and test MixSTE and HoT w. MixSTE; MotionBERT and MotionAGFormer run here by name (--model)."""

from common.experiment import run
from common.recipes import MIXSTE

if __name__ == "__main__":
    run(MIXSTE, default_model="mixste.hot_mixste")
