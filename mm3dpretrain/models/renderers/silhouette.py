"""Soft silhouettes of meshes: how close a pixel outside is to the nearest faces."""

from __future__ import annotations

import torch
from torch import Tensor

from .mesh_torch import MAX_FACES, corner_edges, determinant, gather_corners, pixels_of

# Below this distance from a face, (1 - probability) counts as constant: its slope tends to 0.
TINY = 1e-12


class SoftSilhouette:
    """The probabilistic silhouette of DIB-R.

    Chen et al., "Learning to Predict 3D Objects with an Interpolation-based Differentiable
    Renderer" (2019), section 3.2, as Kaolin's ``dibr_soft_mask`` computes it: a pixel that a face
    covers has the mask 1; at any other pixel

        ``mask = 1 - prod_k (1 - exp(-sigmainv d_k^2))``

    over the faces whose bounding box, enlarged by ``boxlen`` on every side, contains the pixel
    centre; of more than ``knum`` such faces the first ones by index. d_k is the distance to the
    face in the picture, in normalised coordinates: the picture reaches from -1 to 1 in both
    directions, so one unit is W / 2 pixels along u and H / 2 pixels along v.

    With the defaults, ``exp(-sigmainv d^2)`` is 0.5 at d = 0.01 (1.1 pixels of 224) and 0.06 at
    d = 0.02, where a face stops to count: a mesh that is several pixels off its target is pulled
    only by a smaller ``sigmainv`` with a larger ``boxlen`` (such as 100 and 0.2). As every face
    adds its share, the rim of a finely divided mesh is fuller than that of a coarse one.

    Only faces that are drawn and lie wholly between the near and the far plane count; covered
    pixels have no gradient.

    Args:
        sigmainv: sharpness, per squared unit of the normalised coordinates, positive.
        boxlen: reach of a face, in units of the normalised coordinates, positive.
        knum: largest number of faces that count at a pixel.

    Raises:
        ValueError: for settings that are not positive.
    """

    def __init__(self, sigmainv: float = 7000.0, boxlen: float = 0.02, knum: int = 30) -> None:
        if not (0 < sigmainv < float('inf') and 0 < boxlen < float('inf')):
            raise ValueError(f'need positive sigmainv and boxlen, got {sigmainv} and {boxlen}')
        if int(knum) != knum or knum < 1:
            raise ValueError(f'knum must be a positive integer, got {knum}')
        self.sigmainv = float(sigmainv)
        self.boxlen = float(boxlen)
        self.knum = int(knum)

    def __repr__(self) -> str:
        return f'SoftSilhouette({self.sigmainv:g}, {self.boxlen:g}, {self.knum})'

    def __call__(
        self,
        points: Tensor,
        faces: Tensor,
        index: Tensor,
        perspective: bool,
        near: float,
        far: float,
        facing: Tensor,
        backend: str,
    ) -> Tensor:
        """Mask (S, H, W) in [0, 1], float64; arguments as in ``mesh_torch.find_faces``.

        Args:
            index: int64 (S, H, W), the visible faces, -1 for background.
            backend: 'numba', 'torch' or 'naive'.
        """
        height, width = index.shape[1:]
        z = points[..., 2]
        inside = (z >= near) & (z <= far)
        # points between the planes are the only ones that can be divided by their depth
        w = torch.where(inside, z, torch.ones_like(z)) if perspective else torch.ones_like(z)
        image = points[..., :2] / w[..., None] * points.new_tensor([2 / width, 2 / height])
        arguments = (image, points.detach(), faces, index, inside, perspective, facing, self)
        if backend == 'torch':
            return soft_mask_torch(*arguments)
        if backend == 'naive':
            from .mesh_naive import soft_mask_naive

            return soft_mask_naive(*arguments)
        from .silhouette_cpu import soft_mask_cpu

        return soft_mask_cpu(*arguments)


def squared_distance(pixel: Tensor, corners: Tensor) -> Tensor:
    """Squared distance of pixel centres (N, 2) to the outlines of triangles (N, 3, 2)."""
    a, b = corners, corners[:, [1, 2, 0]]
    along, offset = b - a, pixel[:, None] - a
    length2 = along.square().sum(-1)
    t = (along * offset).sum(-1) / torch.where(length2 > 0, length2, torch.ones_like(length2))
    # The nearest point of a segment does not move along it to first order, or cannot.
    t = t.clamp(0, 1).detach()[..., None]
    return (offset - t * along).square().sum(-1).amin(1)


