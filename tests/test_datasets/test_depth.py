"""Depth data sets, targets and transforms: real frames, a rendered street, and broken files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mm3dpretrain.datasets import KittiDepth, KittiLidarDepth, NYUDepth, SampleError
from mm3dpretrain.datasets.depth import median_depth
from mm3dpretrain.datasets.depth_maps import drop_occluded, project_depth, read_depth, resize_depth
from mm3dpretrain.datasets.lidar_io import read_lidar
from mm3dpretrain.datasets.synthetic.lidar import SpinningLidar
from mm3dpretrain.datasets.synthetic.scene_render import Lighting, render_scene
from mm3dpretrain.datasets.synthetic.streets import make_street
from mm3dpretrain.datasets.synthetic.streets_labels import draw_calibration
from mm3dpretrain.datasets.transforms import depth as transforms
from mm3dpretrain.registry import TRANSFORMS

READ = [dict(type='LoadDepthImage'), dict(type='LidarDepthTargets')]
PACK = dict(type='PackDepth')


def naive_projection(points, lidar2img, shape, min_depth=0.5):
    """z-buffer, point by point."""
    result = np.zeros(shape, np.float32)
    for point in points:
        u, v, depth = (lidar2img @ np.append(point[:3].astype(np.float64), 1))[:3]
        if depth < min_depth:
            continue
        row, column = int(np.floor(v / depth)), int(np.floor(u / depth))
        inside = 0 <= row < shape[0] and 0 <= column < shape[1]
        if inside and not 0 < result[row, column] <= depth:
            result[row, column] = depth
    return result


def naive_drop(depth, window, tolerance):
    """What drop_occluded does, pixel by pixel."""
    result = depth.copy()
    rows, columns = window
    for i, j in np.argwhere(depth > 0):
        left, right = max(j - columns, 0), j + columns + 1
        limit = (1 - tolerance) * depth[i, j]
        above = depth[max(i - rows, 0) : i + 1, left:right]
        below = depth[i : i + rows + 1, left:right]
        if ((above > 0) & (above < limit)).any() and ((below > 0) & (below < limit)).any():
            result[i, j] = 0
    return result


# --------------------------------------------------------------------------- maps


def test_projection_equals_the_naive_twin():
    rng = np.random.default_rng(0)
    points = rng.uniform([-10, -10, -2], [30, 10, 2], (600, 3)).astype(np.float32)
    lidar2img = np.array([[20.0, -30, 0, 1], [10, 0, -30, 2], [1, 0, 0, 0.1], [0, 0, 0, 1]])
    found = project_depth(points, lidar2img, (20, 40))
    np.testing.assert_allclose(found, naive_projection(points, lidar2img, (20, 40)), rtol=1e-6)
    assert 50 < (found > 0).sum() < 600


@pytest.mark.parametrize('window', [(3, 1), (7, 3)])
def test_thinning_equals_the_naive_twin(window):
    rng = np.random.default_rng(1)
    depth = np.where(rng.random((40, 60)) < 0.2, rng.uniform(5, 40, (40, 60)), 0)
    depth = depth.astype(np.float32)
    found = drop_occluded(depth, window, 0.1)
    np.testing.assert_array_equal(found, naive_drop(depth, window, 0.1))
    assert 0 < (found > 0).sum() < (depth > 0).sum()


def test_thinning_finds_what_the_camera_cannot_see():
    size = (188, 621)  # half of KITTI's, with half the beams and firings: the same in pixels
    street, rng = make_street(0, 6), np.random.default_rng([0, 6, 101])
    calibration = draw_calibration(rng, size)
    truth = render_scene(street.scene, calibration.camera(2, size), Lighting()).depth[0]
    scene = street.scene
    lidar = SpinningLidar(num_beams=32, num_columns=1042)
    sweep = lidar.scan(scene.vertices, scene.faces, scene.reflectance, rng)
    lidar2img = calibration.extend(calibration.P2) @ calibration.lidar_to_rect
    depth = project_depth(sweep.points, lidar2img, size)
    # the pixel's neighbours too: a point lies anywhere in its pixel
    nearest = cv2.dilate(truth, np.ones((3, 3)))
    known = (depth > 0) & (truth > 0)
    hidden = known & (depth > 1.1 * nearest)
    removed = known & (drop_occluded(depth) == 0)
    assert hidden.sum() > 20
    assert (removed & hidden).sum() > 0.75 * hidden.sum()
    assert (removed & ~hidden).sum() < 0.05 * known.sum()


def test_resizing_keeps_depths_and_prefers_the_near_ones():
    depth = np.zeros((4, 6), np.float32)
    depth[0, 0], depth[1, 1], depth[3, 5] = 9, 7, 5
    np.testing.assert_array_equal(
        resize_depth(depth, (2, 3)), np.array([[7, 0, 0], [0, 0, 5]], np.float32)
    )
    grown = resize_depth(depth, (8, 12))
    assert sorted(grown[grown > 0]) == [5, 7, 9]


def test_median_depth():
    maps = [np.array([[0, 4.0], [10, 12]]), np.array([[2.0, 6], [0, 14]])]
    overall, rows = median_depth(maps)
    assert overall == 8
    np.testing.assert_array_equal(rows, [[4], [12]])
    with pytest.raises(ValueError, match='no depth'):
        median_depth([np.zeros((2, 2))])


def write_png(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), values)
    return path


def test_reads_16_bits_and_floats(tmp_path):
    stored = np.array([[0, 256], [2560, 128]], np.uint16)
    path = write_png(tmp_path / 'a.png', stored)
    np.testing.assert_array_equal(read_depth(path, 256), [[0, 1], [10, 0.5]])
    np.save(tmp_path / 'a.npy', np.array([[0, 1.5]]))
    np.testing.assert_array_equal(read_depth(tmp_path / 'a.npy', 256), [[0, 1.5]])


@pytest.mark.parametrize(
    ('name', 'values', 'message'),
    [
        ('b.png', np.zeros((3, 4), np.uint16), 'empty depth map'),
        ('c.png', np.ones((3, 4), np.uint8), '16 bits'),
        ('d.png', np.ones((3, 4, 3), np.uint16), '16 bits'),
        ('e.npy', np.array([[1.0, np.nan]]), r'1 pixels .*\(0, 1\)'),
        ('f.npy', np.array([[1.0, -2.0]]), 'negative'),
        ('g.npy', np.ones((2, 2), np.int64), 'floats'),
    ],
)
def test_broken_maps(tmp_path, name, values, message):
    path = tmp_path / name
    np.save(path, values) if name.endswith('npy') else write_png(path, values)
    with pytest.raises(SampleError, match=message) as error:
        read_depth(path, 256)
    assert name in str(error.value)


def test_missing_and_truncated_maps(tmp_path):
    with pytest.raises(SampleError, match='does not exist'):
        read_depth(tmp_path / 'none.png', 256)
    path = write_png(tmp_path / 'cut.png', np.ones((64, 64), np.uint16))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(SampleError, match='cannot decode'):
        read_depth(path, 256)


# --------------------------------------------------------------------------- transforms


def sample(shape=(60, 100)) -> dict:
    """A picture of random colours whose depth map is a function of them."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    depth = np.where(rng.random(shape) < 0.3, 1 + image[..., 0].astype(np.float32), 0)
    matrix = np.array([[80.0, 0, 51], [0, 75, 28], [0, 0, 1]])
    lidar2img = np.eye(4)
    lidar2img[:3, :3] = matrix
    return dict(img=image, gt_depth=depth.astype(np.float32), cam2img=matrix, lidar2img=lidar2img)


