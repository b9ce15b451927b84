"""A small CLIP trained from scratch: the teacher that needs no download."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from mm3dpretrain.registry import MODELS
from mm3dpretrain.structures import PretrainDataSample

from ..encoders.open_clip_models import build_open_clip, build_tokenizer
from .base import BasePretrainer

#: CLIP's limit of the learnable scale
MAX_SCALE = 100.0


@MODELS.register_module()
class CLIPPretrainer(BasePretrainer):
    """Contrast of pictures with their texts (CLIP, arXiv 2103.00020, Sec. 2.3).

    With unit embeddings of B pictures I and texts T and s = exp(logit_scale), learnable::

        L = -1/(2B) sum_i [ log softmax_j(s I_i . T_j)_i + log softmax_j(s T_i . I_j)_i ]

    With a ``text_space`` the texts are frozen and only an image tower is trained ("locked text", as
    the image side of LiT): it comes to lie in the space of a text tower that is not at hand. Two
    samples of a batch may then have the same text; as the vectors of these texts are equal, the
    gradient of a picture is that of one merged candidate.

    Its checkpoints are weights of a :class:`~mm3dpretrain.models.encoders.CLIPTeacher` with the
    same ``model`` and ``prefix='clip'``.

    Args:
        model: a name of OpenCLIP or a dict of its ``model_cfg``; without ``text_cfg`` an image
            tower alone, which needs a ``text_space``.
        text_space: config of a frozen text space, such as a ``TextBank``.
        classes: names that :meth:`predict` decides among; none: no decision.
        prompts: of these names, see :func:`~mm3dpretrain.datasets.prompts.build_prompts`.
        contrast: of the pairs; default ``dict(type='PointInfoNCELoss', symmetric=True)``.
        data_preprocessor: see :class:`BasePretrainer`; a teacher with these weights needs the same
            mean and std.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ImportError: if OpenCLIP is not installed.
        ValueError: for an image tower without a text space.
    """

    transfer_modules = {'image': 'clip'}

    def __init__(
        self,
        model: str | Mapping,
        text_space: Mapping | None = None,
        classes: Sequence[str] = (),
        prompts: str | Mapping | Sequence[str] = 'plain',
        contrast: Mapping | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.clip = build_open_clip(model)
        # not through __setattr__: a frozen text space leaves no trace in the checkpoint
        self.__dict__['text_space'] = None if text_space is None else MODELS.build(dict(text_space))
        if self.text_space is None and not hasattr(self.clip, 'encode_text'):
            raise ValueError('a model without text_cfg needs a text_space to be trained against')
        self.model = model
        self.classes = tuple(classes)
        self.prompts = prompts
        self.contrast = MODELS.build(contrast or dict(type='PointInfoNCELoss', symmetric=True))

    def loss(self, inputs: dict[str, Tensor], data_samples=None) -> dict[str, Tensor]:
        """The contrast of a batch.

        Args:
            inputs: ``img`` (B, 3, H, W); ``text_tokens`` (B, L), or with a text space
                ``text_embeds`` (B, D); optionally ``has_text`` (B,), which samples have a text.
            data_samples: unused.

        Returns:
            ``loss_clip``; ``top1``, the share of pictures whose own text is the nearest of the
            batch; ``logit_scale``, s.
        """
        with torch.no_grad():
            self.clip.logit_scale.clamp_(max=math.log(MAX_SCALE))
        scale = self.clip.logit_scale.exp()
        image = self.clip.encode_image(inputs['img'])
        if self.text_space is None:
            text = self.clip.encode_text(inputs['text_tokens'].long())
        else:
            text = inputs['text_embeds'].detach()
        valid = inputs['has_text'].bool() if 'has_text' in inputs else None
        out = self.contrast(image, text, valid, scale)
        return dict(loss_clip=out['loss'], top1=out['top1'], logit_scale=scale.detach())

    def extract_feat(self, inputs: dict[str, Tensor], data_samples=None) -> dict[str, Tensor]:
        """Embeddings of pictures.

        Args:
            inputs: ``img`` (B, 3, H, W), or (B, V, 3, H, W) for V views of each thing.
            data_samples: unused.

        Returns:
            ``global`` and ``embed`` (B, D), unit length; the mean over views of unit vectors.
        """
        img = inputs['img']
        views = img.shape[1] if img.dim() == 5 else 1
        embed = F.normalize(self.clip.encode_image(img.reshape(-1, *img.shape[-3:])).float(), dim=1)
        embed = F.normalize(embed.reshape(-1, views, embed.shape[-1]).mean(1), dim=1)
        return {'global': embed, 'embed': embed}

    def predict(
        self, inputs: dict[str, Tensor], data_samples: list[PretrainDataSample] | None = None
    ) -> list[PretrainDataSample]:
        """With ``classes``, also the zero-shot decision: cosines ``pred_scores`` (C,) and
        ``pred_label`` (1,), the class whose text is the most similar one."""
        data_samples = super().predict(inputs, data_samples)
        if not self.classes:
            return data_samples
        classes = self.class_embeddings()
        for sample in data_samples:
            sample.pred_scores = classes @ sample.feat_embed
            sample.pred_label = sample.pred_scores.argmax(0, keepdim=True)
        return data_samples

    # ---------------------------------------------------------------- texts

    @torch.no_grad()
    def class_embeddings(self) -> Tensor:
        """(C, D) float32, unit length, of ``classes`` under ``prompts``."""
        from mm3dpretrain.datasets.prompts import embed_classes

        space = self if self.text_space is None else self.text_space
        embeddings = embed_classes(space, self.classes, self.prompts).embeddings
        return torch.from_numpy(embeddings).to(self.clip.logit_scale.device)

    #: for the record of class embeddings: the weights change with every step
    identity = 'in training'

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (K, D) of texts by the tower in training, float32, unit length."""
        tokens = self._tokenizer(list(texts)).to(self.clip.logit_scale.device)
        return F.normalize(self.clip.encode_text(tokens).float(), dim=-1)

    @cached_property
    def _tokenizer(self):
        return build_tokenizer(self.model)
