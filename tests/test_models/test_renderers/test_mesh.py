"""MeshRenderer: reference vectors, its naive twin, gradients, bad input."""

from __future__ import annotations

import warnings

import pytest
import torch
from mesh_scenes import box, camera, height_field, join, random_triangles, sphere, square

from mm3dpretrain.models.renderers import MeshRenderer, mesh_torch, orbit_views
from mm3dpretrain.registry import RENDERERS
from mm3dpretrain.structures import Cameras, Meshes

BACKENDS = ['numba', 'torch']
PROJECTIONS = ['perspective', 'orthographic']
GOLDEN = ('mesh_bumpy_ellipsoid', 'mesh_three_arms', 'mesh_two_triangles')
MAPS = ('depth', 'mask', 'features', 'bary')


def golden_cameras(data, projection) -> Cameras:
    extrinsics = torch.eye(4)
    extrinsics[:3, :3], extrinsics[:3, 3] = torch.tensor(data['R']), torch.tensor(data['t'])
    size = tuple(int(s) for s in data['image_hw'])
    return Cameras(extrinsics[None, None], torch.tensor(data['K'])[None, None], size, projection)


def random_batch(seed: int = 0):
    """Two samples of faces that cross the planes and each other; padding; corner features."""
    vertices, faces = random_triangles(seed, 9)
    # one from the origin past the first camera, one beyond the far plane
    vertices[:3] = torch.tensor([[0.4, -0.3, 0], [-0.5, 0.2, 0], [0.3, 2.6, 5.6]])
    vertices[3:6] = torch.tensor([[0.7, -0.4, -1.5], [0.9, 0.5, 0.5], [0.2, 0.7, 0.5]])
    second = random_triangles(seed + 1, 6)
    meshes = Meshes.from_list([(vertices, faces), second])
    features = torch.rand(2, 9, 3, 2, dtype=torch.float64)
    return meshes, features


def weighted_sum(output) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    total = 0
    for name in MAPS:
        values = getattr(output, name)
        total = total + (values * torch.rand(values.shape, generator=generator)).sum()
    return total


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('name', GOLDEN)
def test_equals_the_reference(golden, name, backend):
    arrays = golden(f'render/{name}.npz')
    for view in sorted({key.split('/')[0] for key in arrays if '/' in key}):
        data = {key.split('/')[1]: value for key, value in arrays.items() if key.startswith(view)}
        projection = 'orthographic' if view.startswith('ortho') else 'perspective'
        vertices = torch.tensor(arrays['verts']).requires_grad_()
        meshes = Meshes(vertices[None], torch.tensor(arrays['faces']).long()[None])
        colors = torch.tensor(arrays['vertex_colors'])[None]
        out = MeshRenderer(0.01, 100, backend=backend)(
            meshes, golden_cameras(data, projection), colors
        )
        safe = torch.tensor(data['safe'])
        index = torch.tensor(data['pix_to_face'][..., 0]).long()
        assert torch.equal(out.index[0, 0][safe], index[safe])
        seen = safe & (index >= 0)
        for value, key, tolerance in (
            (out.depth[0, 0], 'zbuf', 3e-5),
            (out.bary[0, 0], 'bary', 1e-4),
        ):
            expected = torch.tensor(data[key][:, :, 0])
            torch.testing.assert_close(value[seen], expected[seen], atol=tolerance, rtol=0)
        colors = out.features[0, 0].permute(1, 2, 0)[seen]
        torch.testing.assert_close(colors, torch.tensor(data['colors'])[seen], atol=1e-4, rtol=0)
        out.depth.sum().backward()
        expected = torch.tensor(data['grad_verts_sum_depth'])
        scale = expected.abs().max().item()
        torch.testing.assert_close(vertices.grad, expected, atol=1e-3 * scale, rtol=0)


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('projection', PROJECTIONS)
@pytest.mark.parametrize('back_faces', [True, False])
def test_equals_the_naive_twin(backend, projection, back_faces):
    meshes, features = random_batch()
    cameras = orbit_views(2, image_size=(13, 11), projection=projection)
    results = []
    for which in ('naive', backend):
        leaves = [t.clone().requires_grad_() for t in (meshes.vertices, features)]
        renderer = MeshRenderer(2.3, 3.6, back_faces=back_faces, backend=which)
        out = renderer(Meshes(leaves[0], meshes.faces), cameras, leaves[1])
        results.append((out, torch.autograd.grad(weighted_sum(out), leaves)))
    (expected, gradients), (out, ours) = results
    assert torch.equal(out.index, expected.index)
    assert 0.1 < (out.index >= 0).double().mean() < 0.9
    for name in MAPS:
        torch.testing.assert_close(getattr(out, name), getattr(expected, name))
    assert all(g.abs().max() > 0.1 for g in gradients)
    torch.testing.assert_close(ours, gradients)
    drawn = out.depth[out.index >= 0]
    assert drawn.min() >= 2.3 and drawn.max() <= 3.6


