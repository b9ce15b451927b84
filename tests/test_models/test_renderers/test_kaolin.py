"""KaolinMeshRenderer: its camera by plain algebra, its pictures against MeshRenderer.

Kaolin's kernels need a GPU. On the CPU a naive rasteriser with Kaolin's documented conventions
stands in for them, so that every sign and axis of what the renderer passes is checked anyway.
"""

from __future__ import annotations

import fake_kaolin
import pytest
import torch

from mm3dpretrain.models.renderers.kaolin import KaolinMeshRenderer, clip_near, to_opengl
from mm3dpretrain.models.renderers.mesh import MeshRenderer
from mm3dpretrain.registry import RENDERERS
from mm3dpretrain.structures import Cameras, Meshes, look_at

SIZES = [(24, 24), (20, 32), (30, 16)]


def odd_cameras(size, projection='perspective', views=3, seed=0):
    """Cameras around the origin: principal point off the centre, fx != fy, skew."""
    generator = torch.Generator().manual_seed(seed)
    eyes = torch.nn.functional.normalize(torch.randn(views, 3, generator=generator), dim=-1) * 3
    height, width = size
    focal = 1.3 * max(size) if projection == 'perspective' else 0.4 * max(size)
    matrix = torch.tensor(
        [
            [focal, 0.1 * focal, 0.4 * width],
            [0.05 * focal, 0.8 * focal, 0.65 * height],
            [0.0, 0.0, 1.0],
        ]
    )
    intrinsics = matrix.expand(1, views, 3, 3).clone()
    return Cameras(look_at(eyes)[None].double(), intrinsics.double(), size, projection)


def blob(seed=0, faces=24):
    """A soup of faces of every orientation within the unit sphere, some behind others."""
    generator = torch.Generator().manual_seed(seed)
    center = torch.rand(faces, 1, 3, generator=generator, dtype=torch.float64) - 0.5
    edge = torch.randn(faces, 3, 3, generator=generator, dtype=torch.float64)
    vertices = (center + 0.35 * edge).reshape(-1, 3)
    return vertices, torch.arange(3 * faces).reshape(-1, 3)


@pytest.fixture
def kaolin(monkeypatch):
    return fake_kaolin.install(monkeypatch)


# ------------------------------------------------------------------ the camera


@pytest.mark.parametrize('projection', ['perspective', 'orthographic'])
@pytest.mark.parametrize('size', SIZES)
def test_opengl_matrices_project_like_cameras(projection, size):
    cameras = odd_cameras(size, projection)
    points = torch.rand(1, 50, 3, dtype=torch.float64) - 0.5
    uv, depth = cameras.project(points)
    view, projection_matrix = to_opengl(cameras, near=0.5, far=6.0)
    padded = torch.nn.functional.pad(points, (0, 1), value=1.0)
    camera = torch.einsum('bvij,bnj->bvni', view, padded)
    # OpenGL: y up, z towards the viewer
    assert torch.allclose(camera[..., 2], -depth)
    clip = torch.einsum('bvij,bvnj->bvni', projection_matrix, camera)
    ndc = clip[..., :3] / clip[..., 3:]
    height, width = size
    assert torch.allclose((ndc[..., 0] + 1) * width / 2, uv[..., 0])
    assert torch.allclose((1 - ndc[..., 1]) * height / 2, uv[..., 1])
    assert torch.allclose(torch.linalg.det(view[..., :3, :3]), torch.ones(1, 3).double())
    for z, wanted in ((0.5, -1.0), (6.0, 1.0)):
        front = projection_matrix @ torch.tensor([0.0, 0.0, -z, 1.0], dtype=torch.float64)
        assert torch.allclose(front[..., 2] / front[..., 3], torch.tensor(wanted).double())


