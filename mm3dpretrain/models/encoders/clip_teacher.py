"""A frozen CLIP of OpenCLIP: embeddings of pictures and texts in one space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mm3dpretrain.registry import MODELS

from .frozen_teacher import FrozenTeacher, plain
from .open_clip_models import (
    build_open_clip,
    build_tokenizer,
    check_model_name,
    image_side,
    load_open_clip,
    needs_quick_gelu,
    open_clip,
    pixel_statistics,
)

#: texts that go through the text tower at a time
TEXT_BATCH = 256


@MODELS.register_module()
class CLIPTeacher(FrozenTeacher):
    """Image and text tower of a CLIP, frozen; no checkpoint has its weights.

    Examples::

        dict(type='CLIPTeacher', model='ViT-bigG-14', weights='laion2b_s39b_b160k')
        dict(type='CLIPTeacher', model='ViT-B-32', weights='data/open_clip_model.safetensors')
        dict(type='CLIPTeacher', model=dict(embed_dim=128, vision_cfg=..., text_cfg=...),
             weights='work_dirs/clip/epoch_12.pth', prefix='clip')

    Args:
        model: a name of OpenCLIP, or a dict of its ``model_cfg`` (``embed_dim``, ``vision_cfg``,
            ``text_cfg``; an image tower alone has no ``text_cfg``).
        weights: a tag of OpenCLIP's list, fetched from the hub when the weights are first needed;
            a local file (``.pt``, ``.pth``, ``.bin``, ``.safetensors``); None: at random.
        prefix: of the weights in a file: 'clip' in checkpoints of a :class:`CLIPPretrainer`.
        pixel_mean, pixel_std: of the RGB pictures, in 0 to 255; default what the weights say (see
            :func:`~mm3dpretrain.models.encoders.open_clip_models.pixel_statistics`).

    Attributes:
        embed_dim: D of the embeddings.
        image_size: (H, W) of the pictures.
        has_text: False for an image tower alone.

    Raises:
        ImportError: if OpenCLIP is not installed.
        ValueError: for an unknown name or tag, with near matches, or wrong settings.
    """

    def __init__(
        self,
        model: str | Mapping,
        weights: str | None = None,
        prefix: str = '',
        pixel_mean: Sequence[float] | None = None,
        pixel_std: Sequence[float] | None = None,
    ) -> None:
        if isinstance(model, str):
            check_model_name(model, weights)
        network = build_open_clip(model, weights)
        mean, std = pixel_statistics(model, weights)
        super().__init__(network, weights, list(pixel_mean or mean), list(pixel_std or std))
        self.model = model if isinstance(model, str) else plain(model)
        self.prefix = prefix
        self.image_size = image_side(network)
        self.has_text = hasattr(network, 'encode_text')

    # ---------------------------------------------------------------- embeddings

    @cached_property
    def embed_dim(self) -> int:
        """Width D of the embeddings."""
        if isinstance(self.model, dict):
            return self.model['embed_dim']
        return open_clip().get_model_config(self.model)['embed_dim']

    @torch.no_grad()
    def encode_image(self, img: Tensor) -> Tensor:
        """Embeddings of pictures.

        Args:
            img: (B, 3, H, W) RGB of ``image_size``, normalised by ``pixel_mean`` and
                ``pixel_std`` (:meth:`preprocess` does both).

        Returns:
            (B, D) float32, unit length.

        Raises:
            ValueError: for another shape.
        """
        if img.dim() != 4 or tuple(img.shape[1:]) != (3, *self.image_size):
            raise ValueError(
                f'this CLIP takes pictures (B, 3, {self.image_size[0]}, {self.image_size[1]}), '
                f'got {tuple(img.shape)}'
            )
        self.ensure_loaded()
        return F.normalize(self.network.encode_image(img).float(), dim=-1)

    @torch.no_grad()
    def encode_text(self, tokens: Tensor) -> Tensor:
        """Embeddings of texts.

        Args:
            tokens: (B, L) int64, from :meth:`tokenize`.

        Returns:
            (B, D) float32, unit length.

        Raises:
            RuntimeError: for an image tower alone.
        """
        if not self.has_text:
            raise RuntimeError(
                'this CLIP has no text tower (its model has no text_cfg): take the text space that '
                'its image tower was trained in, such as a TextBank'
            )
        self.ensure_loaded()
        return F.normalize(self.network.encode_text(tokens).float(), dim=-1)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Tokens (K, L) int64 of texts; longer ones are cut.

        Raises:
            RuntimeError: if the tokenizer lies on a hub that cannot be reached.
            ValueError: for an image tower alone.
        """
        return self._tokenizer(list(texts))

    @cached_property
    def _tokenizer(self):
        return build_tokenizer(self.model)

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Embeddings of texts as they are, without any prompt.

        Returns:
            (K, D) float32, unit length, on the device of the network.
        """
        texts = list(texts)
        if not texts:
            return torch.zeros(0, self.embed_dim, device=self.device)
        parts = [
            self.encode_text(self.tokenize(texts[start : start + TEXT_BATCH]).to(self.device))
            for start in range(0, len(texts), TEXT_BATCH)
        ]
        return torch.cat(parts)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def preprocess(self, views: np.ndarray | Tensor) -> Tensor:
        """Pictures as :meth:`encode_image` wants them.

        The shorter side is resized to ``image_size`` (bicubic, anti-aliased) and the middle is cut
        out, as OpenCLIP's own transform does.

        Args:
            views: (V, H, W, 3) uint8 RGB.

        Returns:
            (V, 3, h, w) float32 on the device of the network.

        Raises:
            ValueError: for another shape.
        """
        views = torch.as_tensor(np.ascontiguousarray(views))
        if views.dim() != 4 or views.shape[-1] != 3:
            raise ValueError(f'views must be (V, H, W, 3) RGB, got {tuple(views.shape)}')
        img = views.permute(0, 3, 1, 2).to(self.device).float()
        height, width = self.image_size
        if tuple(img.shape[-2:]) != (height, width):
            # torchvision cuts the longer side to whole pixels, and so does OpenCLIP
            ratio = max(height / img.shape[-2], width / img.shape[-1])
            size = [max(int(s * ratio), w) for s, w in zip(img.shape[-2:], (height, width))]
            img = F.interpolate(img, size, mode='bicubic', antialias=True, align_corners=False)
            img = img.clamp(0, 255)  # bicubic weights overshoot
            top, left = (round((s - w) / 2) for s, w in zip(size, (height, width)))
            img = img[..., top : top + height, left : left + width]
        mean, std = (img.new_tensor(v).view(3, 1, 1) for v in (self.pixel_mean, self.pixel_std))
        return (img - mean) / std

    # ---------------------------------------------------------------- weights

    def load(self) -> None:
        """Fetch or read the weights.

        Raises:
            FileNotFoundError: if there is no such file.
            RuntimeError: if they cannot be fetched or do not fit.
        """
        load_open_clip(self.network, self.model, self.weights, self.prefix)

    def describe(self) -> dict:
        """With the model and how pictures reach it."""
        return dict(
            super().describe(),
            model=self.model,
            quick_gelu=needs_quick_gelu(self.model, self.weights),
            image_size=list(self.image_size),
            pixel_mean=[round(v, 3) for v in self.pixel_mean],
            pixel_std=[round(v, 3) for v in self.pixel_std],
        )

    def _hash_weights(self, digest) -> None:
        # the same weights may come by tag, as a file of the hub or in a checkpoint
        self._hash_tensors(digest)