def test_the_scene_of_the_twin_crosses_the_planes():
    meshes, _ = random_batch()
    cameras = orbit_views(2, image_size=(13, 11)).to(torch.float64)
    out = MeshRenderer(2.3, 3.6)(meshes, cameras)
    z = cameras.world_to_camera(meshes.vertices)[..., 2]
    corners = z[0, 0][meshes.faces[0]]
    drawn = out.index[0, 0].unique()
    assert (corners.min(1).values < 0)[drawn[drawn >= 0]].any()
    assert (corners.max(1).values > 3.6)[drawn[drawn >= 0]].any()


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('projection', PROJECTIONS)
def test_gradients_to_everything(backend, projection):
    """Also of a sheet that reaches behind the camera, and to both parts of the camera."""
    vertices, faces = height_field(5)
    tilt = torch.tensor([[1.0, 0, 0], [0, 0.3, 1], [0, 0, 1]], dtype=torch.float64)
    focal = 6.0 if projection == 'perspective' else 2.5
    cameras = camera((5, 6), (focal, focal), (3.1, 2.4), projection, 2.0, 0.3).to(torch.float64)
    arguments = (vertices @ tilt, torch.rand(1, 25, 2).double(), cameras.extrinsics)
    renderer = MeshRenderer(0.2, 9.0, backend=backend)

    def run(positions, features, extrinsics, intrinsics):
        seen = Cameras(extrinsics, intrinsics, (5, 6), projection)
        out = renderer(Meshes(positions[None], faces[None]), seen, features)
        return out.depth, out.bary, out.features

    leaves = [a.clone().requires_grad_() for a in (*arguments, cameras.intrinsics)]
    z = cameras.world_to_camera(leaves[0][None])[..., 2]
    assert z.min() < 0 and (run(*leaves)[0] > 0).double().mean() > 0.5
    assert torch.autograd.gradcheck(run, leaves, eps=1e-7, atol=1e-4, rtol=1e-3, nondet_tol=0)


@pytest.mark.parametrize('backend', [*BACKENDS, 'naive'])
def test_of_equal_depths_the_first_face_is_drawn(backend):
    vertices, faces = square(2.0, 3.0)
    meshes = Meshes(vertices[None], torch.cat([faces, faces, faces])[None])
    out = MeshRenderer(backend=backend)(meshes, camera((6, 6), (5.0, 5.0), (3.0, 3.0)))
    # along the diagonal both halves are at the same depth, and the first one wins as well
    assert set(out.index.unique().tolist()) == {0, 1}


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('projection', PROJECTIONS)
def test_shared_edges_leave_no_hole(backend, projection):
    # a fan about a pixel centre, with many edges exactly through pixel centres
    angle = torch.arange(16) * (2 * torch.pi / 16)
    ring = torch.stack([10 * angle.cos(), 10 * angle.sin(), torch.ones(16)], 1)
    vertices = torch.cat([ring, torch.tensor([[0, 0, 1.0]])])
    faces = torch.tensor([[k, (k + 1) % 16, 16] for k in range(16)])
    cameras = camera((15, 15), (3.0, 3.0), (7.5, 7.5), projection)
    out = MeshRenderer(backend=backend)(Meshes(vertices[None], faces[None]), cameras)
    assert (out.index >= 0).all()


