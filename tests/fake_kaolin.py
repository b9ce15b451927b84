"""A small Kaolin that runs anywhere, by the documentation of the functions it stands for."""

from __future__ import annotations

import sys
import types

import torch


def prepare_vertices(
    vertices, faces, camera_proj, camera_rot=None, camera_trans=None, camera_transform=None
):
    """Camera frame by ``(X, 1) @ transform`` (4, 3), picture by ``xy p_xy / (z p_z)``."""
    assert camera_rot is None and camera_trans is None
    assert camera_transform.shape == (len(vertices), 4, 3) and faces.dim() == 2
    padded = torch.nn.functional.pad(vertices, (0, 1), value=1.0)
    camera = padded @ camera_transform
    projected = camera * camera_proj.view(-1, 1, 3)
    image = projected[..., :2] / projected[..., 2:]
    face_camera = camera[:, faces]
    normals = torch.cross(
        face_camera[:, :, 1] - face_camera[:, :, 0],
        face_camera[:, :, 2] - face_camera[:, :, 0],
        dim=-1,
    )
    return face_camera, image[:, faces], torch.nn.functional.normalize(normals, dim=-1)


def pixels(height, width, like):
    """Pixel centres (H W, 2) in [-1, 1], y up, row 0 at the top."""
    x = (2 * torch.arange(width, dtype=like.dtype) + 1 - width) / width
    y = (height - 2 * torch.arange(height, dtype=like.dtype) - 1) / height
    y, x = torch.meshgrid(y, x, indexing='ij')
    return torch.stack([x, y], -1).reshape(-1, 2)


def _cross(a, b):
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def rasterize(
    height, width, face_vertices_z, face_vertices_image, face_features, valid_faces=None,
    multiplier=None, eps=None, backend='cuda',
):  # fmt: skip
    """Linear interpolation in the picture; the largest z is in front, the first face of equals."""
    assert face_vertices_z.shape == face_vertices_image.shape[:3] == face_features.shape[:3]
    batch = len(face_vertices_z)
    spot = pixels(height, width, face_vertices_image)
    a, b, c = (face_vertices_image[:, None, :, k] - spot[None, :, None] for k in range(3))
    w = torch.stack([_cross(b, c), _cross(c, a), _cross(a, b)], -1)
    total = w.sum(-1, keepdim=True)
    w = w / torch.where(total == 0, torch.full_like(total, 1e-8), total)
    inside = (w >= 0).all(-1) & (total[..., 0] != 0)
    if valid_faces is not None:
        inside = inside & valid_faces[:, None]
    z = (w * face_vertices_z[:, None].detach()).sum(-1)
    z = torch.where(inside, z, torch.full_like(z, -torch.inf))
    best = z.max(-1).values[..., None]
    order = torch.arange(z.shape[-1]).expand_as(z)
    index = torch.where(z == best, order, torch.full_like(order, 10**9)).min(-1).values
    index = torch.where(inside.any(-1), index, torch.full_like(index, -1))
    rows = torch.arange(batch)[:, None]
    seen = index.clamp(min=0)
    weight = w[rows, torch.arange(w.shape[1])[None], seen]
    out = (weight[..., None] * face_features[rows, seen]).sum(-2) * (index >= 0)[..., None]
    return out.reshape(batch, height, width, -1), index.reshape(batch, height, width)


def soft_mask(face_vertices_image, face_idx, sigmainv, boxlen, knum):
    """1 where a face is seen, else 1 - prod(1 - exp(-sigmainv d^2)) over the faces nearby."""
    batch, height, width = face_idx.shape
    spot = pixels(height, width, face_vertices_image)[None, :, None]
    distance = None
    for k in range(3):
        a = face_vertices_image[:, None, :, k]
        edge = face_vertices_image[:, None, :, (k + 1) % 3] - a
        length = (edge * edge).sum(-1).clamp(min=1e-20)
        share = (((spot - a) * edge).sum(-1) / length).clamp(0, 1)
        square = ((a + share[..., None] * edge - spot) ** 2).sum(-1)
        distance = square if distance is None else torch.minimum(distance, square)
    low = face_vertices_image.amin(2)[:, None] - boxlen
    high = face_vertices_image.amax(2)[:, None] + boxlen
    near = ((spot >= low) & (spot < high)).all(-1)
    near = near & (near.cumsum(-1) <= knum)
    chance = torch.where(near, torch.exp(-sigmainv * distance), torch.zeros_like(distance))
    soft = 1 - (1 - chance).prod(-1).reshape(batch, height, width)
    return torch.where(face_idx >= 0, torch.ones_like(soft), soft)


def dibr_rasterization(
    height, width, face_vertices_z, face_vertices_image, face_features, face_normals_z,
    sigmainv=7000, boxlen=0.02, knum=30, multiplier=None, eps=None, rast_backend='cuda',
):  # fmt: skip
    """Features, soft mask and face index; faces with a negative normal z are not drawn."""
    features, index = rasterize(
        height, width, face_vertices_z, face_vertices_image, face_features, face_normals_z >= 0
    )
    return features, soft_mask(face_vertices_image, index, sigmainv, boxlen, knum), index


def install(monkeypatch, package='complete', **functions) -> types.ModuleType | None:
    """Put a fake package ``kaolin`` into ``sys.modules``.

    Args:
        package: 'complete', 'placeholder' (no sub-modules, as version 0.1) or 'absent'.
        functions: replace those of ``kaolin.render.mesh``.

    Returns:
        ``kaolin.render.mesh``.
    """
    for name in [name for name in sys.modules if name.split('.')[0] == 'kaolin']:
        monkeypatch.delitem(sys.modules, name)
    if package == 'absent':
        monkeypatch.setitem(sys.modules, 'kaolin', None)
        return None
    root = types.ModuleType('kaolin')
    root.__version__ = '0.1' if package == 'placeholder' else '0.18.0'
    monkeypatch.setitem(sys.modules, 'kaolin', root)
    if package == 'placeholder':
        return None
    root.__path__ = []
    root.render = types.ModuleType('kaolin.render')
    root.render.__path__ = []
    root.render.mesh = types.ModuleType('kaolin.render.mesh')
    own = dict(
        prepare_vertices=prepare_vertices,
        rasterize=rasterize,
        dibr_rasterization=dibr_rasterization,
    )
    for name, function in (own | functions).items():
        setattr(root.render.mesh, name, function)
    monkeypatch.setitem(sys.modules, 'kaolin.render', root.render)
    monkeypatch.setitem(sys.modules, 'kaolin.render.mesh', root.render.mesh)
    return root.render.mesh
