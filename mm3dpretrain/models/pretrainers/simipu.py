"""SimIPU: contrast between two views of a LiDAR sweep, and between the sweep and its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mm3dpretrain.ops import furthest_point_sample, gather_points
from mm3dpretrain.ops.assignment import METHODS as MATCHERS
from mm3dpretrain.ops.assignment import Matching, start_matching
from mm3dpretrain.registry import MODELS, TASK_UTILS
from mm3dpretrain.structures import PretrainDataSample

from ..utils.batch_norm import keep_statistics
from ..utils.image_sampling import project_to_images, sample_images
from .base import BasePretrainer

TERMS = ('intra', 'inter')
DETACH = ('after_head', 'features', 'none')


@MODELS.register_module()
class SimIPU(BasePretrainer):
    """SimIPU (Li et al., AAAI 2022, arXiv 2112.04680): image and point encoders from LiDAR pairs.

    Of a sweep P, of its augmented copy T(P) and of its pictures I::

        (X, F) = E_p(P),   (X', F') = E_p(T(P)),   sigma = match(X, T^-1 X')
        L_intra = NCE( g_intra(F), sg g_intra(F'_sigma) )              spatial perception
        L_inter = NCE( g_img(E_i(I) at the pixels of X), sg g_pts(F) ) feature interaction
        L       = w_intra L_intra + w_inter L_inter

    sg stops the gradient, NCE is :class:`~mm3dpretrain.models.losses.PointInfoNCELoss`.
    The defaults are what the public code does; configs/simipu/README.md lists what differs from it
    in the improved config and why. A term of weight 0 is neither computed nor needs its parts, and
    what no active term trains is frozen, so that every trainable parameter gets a gradient.

    Args:
        point_encoder: from (B, N, C) points to ``xyz`` (B, M, 3) and ``local`` (B, M, C').
        img_encoder: backbone from (B, 3, H, W) to a tuple of maps, such as ``mmdet.ResNet``.
        intra_head: of both views of the points.
        img_head: of the sampled image features; its input is all ``img_levels`` together.
        point_head: of the points, for the pictures.
        contrast: the loss; temperature, symmetry and where negatives come from are its settings.
        projector: config of :class:`~mm3dpretrain.models.renderers.PointProjector`: how maps are
            sampled, and when a point is hidden. Default mmdet3d's ``point_sample``.
        img_neck: of the maps, such as ``mmdet.FPN``.
        img_levels: which maps to sample; -1 is the last one (C5).
        loss_weights: of 'intra' and 'inter'; a missing one is 0.
        detach: where the gradient from the pictures to the points ends: 'after_head', so that
            ``point_head`` stays as it was initialised; 'features', so that it learns; 'none', so
            that the point encoder learns from the pictures too.
        matcher: 'hungarian', 'nearest' or 'mutual_nn', see :func:`~mm3dpretrain.ops.match_points`.
        max_match_dist: metres between the partners at most; None: no limit.
        valid_mask: leave out points that no camera sees: outside of the picture, behind the camera,
            or hidden where the data have ``depth``. Needed for several cameras.
        num_keypoints: points to contrast, chosen by furthest point sampling; for encoders that
            return features for all points. None: all that the encoder returns.
        data_preprocessor: default ``PretrainDataPreprocessor`` without normalisation.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: for unknown names, or parts that a term needs and that are missing.
    """

    transfer_modules = {'point': 'point_encoder'}

    def __init__(
        self,
        point_encoder: dict,
        img_encoder: dict | None = None,
        intra_head: dict | None = None,
        img_head: dict | None = None,
        point_head: dict | None = None,
        contrast: dict | None = None,
        projector: dict | None = None,
        img_neck: dict | None = None,
        img_levels: Sequence[int] = (-1,),
        loss_weights: Mapping[str, float] | None = None,
        detach: str = 'after_head',
        matcher: str = 'hungarian',
        max_match_dist: float | None = None,
        valid_mask: bool = False,
        num_keypoints: int | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.weights = _active(loss_weights)
        self.detach = _choice('detach', detach, DETACH)
        self.matcher = _choice('matcher', matcher, MATCHERS)
        self.max_match_dist = max_match_dist
        self.valid_mask = valid_mask
        self.num_keypoints = num_keypoints
        self.img_levels = tuple(img_levels)

        self.point_encoder = MODELS.build(point_encoder)
        if 'intra' in self.weights:
            self.intra_head = _part('intra', intra_head=intra_head)
        if 'inter' in self.weights:
            self.img_encoder = _part('inter', img_encoder=img_encoder)
            self.img_neck = None if img_neck is None else MODELS.build(img_neck)
            self.img_head = _part('inter', img_head=img_head)
            self.point_head = _part('inter', point_head=point_head)
            self.transfer_modules = dict(self.transfer_modules, image='img_encoder')
            if detach == 'after_head':
                self.point_head.requires_grad_(False)
        if 'intra' not in self.weights and detach != 'none':
            self.point_encoder.requires_grad_(False)
        self.contrast = MODELS.build(
            contrast or dict(type='PointInfoNCELoss', temperature=0.07, gather_distributed=False)
        )
        if projector is None:
            projector = dict(type='PointProjector', align_corners=True, padding='zeros')
        self.projector = TASK_UTILS.build(projector)

    # ---------------------------------------------------------------- the method

    def loss(self, inputs: dict[str, Tensor], data_samples=None) -> dict[str, Tensor]:
        """The active terms, weighted, and figures.

        Args:
            inputs: ``points`` (B, N, C), LiDAR frame, metres, coordinates first; ``points_aug``
                (B, N, C), the same under ``transform`` (B, 4, 4); ``img`` (B, V, 3, H, W);
                ``lidar2img`` (B, V, 4, 4), from ``points`` to pixels of ``img``; and, where the
                data have them, ``img_shape`` (B, V, 2) and ``depth`` (B, V, h, w), see
                :func:`~mm3dpretrain.models.utils.image_sampling.project_to_images`.
            data_samples: unused.

        Returns:
            ``loss_intra`` and ``loss_inter``. For each, shares in [0, 1] of rows whose partner is
            among the 1 or 5 nearest of all rows (``inter_top1``, ``inter_top5``), or the nearest
            tenth or half (``inter_top10pct``, ``inter_top50pct``: what the public code logs as
            top-1 and top-5). ``matched`` and ``match_dist`` (metres): share of points with a
            partner and its mean distance. ``visible``: share of points that some camera sees, and
            ``frames_unseen``: number of sweeps without any.
        """
        xyz, local = self._encode_points(inputs['points'])
        losses: dict[str, Tensor] = {}
        figures: dict[str, Tensor] = {}
        if 'intra' in self.weights:
            # only a target: no graph is kept. A scan that was turned and scaled fills other cells
            # than those that a detector will see: statistics of both would fit neither
            with torch.no_grad(), keep_statistics(self.point_encoder):
                xyz_aug, local_aug = self._encode_points(inputs['points_aug'])
                restored = undo_transform(xyz_aug, inputs['transform'])
            # the images are encoded while threads match
            matching = start_matching(xyz, restored, self.matcher, self.max_match_dist)
        if 'inter' in self.weights:
            losses['loss_inter'] = self._inter(inputs, xyz, local, figures)
        if 'intra' in self.weights:
            losses['loss_intra'] = self._intra(local, local_aug, matching(), figures)
        return {**losses, **figures}

    def _intra(self, local: Tensor, local_aug: Tensor, match: Matching, figures) -> Tensor:
        query = self.intra_head(local[match.valid])
        with torch.no_grad():
            key = self.intra_head(gather_points(local_aug, match.index)[match.valid])
        pairs = match.valid.sum()
        figures['matched'] = pairs / match.valid.numel()
        figures['match_dist'] = match.distance.sum() / pairs.clamp(min=1)
        return self._contrast('intra', query, key, figures)

    def _inter(self, inputs, xyz: Tensor, local: Tensor, figures) -> Tensor:
        pixels, _, seen = self._image_features(inputs, xyz)
        seen = seen.any(1)
        figures['visible'] = seen.float().mean()
        figures['frames_unseen'] = (~seen.any(1)).sum().float()
        rows = seen if self.valid_mask else torch.ones_like(seen)
        query = self.img_head(pixels[rows])
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.detach != 'after_head'):
            key = self.point_head((local if self.detach == 'none' else local.detach())[rows])
        return self._contrast('inter', query, key, figures)

    def _contrast(self, term: str, query: Tensor, key: Tensor, figures) -> Tensor:
        out = self.contrast(query, key)
        value = self.weights[term] * out.pop('loss')
        figures.update({f'{term}_{name}': figure for name, figure in out.items()})
        return value

    # ---------------------------------------------------------------- its parts

    def _encode_points(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Positions (B, M, 3) and features (B, M, C') of the points to contrast."""
        out = self.point_encoder(points)
        xyz, local = out['xyz'], out['local']
        if self.num_keypoints is not None and self.num_keypoints < xyz.shape[1]:
            index = furthest_point_sample(xyz, self.num_keypoints)
            xyz, local = gather_points(xyz, index), gather_points(local, index)
        return xyz, local

    def _image_features(self, inputs, xyz: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features (B, M, C) of the pictures at points, ``uv`` and what each camera sees."""
        img = inputs['img']
        if img.dim() != 5:
            raise ValueError(f'img must be (B, V, 3, H, W), got {tuple(img.shape)}')
        if img.shape[1] > 1 and not self.valid_mask:
            raise ValueError(
                f'{img.shape[1]} cameras need valid_mask=True: a point is in the pictures of some'
            )
        size = tuple(img.shape[-2:])
        with torch.no_grad(), torch.autocast(img.device.type, enabled=False):
            uv, _, seen = project_to_images(
                xyz,
                inputs['lidar2img'],
                size,
                inputs.get('img_shape'),
                inputs.get('depth'),
                self.projector,
            )
        maps = self.img_encoder(img.flatten(0, 1))
        if self.img_neck is not None:
            maps = self.img_neck(maps)
        maps = [maps[level] for level in self.img_levels]
        shown = seen if self.valid_mask else None
        return sample_images(maps, uv, size, shown, self.projector), uv, seen

    def extract_feat(self, inputs: dict[str, Tensor], data_samples=None) -> dict[str, Tensor]:
        """Features of both encoders.

        Args:
            inputs: ``points``; for the image features ``img``, ``lidar2img`` and what belongs to
                them, see :meth:`loss`.
            data_samples: unused.

        Returns:
            ``global`` (B, C), ``local`` (B, M, C') and ``xyz`` (B, M, 3) of the point encoder; with
            pictures also ``image`` (B, M, C''), their features at those points, ``uv``
            (B, V, M, 2) and ``seen`` bool (B, V, M).
        """
        out = dict(self.point_encoder(inputs['points']))
        if 'img' in inputs and 'inter' in self.weights:
            out['image'], out['uv'], out['seen'] = self._image_features(inputs, out['xyz'])
        return out

    def predict(self, inputs: dict[str, Tensor], data_samples=None) -> list[PretrainDataSample]:
        """What links points and pixels of each frame.

        Args:
            inputs: see :meth:`extract_feat`; pictures are needed.
            data_samples: to be filled; default new ones.

        Returns:
            Data samples with ``feat_xyz`` (M, 3), the unit vectors ``point_embed`` and
            ``image_embed`` (M, D) of the common space, ``point_uv`` (V, M, 2) and ``point_seen``
            bool (V, M): see :class:`~mm3dpretrain.evaluation.CrossModalRetrieval`.

        Raises:
            ValueError: if the model has no inter-modal term.
        """
        if 'inter' not in self.weights:
            raise ValueError("without the 'inter' term there is no common space to predict in")
        xyz, local = self._encode_points(inputs['points'])
        pixels, uv, seen = self._image_features(inputs, xyz)
        points, pixels = (
            F.normalize(head(x.flatten(0, 1)).float(), dim=-1).unflatten(0, x.shape[:2])
            for head, x in ((self.point_head, local), (self.img_head, pixels))
        )
        if data_samples is None:
            data_samples = [PretrainDataSample() for _ in range(len(xyz))]
        for index, sample in enumerate(data_samples):
            sample.set_data(
                dict(
                    feat_xyz=xyz[index],
                    point_embed=points[index],
                    image_embed=pixels[index],
                    point_uv=uv[index],
                    point_seen=seen[index],
                )
            )
        return data_samples


def undo_transform(xyz: Tensor, transform: Tensor) -> Tensor:
    """Positions (B, M, 3) before ``transform`` (B, 4, 4) was applied to them as columns."""
    inverse = torch.linalg.inv(transform.double())
    moved = xyz.double() @ inverse[:, :3, :3].mT + inverse[:, None, :3, 3]
    return moved.to(xyz.dtype)


def _active(weights: Mapping[str, float] | None) -> dict[str, float]:
    weights = dict.fromkeys(TERMS, 1.0) if weights is None else dict(weights)
    unknown = sorted(set(weights) - set(TERMS))
    if unknown or any(w < 0 for w in weights.values()) or not any(weights.values()):
        raise ValueError(
            f'loss_weights must give {TERMS} weights >= 0, one of them above, got {weights}'
        )
    return {name: float(weight) for name, weight in weights.items() if weight}


def _choice(name: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise ValueError(f'{name} must be one of {list(allowed)}, got {value!r}')
    return value


def _part(term: str, **part: dict | None):
    name, config = next(iter(part.items()))
    if config is None:
        raise ValueError(f'the {term!r} term needs {name}: give its config or the weight 0')
    return MODELS.build(config)
