"""Meshes, cameras and a common face of all renderers, for their tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from mm3dpretrain.datasets.mesh_sampling import sample_surface
from mm3dpretrain.models.renderers import MeshRenderer, PointSplatRenderer, RenderOutput
from mm3dpretrain.structures import Cameras, Meshes

Mesh = tuple[Tensor, Tensor]


def join(*meshes: Mesh) -> Mesh:
    """One mesh of several."""
    starts = np.cumsum([0] + [len(v) for v, _ in meshes])
    faces = [f + int(start) for (_, f), start in zip(meshes, starts)]
    return torch.cat([v for v, _ in meshes]), torch.cat(faces)


def quad(corners) -> Mesh:
    """Two triangles over four corners in order."""
    return torch.tensor(corners, dtype=torch.float32), torch.tensor([[0, 1, 2], [0, 2, 3]])


def square(depth: float, half: float, x: float = 0.0, y: float = 0.0) -> Mesh:
    """A square across the optical axis of a camera at the origin, counter-clockwise as it sees."""
    corners = [[-1, -1], [-1, 1], [1, 1], [1, -1]]
    return quad([[x + half * a, y + half * b, depth] for a, b in corners])


def box(low, high) -> Mesh:
    """Box along the axes; faces counter-clockwise from outside."""
    low, high = torch.tensor(low, dtype=torch.float32), torch.tensor(high, dtype=torch.float32)
    unit = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    sides = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    faces = [t for a, b, c, d in sides for t in ([a, b, c], [a, c, d])]
    return low + unit * (high - low), torch.tensor(faces)


def sphere(subdivisions: int = 3) -> Mesh:
    """Unit sphere of ``20 * 4^subdivisions`` faces, counter-clockwise from outside."""
    g = (1 + 5**0.5) / 2
    vertices = [[-1, g, 0], [1, g, 0], [-1, -g, 0], [1, -g, 0], [0, -1, g], [0, 1, g]]
    vertices += [[0, -1, -g], [0, 1, -g], [g, 0, -1], [g, 0, 1], [-g, 0, -1], [-g, 0, 1]]
    faces = [[0, 11, 5], [0, 5, 1], [0, 1, 7], [0, 7, 10], [0, 10, 11], [1, 5, 9], [5, 11, 4]]
    faces += [[11, 10, 2], [10, 7, 6], [7, 1, 8], [3, 9, 4], [3, 4, 2], [3, 2, 6], [3, 6, 8]]
    faces += [[3, 8, 9], [4, 9, 5], [2, 4, 11], [6, 2, 10], [8, 6, 7], [9, 8, 1]]
    vertices, faces = torch.tensor(vertices, dtype=torch.float32), torch.tensor(faces)
    for _ in range(subdivisions):
        edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(1).values
        edges, which = edges.unique(dim=0, return_inverse=True)
        ab, bc, ca = (which + len(vertices)).reshape(3, -1)
        a, b, c = faces.unbind(1)
        vertices = torch.cat([vertices, vertices[edges].mean(1)])
        parts = ([a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca])
        faces = torch.cat([torch.stack(part, 1) for part in parts])
    return torch.nn.functional.normalize(vertices, dim=-1), faces


def three_arms() -> tuple[Mesh, Tensor]:
    """A small hub with a long red arm along +x, a green one along +y and a blue one along +z.

    Returns:
        The mesh, and colours (P, 3) of its vertices; the hub is black.
    """
    parts = [box([-0.08] * 3, [0.08] * 3)]
    for axis, length in enumerate((0.9, 0.7, 0.5)):
        low, high = [-0.07] * 3, [0.07] * 3
        low[axis], high[axis] = 0.08, length
        parts.append(box(low, high))
    colors = torch.cat([torch.zeros(1, 3), torch.eye(3)]).repeat_interleave(8, 0)
    return join(*parts), colors


def random_triangles(seed: int, num: int, dtype=torch.float64) -> Mesh:
    """Triangles of their own vertices around the origin, as large as the unit sphere."""
    generator = torch.Generator().manual_seed(seed)
    vertices = torch.randn(3 * num, 3, generator=generator, dtype=dtype) * 0.5
    return vertices, torch.arange(3 * num).reshape(num, 3)


def height_field(side: int = 9, seed: int = 0, extent: float = 2.6) -> Mesh:
    """A bumpy sheet about the plane z = 0, float64."""
    generator = torch.Generator().manual_seed(seed)
    line = torch.linspace(-extent, extent, side, dtype=torch.float64)
    y, x = torch.meshgrid(line, line, indexing='ij')
    z = 0.3 * torch.rand(side, side, generator=generator, dtype=torch.float64)
    index = torch.arange(side * side).reshape(side, side)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    corners = [torch.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))]
    return torch.stack([x, y, z], -1).reshape(-1, 3), torch.cat(corners)


def camera(size, focal, centre, projection='perspective', distance=0.0, skew=0.0) -> Cameras:
    """One camera with the world's axes, x right, y down, z forward, ``distance`` behind it."""
    extrinsics = torch.eye(4)
    extrinsics[2, 3] = distance
    matrix = [[focal[0], skew, centre[0]], [0, focal[1], centre[1]], [0, 0, 1]]
    return Cameras(
        extrinsics[None, None], torch.tensor(matrix)[None, None].float(), size, projection
    )


