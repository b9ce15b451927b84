"""Triangle meshes drawn by NVIDIA Kaolin's DIB-R kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from mm3dpretrain.compat.kaolin import require_kaolin
from mm3dpretrain.registry import RENDERERS
from mm3dpretrain.structures import Cameras, Meshes
from mm3dpretrain.structures.precision import at_least_float32, full_precision

from .base import BaseRenderer, RenderOutput
from .mesh import feature_table
from .silhouette import SoftSilhouette

# outside the picture ([-1, 1]) by more than any soft edge reaches
_ELSEWHERE = 8.0
BACKENDS = ('cuda', 'nvdiffrast_fwd', 'nvdiffrast')


def to_opengl(cameras: Cameras, near: float = 0.1, far: float = 100.0) -> tuple[Tensor, Tensor]:
    """View and projection matrices of the OpenGL convention.

    OpenGL's camera looks along -z with y up, and its picture spans [-1, 1] from left to right and
    from bottom to top. A world point X is at pixel ``u = (x + 1) W / 2``, ``v = (1 - y) H / 2``
    with ``(x, y, z) = c[:3] / c[3]`` and ``c = projection @ view @ (X, 1)``; c[3] is the depth
    (perspective) or 1 (orthographic), and z in [-1, 1] for depths in [near, far].

    Args:
        cameras: any intrinsics: principal point off the centre, fx other than fy, skew.
        near, far: depths of z = -1 and 1.

    Returns:
        ``view`` and ``projection``, (B, V, 4, 4) each.
    """
    flip = cameras.extrinsics.new_tensor([1.0, -1.0, -1.0, 1.0])
    view = flip[:, None] * cameras.extrinsics
    height, width = cameras.image_size
    # rows of the intrinsics in units of half the picture, y upwards
    scale = cameras.intrinsics.new_tensor([2.0 / width, -2.0 / height])
    rows = cameras.intrinsics[..., :2, :] * scale[:, None]
    offset = rows[..., 2] + rows.new_tensor([-1.0, 1.0])
    linear = rows[..., :2] * flip[:2]
    projection = torch.zeros_like(view)
    projection[..., :2, :2] = linear
    if cameras.projection == 'perspective':
        projection[..., :2, 2] = -offset
        projection[..., 2, 2] = -(far + near) / (far - near)
        projection[..., 2, 3] = -2.0 * far * near / (far - near)
        projection[..., 3, 2] = -1.0
    else:
        projection[..., :2, 3] = offset
        projection[..., 2, 2] = -2.0 / (far - near)
        projection[..., 2, 3] = -(far + near) / (far - near)
        projection[..., 3, 3] = 1.0
    return view, projection


def clip_near(corners: Tensor, near: float) -> tuple[Tensor, Tensor, Tensor]:
    """Cut triangles at the plane z = near.

    A triangle with one corner in front becomes a smaller one, with two a quadrilateral, that is,
    two triangles. So that all samples keep one shape, number f gives the triangles f and F + f;
    where no triangle crosses the plane, the second half is left out.

    Args:
        corners: (N, F, 3, 3) in the camera frame.
        near: depth, scene units.

    Returns:
        Weights (N, F', 3, 3) of the original corners in each new corner (rows sum to 1), face index
        (F',) int64, and bool (N, F'), False for triangles of which nothing is left.
    """
    depth = corners[..., 2]
    front = depth >= near
    count = front.sum(-1)
    num = corners.shape[1]
    identity = torch.eye(3, dtype=corners.dtype, device=corners.device)
    weights = identity.expand(*corners.shape[:2], 3, 3)
    index = torch.arange(num, device=corners.device)
    crosses = (count == 1) | (count == 2)
    if not bool(crosses.any()):
        return weights, index, count == 3

    # turn each triangle so that the corner that is alone on its side comes first
    lonely = front == (count == 1)[..., None]
    first = torch.where(crosses, lonely.to(torch.uint8).argmax(-1), torch.zeros_like(count))
    order = (first[..., None] + torch.arange(3, device=first.device)) % 3
    turned = torch.nn.functional.one_hot(order, 3).to(corners.dtype)
    z = depth.gather(-1, order)

    def cut(a: int, b: int) -> Tensor:
        """Weights (N, F, 3) of where the edge between corners a and b meets the plane."""
        gap = z[..., b] - z[..., a]
        share = (near - z[..., a]) / torch.where(crosses, gap, torch.ones_like(gap))
        share = share[..., None]
        return (1 - share) * turned[..., a, :] + share * turned[..., b, :]

    ab, ac = cut(0, 1), cut(0, 2)
    a, b, c = turned.unbind(-2)
    one = (count == 1)[..., None]
    two = (count == 2)[..., None]
    # one in front: a, ab, ac. Two: ab, b, c and ab, c, ac. Uncut ones are a, b, c.
    new = torch.stack(
        [torch.where(two, ab, a), torch.where(one, ab, b), torch.where(one, ac, c)], 2
    )
    second = torch.stack([ab, c, ac], 2)
    return (
        torch.cat([new, second], 1),
        torch.cat([index, index]),
        torch.cat([count > 0, count == 2], 1),
    )


@RENDERERS.register_module()
class KaolinMeshRenderer(BaseRenderer):
    """The pictures of :class:`MeshRenderer`, drawn by the CUDA kernels of DIB-R (Kaolin).

    Kaolin rasterises in the picture plane: its own interpolation is not perspective-correct, and it
    does not cut faces at the near plane. Here faces are cut before; Kaolin interpolates the weights
    of the corners divided by depth, from which the correct weights, depth and features follow, and
    orders faces by 1 / depth, which is linear in the plane. Whatever the number of features, Kaolin
    draws three channels. Gradients with respect to positions come from its backward kernels.

    The kernels compute in the precision of the vertices, at least single, also under autocast. In
    single precision, faces that reach
    thousands of pictures beyond the border lose accuracy: choose ``near`` no smaller than needed.

    Args:
        near, far, back_faces: see :class:`MeshRenderer`.
        silhouette: None for a mask of zeros and ones, or the arguments of
            :class:`~mm3dpretrain.models.renderers.silhouette.SoftSilhouette`, which are Kaolin's
            own; ``dict()`` gives the defaults. What is left of a face that was cut counts.
        backend: of Kaolin's rasteriser. 'nvdiffrast_fwd' and 'nvdiffrast' need that package and
            pictures whose sides are multiples of 8.

    Raises:
        ImportError: if there is no Kaolin that can draw here; the message says what to install.
        ValueError: for impossible settings.
    """

    def __init__(
        self,
        near: float = 0.5,
        far: float = 3.5,
        back_faces: bool = True,
        silhouette: dict | None = None,
        backend: str = 'cuda',
    ) -> None:
        super().__init__(near, far)
        if backend not in BACKENDS:
            raise ValueError(f'backend must be one of {BACKENDS}, got {backend!r}')
        self.back_faces = back_faces
        self.silhouette = None if silhouette is None else SoftSilhouette(**silhouette)
        self.backend = backend
        require_kaolin()

    def extra_repr(self) -> str:
        return (
            f'near={self.near:g}, far={self.far:g}, back_faces={self.back_faces}, '
            f'silhouette={self.silhouette}, backend={self.backend!r}'
        )

    def forward(
        self, geometry: Meshes, cameras: Cameras, features: Tensor | None = None
    ) -> RenderOutput:
        """Render meshes into every camera; see :meth:`MeshRenderer.forward`.

        Raises:
            ImportError: if Kaolin cannot draw on the device of the meshes.
            ValueError: for something else than meshes, or features of a wrong shape.
        """
        if not isinstance(geometry, Meshes):
            raise ValueError(f'KaolinMeshRenderer draws Meshes, got {type(geometry).__name__}')
        kaolin = require_kaolin(geometry.device)
        with full_precision(geometry.device):
            geometry = geometry.to(dtype=at_least_float32(geometry.vertices.dtype))
            return self._render(kaolin, geometry, cameras, features)

    def _render(
        self, kaolin, geometry: Meshes, cameras: Cameras, features: Tensor | None
    ) -> RenderOutput:
        batch, dtype = len(geometry), geometry.vertices.dtype
        table, rows = feature_table(features, geometry.vertices, geometry.faces, dtype)
        cameras = cameras.to(geometry.device, dtype).expand(batch)
        views, (height, width) = cameras.num_views, cameras.image_size
        if not bool(geometry.valid_faces.any()):
            # the sum keeps the graph, so that a loss can be sent back through empty pictures too
            empty = 0 * geometry.vertices.sum() + geometry.vertices.new_zeros(
                batch, views, height, width
            )
            rendered = (
                None
                if features is None
                else empty[:, :, None] * table.new_zeros(table.shape[-1], 1, 1)
            )
            index = torch.full_like(empty, -1, dtype=torch.int64)
            return RenderOutput(
                empty, empty, index, rendered, empty[..., None].repeat_interleave(3, -1)
            )
        # (B V, F, 3, 3) in the camera frame
        points = cameras.world_to_camera(geometry.vertices)
        corners = _gather(points.flatten(0, 1), geometry.faces.repeat_interleave(views, 0))
        weights, face, left = clip_near(corners, self.near)
        valid = geometry.valid_faces.repeat_interleave(views, 0)[:, face] & left
        # what is padding or behind the camera has no place in the picture: one in front of it keeps
        # the division by depth, and its gradient, finite
        harmless = corners.new_tensor([0.0, 0.0, self.near])
        cut = torch.where(valid[..., None, None], weights @ corners[:, face], harmless)
        soft, weight, index = self._draw(kaolin, cut, weights, valid, cameras)

        index = torch.where(index >= 0, face[index.clamp(min=0)], index)
        total = weight.sum(-1, keepdim=True)
        bary = weight / torch.where(index[..., None] >= 0, total, torch.ones_like(total))
        bary, index, soft = (m.unflatten(0, (batch, views)) for m in (bary, index, soft))
        # the depths of the corners differ from view to view, other features do not
        depth = _blend(
            corners[..., 2:].flatten(1, 2),
            None,
            index.flatten(0, 1)[:, None],
            bary.flatten(0, 1)[:, None],
        )
        depth = depth.reshape(index.shape)
        hit = (index >= 0) & (depth <= self.far)
        # a pixel where something beyond the far plane is seen shows nothing
        soft = torch.where((index >= 0) & ~hit, torch.zeros_like(soft), soft)
        index = torch.where(hit, index, torch.full_like(index, -1))
        bary = bary * hit[..., None]
        return RenderOutput(
            depth=torch.where(hit, depth, torch.zeros_like(depth)),
            mask=soft,
            index=index,
            features=None if features is None else _blend(table, rows, index, bary).movedim(-1, 2),
            bary=bary,
        )

    def _draw(self, kaolin, corners: Tensor, weights: Tensor, valid: Tensor, cameras: Cameras):
        """Let Kaolin draw triangles in front of the near plane.

        Args:
            corners: (N, F, 3, 3) in the camera frame, N = B V.
            weights: (N, F, 3, 3) what to interpolate between the corners.
            valid: bool (N, F), which triangles there are.

        Returns:
            Mask (N, H, W), interpolated ``weights / w`` (N, H, W, 3) with w the depth (perspective)
            or 1, and the number (N, H, W) of the triangle that is seen, -1 for none.
        """
        height, width = cameras.image_size
        num = corners.shape[1]
        view, projection = (m.flatten(0, 1) for m in to_opengl(cameras, self.near, self.far))
        # Kaolin divides by -z: the third row becomes -w (its camera looks along -z too), so that
        # one function serves every camera, the orthographic ones with w = 1 included
        transform = torch.stack([projection[:, 0], projection[:, 1], -projection[:, 3]], -1)
        vertices = corners.flatten(1, 2) * corners.new_tensor([1.0, -1.0, -1.0])
        soup = torch.arange(3 * num, device=corners.device).reshape(num, 3)
        camera, image, _ = kaolin.prepare_vertices(
            vertices, soup, corners.new_tensor([[1.0], [1.0], [-1.0]]), camera_transform=transform
        )
        w = -camera[..., 2]
        depth = corners[..., 2].detach()
        edges = image[:, :, 1:] - image[:, :, :1]
        area = edges[:, :, 0, 0] * edges[:, :, 1, 1] - edges[:, :, 0, 1] * edges[:, :, 1, 0]
        drawn = valid & (area != 0) & (depth.amin(-1) <= self.far)
        if not self.back_faces:
            # counter-clockwise in the picture is the front, unless the camera mirrors
            mirror = torch.linalg.det(view[:, :3, :3]) * torch.linalg.det(projection[:, :2, :2])
            drawn = drawn & (area * mirror[:, None] > 0)
        if not bool(drawn.any()):  # Kaolin fails without any face
            empty = image.sum() * 0 + image.new_zeros(len(corners), height, width)
            weight = empty[..., None].expand(-1, -1, -1, 3)
            return empty, weight, torch.full_like(empty, -1, dtype=torch.int64)
        image = torch.where(drawn[..., None, None], image, torch.full_like(image, _ELSEWHERE))
        # larger is nearer, and linear in the picture as Kaolin's z-buffer takes it to be
        order = 1.0 / depth if cameras.projection == 'perspective' else -depth
        over_w = weights / w[..., None]
        if self.silhouette is None:
            weight, index = kaolin.rasterize(
                height, width, order, image, over_w, drawn, backend=self.backend
            )
            return (index >= 0).to(weight.dtype), weight, index
        soft = self.silhouette
        weight, mask, index = kaolin.dibr_rasterization(
            height, width, order, image, over_w, drawn.to(image.dtype) - 0.5,
            sigmainv=soft.sigmainv, boxlen=soft.boxlen, knum=soft.knum,
            rast_backend=self.backend,
        )  # fmt: skip
        return mask, weight, index


def _gather(points: Tensor, faces: Tensor) -> Tensor:
    """Rows of (N, P, C) at the corners of faces (N, F, 3), 0 for padding: (N, F, 3, C)."""
    index = faces.clamp(min=0).flatten(1)[..., None].expand(-1, -1, points.shape[-1])
    taken = points.gather(1, index).unflatten(1, faces.shape[1:])
    return taken * (faces >= 0)[..., None]


def _blend(table: Tensor, rows: Tensor | None, index: Tensor, bary: Tensor) -> Tensor:
    """Values of faces at pixels.

    Args:
        table: (N, R, C).
        rows: (N, F, 3) rows of the table at the corners of each face; None means 3 f + k.
        index: (N, V, H, W) faces, -1 for none.
        bary: (N, V, H, W, 3), 0 where there is none.

    Returns:
        (N, V, H, W, C).
    """
    face = index.clamp(min=0).flatten(1)
    weight = bary.flatten(1, 3)
    out = table.new_zeros(())
    for k in range(3):  # corner by corner: three times less memory
        row = 3 * face + k if rows is None else rows[..., k].gather(1, face)
        row = row.clamp(min=0)[..., None].expand(-1, -1, table.shape[-1])
        out = out + table.gather(1, row) * weight[..., k : k + 1]
    return out.unflatten(1, index.shape[1:])