@pytest.mark.parametrize(
    'step',
    [
        dict(type='RandomFlipDepth', prob=1.0),
        dict(type='RandomCropDepth', size=(40, 50)),
        dict(type='KBCrop', size=(32, 64)),
        dict(type='RandomFlipDepth', prob=0.0),
    ],
    ids=lambda s: s['type'],
)
def test_pixels_depth_and_camera_move_together(step):
    before = sample()
    after = TRANSFORMS.build(step)(sample())
    image, depth = after['img'], after['gt_depth']
    # the relation of picture and map holds at every known pixel
    known = depth > 0
    assert known.any()
    np.testing.assert_array_equal(depth[known], 1 + image[..., 0][known].astype(np.float32))
    # the same points in space lie on the same colours
    rays = np.linalg.inv(before['cam2img'])
    hits = 0
    for i in range(0, 60, 7):
        for j in range(0, 100, 7):
            point = 5 * rays @ [j + 0.5, i + 0.5, 1]
            u, v, w = after['cam2img'] @ point
            row, column = int(np.floor(v / w)), int(np.floor(u / w))
            if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
                np.testing.assert_array_equal(image[row, column], before['img'][i, j])
                hits += 1
    assert hits > 15
    np.testing.assert_allclose(after['lidar2img'][:3, :3], after['cam2img'])