def pixel_rays(cameras: Cameras) -> Tensor:
    """``(x, y, 1)`` (H, W, 3) with ``u = (K (x, y, 1))_u``, of the first view, in float64."""
    height, width = cameras.image_size
    v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing='ij')
    centres = torch.stack([u, v, torch.ones_like(u)], -1).double()
    return centres @ torch.linalg.inv(cameras.intrinsics[0, 0].double()).T


@dataclass
class Drawer:
    """One renderer behind a common face: it draws meshes, points by sampling them densely.

    Attributes:
        kind: 'points', 'mesh' or 'kaolin'.
        tolerance: of depths, in scene units, on surfaces that are seen frontally.
    """

    kind: str
    backend: str

    @property
    def tolerance(self) -> float:
        return {'points': 0.06, 'mesh': 1e-5, 'kaolin': 1e-3}[self.kind]

    @property
    def on_mesh(self) -> bool:
        return self.kind != 'points'

    def renderer(self, near=0.1, far=20.0, thickness=0.02, **options):
        """``thickness`` of surfaces is for points, ``options`` are for meshes."""
        if self.kind == 'points':
            return PointSplatRenderer(
                radius=1.0, depth_tolerance=thickness, near=near, far=far, backend=self.backend
            )
        if self.kind == 'mesh':
            return MeshRenderer(near, far, backend=self.backend, **options)
        from mm3dpretrain.models.renderers import KaolinMeshRenderer

        try:
            return KaolinMeshRenderer(near, far, **options)
        except ImportError as error:
            pytest.skip(str(error))

    def draw(
        self,
        meshes: list[Mesh],
        cameras: Cameras,
        colors: list[Tensor] | None = None,
        num_points: int = 20000,
        **options,
    ) -> RenderOutput:
        """Render a batch; colours are those of the vertices."""
        renderer = self.renderer(**options)
        if self.on_mesh:
            batch = Meshes.from_list(meshes)
            if colors is not None:
                colors = torch.nn.utils.rnn.pad_sequence(colors, batch_first=True)
            if self.kind != 'kaolin':
                return renderer(batch, cameras, colors)
            colors = None if colors is None else colors.cuda()
            output = renderer(batch.to('cuda'), cameras.to('cuda'), colors)
            maps = {k: v if v is None else v.cpu() for k, v in vars(output).items()}
            return RenderOutput(**maps)
        clouds, shades = [], []
        for sample, (vertices, faces) in enumerate(meshes):
            if not len(faces):
                clouds.append(torch.zeros(0, 3))
                continue
            # as many more points for a larger mesh of the batch: padding is tested too
            surface = sample_surface(vertices, faces, num_points + 100 * sample, rng=0)
            clouds.append(torch.from_numpy(surface.points))
            if colors is not None:
                corners = colors[sample][faces[torch.from_numpy(surface.face_index)]]
                weights = torch.from_numpy(surface.bary).to(corners)
                shades.append((weights[..., None] * corners).sum(1))
        lengths = torch.tensor([len(c) for c in clouds])
        features = torch.nn.utils.rnn.pad_sequence(shades, batch_first=True) if shades else None
        points = torch.nn.utils.rnn.pad_sequence(clouds, batch_first=True)
        return renderer(points, cameras, features, lengths)


DRAWERS = [
    pytest.param(Drawer('points', 'numba'), id='points-numba'),
    pytest.param(Drawer('points', 'torch'), id='points-torch'),
    pytest.param(Drawer('mesh', 'numba'), id='mesh-numba'),
    pytest.param(Drawer('mesh', 'torch'), id='mesh-torch'),
    pytest.param(Drawer('kaolin', 'cuda'), id='mesh-kaolin', marks=pytest.mark.gpu),
]
MESH_DRAWERS = DRAWERS[2:]
