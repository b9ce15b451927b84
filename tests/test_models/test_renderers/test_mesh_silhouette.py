"""Soft silhouettes: the formula, the naive twin, gradients, and a mesh pulled into place."""

from __future__ import annotations

import pytest
import torch
from mesh_scenes import box, camera, join, random_triangles, square

from mm3dpretrain.models.renderers import MeshRenderer, orbit_views
from mm3dpretrain.structures import Meshes

BACKENDS = ['numba', 'torch']
PROJECTIONS = ['perspective', 'orthographic']


def soft(backend, near=0.5, far=9.0, back_faces=True, **settings):
    return MeshRenderer(near, far, back_faces=back_faces, silhouette=settings, backend=backend)


@pytest.mark.parametrize('backend', [*BACKENDS, 'naive'])
@pytest.mark.parametrize('projection', PROJECTIONS)
def test_one_triangle(backend, projection):
    """Distances in units of half the width and half the height of the picture."""
    height, width = 20, 30
    cameras = camera((height, width), (10.0, 8.0), (15.0, 10.0), projection)
    depth = 2.0 if projection == 'perspective' else 1.0
    corners = torch.tensor([[-0.5, -0.4], [0.6, -0.4], [-0.5, 0.7]])
    vertices = torch.cat([corners * depth, torch.full((3, 1), depth)], 1)
    meshes = Meshes(vertices[None], torch.tensor([[[0, 1, 2]]]))
    out = soft(backend, sigmainv=30.0, boxlen=0.4)(meshes, cameras)
    plain = MeshRenderer(far=9.0, backend=backend)(meshes, cameras)
    assert torch.equal(out.index, plain.index) and torch.equal(out.depth, plain.depth)
    mask = out.mask[0, 0]
    # the triangle's corners: u = 10 to 21, v = 6.8 to 15.6 pixels
    x, y = (torch.arange(width) + 0.5) / 15, (torch.arange(height) + 0.5) / 10
    row, column = 9, 13
    left = torch.exp(-30 * (x[:10] - 10 / 15) ** 2) * (10 / 15 - x[:10] <= 0.4)
    torch.testing.assert_close(mask[row, :10], left)
    above = torch.exp(-30 * (y[:6] - 0.68) ** 2) * (0.68 - y[:6] <= 0.4)
    torch.testing.assert_close(mask[:6, column], above)
    corner = torch.exp(-30 * ((x[7] - 10 / 15) ** 2 + (y[4] - 0.68) ** 2))
    torch.testing.assert_close(mask[4, 7], corner)
    assert (mask[out.index[0, 0] >= 0] == 1).all()
    assert mask[0, 0] == 0 and 0 < mask[row, 8] < 1


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('projection', PROJECTIONS)
@pytest.mark.parametrize('knum', [1, 3, 30])
def test_equals_the_naive_twin(backend, projection, knum):
    first = random_triangles(0, 7)
    first[0][:3, 2] += 5  # reaches behind the camera: it is drawn, but has no soft rim
    meshes = Meshes.from_list([first, random_triangles(3, 5)])
    cameras = orbit_views(2, image_size=(12, 10), projection=projection, scale=0.5, fov=70.0)
    weights = torch.rand(2, 2, 12, 10, dtype=torch.float64)
    results = []
    for which in ('naive', backend):
        vertices = meshes.vertices.clone().requires_grad_()
        renderer = soft(which, 2.0, 4.5, projection == 'perspective', sigmainv=40, boxlen=0.3,
                        knum=knum)  # fmt: skip
        mask = renderer(Meshes(vertices, meshes.faces), cameras).mask
        results.append((mask.detach(), *torch.autograd.grad((mask * weights).sum(), vertices)))
    (expected, gradient), (mask, ours) = results
    assert ((mask > 0.01) & (mask < 0.99)).double().mean() > 0.1
    torch.testing.assert_close(mask, expected)
    assert gradient.abs().max() > 0.1
    torch.testing.assert_close(ours, gradient)


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('projection', PROJECTIONS)
def test_gradients_against_finite_differences(backend, projection):
    vertices, faces = random_triangles(5, 3)
    cameras = orbit_views(1, image_size=(7, 8), projection=projection, scale=0.5)
    # a reach beyond the picture: pixels do not enter and leave the boxes
    renderer = soft(backend, sigmainv=4.0, boxlen=4.0)

    def run(positions):
        return renderer(Meshes(positions[None], faces[None]), cameras).mask

    assert 0 < (run(vertices) == 1).sum() < 30
    leaf = vertices.clone().requires_grad_()
    assert torch.autograd.gradcheck(run, leaf, eps=1e-7, atol=1e-5, rtol=1e-4, nondet_tol=0)


def test_the_first_faces_count_when_there_are_too_many():
    """As in Kaolin: first by index, not by distance."""
    near, far = square(2.0, 0.5), square(2.0, 0.4)
    cameras = camera((16, 16), (12.0, 12.0), (8.0, 8.0))
    settings = dict(sigmainv=20, boxlen=2.0)
    for first, second in ((near, far), (far, near)):
        meshes = Meshes.from_list([join(first, second)])
        limited = soft('numba', **settings, knum=2)(meshes, cameras).mask
        alone = soft('numba', **settings)(Meshes.from_list([first]), cameras).mask
        outside = MeshRenderer()(meshes, cameras).index < 0
        torch.testing.assert_close(limited[outside], alone[outside])


@pytest.mark.parametrize('backend', BACKENDS)
def test_culled_faces_have_no_rim(backend):
    vertices, faces = square(2.0, 0.5)
    cameras = camera((16, 16), (12.0, 12.0), (8.0, 8.0))
    turned = Meshes(vertices[None], faces[None].flip(2))
    out = soft(backend, back_faces=False, boxlen=2.0, sigmainv=10)(turned, cameras)
    assert (out.mask == 0).all()
    assert (soft(backend, boxlen=2.0, sigmainv=10)(turned, cameras).mask > 0).all()


def test_defaults_are_those_of_kaolin():
    settings = MeshRenderer(silhouette={}).silhouette
    assert (settings.sigmainv, settings.boxlen, settings.knum) == (7000.0, 0.02, 30)
    for wrong in (dict(sigmainv=0), dict(boxlen=-1), dict(knum=0), dict(knum=1.5)):
        with pytest.raises(ValueError, match='positive'):
            MeshRenderer(silhouette=wrong)
    with pytest.raises(TypeError):
        MeshRenderer(silhouette=dict(sigma=3))


@pytest.mark.parametrize('backend', BACKENDS)
def test_it_pulls_a_mesh_into_place(backend):
    """A box finds its place, in three dimensions, from nothing but two silhouettes."""
    vertices, faces = box([-0.4, -0.3, -0.2], [0.4, 0.3, 0.2])
    cameras = orbit_views(3, image_size=32)
    renderer = soft(backend, sigmainv=100, boxlen=0.3)
    offset = torch.tensor([0.15, -0.12, 0.1])
    with torch.no_grad():
        target = renderer(Meshes((vertices + offset)[None], faces[None]), cameras).mask
    shift = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.Adam([shift], lr=0.02)
    errors = []
    for _ in range(60):
        mask = renderer(Meshes((vertices + shift)[None], faces[None]), cameras).mask
        loss = (mask - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append((shift.detach() - offset).norm().item())
    assert errors[0] > 0.15 and errors[-1] < 0.02