def test_resizing_moves_the_camera():
    after = transforms.ResizeDepth((30, 25))(sample())
    assert after['img'].shape == (30, 25, 3) and after['gt_depth'].shape == (30, 25)
    np.testing.assert_allclose(
        after['cam2img'], [[20, 0, 51 / 4], [0, 37.5, 14], [0, 0, 1]], atol=1e-12
    )
    kept = transforms.ResizeDepth((30, 25), resize_target=False)(sample())
    np.testing.assert_array_equal(kept['gt_depth'], sample()['gt_depth'])


def test_rotation_moves_the_camera():
    before = sample()
    before['img'][:] = 0
    before['img'][20:23, 70:73] = 255  # its middle is (71.5, 21.5)
    before['gt_depth'][:] = 0
    before['gt_depth'][20:23, 70:73] = 9
    point = 5 * np.linalg.inv(before['cam2img']) @ [71.5, 21.5, 1]
    np.random.seed(5)
    after = transforms.RandomRotateDepth(prob=1.0, degrees=20)(before)
    u, v, w = after['cam2img'] @ point
    assert abs(u / w - 71.5) > 1 or abs(v / w - 21.5) > 1
    for place in (np.argwhere(after['img'][..., 0] > 127), np.argwhere(after['gt_depth'] > 0)):
        np.testing.assert_allclose(place.mean(0) + 0.5, [v / w, u / w], atol=0.4)


def test_gamma_and_colours():
    before = sample()
    expected = before['img'].astype(np.float64) ** 0.9 * 1.05
    np.testing.assert_array_equal(
        transforms.RandomGammaColor(1.0, (0.9, 0.9), (1.05, 1.05), (1.0, 1.0))(before)['img'],
        np.clip(np.rint(expected), 0, 255),
    )
    picture = transforms.RandomGammaColor(1.0, color=(0.5, 1.5))(sample())['img']
    assert picture.dtype == np.uint8 and picture.shape == (60, 100, 3)
    ratio = picture.reshape(-1, 3).mean(0) / sample()['img'].reshape(-1, 3).mean(0)
    assert np.ptp(ratio) > 0.02


def test_impossible_crops_and_probabilities():
    for step in (transforms.KBCrop(), transforms.NYUCrop(), transforms.RandomCropDepth((61, 10))):
        with pytest.raises(SampleError, match='60 x 100 is too small'):
            step(sample())
    with pytest.raises(ValueError, match='prob'):
        transforms.RandomFlipDepth(1.5)
    with pytest.raises(ValueError, match='size'):
        transforms.ResizeDepth((0, 4))
    other = dict(sample(), gt_depth=np.ones((30, 50), np.float32))
    for step in (transforms.RandomCropDepth((10, 10)), transforms.RandomRotateDepth(1.0)):
        with pytest.raises(SampleError, match=r'gt_depth is \(30, 50\).*put it before'):
            step(dict(other))