def test_opengl_matrix_of_a_textbook_camera():
    # 90 degrees, square: the identity but for the depth rows (OpenGL's gluPerspective)
    intrinsics = torch.tensor([[8.0, 0, 8], [0, 8.0, 8], [0, 0, 1]])[None, None]
    _, projection = to_opengl(Cameras(torch.eye(4)[None, None], intrinsics, (16, 16)), 1.0, 3.0)
    wanted = [[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, -2, -3], [0, 0, -1, 0]]
    assert torch.allclose(projection[0, 0], torch.tensor(wanted))


@pytest.mark.parametrize('projection', ['perspective', 'orthographic'])
def test_kaolins_own_camera_agrees(projection):
    pytest.importorskip('kaolin.render.camera', reason='Kaolin is not installed')
    from kaolin.render.camera import (
        Camera,
        CameraExtrinsics,
        OrthographicIntrinsics,
        PinholeIntrinsics,
    )

    size = height, width = 20, 32
    cameras = odd_cameras(size, projection, views=1)
    matrix = cameras.intrinsics.clone()
    matrix[..., 0, 1] = matrix[..., 1, 0] = 0  # Kaolin knows no skew
    if projection == 'orthographic':  # nor an offset of parallel rays, nor rectangular pixels
        matrix[..., 1, 1] = matrix[..., 0, 0]
        matrix[..., 0, 2], matrix[..., 1, 2] = width / 2, height / 2
    cameras = Cameras(cameras.extrinsics, matrix, size, projection)
    view, ours = to_opengl(cameras, 0.5, 6.0)
    extrinsics = CameraExtrinsics.from_view_matrix(view[0], dtype=torch.float64)
    fx, fy, cx, cy = (matrix[0, 0, i, j].item() for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    if projection == 'perspective':
        intrinsics = PinholeIntrinsics.from_focal(
            width, height, fx, fy, cx - width / 2, height / 2 - cy, 0.5, 6.0, dtype=torch.float64
        )
    else:
        intrinsics = OrthographicIntrinsics.from_frustum(
            width, height, fov_distance=height / 2 / fy, near=0.5, far=6.0, dtype=torch.float64
        )
    points = torch.rand(1, 40, 3, dtype=torch.float64) - 0.5
    theirs = Camera(extrinsics, intrinsics).transform(points)
    padded = torch.nn.functional.pad(points, (0, 1), value=1.0)
    clip = torch.einsum('ij,nj->ni', ours[0, 0] @ view[0, 0], padded[0])
    assert torch.allclose((clip[:, :2] / clip[:, 3:]), theirs.reshape(-1, 3)[:, :2], atol=1e-6)


def test_kaolins_mesh_utilities_on_the_cpu_agree():
    mesh = pytest.importorskip('kaolin.ops.mesh', reason='Kaolin is not installed')
    vertices, faces = blob()
    meshes = Meshes(vertices[None], faces[None])
    corners = mesh.index_vertices_by_faces(vertices[None], faces)
    assert torch.allclose(corners, meshes.corners())
    assert torch.allclose(mesh.face_normals(corners, unit=True), meshes.face_normals(), atol=1e-6)


def test_kaolins_prepare_vertices_on_the_cpu_agrees_with_the_stand_in():
    module = pytest.importorskip('kaolin.render.mesh', reason='Kaolin is not installed')
    vertices, faces = blob()
    cameras = odd_cameras((20, 32), views=1)
    view, projection = to_opengl(cameras)
    full = (projection @ view)[0]
    transform = torch.stack([full[:, 0], full[:, 1], -full[:, 3]], -1)
    given = (vertices[None], faces, torch.tensor([[1.0], [1.0], [-1.0]]).double())
    theirs = module.prepare_vertices(*given, camera_transform=transform)
    ours = fake_kaolin.prepare_vertices(*given, camera_transform=transform)
    for a, b in zip(theirs, ours):
        assert torch.allclose(a, b, atol=1e-6)


# ------------------------------------------------------------------ the near plane


def test_clipped_triangles_cover_exactly_what_lies_in_front():
    generator = torch.Generator().manual_seed(3)
    corners = torch.randn(2, 60, 3, 3, generator=generator, dtype=torch.float64)
    weights, face, left = clip_near(corners, near=0.3)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 120, 3).double())
    cut = weights @ corners[:, face]
    assert bool((cut[left][..., 2] >= 0.3 - 1e-12).all())
    area = torch.cross(cut[..., 1, :] - cut[..., 0, :], cut[..., 2, :] - cut[..., 0, :], dim=-1)
    whole = torch.cross(
        corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :], dim=-1
    )
    # the parts are turned like the whole, and their share of it is that in front of the plane
    part = (area * left[..., None]).reshape(2, 2, 60, 3).sum(1)
    share = (part * whole).sum(-1) / (whole * whole).sum(-1)
    draw = torch.rand(20000, 2, generator=generator, dtype=torch.float64)
    draw = torch.where(draw.sum(-1, keepdim=True) > 1, 1 - draw, draw)
    bary = torch.cat([1 - draw.sum(-1, keepdim=True), draw], -1)
    sampled = (torch.einsum('sk,nfk->nfs', bary, corners[..., 2]) >= 0.3).double().mean(-1)
    assert torch.allclose(share, sampled, atol=0.02)


