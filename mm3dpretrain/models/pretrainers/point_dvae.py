"""Discrete tokenizer of point patches, the first stage of Point-BERT style pre-training."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mm3dpretrain import ops
from mm3dpretrain.registry import MODELS
from mm3dpretrain.structures import PretrainDataSample

from ..encoders import Patches, PointPatchEmbed
from ..heads.folding_decoder import FoldingDecoder
from ..utils.patch_dgcnn import PatchDGCNN
from .base import BasePretrainer


def cosine_schedule(iteration: int, start: float, end: float, iters: int, delay: int = 0) -> float:
    """Half a cosine from ``start`` to ``end`` over ``iters`` iterations, constant around it.

    Args:
        iteration: training iterations done so far.
        start: value up to iteration ``delay``.
        end: value from iteration ``delay + iters`` on.
        iters: length of the transition, at least 1.
        delay: iterations before it begins.
    """
    progress = min(max((iteration - delay) / iters, 0.0), 1.0)
    return end + (start - end) * (1.0 + math.cos(math.pi * progress)) / 2.0


@MODELS.register_module()
class PointDVAE(BasePretrainer):
    """Discrete variational auto-encoder that gives every patch a token (Point-BERT, Sec. 3.1).

    A patch embedding and a graph network predict logits over a learnable codebook; a relaxed sample
    of it (Gumbel softmax) is decoded into the points of the patch. The temperature of the sample
    and the weight of the KL term follow cosine schedules over the training iterations, counted in
    the buffer ``iteration``, which checkpoints contain.

    Args:
        num_groups: patches per cloud.
        group_size: points per patch, divisible by 4.
        encoder_dim: channels of the patch embedding.
        num_tokens: size of the codebook, divisible by 4.
        token_dim: channels of a code.
        decoder_dim: channels of a patch before its points are decoded, divisible by 4.
        num_neighbors: patches joined to each patch in the graph networks, itself included.
        hidden_dims: widths inside the patch embedding, see :class:`PointPatchEmbed`.
        graph_dims: widths of both graph networks, see :class:`PatchDGCNN`.
        folding_dims: widths of the decoder, see :class:`FoldingDecoder`.
        temperature: arguments of :func:`cosine_schedule` of the Gumbel softmax.
        kl_weight: the same of the weight of the KL term. Point-BERT's runner delays it by 10k
            iterations.
        frozen: use it as a tokenizer: no gradients, and always in evaluation mode.
        data_preprocessor: see :class:`BasePretrainer`.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: for sizes that are not divisible by 4 or a schedule without iterations.
    """

    transfer_modules = {'point': 'patch_embed'}

    def __init__(
        self,
        num_groups: int = 64,
        group_size: int = 32,
        encoder_dim: int = 256,
        num_tokens: int = 8192,
        token_dim: int = 256,
        decoder_dim: int = 256,
        num_neighbors: int = 4,
        hidden_dims: tuple[int, int, int] = (128, 256, 512),
        graph_dims: tuple[int, ...] = (128, 256, 512, 512, 1024),
        folding_dims: tuple[int, int] = (1024, 512),
        temperature: dict | None = None,
        kl_weight: dict | None = None,
        frozen: bool = False,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.num_tokens = num_tokens
        self.temperature = dict(start=1.0, end=0.0625, iters=100_000) | (temperature or {})
        self.kl_weight = dict(start=0.0, end=0.1, iters=100_000, delay=10_000) | (kl_weight or {})
        for schedule in (self.temperature, self.kl_weight):
            if schedule['iters'] < 1:
                raise ValueError(f'a schedule needs at least 1 iteration, got {schedule}')

        self.patch_embed = PointPatchEmbed(
            num_groups, group_size, 3, encoder_dim, hidden_dims=hidden_dims
        )
        self.token_graph = PatchDGCNN(encoder_dim, num_tokens, num_neighbors, graph_dims)
        self.codebook = nn.Parameter(torch.randn(num_tokens, token_dim))
        self.code_graph = PatchDGCNN(token_dim, decoder_dim, num_neighbors, graph_dims)
        self.decoder = FoldingDecoder(decoder_dim, group_size, hidden_dims=folding_dims)
        self.register_buffer('iteration', torch.zeros((), dtype=torch.long))

        self.frozen = frozen
        if frozen:
            self.requires_grad_(False)
            self.train()

    def train(self, mode: bool = True) -> PointDVAE:
        """Enter training mode, or stay in evaluation mode where frozen."""
        return super().train(mode and not self.frozen)

    def group(self, points: Tensor) -> Patches:
        """Patches of clouds (B, N, 3); see :meth:`PointPatchEmbed.group`."""
        return self.patch_embed.group(points)

    def encode(self, patches: Patches) -> Tensor:
        """Logits (B, G, num_tokens) of patches; channels after the coordinates are ignored."""
        tokens = self.patch_embed.encode(patches.neighborhood[..., :3])
        return self.token_graph(tokens, patches.center)

    @torch.no_grad()
    def tokenize(self, patches: Patches) -> Tensor:
        """Most likely token of every patch.

        Args:
            patches: what :meth:`group` gives, in the frame and unit of the training clouds.

        Returns:
            (B, G) int64 in [0, num_tokens).
        """
        return self.encode(patches).argmax(dim=-1)

    @staticmethod
    def relax(logits: Tensor, temperature: float, noise: Tensor | None = None) -> Tensor:
        """Relaxed one-hot sample ``softmax((logits + g) / T)`` (Gumbel softmax).

        Args:
            logits: (B, G, num_tokens).
            temperature: T > 0.
            noise: g like ``logits``; default drawn from the standard Gumbel distribution.

        Returns:
            (B, G, num_tokens), non-negative, with sum 1 per patch.
        """
        logits = logits.float()
        if noise is None:
            noise = -torch.empty_like(logits).exponential_().log()
        return ((logits + noise) / temperature).softmax(dim=-1)

    def decode(self, codes: Tensor, center: Tensor) -> tuple[Tensor, Tensor]:
        """Points of codes (B, G, token_dim) at centres (B, G, 3); see :class:`FoldingDecoder`."""
        return self.decoder(self.code_graph(codes, center))

    def kl_divergence(self, logits: Tensor) -> Tensor:
        """KL(uniform || mean posterior), mean over the clouds, in nats.

        The mean posterior of a cloud is the mean over its patches of ``softmax(logits)``.

        Args:
            logits: (B, G, num_tokens).

        Returns:
            Scalar >= 0.
        """
        # in the log domain: a token that is never likely must not become log 0
        log_mean = logits.float().log_softmax(-1).logsumexp(1) - math.log(logits.shape[1])
        return (-math.log(self.num_tokens) - log_mean).mean(dim=-1).mean()

    @staticmethod
    def reconstruction_loss(points: Tensor, target: Tensor) -> Tensor:
        """Chamfer L1 (half the sum of both mean distances), mean over all patches.

        Args:
            points: (B, G, M, 3) relative to the centres.
            target: (B, G, K, 3) likewise.

        Returns:
            Scalar in the unit of the cloud.
        """
        return ops.chamfer_l1(points.float().flatten(0, 1), target.float().flatten(0, 1))

    def loss(
        self,
        inputs: dict[str, Tensor],
        data_samples: list[PretrainDataSample] | None = None,
    ) -> dict[str, Tensor]:
        """Reconstruction and KL terms of one step; in training mode the step is counted.

        Args:
            inputs: ``points`` (B, N, 3).
            data_samples: not needed.

        Returns:
            ``loss_coarse``, ``loss_fine`` and the weighted ``loss_kl``; to watch, ``kl`` (nats),
            ``kl_weight``, ``temperature``, and ``token_usage``, the share in [0, 1] of the codebook
            that this batch uses.

        Raises:
            ValueError: see :func:`check_points`.
        """
        step = int(self.iteration)
        temperature = cosine_schedule(step, **self.temperature)
        kl_weight = cosine_schedule(step, **self.kl_weight)
        if self.training:
            self.iteration += 1

        patches = self.group(inputs['points'])
        logits = self.encode(patches)
        codes = self.relax(logits, temperature) @ self.codebook
        coarse, fine = self.decode(codes, patches.center)
        kl = self.kl_divergence(logits)
        used = logits.detach().argmax(-1).unique().numel() / self.num_tokens
        return dict(
            loss_coarse=self.reconstruction_loss(coarse, patches.neighborhood),
            loss_fine=self.reconstruction_loss(fine, patches.neighborhood),
            loss_kl=kl_weight * kl,
            kl=kl.detach(),
            kl_weight=kl.new_tensor(kl_weight),
            temperature=kl.new_tensor(temperature),
            token_usage=kl.new_tensor(used),
        )

    def extract_feat(
        self,
        inputs: dict[str, Tensor],
        data_samples: list[PretrainDataSample] | None = None,
    ) -> dict[str, Tensor]:
        """Features of the patch embedding.

        Args:
            inputs: ``points`` (B, N, 3).
            data_samples: not needed.

        Returns:
            ``local`` (B, G, encoder_dim), their maximum ``global`` (B, encoder_dim) and the centres
            ``xyz`` (B, G, 3).
        """
        patches = self.group(inputs['points'])
        local = self.patch_embed.encode(patches.neighborhood)
        return {'global': local.amax(dim=1), 'local': local, 'xyz': patches.center}

    def predict(
        self,
        inputs: dict[str, Tensor],
        data_samples: list[PretrainDataSample] | None = None,
    ) -> list[PretrainDataSample]:
        """Tokens and the clouds that they decode to.

        Args:
            inputs: ``points`` (B, N, 3).
            data_samples: to be filled; default new ones.

        Returns:
            Data samples with ``pred_tokens`` (G,) int64, ``pred_points`` (G K, 3) and
            ``pred_coarse`` (G K / 4, 3) in the frame of the cloud.
        """
        patches = self.group(inputs['points'])
        tokens = self.tokenize(patches)
        coarse, fine = self.decode(self.codebook[tokens], patches.center)
        center = patches.center[:, :, None]
        if data_samples is None:
            data_samples = [PretrainDataSample() for _ in range(len(tokens))]
        for sample, token, points, rough in zip(
            data_samples, tokens, (fine + center).flatten(1, 2), (coarse + center).flatten(1, 2)
        ):
            sample.set_data(dict(pred_tokens=token, pred_points=points, pred_coarse=rough))
        return data_samples