# --------------------------------------------------------------------------- LiDAR targets


def test_real_kitti_frames(data_root):
    dataset = KittiLidarDepth(data_root / 'kitti_mini', split='trainval', pipeline=[*READ, PACK])
    assert len(dataset) == 12
    item = dataset[3]
    depth = item['data_samples'].gt_depth.numpy()
    assert item['inputs']['img'].shape[1:] == depth.shape
    share = (depth > 0).mean()
    assert 0.03 < share < 0.05 and depth[depth > 0].min() > 2 and depth.max() <= 80
    # nothing in the sky, the road near at the bottom
    assert not depth[:80].any()
    bottom = depth[-20:]
    assert np.median(bottom[bottom > 0]) < 10
    assert item['data_samples'].cam2img.shape == (3, 3)


def test_real_targets_are_the_naive_projection(data_root):
    dataset = KittiLidarDepth(data_root / 'kitti_mini', split='val')
    record = dataset.get_data_info(0)
    points = read_lidar(record['lidar_path'], 4)
    matrix = np.array(record['lidar2img'])
    shape = transforms.LoadDepthImage()(dict(record))['img'].shape[:2]
    expected = naive_projection(points, matrix, shape)
    np.testing.assert_allclose(project_depth(points, matrix, shape), expected, rtol=1e-5)


def test_jpeg_sequence_and_indices(data_root):
    dataset = KittiLidarDepth(
        data_root / 'kitti_raw_seq', indices=range(24, 29), pipeline=[*READ, PACK]
    )
    assert len(dataset) == 5
    assert dataset[0]['data_samples'].sample_id == '000048'


def test_flipped_and_cropped_targets_equal_projected_ones(data_root):
    """Projecting with the moved matrix gives the moved map."""
    dataset = KittiLidarDepth(data_root / 'kitti_mini')
    results = dataset.get_data_info(0)
    load = transforms.LidarDepthTargets(window=None)
    results = load(transforms.LoadDepthImage()(results))
    for step in (
        transforms.KBCrop(), transforms.RandomFlipDepth(1.0), transforms.RandomCropDepth((300, 900))
    ):  # fmt: skip
        results = step(results)
    moved = results['gt_depth']
    again = load(dict(results))['gt_depth']
    # a point on the border of two pixels may change sides where the picture is mirrored
    assert (moved != again).mean() < 1e-4 and (moved > 0).sum() > 5000


def kitti_folder(root: Path, **files: bytes) -> Path:
    """One frame in KITTI's layout; ``files`` replaces contents."""
    folder = root / 'training'
    points = np.array([[10, 0, -1, 0.5], [12, 1, -1, 0.2], [20, -2, -1, 0.1]], '<f4')
    calibration = (
        'P2: 100 0 50 0 0 100 30 0 0 0 1 0\nR0_rect: 1 0 0 0 1 0 0 0 1\n'
        'Tr_velo_to_cam: 0 -1 0 0 0 0 -1 0 1 0 0 0\n'
    )
    contents = {
        'velodyne/000000.bin': files.get('sweep', points.tobytes()),
        'calib/000000.txt': files.get('calib', calibration.encode()),
    }
    for name, content in contents.items():
        if content is not None:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    write_png(folder / 'image_2/000000.png', np.full((60, 100, 3), 90, np.uint8))
    (root / 'ImageSets').mkdir()
    (root / 'ImageSets/train.txt').write_text('000000\n')
    return root


def test_small_folder(tmp_path):
    dataset = KittiLidarDepth(kitti_folder(tmp_path), pipeline=[*READ, PACK])
    depth = dataset[0]['data_samples'].gt_depth
    assert sorted(depth[depth > 0].tolist()) == [10, 12, 20]
    assert depth[40, 50] == 10


