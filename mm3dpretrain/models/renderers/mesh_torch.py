"""Mesh rasterisation and interpolation with plain tensor operations, on any device.

The loops of ``mesh_cpu`` do the same arithmetic in the same order: both find the same faces.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

# Faces and fragments that are looked at in one go: they bound the memory of a pass.
MAX_FACES = 1 << 20
MAX_FRAGMENTS = 1 << 21
# These two are explained in, and equal to those of, ``mm3dpretrain.ops.mesh_kernels``.
MARGIN = 1e-3
FLAT = 1e-14


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """Cross products of vectors in the last dimension, each product rounded on its own.

    A fused multiply-add would make the edge functions of two faces that share an edge unequal, and
    a pixel centre on the edge could fall between them.
    """
    ax, ay, az = a.unbind(-1)
    bx, by, bz = b.unbind(-1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


def corner_edges(corners: Tensor, perspective: bool) -> tuple[Tensor, Tensor]:
    """Homogeneous corners and edge functions of faces.

    Args:
        corners: (N, 3, 3): ``(w u, w v, z)`` of the three corners.
        perspective: whether w is z; else it is 1.

    Returns:
        ``h`` (N, 3, 3) ``= w (u, v, 1)`` and ``edge`` (N, 3, 3) with
        ``edge_k = h_(k+1) x h_(k+2)``.
    """
    z = corners[..., 2:]
    h = torch.cat([corners[..., :2], z if perspective else torch.ones_like(z)], -1)
    return h, _cross(h[:, [1, 2, 0]], h[:, [2, 0, 1]])


def determinant(h: Tensor, edge: Tensor) -> Tensor:
    """``h_0 . (h_1 x h_2)`` (N,): negative where the corners are seen counter-clockwise.

    0 if it cannot be told from rounding errors: the face has no area, or is seen edge-on.
    """
    x, y, z = (edge[:, 0] * h[:, 0]).unbind(-1)
    det = x + y + z
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = (row.unbind(-1) for row in h.abs().unbind(1))
    size = ax * (by * cz + bz * cy)
    size += ay * (bz * cx + bx * cz)
    size += az * (bx * cy + by * cx)
    return torch.where(det.abs() > FLAT * size, det, torch.zeros_like(det))


def gather_corners(points: Tensor, faces: Tensor, picture: Tensor, face: Tensor) -> Tensor:
    """Rows (N, 3, C) of ``points`` (S, P, C) at the corners of faces.

    Args:
        points: values of the vertices in S pictures, or in B samples.
        faces: (B, F, 3); pictures of the same sample follow each other.
        picture: (N,) index into ``points``.
        face: (N,) index of the sample's faces.
    """
    sample = torch.div(picture, len(points) // len(faces), rounding_mode='floor')
    row = picture[:, None] * points.shape[1] + faces[sample, face]
    return points.flatten(0, 1)[row]


@torch.no_grad()
def find_faces(
    points: Tensor,
    faces: Tensor,
    image_size: tuple[int, int],
    perspective: bool,
    near: float,
    far: float,
    facing: Tensor,
) -> Tensor:
    """Index of the front-most face at every pixel centre.

    See :func:`mm3dpretrain.ops.rasterize.draw_faces` for the method.

    Args:
        points: (S, P, 3) float64: ``(w u, w v, z)`` of the vertices in S pictures.
        faces: int64 (B, F, 3), -1 for padding; S is a multiple of B.
        image_size: (H, W).
        perspective: whether w is z; else it is 1.
        near, far: depths that are drawn.
        facing: (S,), faces with ``det * facing < 0`` are not drawn; 0 draws both sides.

    Returns:
        int64 (S, H, W), -1 for background.
    """
    height, width = image_size
    nearest = points.new_full((len(points) * height * width,), float('inf'))
    inputs = (points, faces, image_size, perspective, near, far, facing)
    for pixel, _, z in _fragments(*inputs):
        nearest.scatter_reduce_(0, pixel, z, 'amin')
    no_face = faces.shape[1]
    index = torch.full_like(nearest, no_face, dtype=torch.int64)
    for pixel, face, z in _fragments(*inputs):
        first = z == nearest[pixel]
        index.scatter_reduce_(0, pixel[first], face[first], 'amin')
    index[index == no_face] = -1
    return index.reshape(len(points), height, width)


def _fragments(
    points: Tensor,
    faces: Tensor,
    image_size: tuple[int, int],
    perspective: bool,
    near: float,
    far: float,
    facing: Tensor,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """All (pixel, face, depth) with the pixel centre inside the face, in chunks."""
    height, width = image_size
    num_faces = faces.shape[1]
    for start in range(0, len(points) * num_faces, MAX_FACES):
        stop = min(start + MAX_FACES, len(points) * num_faces)
        pair = torch.arange(start, stop, device=points.device)
        picture = torch.div(pair, num_faces, rounding_mode='floor')
        face = pair % num_faces
        sample = torch.div(picture, len(points) // len(faces), rounding_mode='floor')
        real = faces[sample, face, 0] >= 0
        picture, face = picture[real], face[real]
        corners = gather_corners(points, faces, picture, face)
        z = corners[..., 2]
        h, edge = corner_edges(corners, perspective)
        det = determinant(h, edge)
        drawn = (z.amax(1) >= near) & (z.amin(1) <= far)
        drawn &= (det != 0) & (det * facing[picture] >= 0)
        low, high = _rectangles(h, z, near, image_size)
        drawn &= (high >= low).all(1)
        picture, face, z = picture[drawn], face[drawn], z[drawn]
        edge = edge[drawn] * det[drawn].sign()[:, None, None]
        for item, row, column in pixels_of(low[drawn], high[drawn]):
            u, v = column + 0.5, row + 0.5
            e = edge[item]
            e = e[..., 0] * u[:, None] + e[..., 1] * v[:, None] + e[..., 2]
            inside = (e >= 0).all(1)
            item, row, column, e = item[inside], row[inside], column[inside], e[inside]
            total = e[:, 0] + e[:, 1] + e[:, 2]
            weighted = e / total[:, None] * z[item]
            depth = weighted[:, 0] + weighted[:, 1] + weighted[:, 2]
            # a total of 0 gives a depth that is not a number
            seen = (total > 0) & (depth >= near) & (depth <= far)
            item, pixel = item[seen], (row * width + column)[seen]
            yield picture[item] * (height * width) + pixel, face[item], depth[seen]


def _rectangles(
    h: Tensor, z: Tensor, near: float, image_size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """First and last pixel (N, 2), column and row, around the part of a face in front of near."""
    inside = z >= near
    after = [1, 2, 0]
    # where an edge crosses the near plane
    crosses = inside != inside[:, after]
    step = z[:, after] - z
    s = (near - z) / torch.where(crosses, step, torch.ones_like(step))
    cut = h + s[..., None] * (h[:, after] - h)
    candidates = torch.cat([h, cut], 1)
    counts = torch.cat([inside, crosses], 1)[..., None]
    uv = candidates[..., :2] / torch.where(
        counts, candidates[..., 2:], torch.ones_like(counts.to(h))
    )
    infinite = torch.full_like(uv, float('inf'))
    low = torch.where(counts, uv, infinite).amin(1)
    high = torch.where(counts, uv, -infinite).amax(1)
    limit = h.new_tensor([image_size[1], image_size[0]])
    # Clamped before the conversion to integers: far outside of the picture they overflow. The
    # margin is for rounding, which must not lose a pixel centre that lies on an edge.
    first = low.clamp(min=0).minimum(limit + 1) - 0.5 - MARGIN
    last = high.clamp(min=-1).minimum(limit) - 0.5 + MARGIN
    return first.ceil().long(), last.floor().long()


def pixels_of(low: Tensor, high: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """All (rectangle, row, column) of rectangles of pixels, in chunks."""
    size = high - low + 1
    count = size.prod(1)
    chunk = torch.div(count.cumsum(0), MAX_FRAGMENTS, rounding_mode='floor')
    bounds = torch.bincount(chunk).cumsum(0).tolist()
    for start, stop in zip([0, *bounds], bounds):
        if start == stop:
            continue
        part = count[start:stop]
        item = torch.repeat_interleave(torch.arange(start, stop, device=low.device), part)
        local = torch.arange(len(item), device=low.device)
        local = local - (part.cumsum(0) - part)[item - start]
        row = low[item, 1] + torch.div(local, size[item, 0], rounding_mode='floor')
        yield item, row, low[item, 0] + local % size[item, 0]


def interpolate_torch(
    points: Tensor,
    faces: Tensor,
    index: Tensor,
    perspective: bool,
    features: Tensor,
    feature_rows: Tensor,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    """Depth, barycentric weights and features of the faces that the pixels see.

    Args:
        points: (S, P, 3) float64: ``(w u, w v, z)`` of the vertices in S pictures.
        faces: int64 (B, F, 3), -1 for padding.
        index: int64 (S, H, W), the visible faces, -1 for background.
        perspective: whether w is z; else it is 1.
        features: (B, R, C).
        feature_rows: int64 (B, F, 3), the rows of ``features`` at the corners of every face.
        dtype: of depth and weights.

    Returns:
        depth (S, H, W), weights (S, H, W, 3), features (S, C, H, W); 0 in the background.
    """
    pictures, height, width = index.shape
    flat = index.reshape(-1)
    pixel = torch.nonzero(flat >= 0)[:, 0]
    picture = torch.div(pixel, height * width, rounding_mode='floor')
    corners = gather_corners(points, faces, picture, flat[pixel])
    _, edge = corner_edges(corners, perspective)
    row = torch.div(pixel, width, rounding_mode='floor') % height
    u, v = (pixel % width)[:, None] + 0.5, row[:, None] + 0.5
    e = edge[..., 0] * u + edge[..., 1] * v + edge[..., 2]
    bary = e / (e[:, :1] + e[:, 1:2] + e[:, 2:])
    weighted = bary * corners[..., 2]
    z = weighted[:, 0] + weighted[:, 1] + weighted[:, 2]
    bary = bary.to(dtype)
    sample = torch.div(picture, pictures // len(faces), rounding_mode='floor')
    rows = sample[:, None] * features.shape[1] + feature_rows[sample, flat[pixel]]
    table = features.flatten(0, 1)
    # corner by corner: (N, 3, C) would be three times as large
    values = sum(bary[:, k : k + 1].to(table.dtype) * table[rows[:, k]] for k in range(3))

    def picture_of(values: Tensor) -> Tensor:
        blank = values.new_zeros(len(flat), *values.shape[1:])
        return blank.index_copy(0, pixel, values).reshape(*index.shape, *values.shape[1:])

    return picture_of(z.to(dtype)), picture_of(bary), picture_of(values).permute(0, 3, 1, 2)
