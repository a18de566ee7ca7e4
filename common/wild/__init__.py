"""In-the-wild training: cut motion, change the body, put a camera before it, see it as a detector does, make batches of
it.
"""

from common.wild.body import BONES, HEIGHT
from common.wild.dataset import WildBatch, WildDataset
from common.wild.motion import MotionBank
from common.wild.options import PARTS, WILD_TEST, Wild

__all__ = ["BONES", "HEIGHT", "PARTS", "WILD_TEST", "MotionBank", "Wild", "WildBatch", "WildDataset"]
