"""DR-Point: tri-modal pre-training with a differentiable renderer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mm3dpretrain.registry import MODELS, RENDERERS, TASK_UTILS

from ..encoders import Patches
from ..heads.momentum_contrast import MomentumTwin
from ..utils import block_mask, random_mask
from .base import BasePretrainer

TERMS = ('token', 'moco', 'cd', 'dr', 'rd', 'rp', 'pd')
MODALITIES = ('rgb', 'depth', 'points')
#: cross-modal terms and the modalities whose features they compare
PAIRS = {'rd': ('rgb', 'depth'), 'rp': ('rgb', 'points'), 'pd': ('points', 'depth')}


@MODELS.register_module()
class DRPoint(BasePretrainer):
    """DR-Point-style pre-training (arXiv 2404.13619) of a point encoder on triplets.

    Two point auto-encoders share the encoder: one predicts the tokens of hidden patches
    (token level), the other one reconstructs the points (point level). Depth pictures rendered
    from the reconstruction sharpen it and are the third modality beside points and RGB. The
    total loss is

        L = w_rd L_RD + w_rp L_RP + w_pd L_PD
            + w_moco L_MoCo + w_token L_CE + w_dr L_DR + w_cd L_CD

    The names of the terms and the paper's weights (0.1 for the three cross-modal terms, 1 for the
    others) come from a summary of the paper; the definitions are this toolbox's defaults, taken
    from the works it builds on: Point-BERT for L_CE and L_MoCo, Point-MAE for the decoder,
    CrossPoint for the cross-modal terms, SpareNet for L_DR.

    A term of weight 0 is neither computed nor needs its parts.

    Args:
        point_encoder: a PointTransformer; with cross-modal terms alone, any encoder with a
            ``global`` output.
        tokenizer: a PointDVAE with trained weights (``init_cfg``); frozen. Terms token and moco
            of the mixed clouds need it.
        token_head: predicts token ids and owns the mask token.
        moco_head: from the class token to the space of ``momentum_contrast``.
        momentum_contrast: queue, temperature and momentum.
        point_decoder: from patch features to points.
        renderer: of RENDERERS, for depth pictures of clouds.
        views: cameras to render from; ``num_views`` of them are drawn in each step.
        image_encoder, depth_encoder: image networks.
        heads: projection heads by modality ('rgb', 'depth', 'points') into the common space.
        cross_modal_loss: of two sets of features.
        chamfer_loss, render_loss: of reconstruction and truth.
        loss_weights: weight of each term in ``TERMS``; a missing one is 0.
        modalities: those that take part in the contrast.
        token_contrast: 'moco', 'mixup' (Point-BERT's released form), 'both' or 'none'.
        contrast_depth: whose depth picture is contrasted: of the 'input', of the 'recon'struction
            as a constant, or 'recon_grad' with gradients into the decoder. The last one lets the
            contrast bend the reconstruction into a code of the shape's identity: in our toy run
            its Chamfer distance grew tenfold (docs/methods/drpoint.md).
        contrast_masked: contrast the point features of the masked cloud, which is cheaper, instead
            of those of the whole one.
        share_encoder: one encoder for both auto-encoders; False gives the point level its own.
        num_views: views rendered in each step.
        mask_ratio: share of hidden patches, fixed or a range.
        mask_type: 'block' or 'random'.
        init_patch_embed: start the encoder's patch PointNet with the tokenizer's weights, as in
            Point-BERT's released code.

    Raises:
        ValueError: for unknown names, or parts that a term needs and that are missing.
    """

    transfer_modules = {'point': 'point_encoder'}

    def __init__(
        self,
        point_encoder: dict,
        tokenizer: dict | None = None,
        token_head: dict | None = None,
        moco_head: dict | None = None,
        momentum_contrast: dict | None = None,
        point_decoder: dict | None = None,
        renderer: dict | None = None,
        views: dict | None = None,
        image_encoder: dict | None = None,
        depth_encoder: dict | None = None,
        heads: dict[str, dict] | None = None,
        cross_modal_loss: dict | None = None,
        chamfer_loss: dict | None = None,
        render_loss: dict | None = None,
        loss_weights: dict[str, float] | None = None,
        modalities: Sequence[str] = MODALITIES,
        token_contrast: str = 'moco',
        contrast_depth: str = 'recon',
        contrast_masked: bool = False,
        share_encoder: bool = True,
        num_views: int = 1,
        mask_ratio: float | tuple[float, float] = (0.25, 0.45),
        mask_type: str = 'block',
        init_patch_embed: bool = True,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.token_contrast = _choice(
            'token_contrast', token_contrast, ('moco', 'mixup', 'both', 'none')
        )
        self.contrast_depth = _choice(
            'contrast_depth', contrast_depth, ('input', 'recon', 'recon_grad')
        )
        self.mask_type = _choice('mask_type', mask_type, ('block', 'random'))
        self.mask_ratio = tuple(mask_ratio) if isinstance(mask_ratio, Sequence) else mask_ratio
        self.contrast_masked = contrast_masked
        self.num_views = num_views
        self.weights = self._active_weights(loss_weights, modalities)
        self.init_patch_embed = init_patch_embed and self._needs('token')
        self.pairs = {t: PAIRS[t] for t in PAIRS if t in self.weights}
        self._check_parts(locals())

        self.point_encoder = MODELS.build(point_encoder)
        if self._needs('token'):
            self.tokenizer = MODELS.build(dict(tokenizer, frozen=True))
            self._check_grouping()
        if self._masks:
            self.token_head = MODELS.build(token_head)
        if self._needs('moco'):
            self.moco_head = MODELS.build(moco_head)
            self.momentum_contrast = MODELS.build(momentum_contrast)
            self.key = MomentumTwin(self._key_sources())
        if self._reconstructs:
            self.reconstruction_encoder = None if share_encoder else MODELS.build(point_encoder)
            self.point_decoder = MODELS.build(point_decoder)
        if self._renders:
            self.renderer = RENDERERS.build(renderer)
            self.cameras = TASK_UTILS.build(views)()
            if not 1 <= num_views <= self.cameras.num_views:
                raise ValueError(
                    f'num_views must be in [1, {self.cameras.num_views}], got {num_views}'
                )
        used = {m for pair in self.pairs.values() for m in pair}
        self.image_encoder = MODELS.build(image_encoder) if 'rgb' in used else None
        self.depth_encoder = MODELS.build(depth_encoder) if 'depth' in used else None
        self.heads = nn.ModuleDict({m: MODELS.build(heads[m]) for m in MODALITIES if m in used})
        self.cross_modal_loss = MODELS.build(cross_modal_loss or dict(type='NTXentLoss'))
        self.chamfer_loss = MODELS.build(chamfer_loss or dict(type='ChamferLoss'))
        self.render_loss = MODELS.build(render_loss or dict(type='DepthRenderLoss'))
        if self.image_encoder is not None:
            self.transfer_modules = dict(self.transfer_modules, image='image_encoder')

    # ---------------------------------------------------------------- the method

    def loss(self, inputs: dict[str, Tensor], data_samples=None) -> dict[str, Tensor]:
        """All active terms, weighted, and a few figures.

        Args:
            inputs: ``points`` (B, N, C), unit sphere, coordinates first, and ``img`` (B, 3, H, W)
                where RGB takes part.
            data_samples: unused.

        Returns:
            ``loss_<term>`` for each active term, their sum being the total loss;
            ``token_accuracy`` (share of hidden patches, in [0, 1]) and ``cd``, the Chamfer loss
            before its weight, to watch.
        """
        points = inputs['points']
        terms: dict[str, Tensor] = {}
        figures: dict[str, Tensor] = {}

        patches = tokens = mask = masked = None
        if self._masks:
            patches = self.point_encoder.group(points)
            mask = self._mask(patches.center)
            # embedded once for both passes, with and without the mask
            tokens = self.point_encoder.patch_embed(patches)
            masked = self._encode_masked(self.point_encoder, patches, mask, tokens)
        if self._needs('token', 'moco'):
            self._token_level(patches, mask, masked, terms, figures)

        picture = None
        if self._reconstructs:
            cloud = self._reconstruct(patches, mask, masked)
            truth = points[..., :3]
            if self._needs('cd'):
                terms['cd'] = self._chamfer(cloud, patches, truth)
                figures['cd'] = terms['cd'].detach()
        if self._renders:
            cameras = self._draw_views(points.device)
            if self._needs('dr') or self.contrast_depth == 'input':
                with torch.no_grad():
                    true_picture = self._depth_picture(points[..., :3], cameras)
            if self._reconstructs:
                picture = self._depth_picture(self._cloud(cloud, patches), cameras)
            if self._needs('dr'):
                terms['dr'] = self.render_loss(picture, true_picture)
            if self.contrast_depth == 'input':
                picture = true_picture
            elif self.contrast_depth == 'recon':
                picture = picture.detach()

        if self.pairs:
            encoded = self._encode_for_contrast(points, patches, tokens, masked)
            feats = self._modal_features(inputs, encoded, picture)
            for term, (a, b) in self.pairs.items():
                terms[term] = self.cross_modal_loss(feats[a], feats[b])
        losses = {f'loss_{name}': self.weights[name] * value for name, value in terms.items()}
        return {**losses, **figures}

    def _token_level(self, patches, mask, masked, terms, figures) -> None:
        """Masked token prediction and contrast with the momentum encoder (Point-BERT, sec. 3)."""
        mixes = self.token_contrast in ('mixup', 'both') and self._needs('moco')
        if mixes:
            mixed_patches, keep, ratio = self._mix(patches)
            mixed_mask = self._mask(mixed_patches.center)
            mixed = self._encode_masked(self.point_encoder, mixed_patches, mixed_mask)
        if self._needs('token'):
            target = self.tokenizer.tokenize(patches)
            terms['token'] = self.token_head.loss(masked['local'], target, mask)
            figures['token_accuracy'] = self.token_head.accuracy(masked['local'], target, mask)
            if mixes:
                mixed_target = torch.where(keep, target, target.flip(0))
                terms['token'] = terms['token'] + self.token_head.loss(
                    mixed['local'], mixed_target, mixed_mask
                )
        if self._needs('moco'):
            key = self._key(patches)
            contrast = self.momentum_contrast
            terms['moco'] = key.new_zeros(())
            if self.token_contrast in ('moco', 'both'):
                terms['moco'] = contrast.loss(self.moco_head(masked['cls']), key)
            if mixes:
                terms['moco'] = terms['moco'] + contrast.mix_loss(
                    self.moco_head(mixed['cls']), key, ratio
                )
            contrast.enqueue(key)

    def _key(self, patches: Patches) -> Tensor:
        """Keys (B, dim) of the momentum network, whose input is masked too (as in Point-BERT)."""
        with torch.no_grad():
            self.key.follow(self._key_sources(), self.momentum_contrast.momentum)
            mask = self._mask(patches.center)
            token = self.key['mask_token']['weight']
            feats = self.key['encoder'].forward_patches(patches, mask, token)
            return self.key['head'](feats['cls'])

    def _reconstruct(self, patches: Patches, mask: Tensor, masked: dict) -> Tensor:
        """Points (B, G, K, 3) of all patches, relative to their centres."""
        if self.reconstruction_encoder is not None:
            masked = self._encode_masked(self.reconstruction_encoder, patches, mask)
        return self.point_decoder(masked['local'], patches.center)

    def _encode_for_contrast(self, points, patches, tokens, masked) -> dict[str, Tensor] | None:
        if 'points' not in self.heads:
            return None
        if self.contrast_masked:
            return masked
        # without patch-wise terms any encoder will do
        if patches is None:
            return self.point_encoder(points)
        return self.point_encoder.forward_patches(patches, tokens=tokens)

    def _modal_features(self, inputs, encoded, picture) -> dict[str, Tensor]:
        """Features (B, C) of each modality in the common space."""
        feats = {}
        if 'points' in self.heads:
            feats['points'] = self.heads['points'](encoded['global'])
        if 'rgb' in self.heads:
            if 'img' not in inputs:
                raise ValueError(
                    "the batch has no 'img', which the RGB contrast needs: load views in the "
                    "pipeline, or leave 'rgb' out of modalities"
                )
            feats['rgb'] = self.heads['rgb'](self.image_encoder(inputs['img'])['global'])
        if 'depth' in self.heads:
            feats['depth'] = self.heads['depth'](self.depth_encoder(picture[:, :1])['global'])
        return feats

    def extract_feat(self, inputs: dict[str, Tensor], data_samples=None) -> dict[str, Tensor]:
        """What the point encoder finds in whole clouds; see :class:`PointTransformer`."""
        return self.point_encoder(inputs['points'])

    @torch.no_grad()
    def reconstruct(self, points: Tensor) -> dict[str, Tensor]:
        """Reconstruct clouds from masked input and render both, for pictures.

        Args:
            points: (B, N, C) as in training.

        Returns:
            ``cloud`` (B, G * K, 3), ``mask`` (B, G), ``depth`` and ``depth_true`` (B, V, H, W) in
            [0, 1] from all views.

        Raises:
            ValueError: if the model has no decoder or no renderer.
        """
        if not (self._reconstructs and self._renders):
            raise ValueError('this model was built without reconstruction or rendering')
        patches = self.point_encoder.group(points)
        mask = self._mask(patches.center)
        masked = self._encode_masked(self.point_encoder, patches, mask)
        cloud = self._cloud(self._reconstruct(patches, mask, masked), patches)
        cameras = self.cameras.to(points.device)
        return dict(
            cloud=cloud,
            mask=mask,
            depth=self._depth_picture(cloud, cameras),
            depth_true=self._depth_picture(points[..., :3], cameras),
        )

    # ---------------------------------------------------------------- steps

    def _mask(self, center: Tensor) -> Tensor:
        if self.mask_type == 'block':
            return block_mask(center, self.mask_ratio)
        return random_mask(*center.shape[:2], self.mask_ratio, device=center.device)

    def _encode_masked(self, encoder, patches, mask, tokens=None) -> dict[str, Tensor]:
        return encoder.forward_patches(patches, mask, self.token_head.mask_token, tokens=tokens)

    @staticmethod
    def _mix(patches: Patches) -> tuple[Patches, Tensor, Tensor]:
        """Mix each cloud with its mirror in the batch, patch by patch (Point-BERT, sec. 3.4).

        Returns:
            The mixed patches, bool (B, G) where a patch is the cloud's own, and the ratios (B,).
        """
        batch, groups = patches.center.shape[:2]
        ratio = torch.rand(batch, device=patches.center.device)
        keep = torch.rand(batch, groups, device=ratio.device) < ratio[:, None]
        return _mix_patches(patches, keep), keep, ratio

    def _chamfer(self, cloud: Tensor, patches: Patches, truth: Tensor) -> Tensor:
        if self.chamfer_loss.per_patch:
            target = patches.neighborhood[..., :3]
            return self.chamfer_loss(cloud.flatten(0, 1), target.flatten(0, 1))
        return self.chamfer_loss(self._cloud(cloud, patches), truth)

    def _cloud(self, relative: Tensor, patches: Patches) -> Tensor:
        return self.point_decoder.to_cloud(relative, patches.center)

    def _depth_picture(self, cloud: Tensor, cameras) -> Tensor:
        return self.renderer.depth_image(self.renderer(cloud, cameras))

    def _draw_views(self, device: torch.device):
        chosen = torch.randperm(self.cameras.num_views)[: self.num_views]
        return self.cameras.select_views(chosen).to(device)

    def _key_sources(self) -> dict[str, nn.Module]:
        # the mask token is a bare parameter of the token head: wrapped, it has a twin as well
        token = nn.ParameterDict({'weight': self.token_head.mask_token})
        return dict(encoder=self.point_encoder, head=self.moco_head, mask_token=token)

    # ---------------------------------------------------------------- set-up

    def _needs(self, *terms: str) -> bool:
        return any(term in self.weights for term in terms)

    @property
    def _reconstructs(self) -> bool:
        uses_depth = any('depth' in pair for pair in self.pairs.values())
        return self._needs('cd', 'dr') or (uses_depth and self.contrast_depth != 'input')

    @property
    def _masks(self) -> bool:
        return self._needs('token', 'moco') or self._reconstructs or self.contrast_masked

    @property
    def _renders(self) -> bool:
        return self._needs('dr') or any('depth' in pair for pair in self.pairs.values())

    def _active_weights(self, loss_weights, modalities) -> dict[str, float]:
        if loss_weights is None:
            loss_weights = dict(token=1.0, moco=1.0, cd=1.0, dr=0.1, rd=0.1, rp=0.1, pd=0.1)
        unknown = sorted(set(loss_weights) - set(TERMS)) + sorted(set(modalities) - set(MODALITIES))
        if unknown:
            raise ValueError(f'unknown names {unknown}: terms are {TERMS}, modalities {MODALITIES}')
        weights = {t: float(loss_weights.get(t, 0.0)) for t in TERMS}
        for term, pair in PAIRS.items():
            if not set(pair) <= set(modalities):
                weights[term] = 0.0
        if self.token_contrast == 'none':
            weights['moco'] = 0.0
        weights = {t: w for t, w in weights.items() if w != 0.0}
        if not weights:
            raise ValueError(f'no term is left to train with: {dict(loss_weights)}, {modalities}')
        return weights

    def _check_parts(self, given: dict) -> None:
        """Name every part that an active term needs and that the config lacks."""
        needs = {
            'tokenizer': self._needs('token'),
            'token_head': self._masks,
            'moco_head': self._needs('moco'),
            'momentum_contrast': self._needs('moco'),
            'point_decoder': self._reconstructs,
            'renderer': self._renders,
            'views': self._renders,
            'image_encoder': any('rgb' in pair for pair in self.pairs.values()),
            'depth_encoder': any('depth' in pair for pair in self.pairs.values()),
        }
        missing = [name for name, needed in needs.items() if needed and given[name] is None]
        used = {m for pair in self.pairs.values() for m in pair}
        missing += [f"heads['{m}']" for m in sorted(used - set(given['heads'] or {}))]
        if missing:
            raise ValueError(
                f'the active terms {sorted(self.weights)} need {missing}: add them to the config, '
                'or set the weights of their terms to 0'
            )

    def _check_grouping(self) -> None:
        for name in ('num_groups', 'group_size'):
            ours = getattr(self.point_encoder, name)
            theirs = getattr(self.tokenizer.patch_embed, name)
            if ours != theirs:
                raise ValueError(
                    f'tokenizer and point encoder must share {name}, got {theirs} and {ours}'
                )

    def init_weights(self) -> None:
        """Initialise all parts, take the tokenizer's patch embedding, and copy the key network."""
        super().init_weights()
        if self.init_patch_embed:
            self.point_encoder.patch_embed.copy_encoder_from(self.tokenizer.patch_embed)
        if self._needs('moco'):
            self.key.copy(self._key_sources())


def _mix_patches(patches: Patches, keep: Tensor) -> Patches:
    """Patches where ``keep``, else those of the batch in reverse order."""
    return Patches(
        torch.where(keep[..., None, None], patches.neighborhood, patches.neighborhood.flip(0)),
        torch.where(keep[..., None], patches.center, patches.center.flip(0)),
        torch.where(keep[..., None], patches.idx, patches.idx.flip(0)),
    )


def _choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f'{name} must be one of {choices}, got {value!r}')
    return value
