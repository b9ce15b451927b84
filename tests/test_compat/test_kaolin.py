"""Kaolin is found by what it can do, not by its name."""

from __future__ import annotations

import fake_kaolin
import pytest
import torch

from mm3dpretrain.compat.kaolin import KaolinError, kaolin_available, require_kaolin

CPU = 'cpu'


def test_absent(monkeypatch):
    # None in sys.modules makes the import fail as for a package that is not there
    fake_kaolin.install(monkeypatch, 'absent')
    with pytest.raises(KaolinError, match='not installed.*nvidia-kaolin.s3.*MeshRenderer'):
        require_kaolin(CPU)
    assert not kaolin_available(CPU)


def test_really_absent():
    try:
        import kaolin  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match='Kaolin is not installed'):
            require_kaolin()


def test_placeholder_of_the_package_index(monkeypatch):
    fake_kaolin.install(monkeypatch, 'placeholder')
    with pytest.raises(KaolinError, match=r'version 0\.1\).*no prepare_vertices, rasterize'):
        require_kaolin(CPU)
    assert not kaolin_available(CPU)


def test_kaolin_that_lacks_a_function(monkeypatch):
    module = fake_kaolin.install(monkeypatch)
    del module.dibr_rasterization
    with pytest.raises(KaolinError, match=r'version 0\.18\.0.*no dibr_rasterization'):
        require_kaolin(CPU)


def test_kaolin_without_cuda_kernels(monkeypatch):
    def not_built(*args, **kwargs):
        raise RuntimeError('packed_rasterize_forward_cuda: not built with CUDA\nstack trace')

    fake_kaolin.install(monkeypatch, rasterize=not_built)
    with pytest.raises(KaolinError, match='CUDA kernels only, and not on cpu') as caught:
        require_kaolin(CPU)
    assert 'not built with CUDA' in str(caught.value) and 'stack' not in str(caught.value)
    assert not kaolin_available(CPU)


def test_kaolin_that_draws_nothing(monkeypatch):
    def blind(height, width, z, image, features, *args, **kwargs):
        return torch.zeros(1, height, width, 1), torch.full((1, height, width), -1)

    fake_kaolin.install(monkeypatch, rasterize=blind)
    with pytest.raises(KaolinError, match=r'gave the face indices \[\[\[-1, -1\]'):
        require_kaolin(CPU)


def test_extension_for_another_torch(monkeypatch):
    import importlib

    def broken(name):
        raise ImportError('_C.so: undefined symbol')

    monkeypatch.setattr(importlib, 'import_module', broken)
    with pytest.raises(KaolinError, match='fails to import.*undefined symbol') as caught:
        require_kaolin(CPU)
    assert torch.__version__ in str(caught.value)


def test_complete(monkeypatch):
    module = fake_kaolin.install(monkeypatch)
    assert require_kaolin(CPU) is module and kaolin_available(CPU)


@pytest.mark.gpu
def test_on_a_gpu_the_answer_is_true_to_what_can_be_drawn():
    kaolin = pytest.importorskip('kaolin.render.mesh', reason='Kaolin is not installed')
    assert require_kaolin('cuda') is kaolin
    assert not kaolin_available('cpu')