@pytest.mark.parametrize(
    ('files', 'message'),
    [
        (dict(sweep=b''), 'empty'),
        (dict(sweep=b'12345'), 'truncated'),
        (dict(sweep=np.array([[np.nan, 0, 0, 0]], '<f4').tobytes()), 'NaN'),
        (dict(sweep=np.array([[-10, 0, 0, 0]], '<f4').tobytes()), 'none of 1 points'),
        (dict(sweep=np.array([[300, 0, -1, 0]], '<f4').tobytes()), 'none of 1 points'),
    ],
    ids=['empty', 'truncated', 'nan', 'behind', 'too far'],
)
def test_broken_sweeps(tmp_path, files, message):
    dataset = KittiLidarDepth(kitti_folder(tmp_path, **files), pipeline=[*READ, PACK])
    with pytest.raises(SampleError, match=message) as error:
        dataset[0]
    assert "sample '000000'" in str(error.value)


def test_broken_folders(tmp_path):
    with pytest.raises(SampleError, match="lacks .*'Tr_velo_to_cam'"):
        KittiLidarDepth(kitti_folder(tmp_path / 'a', calib=b'P2: 1 0 0 0 0 1 0 0 0 0 1 0\n'))
    with pytest.raises(SampleError, match='velodyne'):
        KittiLidarDepth(kitti_folder(tmp_path / 'b', sweep=None))
    with pytest.raises(FileNotFoundError, match='ImageSets'):
        KittiLidarDepth(tmp_path / 'none')
    root = kitti_folder(tmp_path / 'c')
    (root / 'ImageSets/train.txt').write_text('')
    with pytest.raises(ValueError, match='no samples'):
        KittiLidarDepth(root)


# --------------------------------------------------------------------------- files of maps


LOAD = [dict(type='LoadDepthImage'), dict(type='LoadDepth')]


def kitti_raw(root: Path, lines: str, shape=(375, 1242)) -> Path:
    name = '2011_09_26_drive_0002_sync'
    image = np.full((375, 1242, 3), 100, np.uint8)
    write_png(root / f'input/2011_09_26/{name}/image_02/data/0000000069.png', image)
    depth = np.zeros(shape, np.uint16)
    depth[200, 600] = 20 * 256
    write_png(root / f'gt_depth/{name}/proj_depth/groundtruth/image_02/0000000069.png', depth)
    (root / 'kitti_eigen_train.txt').write_text(lines)
    return root


IMAGE = '2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000069.png'
DEPTH = '2011_09_26_drive_0002_sync/proj_depth/groundtruth/image_02/0000000069.png'


def test_kitti_depth(tmp_path):
    lines = f'{IMAGE} {DEPTH} 721.5377\n{IMAGE} None 721.5377\n'
    pipeline = [*LOAD, dict(type='KBCrop'), PACK]
    dataset = KittiDepth(kitti_raw(tmp_path, lines), pipeline=pipeline)
    assert len(dataset) == 1  # the frame without a map is left out
    item = dataset[0]
    assert item['inputs']['img'].shape == (3, 352, 1216)
    depth = item['data_samples'].gt_depth
    assert depth.shape == (352, 1216) and (depth > 0).sum() == 1
    assert depth[200 - 23, 600 - 13] == 20
    assert item['data_samples'].cam2img[:2, 2] == pytest.approx([609.5593 - 13, 172.854 - 23])