def test_nothing_to_clip_keeps_the_faces():
    corners = torch.rand(1, 5, 3, 3) + 1
    weights, face, left = clip_near(corners, 0.5)
    assert torch.equal(face, torch.arange(5)) and bool(left.all())
    assert torch.equal(weights, torch.eye(3).expand(1, 5, 3, 3))
    # beside a sample that is cut, the result is the same
    both = torch.cat([corners, corners - torch.tensor([0, 0, 1.2])])
    weights, face, left = clip_near(both, 0.5)
    assert torch.equal(weights[0, :5], torch.eye(3).expand(5, 3, 3))
    assert left[0].tolist() == [True] * 5 + [False] * 5


# ------------------------------------------------------------------ the pictures


def compare(ours, theirs, min_equal=0.995, scale=1.0):
    """Assert the agreement that is asked for between renderers."""
    same = ours.index == theirs.index
    assert same.double().mean() >= min_equal
    assert ((ours.index >= 0) == (theirs.index >= 0)).double().mean() >= min_equal
    both = same & (ours.index >= 0)
    assert both.any()
    assert (ours.depth - theirs.depth)[both].abs().max() < 1e-3 * scale
    assert (ours.bary - theirs.bary)[both].abs().max() < 1e-3
    if theirs.features is not None:
        gap = (ours.features - theirs.features).movedim(2, -1)[both].abs().max()
        assert gap < 1e-3 * scale


@pytest.mark.parametrize('projection', ['perspective', 'orthographic'])
@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('back_faces', [True, False])
def test_agrees_with_the_mesh_renderer(kaolin, projection, size, back_faces):
    vertices, faces = blob()
    meshes = Meshes(vertices[None], faces[None])
    cameras = odd_cameras(size, projection)
    features = torch.rand(1, len(vertices), 5, dtype=torch.float64)
    settings = dict(near=0.2, far=9.0, back_faces=back_faces)
    ours = KaolinMeshRenderer(**settings)(meshes, cameras, features)
    theirs = MeshRenderer(**settings)(meshes, cameras, features)
    assert (theirs.index >= 0).double().mean() > 0.1
    compare(ours, theirs, min_equal=1.0)
    assert torch.equal(ours.mask > 0, ours.index >= 0)
    for name in ('depth', 'mask', 'index', 'features', 'bary'):
        assert getattr(ours, name).shape == getattr(theirs, name).shape, name
    assert float(ours.depth[ours.index < 0].abs().sum()) == 0
    assert float(ours.bary[ours.index < 0].abs().sum()) == 0