def test_features_of_corners_and_of_vertices():
    vertices, faces = sphere(1)
    meshes, cameras = Meshes(vertices[None], faces[None]), orbit_views(2, image_size=24)
    colors = torch.rand(1, len(vertices), 4)
    renderer = MeshRenderer()
    by_vertex = renderer(meshes, cameras, colors)
    by_corner = renderer(meshes, cameras, colors[:, faces])
    torch.testing.assert_close(by_corner.features, by_vertex.features)
    positions = renderer(meshes, cameras, vertices[None]).features.permute(0, 1, 3, 4, 2)
    seen = by_vertex.index >= 0
    torch.testing.assert_close(
        positions[seen], cameras.unproject(by_vertex.depth)[seen], atol=2e-5, rtol=0
    )
    assert renderer(meshes, cameras).features is None
    # a corner's own value does not leak into the neighbour
    flags = torch.zeros(1, len(faces), 3, 1)
    face = by_vertex.index.max()
    flags[0, face] = 1
    flagged = renderer(meshes, cameras, flags)
    torch.testing.assert_close(flagged.features[:, :, 0], (flagged.index == face).float())


@pytest.mark.parametrize('backend', BACKENDS)
def test_faces_without_area_are_skipped(backend):
    vertices, faces = join(square(2.0, 0.5), square(1.5, 0.5))
    vertices.requires_grad_()
    # a point and a line in front of everything, exactly at pixel centres
    flat = torch.tensor([[4, 4, 4], [4, 6, 6], [4, 6, 4]])
    cameras = camera((8, 8), (8.0, 8.0), (4.5, 4.5))
    renderer = MeshRenderer(backend=backend, silhouette=dict(boxlen=0.5, sigmainv=20))
    out = renderer(Meshes(vertices[None], torch.cat([faces[:2], flat])[None]), cameras)
    alone = renderer(Meshes(vertices[None], faces[None, :2]), cameras)
    assert torch.equal(out.index, alone.index) and (out.index >= 0).any()
    torch.testing.assert_close(out.mask, alone.mask)
    (out.depth.sum() + out.bary.sum() + out.mask.sum()).backward()
    assert vertices.grad.isfinite().all() and vertices.grad.abs().max() > 0
    assert (vertices.grad[4:] == 0).all()


@pytest.mark.parametrize('backend', [*BACKENDS, 'naive'])
def test_empty_pictures_warn_when_nothing_is_in_range(backend):
    cameras = camera((4, 5), (5.0, 5.0), (2.5, 2.0))
    renderer = MeshRenderer(backend=backend, silhouette={})
    no_faces = Meshes(torch.rand(2, 3, 3), torch.full((2, 1, 3), -1))
    nothing = Meshes(torch.rand(2, 0, 3), torch.zeros(2, 0, 3, dtype=torch.int64))
    colors = torch.rand(2, 3, 2)
    with pytest.warns(UserWarning, match='no faces'):
        out = renderer(no_faces, cameras, colors)
    assert (out.index == -1).all() and (out.mask == 0).all() and out.features.shape[2] == 2
    with pytest.warns(UserWarning, match='no faces'):
        assert (renderer(nothing, cameras).depth == 0).all()
    with pytest.warns(UserWarning, match=r'depths from -2 to -2\): all pictures are empty'):
        renderer(Meshes.from_list([square(-2.0, 1.0)]), cameras)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        aside = square(2.0, 0.5, x=50.0)[0][None].requires_grad_()
        out = renderer(Meshes(aside, square(2.0, 0.5)[1][None]), cameras)
    assert (out.index == -1).all()
    out.depth.sum().backward()
    assert (aside.grad == 0).all()


def test_precision_follows_the_vertices():
    vertices, faces = box([-0.5] * 3, [0.5] * 3)
    cameras = orbit_views(1, image_size=16)
    for dtype, expected in (
        (torch.float64,) * 2,
        (torch.float32,) * 2,
        (torch.half, torch.float32),
    ):
        meshes = Meshes(vertices.to(dtype)[None], faces[None])
        with torch.autocast('cpu', dtype=torch.bfloat16):
            out = MeshRenderer()(meshes, cameras, vertices.to(dtype)[None])
        assert {getattr(out, name).dtype for name in MAPS} == {expected}
        assert abs(out.depth[0, 0, 8, 8].item() - 2.6) < 0.3


