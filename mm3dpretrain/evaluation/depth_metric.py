"""How near a predicted depth map is to the measured one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from torch.nn import functional as F

from mm3dpretrain.registry import METRICS

SCORES = (
    'abs_rel', 'sq_rel', 'rmse', 'rmse_log', 'log10', 'silog', 'delta1', 'delta2', 'delta3',
)  # fmt: skip
# top, bottom, left, right as shares of the picture
CROPS = {
    'garg': (0.40810811, 0.99189189, 0.03594771, 0.96405229),
    'eigen': (0.3324324, 0.91351351, 0.0359477, 0.96405229),
}
# the same of NYU Depth v2, in pixels of 480 x 640
NYU_SHAPE, NYU_CROP = (480, 640), (45, 471, 41, 601)


def crop_mask(shape: tuple[int, int], crop: str | None) -> np.ndarray:
    """Bool (H, W): the part of a picture that a benchmark evaluates.

    Args:
        shape: (H, W).
        crop: 'garg' (Garg et al., 2016), 'eigen' (Eigen et al., 2014) for KITTI; 'nyu', the one of
            Eigen et al. for 480 x 640 pixels; None for all.

    Raises:
        ValueError: for another crop, or 'nyu' with other pictures.
    """
    mask = np.zeros(shape, bool)
    if crop is None:
        return ~mask
    if crop == 'nyu':
        if tuple(shape) != NYU_SHAPE:
            raise ValueError(f"crop='nyu' is for maps of {NYU_SHAPE}, got {tuple(shape)}")
        top, bottom, left, right = NYU_CROP
    elif crop in CROPS:
        height, width = shape
        sizes = (height, height, width, width)
        top, bottom, left, right = (int(x * size) for x, size in zip(CROPS[crop], sizes))
    else:
        raise ValueError(f'crop must be one of {[*CROPS, "nyu", None]}, got {crop!r}')
    mask[top:bottom, left:right] = True
    return mask


def depth_scores(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Errors over the pixels of one picture (Eigen et al., 2014, Sec. 4.1, and the KITTI devkit).

    With p the prediction, t the truth and e = ln p - ln t:

    - ``abs_rel`` = mean |p - t| / t, ``sq_rel`` = mean (p - t)^2 / t (metres),
    - ``rmse`` = sqrt(mean (p - t)^2) (metres), ``rmse_log`` = sqrt(mean e^2),
    - ``log10`` = mean |log10 p - log10 t|,
    - ``silog`` = 100 sqrt(mean e^2 - (mean e)^2),
    - ``delta1``, ``delta2``, ``delta3`` = share with max(p / t, t / p) < 1.25, 1.25^2, 1.25^3.

    Args:
        predicted, truth: (n,), n >= 1, positive, metres.
    """
    predicted, truth = predicted.astype(np.float64), truth.astype(np.float64)
    error = predicted - truth
    log_error = np.log(predicted) - np.log(truth)
    ratio = np.maximum(predicted / truth, truth / predicted)
    return dict(
        abs_rel=float(np.mean(np.abs(error) / truth)),
        sq_rel=float(np.mean(error**2 / truth)),
        rmse=float(np.sqrt(np.mean(error**2))),
        rmse_log=float(np.sqrt(np.mean(log_error**2))),
        log10=float(np.mean(np.abs(log_error)) / np.log(10)),
        silog=100 * float(np.std(log_error)),
        **{f'delta{k}': float(np.mean(ratio < 1.25**k)) for k in (1, 2, 3)},
    )


@METRICS.register_module()
class DepthMetric(BaseMetric):
    """AbsRel, SqRel, RMSE, RMSElog, log10, SILog and the three deltas.

    See :func:`depth_scores` for the definitions. Each is computed for every picture and averaged
    over the pictures, all with the same weight, as the public depth toolboxes (BTS, AdaBins and
    their descendants) do. A picture without a valid pixel is left out; ``num_images`` says how
    many counted.

    A pixel is valid if its truth lies between the limits and in the crop. A prediction of another
    size is resized to that of the truth (bilinear), and clipped to the limits. The crop is relative
    to the map that is evaluated: behind ``KBCrop``, to 352 x 1216 pixels.

    Reads ``gt_depth`` (H, W) and ``pred_depth`` (h, w) of the data samples, in metres.

    Args:
        min_depth, max_depth: limits in metres; 80 for KITTI, 10 for NYU Depth v2.
        crop: 'garg', 'eigen', 'nyu' or None, see :func:`crop_mask`.
        collect_device: see :class:`mmengine.evaluator.BaseMetric`.
        prefix: of the logged names.

    Raises:
        ValueError: for an empty range or an unknown crop.
    """

    default_prefix = 'depth'

    def __init__(
        self,
        min_depth: float = 1e-3,
        max_depth: float = 80.0,
        crop: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if not 0 < min_depth < max_depth:
            raise ValueError(f'need 0 < min_depth < max_depth, got {min_depth} and {max_depth}')
        crop_mask(NYU_SHAPE, crop)  # refuses unknown names before anything is computed
        self.min_depth = min_depth
        self.max_depth = max_depth
        self.crop = crop

    def process(self, data_batch, data_samples: Sequence) -> None:
        """Store the scores of a batch.

        Args:
            data_batch: not used.
            data_samples: elements or dicts with ``gt_depth`` and ``pred_depth``.

        Raises:
            ValueError: for a sample without one of them, or a prediction that is not finite.
        """
        for sample in data_samples:
            truth, predicted = sample.get('gt_depth'), sample.get('pred_depth')
            name = sample.get('sample_id', '?')
            if truth is None or predicted is None:
                raise ValueError(f'sample {name!r} lacks gt_depth or pred_depth')
            if predicted.shape != truth.shape:
                predicted = F.interpolate(
                    predicted[None, None].float(),
                    truth.shape,
                    mode='bilinear',
                    align_corners=False,
                )[0, 0]
            truth, predicted = truth.cpu().numpy(), predicted.float().cpu().numpy()
            valid = (truth > self.min_depth) & (truth < self.max_depth)
            valid &= crop_mask(truth.shape, self.crop)
            if not valid.any():
                self.results.append(None)
                continue
            if not np.isfinite(predicted[valid]).all():
                raise ValueError(f'sample {name!r}: the predicted depth is not finite')
            clipped = np.clip(predicted[valid], self.min_depth, self.max_depth)
            self.results.append(depth_scores(clipped, truth[valid]))

    def compute_metrics(self, results: list[Mapping | None]) -> dict[str, float]:
        """Means over the pictures, and ``num_images``.

        Raises:
            ValueError: if no picture had a valid pixel.
        """
        rows = [[scores[name] for name in SCORES] for scores in results if scores is not None]
        if not rows:
            raise ValueError(
                f'no valid depth in {len(results)} pictures: min_depth={self.min_depth}, '
                f'max_depth={self.max_depth}, crop={self.crop!r}'
            )
        found = dict(zip(SCORES, np.mean(rows, axis=0).tolist()))
        return dict(found, num_images=float(len(rows)))


def constant_sample(value: float | np.ndarray, truth: torch.Tensor) -> dict[str, torch.Tensor]:
    """A sample for :class:`DepthMetric` whose prediction does not look at the picture.

    Args:
        value: one depth, or a map (H, W), in metres.
        truth: (H, W).
    """
    predicted = torch.as_tensor(np.broadcast_to(value, tuple(truth.shape)).astype(np.float32))
    return dict(gt_depth=truth, pred_depth=predicted)