@pytest.mark.parametrize('projection', ['perspective', 'orthographic'])
def test_agrees_where_faces_pass_the_camera(kaolin, projection):
    # near and far planes cut through the soup, and some of it is behind the camera
    vertices, faces = blob(seed=1)
    meshes = Meshes(3 * vertices[None], faces[None])
    cameras = odd_cameras((24, 20), projection)
    settings = dict(near=0.5, far=3.5)
    ours = KaolinMeshRenderer(**settings)(meshes, cameras)
    theirs = MeshRenderer(**settings)(meshes, cameras)
    assert (theirs.index >= 0).double().mean() > 0.3
    compare(ours, theirs, min_equal=1.0, scale=3)
    assert ours.depth.max() <= 3.5 and ours.depth[ours.index >= 0].min() >= 0.5 - 1e-9


@pytest.mark.parametrize('back_faces', [True, False])
def test_agrees_under_a_mirroring_camera(kaolin, back_faces):
    vertices, faces = blob()
    cameras = odd_cameras((24, 24))
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0], dtype=torch.float64))
    cameras = Cameras(mirror @ cameras.extrinsics, cameras.intrinsics, cameras.image_size)
    settings = dict(near=0.2, far=9.0, back_faces=back_faces)
    meshes = Meshes(vertices[None], faces[None])
    compare(
        KaolinMeshRenderer(**settings)(meshes, cameras),
        MeshRenderer(**settings)(meshes, cameras),
        min_equal=1.0,
    )


def test_padded_batches_and_shared_cameras(kaolin):
    pairs = [blob(0, 10), blob(1, 24)]
    meshes = Meshes.from_list(pairs)
    cameras = odd_cameras((16, 16))
    renderer = KaolinMeshRenderer(near=0.2, far=9.0)
    corner_features = torch.rand(2, 24, 3, 2, dtype=torch.float64)
    batch = renderer(meshes, cameras, corner_features)
    compare(batch, MeshRenderer(near=0.2, far=9.0)(meshes, cameras, corner_features), 1.0)
    for index, pair in enumerate(pairs):
        features = corner_features[index : index + 1, : len(pair[1])]
        alone = renderer(Meshes.from_list([pair]), cameras, features)
        for name in ('depth', 'mask', 'index', 'features', 'bary'):
            assert torch.equal(getattr(batch, name)[index], getattr(alone, name)[0]), name


def test_nothing_in_sight(kaolin):
    cameras = odd_cameras((16, 16))
    vertices, faces = blob()
    empty = Meshes(vertices[None], faces[None, :0])
    for meshes in (empty, Meshes(vertices[None] + 100, faces[None])):
        output = KaolinMeshRenderer(near=0.2, far=9.0)(meshes, cameras)
        assert bool((output.index == -1).all()) and float(output.depth.abs().max()) == 0
        assert float(output.mask.max()) == 0 and output.features is None


@pytest.mark.parametrize('silhouette', [None, {}])
def test_padding_leaves_gradients_finite(kaolin, silhouette):
    cameras = odd_cameras((16, 16))
    vertices, faces = blob()
    vertices = vertices.requires_grad_()
    settings = dict(near=0.2, far=9.0, silhouette=silhouette)
    found = []
    for pairs in ([(vertices, faces)], [(vertices, faces), (vertices[:9].detach(), faces[:3])]):
        renderer = KaolinMeshRenderer(**settings)
        output = renderer(Meshes.from_list(pairs[::-1]), cameras)
        found.append(torch.autograd.grad((output.depth + output.mask)[-1].sum(), vertices)[0])
    assert found[0].abs().max() > 0 and torch.equal(*found)
    far_away = Meshes.from_list([(vertices + 100, faces), (vertices[:9] + 100, faces[:3])])
    output = KaolinMeshRenderer(**settings)(far_away, odd_cameras((16, 16), views=1))
    assert float(output.mask.detach().abs().max()) == 0