def test_chunks_do_not_change_the_result(monkeypatch):
    meshes, features = random_batch()
    cameras = orbit_views(3, image_size=(13, 11))
    renderer = MeshRenderer(2.3, 3.6, backend='torch', silhouette=dict(boxlen=0.3, knum=2))
    whole = renderer(meshes, cameras, features)
    monkeypatch.setattr(mesh_torch, 'MAX_FACES', 7)
    monkeypatch.setattr('mm3dpretrain.models.renderers.silhouette.MAX_FACES', 7)
    monkeypatch.setattr(mesh_torch, 'MAX_FRAGMENTS', 20)
    parts = renderer(meshes, cameras, features)
    for name in (*MAPS, 'index'):
        assert torch.equal(getattr(parts, name), getattr(whole, name))


def test_threads_do_not_change_the_result():
    meshes, features = random_batch()
    cameras = orbit_views(3, image_size=(13, 11))
    threads, results = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            leaves = [t.clone().requires_grad_() for t in (meshes.vertices, features)]
            renderer = MeshRenderer(2.3, 3.6, backend='numba', silhouette=dict(boxlen=0.3))
            out = renderer(Meshes(leaves[0], meshes.faces), cameras, leaves[1])
            results.append([out.depth, *torch.autograd.grad(weighted_sum(out), leaves)])
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*results))


def test_both_backends_use_the_same_constants():
    from mm3dpretrain.models.renderers import silhouette
    from mm3dpretrain.ops import mesh_kernels

    assert (mesh_torch.MARGIN, mesh_torch.FLAT) == (mesh_kernels.MARGIN, mesh_kernels.FLAT)
    assert silhouette.TINY == mesh_kernels.TINY


def test_many_channels_need_no_fragments_times_channels():
    vertices, faces = sphere(2)
    meshes = Meshes(vertices[None], faces[None])
    table = torch.rand(1, len(vertices), 256, requires_grad=True)
    out = MeshRenderer()(meshes, orbit_views(1, image_size=(60, 80)), table)
    assert out.features.shape == (1, 1, 256, 60, 80)
    out.features.sum().backward()
    # the weights at a pixel sum to 1 in every channel
    torch.testing.assert_close(
        table.grad.sum(1)[0], out.mask.sum().expand(256), rtol=1e-4, atol=1e-2
    )


def test_is_built_from_a_config():
    renderer = RENDERERS.build(dict(type='MeshRenderer', near=1, far=4, silhouette=dict(knum=5)))
    assert 'near=1, far=4' in repr(renderer) and 'SoftSilhouette' in repr(renderer)


def test_refusals():
    vertices, faces = square(2.0, 1.0)
    meshes, cameras = Meshes(vertices[None], faces[None]), camera((4, 4), (3.0, 3.0), (2.0, 2.0))
    renderer = MeshRenderer()
    with pytest.raises(ValueError, match='draws Meshes, got Tensor'):
        renderer(vertices[None], cameras)
    for shape in ((1, 5, 3), (4, 3), (1, 2, 4, 3), (2, 4, 3)):
        with pytest.raises(ValueError, match=r'features must be .* 1, 4, 2, got'):
            renderer(meshes, cameras, torch.rand(shape))
    with pytest.raises(ValueError, match='backend'):
        MeshRenderer(backend='opengl')
    with pytest.raises(ValueError, match='near'):
        MeshRenderer(near=0.0)
    with pytest.raises(ValueError, match='expand'):
        renderer(meshes, cameras.expand(2))


@pytest.mark.gpu
@pytest.mark.parametrize('projection', PROJECTIONS)
def test_cuda_equals_cpu(projection):
    meshes, features = random_batch()
    cameras = orbit_views(3, image_size=(40, 44), projection=projection)
    results = []
    for device in ('cpu', 'cuda'):
        leaves = [t.to(device).requires_grad_() for t in (meshes.vertices, features)]
        renderer = MeshRenderer(2.3, 3.6, silhouette=dict(sigmainv=50, boxlen=0.3))
        out = renderer(Meshes(leaves[0], meshes.faces.to(device)), cameras.to(device), leaves[1])
        maps = [getattr(out, name).detach().cpu() for name in (*MAPS, 'index')]
        loss = sum(getattr(out, name).square().sum() for name in MAPS)
        results.append((maps, [g.cpu() for g in torch.autograd.grad(loss, leaves)]))
    torch.testing.assert_close(results[1][0], results[0][0])
    torch.testing.assert_close(results[1][1], results[0][1])