def test_kitti_depth_refuses(tmp_path):
    with pytest.raises(FileNotFoundError, match='kitti_eigen_train.txt'):
        KittiDepth(tmp_path / 'none')
    with pytest.raises(SampleError, match='dates'):
        KittiDepth(kitti_raw(tmp_path / 'a', f'other/x.png {DEPTH}\n'))
    with pytest.raises(SampleError, match='line 1'):
        KittiDepth(kitti_raw(tmp_path / 'b', 'alone.png\n'))
    wrong = KittiDepth(kitti_raw(tmp_path / 'c', f'{IMAGE} {DEPTH}\n', (370, 1242)), pipeline=LOAD)
    with pytest.raises(SampleError, match=r'\(370, 1242\).*\(375, 1242\)'):
        wrong[0]
    gone = KittiDepth(kitti_raw(tmp_path / 'd', f'{IMAGE} x{DEPTH}\n'), pipeline=LOAD)
    with pytest.raises(SampleError, match='does not exist'):
        gone[0]


def test_nyu_depth_from_a_list(tmp_path):
    write_png(tmp_path / 'kitchen/rgb_1.jpg', np.full((480, 640, 3), 80, np.uint8))
    write_png(tmp_path / 'kitchen/sync_depth_1.png', np.full((480, 640), 2500, np.uint16))
    (tmp_path / 'nyu_train.txt').write_text('/kitchen/rgb_1.jpg /kitchen/sync_depth_1.png 518.8\n')
    item = NYUDepth(tmp_path, pipeline=[*LOAD, dict(type='NYUCrop'), PACK])[0]
    assert item['inputs']['img'].shape == (3, 427, 565)
    assert (item['data_samples'].gt_depth == 2.5).all()


def test_pairs_by_name(data_root, tmp_path):
    """Real frames of 7-Scenes: colour and millimetres beside each other."""
    root, patterns = data_root / 'rgbd_7scenes', ('*.color.jpg', '*.depth.png')
    dataset = NYUDepth(
        root, patterns=patterns, cam2img=(585, 585, 320, 240), pipeline=[*LOAD, PACK]
    )
    assert len(dataset) == 85
    depth = dataset[7]['data_samples'].gt_depth
    assert depth.shape == (480, 640) and 0.5 < depth[depth > 0].median() < 4
    write_png(tmp_path / '1.color.jpg', np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(SampleError, match='no partner'):
        NYUDepth(tmp_path, patterns=patterns)
    with pytest.raises(ValueError, match='one star'):
        NYUDepth(tmp_path, patterns=('*.jpg', 'depth.png'))
    with pytest.raises(ValueError, match='ann_file or patterns'):
        NYUDepth(tmp_path, ann_file='a.txt', patterns=patterns)


def test_targets_need_their_source(tmp_path):
    lidar = KittiLidarDepth(kitti_folder(tmp_path), pipeline=LOAD)
    with pytest.raises(SampleError, match='LidarDepthTargets'):
        lidar[0]


def test_cached_steps_run_once_and_stay_as_they_are(data_root):
    random = [dict(type='RandomFlipDepth', prob=1.0), dict(type='RandomCropDepth', size=(64, 99))]
    pipelines = [*READ, dict(type='ResizeDepth', size=(96, 320))], [*random, PACK]
    options = dict(data_root=data_root / 'kitti_mini', pipeline=pipelines[0] + pipelines[1])
    cached = KittiLidarDepth(cached_steps=3, **options)
    plain = KittiLidarDepth(**options)
    calls = []
    first = cached.pipeline.transforms[0]
    cached.pipeline.transforms[0] = lambda results: calls.append(1) or first(results)
    for seed in (0, 1, 2):
        np.random.seed(seed)
        found = cached[1]
        np.random.seed(seed)
        wanted = plain[1]
        assert (found['inputs']['img'] == wanted['inputs']['img']).all()
        assert (found['data_samples'].gt_depth == wanted['data_samples'].gt_depth).all()
        np.testing.assert_array_equal(found['data_samples'].cam2img, wanted['data_samples'].cam2img)
    assert len(calls) == 1
    with pytest.raises(ValueError, match='cached_steps'):
        KittiLidarDepth(cached_steps=9, **options)