def test_a_loss_on_empty_pictures_can_be_sent_back(kaolin):
    vertices, faces = blob()
    vertices = vertices[None].requires_grad_()
    output = KaolinMeshRenderer()(Meshes(vertices, faces[None, :0]), odd_cameras((16, 16)))
    (output.depth.sum() + output.mask.sum()).backward()
    assert float(vertices.grad.abs().max()) == 0


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32])
def test_low_precision_is_for_networks(kaolin, dtype):
    vertices, faces = blob()
    cameras = odd_cameras((16, 16)).to(torch.float32)
    meshes = Meshes(vertices[None].to(dtype), faces[None])
    renderer = KaolinMeshRenderer(near=0.2, far=9.0)
    expected = renderer(meshes.to(dtype=torch.float32), cameras)
    with torch.autocast('cpu', torch.bfloat16):
        output = renderer(meshes, cameras)
    assert output.depth.dtype == torch.float32
    assert torch.equal(output.index, expected.index) and torch.equal(output.depth, expected.depth)


def test_gradients_equal_those_of_the_mesh_renderer(kaolin):
    cameras = odd_cameras((20, 24))
    found = []
    for renderer in (KaolinMeshRenderer, MeshRenderer):
        vertices, faces = blob()
        vertices = vertices.requires_grad_()
        features = torch.rand(1, len(vertices), 3, generator=torch.Generator().manual_seed(5))
        features = features.double().requires_grad_()
        output = renderer(near=0.2, far=9.0)(Meshes(vertices[None], faces[None]), cameras, features)
        weight = torch.rand(
            output.features.shape, generator=torch.Generator().manual_seed(6), dtype=torch.float64
        )
        loss = (output.features * weight).sum() + (output.depth * weight[:, :, 0]).sum()
        found.append(torch.autograd.grad(loss, [vertices, features]))
    for ours, theirs in zip(*found):
        assert theirs.abs().max() > 0
        assert torch.allclose(ours, theirs, atol=1e-8 * float(theirs.abs().max()), rtol=1e-6)


def soft_gradient(renderer, cameras, settings, device='cpu', dtype=torch.float64, faces=4):
    """Mask, and gradient of its distance to the mask of a mesh beside it."""
    vertices, index = blob(faces=faces)
    moved = vertices + 0.15 * cameras.extrinsics[0, 0, 0, :3].cpu().double()
    index = index[None].to(device)
    renderer = renderer(near=0.2, far=9.0, silhouette=settings)
    with torch.no_grad():
        target = renderer(Meshes(moved[None].to(device, dtype), index), cameras).mask
    vertices = vertices[None].to(device, dtype).requires_grad_()
    mask = renderer(Meshes(vertices, index), cameras).mask
    (gradient,) = torch.autograd.grad(((mask - target) ** 2).sum(), vertices)
    return mask.detach(), gradient[0]


@pytest.mark.parametrize('projection', ['perspective', 'orthographic'])
@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('settings', [dict(), dict(sigmainv=60.0, boxlen=0.3, knum=3)])
def test_soft_silhouette_equals_that_of_the_mesh_renderer(kaolin, projection, size, settings):
    cameras = odd_cameras(size, projection)
    found = [
        soft_gradient(renderer, cameras, settings)
        for renderer in (KaolinMeshRenderer, MeshRenderer)
    ]
    (mask, gradient), (wanted, wanted_gradient) = found
    assert torch.allclose(mask, wanted, atol=1e-9)
    assert torch.allclose(gradient, wanted_gradient, atol=1e-8 * float(wanted_gradient.abs().max()))
    if settings:
        assert ((wanted > 0.01) & (wanted < 0.99)).any()


def test_soft_silhouette_pulls_vertices_towards_a_target(kaolin):
    cameras = odd_cameras((24, 24), views=1)
    settings = dict(sigmainv=40.0, boxlen=0.4)
    _, gradient = soft_gradient(KaolinMeshRenderer, cameras, settings)
    # against the gradient is along the camera's x axis, where the target lies
    assert (-gradient @ cameras.extrinsics[0, 0, 0, :3]).sum() > 0


# ------------------------------------------------------------------ use and errors


def test_from_a_config(kaolin):
    renderer = RENDERERS.build(
        dict(type='KaolinMeshRenderer', near=0.2, far=4.0, silhouette=dict(knum=50))
    )
    assert renderer.silhouette.knum == 50
    assert 'near=0.2' in repr(renderer)


