"""Batches of triangle meshes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


def _tensor(values) -> Tensor:
    """Tensor of a tensor, array or nested list."""
    if isinstance(values, np.ndarray):
        # Torch knows few unsigned dtypes. Views may have negative strides, as of reversed faces, or
        # be read-only: a copy has neither.
        return torch.from_numpy(np.array(values, np.int64 if values.dtype.kind == 'u' else None))
    return torch.as_tensor(values)


def _unit(vectors: Tensor) -> Tensor:
    """Vectors (..., 3) of length 1; those of length 0 stay 0 and get the gradient 0."""
    square = vectors.square().sum(-1, keepdim=True)
    return vectors * torch.where(square > 0, square, torch.ones_like(square)).rsqrt()


# eq=False: comparing or hashing tensors field by field has no meaning
@dataclass(frozen=True, eq=False)
class Meshes:
    """B triangle meshes, padded to the same numbers of vertices and faces.

    A face is seen from its front where its corners run counter-clockwise.

    Args:
        vertices: (B, P, 3) floating, world frame, unit of the scene. Padded vertices may hold any
            finite value.
        faces: int64 (B, F, 3), indices of the sample's vertices. Padded rows are -1.

    Raises:
        ValueError: for wrong shapes, dtypes or devices, vertices that are not finite, and faces
            that name a vertex that does not exist; the message names the sample and the index.
    """

    vertices: Tensor
    faces: Tensor

    def __post_init__(self) -> None:
        vertices, faces = self.vertices, self.faces
        if vertices.dim() != 3 or vertices.shape[-1] != 3 or not vertices.is_floating_point():
            raise ValueError(
                f'vertices must be floating (B, P, 3), got {vertices.dtype} {tuple(vertices.shape)}'
            )
        if faces.dim() != 3 or faces.shape[-1] != 3 or faces.dtype != torch.int64:
            raise ValueError(
                f'faces must be int64 (B, F, 3), got {faces.dtype} {tuple(faces.shape)}'
            )
        if not len(vertices):
            raise ValueError('a batch needs at least one mesh, got none')
        if len(vertices) != len(faces) or vertices.device != faces.device:
            raise ValueError(
                f'vertices of {len(vertices)} samples on {vertices.device} for faces of '
                f'{len(faces)} samples on {faces.device}'
            )
        bad = ~torch.isfinite(vertices.detach()).all(-1)
        if bool(bad.any()):
            sample, index = torch.nonzero(bad)[0].tolist()
            raise ValueError(
                f'vertex {index} of sample {sample} is not finite: '
                f'{vertices[sample, index].tolist()} ({int(bad.sum())} such vertices)'
            )
        bad = ((faces < 0) | (faces >= vertices.shape[1])).any(-1) & (faces != -1).any(-1)
        if bool(bad.any()):
            sample, index = torch.nonzero(bad)[0].tolist()
            raise ValueError(
                f'face {index} of sample {sample} names the vertices '
                f'{faces[sample, index].tolist()}, but there are {vertices.shape[1]} vertices '
                f'({int(bad.sum())} such faces; a padded face is -1, -1, -1)'
            )

    @classmethod
    def from_list(cls, meshes: Sequence[tuple[Tensor, Tensor]]) -> Meshes:
        """Pad meshes of different sizes to one batch.

        Args:
            meshes: pairs of vertices (P_i, 3) and faces (F_i, 3), tensors or arrays; faces of any
                integer dtype. Gradients reach the given vertices.

        Raises:
            ValueError: for an empty list, or a mesh that is none; the message names the sample.
        """
        if not meshes:
            raise ValueError('Meshes.from_list needs at least one mesh')
        pairs = []
        for sample, (vertices, faces) in enumerate(meshes):
            vertices, faces = _tensor(vertices), _tensor(faces)
            if vertices.dim() != 2 or vertices.shape[-1] != 3:
                raise ValueError(
                    f'vertices of sample {sample}: {tuple(vertices.shape)}, not (P, 3)'
                )
            if faces.dim() != 2 or faces.shape[-1] != 3 or faces.is_floating_point():
                raise ValueError(
                    f'faces of sample {sample}: {faces.dtype} {tuple(faces.shape)}, '
                    'not integers (F, 3)'
                )
            faces = faces.to(vertices.device, torch.int64)
            # checked here, as padding would make room for indices that do not exist
            wrong = ((faces < 0) | (faces >= len(vertices))).any(-1)
            if bool(wrong.any()):
                index = int(torch.nonzero(wrong)[0])
                raise ValueError(
                    f'face {index} of sample {sample} names the vertices '
                    f'{faces[index].tolist()}, but there are {len(vertices)} vertices '
                    f'({int(wrong.sum())} such faces)'
                )
            pairs.append((vertices, faces))
        return cls(
            torch.nn.utils.rnn.pad_sequence([v for v, _ in pairs], batch_first=True),
            torch.nn.utils.rnn.pad_sequence(
                [f for _, f in pairs], batch_first=True, padding_value=-1
            ),
        )

    def __len__(self) -> int:
        return len(self.vertices)

    @property
    def device(self) -> torch.device:
        return self.vertices.device

    @property
    def valid_faces(self) -> Tensor:
        """Bool (B, F): not padding."""
        return self.faces[..., 0] >= 0

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None):
        """Meshes on another device, with vertices of another floating dtype."""
        return Meshes(self.vertices.to(device=device, dtype=dtype), self.faces.to(device=device))

    def corners(self) -> Tensor:
        """Positions (B, F, 3, 3) of the corners of every face; 0 for padding."""
        batch, num = self.faces.shape[:2]
        if not self.vertices.shape[1]:
            return self.vertices.new_zeros(batch, num, 3, 3)
        index = self.faces.clamp(min=0).reshape(batch, -1, 1).expand(-1, -1, 3)
        corners = self.vertices.gather(1, index).reshape(batch, num, 3, 3)
        return corners * self.valid_faces[..., None, None]

    def _face_vectors(self) -> Tensor:
        """Normals (B, F, 3) times area, in an arbitrary unit of each sample, float32 or 64."""
        corners = self.corners()
        if corners.dtype != torch.float64:  # squares of areas leave the range of half precision
            corners = corners.float()
        edges = corners[:, :, 1:] - corners[:, :, :1]
        # the squares of a very small or large mesh would leave the range of single precision
        extent = edges.detach().abs().flatten(1).amax(1) if edges.numel() else edges.new_ones(1)
        edges = (
            edges / torch.where(extent > 0, extent, torch.ones_like(extent))[:, None, None, None]
        )
        return torch.cross(edges[:, :, 0], edges[:, :, 1], dim=-1)

    def face_normals(self) -> Tensor:
        """Unit normals (B, F, 3) on the front side; 0 for padding and faces without area."""
        return _unit(self._face_vectors()).to(self.vertices.dtype)

    def vertex_normals(self) -> Tensor:
        """Unit normals (B, P, 3): of the faces around the vertex, weighted by their area.

        0 for vertices without a face.
        """
        vectors = self._face_vectors()
        batch, num = self.vertices.shape[:2]
        if not num:
            return torch.zeros_like(self.vertices)
        # padded faces are 0 and add nothing to vertex 0
        index = (
            self.faces.clamp(min=0) + num * torch.arange(batch, device=self.device)[:, None, None]
        )
        total = vectors.new_zeros(batch * num, 3)
        total = total.index_add(
            0, index.reshape(-1), vectors[:, :, None].expand(-1, -1, 3, -1).reshape(-1, 3)
        )
        return _unit(total).reshape(batch, num, 3).to(self.vertices.dtype)
