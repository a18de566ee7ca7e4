"""Video pose transformers and their hourglasses, found by name.

from model import create_model, list_models
model = create_model("mixste.hot_mixste", frames=243, token_num=81, layer_index=3)
model(pose_2d).pose                          # (B, F, 17, 2) -> (B, F, 17, 3)
"""

from model import mixste, mhformer, motionbert, motionagformer  # noqa: F401, I001  (registering their variants, in this order)
from model.hourglass import Hourglass, PoseTransformer, Prediction
from model.registry import Variant, create_model, list_models, model_sizes, register_model, register_variants

__all__ = [
    "Hourglass", "PoseTransformer", "Prediction", "Variant",
    "create_model", "list_models", "model_sizes", "register_model", "register_variants",
]  # fmt: skip