def test_bad_settings_and_input(kaolin):
    with pytest.raises(ValueError, match="backend must be one of .* got 'opengl'"):
        KaolinMeshRenderer(backend='opengl')
    with pytest.raises(ValueError, match='positive sigmainv and boxlen, got -1'):
        KaolinMeshRenderer(silhouette=dict(sigmainv=-1))
    with pytest.raises(ValueError, match='draws Meshes, got Tensor'):
        KaolinMeshRenderer()(torch.zeros(1, 3, 3), odd_cameras((8, 8)))
    vertices, faces = blob()
    with pytest.raises(ValueError, match=r'features must be .* got \(1, 7, 2\)'):
        KaolinMeshRenderer()(
            Meshes(vertices[None], faces[None]), odd_cameras((8, 8)), torch.zeros(1, 7, 2)
        )


def test_without_kaolin_the_error_says_what_to_install(monkeypatch):
    fake_kaolin.install(monkeypatch, 'placeholder')
    with pytest.raises(ImportError, match='empty placeholder.*nvidia-kaolin.s3.*MeshRenderer'):
        KaolinMeshRenderer()


# ------------------------------------------------------------------ on a GPU, with Kaolin itself


def gpu_kaolin():
    pytest.importorskip('kaolin.render.mesh', reason='Kaolin is not installed')


@pytest.mark.gpu
@pytest.mark.parametrize('projection', ['perspective', 'orthographic'])
@pytest.mark.parametrize('size', [(224, 224), (160, 240)])
def test_gpu_agreement(projection, size):
    gpu_kaolin()
    vertices, faces = blob(faces=400)
    meshes = Meshes(vertices[None].float(), faces[None]).to('cuda')
    cameras = odd_cameras(size, projection, views=4).to('cuda', torch.float32)
    features = torch.rand(1, len(vertices), 8, device='cuda')
    ours = KaolinMeshRenderer(near=0.2, far=9.0)(meshes, cameras, features)
    compare(ours, MeshRenderer(near=0.2, far=9.0)(meshes, cameras, features))


@pytest.mark.gpu
def test_gpu_silhouette_gradients_point_the_same_way():
    gpu_kaolin()
    cameras = odd_cameras((128, 128), views=4).to('cuda', torch.float32)
    settings = dict(sigmainv=300.0, boxlen=0.2, knum=60)
    (mask, ours), (wanted, theirs) = (
        soft_gradient(renderer, cameras, settings, 'cuda', torch.float32, faces=40)
        for renderer in (KaolinMeshRenderer, MeshRenderer)
    )
    assert ((mask - wanted).abs() < 1e-2).double().mean() >= 0.995
    assert torch.nn.functional.cosine_similarity(ours.flatten(), theirs.flatten(), 0) >= 0.95


@pytest.mark.gpu
def test_gpu_stand_in_is_true_to_kaolin():
    gpu_kaolin()
    from kaolin.render.mesh import dibr_rasterization

    generator = torch.Generator().manual_seed(0)
    image = 2 * torch.rand(2, 6, 3, 2, generator=generator) - 1
    z = -1 - torch.rand(2, 6, 3, generator=generator)
    features = torch.rand(2, 6, 3, 2, generator=generator)
    normals = torch.tensor([[1.0, 1, -1, 1, 1, 1]] * 2)
    given = (16, 24, z, image, features, normals)
    settings = dict(sigmainv=100.0, boxlen=0.2, knum=30)
    fake = fake_kaolin.dibr_rasterization(*given, **settings)
    real = dibr_rasterization(*[g.cuda() if torch.is_tensor(g) else g for g in given], **settings)
    assert (fake[2] == real[2].cpu()).double().mean() > 0.99
    for a, b in zip(fake[:2], real[:2]):
        assert ((a - b.cpu()).abs() < 1e-3).double().mean() > 0.99