def soft_mask_torch(
    image: Tensor,
    points: Tensor,
    faces: Tensor,
    index: Tensor,
    inside: Tensor,
    perspective: bool,
    facing: Tensor,
    settings: SoftSilhouette,
) -> Tensor:
    """The mask of :class:`SoftSilhouette` with plain tensor operations, on any device.

    Args:
        image: (S, P, 2) normalised coordinates of the vertices, from 0 to 2 within the picture.
        points: (S, P, 3) ``(w u, w v, z)`` of the vertices.
        faces: int64 (B, F, 3), -1 for padding.
        index: int64 (S, H, W), the visible faces, -1 for background.
        inside: bool (S, P), between the near and the far plane.
        perspective: whether w is z; else it is 1.
        facing: (S,), faces with ``det * facing < 0`` do not count.
        settings: see :class:`SoftSilhouette`.

    Returns:
        (S, H, W) in [0, 1].
    """
    height, width = index.shape[1:]
    covered = (index >= 0).reshape(-1)
    pixel, face, slot = _close_faces(
        image.detach(), points, faces, covered, inside, perspective, facing, (height, width),
        settings,
    )  # fmt: skip
    mask = covered.to(image.dtype)
    if not len(pixel):
        return mask.reshape(index.shape)
    corners = gather_corners(image, faces, pixel // (height * width), face)
    centre = torch.stack([pixel % width, pixel // width % height], -1).to(image.dtype) + 0.5
    distance2 = squared_distance(centre * image.new_tensor([2 / width, 2 / height]), corners)
    factor = -torch.expm1(-settings.sigmainv * distance2)
    where, row = torch.unique(pixel, return_inverse=True)
    # one row per pixel: the sums over its faces then have a fixed order on every device
    table = factor.new_ones(len(where), int(slot.max()) + 1)
    table = table.index_put((row, slot), factor.clamp(min=TINY))
    return mask.index_copy(0, where, 1 - table.prod(1)).reshape(index.shape)


@torch.no_grad()
def _close_faces(
    image: Tensor,
    points: Tensor,
    faces: Tensor,
    covered: Tensor,
    inside: Tensor,
    perspective: bool,
    facing: Tensor,
    image_size: tuple[int, int],
    settings: SoftSilhouette,
) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs (N,) of pixel and face that count, and the face's number at the pixel."""
    height, width = image_size
    num_faces = faces.shape[1]
    half = image.new_tensor([width / 2, height / 2])
    limit = 2 * half
    count = torch.zeros(covered.shape, dtype=torch.int64, device=covered.device)
    found = [(count[:0], count[:0], count[:0])]
    for start in range(0, len(points) * num_faces, MAX_FACES):
        pair = torch.arange(
            start, min(start + MAX_FACES, len(points) * num_faces), device=points.device
        )
        picture, face = pair // num_faces, pair % num_faces
        real = faces[picture // (len(points) // len(faces)), face, 0] >= 0
        picture, face = picture[real], face[real]
        det = determinant(*corner_edges(gather_corners(points, faces, picture, face), perspective))
        drawn = (det != 0) & (det * facing[picture] >= 0)
        drawn &= gather_corners(inside[..., None], faces, picture, face).flatten(1).all(1)
        picture, face = picture[drawn], face[drawn]
        corners = gather_corners(image, faces, picture, face)
        low = ((corners.amin(1) - settings.boxlen) * half - 0.5).clamp(min=0).minimum(limit)
        high = ((corners.amax(1) + settings.boxlen) * half - 0.5).clamp(min=-1).minimum(limit - 1)
        low, high = low.ceil().long(), high.floor().long()
        some = (high >= low).all(1)
        picture, face = picture[some], face[some]
        for item, row, column in pixels_of(low[some], high[some]):
            pixel = (picture[item] * height + row) * width + column
            free = ~covered[pixel] & (count[pixel] < settings.knum)
            # faces stay in the order of their index, as the sort is stable
            pixel, order = torch.sort(pixel[free], stable=True)
            item = item[free][order]
            unique, run = torch.unique_consecutive(pixel, return_counts=True)
            first = torch.repeat_interleave(run.cumsum(0) - run, run)
            slot = count[pixel] + torch.arange(len(pixel), device=pixel.device) - first
            keep = slot < settings.knum
            found.append((pixel[keep], face[item][keep], slot[keep]))
            count[unique] += run
    pixel, face, slot = (torch.cat(parts) for parts in zip(*found))
    return pixel, face, slot
