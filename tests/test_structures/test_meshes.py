"""Batches of meshes: padding, normals, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mesh_scenes import box, sphere

from mm3dpretrain.structures import Meshes


def test_from_list_pads():
    small, large = box([0] * 3, [1] * 3), sphere(1)
    meshes = Meshes.from_list([small, (large[0], large[1].int())])
    assert len(meshes) == 2 and meshes.vertices.shape == (2, 42, 3)
    assert meshes.faces.shape == (2, 80, 3) and meshes.faces.dtype == torch.int64
    assert (meshes.faces[0, 12:] == -1).all()
    assert meshes.valid_faces.sum(1).tolist() == [12, 80]
    assert torch.equal(meshes.corners()[0, :12], small[0][small[1]])
    assert (meshes.corners()[0, 12:] == 0).all()


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.uint32, np.uint64, np.int32])
def test_from_list_takes_arrays_of_any_integers(dtype):
    vertices, faces = box([0] * 3, [1] * 3)
    meshes = Meshes.from_list([(vertices.numpy(), faces.numpy().astype(dtype))])
    assert torch.equal(meshes.faces[0], faces)


def test_from_list_takes_reversed_and_read_only_arrays():
    vertices, faces = box([0] * 3, [1] * 3)
    reversed_faces = faces.numpy()[:, ::-1]
    reversed_faces.flags.writeable = False
    meshes = Meshes.from_list([(vertices.numpy(), reversed_faces)])
    assert torch.equal(meshes.faces[0], faces.flip(1))


def test_normals_in_half_precision_are_those_of_single_precision():
    # areas of 2e-7 of the extent, whose squares half precision does not know
    vertices = torch.tensor([[0, 0, 0], [5e-4, 0, 0], [0, 5e-4, 0], [1, 0, 0], [0, 1, 1]]).half()
    faces = torch.tensor([[[0, 1, 2], [0, 3, 4]]])
    meshes = Meshes(vertices[None], faces)
    for name in ('face_normals', 'vertex_normals'):
        found, expected = (getattr(m, name)() for m in (meshes, meshes.to(dtype=torch.float32)))
        assert found.dtype == torch.float16 and torch.equal(found, expected.half())
    assert torch.equal(meshes.face_normals()[0, 0], torch.tensor([0, 0, 1]).half())


def test_gradients_reach_the_listed_vertices():
    vertices, faces = box([0] * 3, [1] * 3)
    vertices.requires_grad_()
    Meshes.from_list([(vertices, faces)]).corners().sum().backward()
    # every corner counts as often as there are triangles at it
    assert torch.equal(vertices.grad[:, 0], torch.bincount(faces.flatten()).float())


def test_to():
    meshes = Meshes.from_list([box([0] * 3, [1] * 3)]).to(dtype=torch.float64)
    assert meshes.vertices.dtype == torch.float64 and meshes.faces.dtype == torch.int64
    assert meshes.to('cpu').device == torch.device('cpu')


@pytest.mark.parametrize('scale', [1e-6, 1.0, 1e6])
def test_normals_of_a_sphere_point_outwards(scale):
    vertices, faces = sphere(3)
    meshes = Meshes.from_list([(vertices * scale, faces), box([0] * 3, [1] * 3)])
    normals = meshes.vertex_normals()
    assert (normals[0] * vertices).sum(-1).min() > 0.999
    face = meshes.face_normals()
    middle = torch.nn.functional.normalize(vertices[faces].mean(1), dim=-1)
    assert (face[0] * middle).sum(-1).min() > 0.999
    assert (face[1, 12:] == 0).all() and (normals[1, 8:] == 0).all()


def test_vertex_normals_are_weighted_by_area():
    # a small face along z and one four times as large along x meet at vertex 0
    vertices = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 2, 0], [0, 0, 2.0]])
    meshes = Meshes(vertices[None], torch.tensor([[[0, 1, 2], [0, 3, 4]]]))
    expected = torch.tensor([4.0, 0, 1]) / 17**0.5
    torch.testing.assert_close(meshes.vertex_normals()[0, 0], expected)


def test_faces_without_area_have_no_normal_and_no_bad_gradient():
    vertices = torch.tensor([[[0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 1, 0.0]]], requires_grad=True)
    meshes = Meshes(vertices, torch.tensor([[[0, 1, 2], [3, 3, 3], [0, 1, 3]]]))
    normals = meshes.face_normals()
    assert (normals[0, :2] == 0).all() and normals[0, 2, 2] == 1
    weights = torch.rand(1, 4, 3)
    ((meshes.vertex_normals() * weights).sum() + normals[..., 0].sum()).backward()
    assert vertices.grad.isfinite().all() and vertices.grad.abs().max() > 0


def test_normal_gradients():
    vertices, faces = sphere(0)
    weights = torch.rand(1, 12, 3, dtype=torch.float64)

    def loss(v):
        return (Meshes(v, faces[None]).vertex_normals() * weights).sum()

    assert torch.autograd.gradcheck(loss, vertices.double()[None].requires_grad_())


def test_refusals_name_sample_and_index():
    vertices, faces = box([0] * 3, [1] * 3)
    bad = vertices.clone()
    bad[3, 1] = float('nan')
    with pytest.raises(ValueError, match=r'vertex 3 of sample 1 .*nan.*1 such'):
        Meshes.from_list([(vertices, faces), (bad, faces)])
    wrong = faces.clone()
    wrong[5, 2] = 8
    with pytest.raises(ValueError, match=r'face 5 of sample 1 .*8\].* 8 vertices'):
        # sample 0 has a ninth vertex: padding must not make the index valid
        Meshes.from_list([sphere(1), (vertices, wrong)])
    wrong[5, 2] = -1
    with pytest.raises(ValueError, match='face 5 of sample 0'):
        Meshes(vertices[None], wrong[None])
    with pytest.raises(ValueError, match='face 5 of sample 0'):
        Meshes.from_list([(vertices, wrong)])
    with pytest.raises(ValueError, match='int64'):
        Meshes(vertices[None], faces[None].int())
    with pytest.raises(ValueError, match='integers'):
        Meshes.from_list([(vertices, faces.float())])
    with pytest.raises(ValueError, match=r'\(B, P, 3\)'):
        Meshes(vertices, faces[None])
    with pytest.raises(ValueError, match='sample 0'):
        Meshes.from_list([(vertices[:, :2], faces)])
    with pytest.raises(ValueError, match='1 samples .* 2 samples'):
        Meshes(vertices[None], faces.expand(2, -1, -1))
    with pytest.raises(ValueError, match='at least one'):
        Meshes.from_list([])
