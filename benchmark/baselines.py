"""Two baselines that a trained model must beat, scored on the same windows and by the same code as the models.

    python benchmark/baselines.py --dataset cmu --frames 81

mean pose: the mean training pose, whatever the input. linear: the least-squares linear map from the 2D of a window to
the 3D of all its frames.
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor, nn

from common.arguments import Parser, number
from common.data.datasets import default_keypoints, read_sequences
from common.data.pose_dataset import BatchOrder, PoseDataset, loader
from common.errors import exit_on_input_error
from common.evaluation.evaluate import evaluate
from common.evaluation.report import score_table
from common.geometry.normalise import Normaliser
from common.inference.compute import Compute
from common.inference.predict import root_relative
from model import Prediction


class LinearMap(nn.Module):
    """pose = weight x (2D of the window, 1): (B, F, J, 2) -> (B, F, J, 3). With only_mean, the constant that fits
    best.
    """

    def __init__(self, only_mean: bool) -> None:
        super().__init__()
        self.only_mean = only_mean
        self.weight: Tensor | None = None

    def inputs(self, pose_2d: Tensor) -> Tensor:
        """(B, F, J, 2) -> (B, inputs), the last one 1."""
        x = pose_2d.flatten(1)[:, :0] if self.only_mean else pose_2d.flatten(1)
        return torch.cat([x, torch.ones(len(x), 1)], dim=1)

    def fit(self, dataset: PoseDataset) -> None:
        """Least squares over all items of `dataset`, by its normal equations in float64."""
        gram, product = 0, 0
        for batch in loader(dataset, BatchOrder(len(dataset), 2048), 0, torch.device("cpu")):
            x = self.inputs(batch.pose_2d)  # (B, inputs)
            gram = gram + (x.T @ x).double()
            product = product + (x.T @ root_relative(batch.pose_3d).flatten(1)).double()  # (inputs, F * J * 3)
        ridge = (
            1e-7 * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
        )  # neighbouring frames are nearly dependent
        self.weight = torch.linalg.solve(gram + ridge, product).float()

    def forward(self, pose_2d: Tensor, kept: None = None) -> Prediction:
        pose = self.inputs(pose_2d) @ self.weight
        return Prediction(pose.reshape(*pose_2d.shape[:3], 3), None, ())  # pose: (B, F, J, 3)


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="cmu", help="as in the entry scripts (default: cmu)")
    parser.add_argument("--root_path", default="./dataset/", help="folder of the data files (default: ./dataset/)")
    parser.add_argument("--keypoints", help="as in the entry scripts")
    parser.add_argument("--frames", type=number(int, 1), default=81, help="frames of a window (default: 81)")
    parser.add_argument(
        "--stride", type=number(int, 1), default=9, help="frames between the windows of the fit (default: 9)"
    )
    parser.add_argument("--downsample", type=number(int, 1), default=1, help="as in the entry scripts (default: 1)")
    args = parser.parse_args()
    keypoints = args.keypoints or default_keypoints(args.dataset)
    data = {split: read_sequences(args.dataset, args.root_path, keypoints, split) for split in ("train", "test")}
    shared = (Normaliser(), args.frames)
    train = PoseDataset(
        data["train"].sequences, data["train"].skeleton, *shared, args.stride, flipped=True, downsample=args.downsample
    )
    test = PoseDataset(data["test"].sequences, data["test"].skeleton, *shared, args.frames, downsample=args.downsample)
    for name, only_mean in (("mean pose", True), ("linear map from the 2D window", False)):
        model = LinearMap(only_mean)
        model.fit(train)
        batches = loader(test, BatchOrder(len(test), 64), 0, torch.device("cpu"))
        scores = evaluate(model, test, batches, Compute(torch.device("cpu")), flip_test=True, centre_only=False)
        title = f"{name} on {args.dataset}, 2D {keypoints}\ndata: {data['test'].source or 'Human3.6M'}"
        print(score_table(scores, title), end="\n\n", flush=True)


if __name__ == "__main__":
    exit_on_input_error(main)
