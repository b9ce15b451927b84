"""Compiled loops over the faces and pixels of meshes.

They stand together in one file, as the compiler's cache does not see when a function that another
file's loop calls has changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numba
import numpy as np

# pixels around the corners of a face that are looked at as well
MARGIN = 1e-3
# a determinant is 0 if it is less than this share of the products that it consists of
FLAT = 1e-14
# Below this, (1 - probability) of a silhouette counts as constant: its slope tends to 0.
TINY = 1e-12


def compile_loop(function: Callable) -> Callable:
    """Compile at the first call, without the GIL, and keep the machine code on disk if possible."""
    try:
        return numba.njit(nogil=True, cache=True, error_model='numpy')(function)
    except RuntimeError:  # neither the package nor the user's cache folder can be written
        return numba.njit(nogil=True, error_model='numpy')(function)


@compile_loop
def corner_edges(points, faces, f, perspective, h, edge):
    """Homogeneous corners ``h`` (3, 3) and edge functions ``edge`` (3, 3) of face f.

    Returns:
        ``det = h_0 . (h_1 x h_2)``: six times the volume between the face and the eye, negative
        where a camera in the usual orientation sees the corners run counter-clockwise; 0 if it
        cannot be told from rounding errors.
    """
    for k in range(3):
        p = faces[f, k]
        h[k, 0] = points[p, 0]
        h[k, 1] = points[p, 1]
        h[k, 2] = points[p, 2] if perspective else 1.0
    for k in range(3):
        a = (k + 1) % 3
        b = (k + 2) % 3
        edge[k, 0] = h[a, 1] * h[b, 2] - h[a, 2] * h[b, 1]
        edge[k, 1] = h[a, 2] * h[b, 0] - h[a, 0] * h[b, 2]
        edge[k, 2] = h[a, 0] * h[b, 1] - h[a, 1] * h[b, 0]
    det = edge[0, 0] * h[0, 0] + edge[0, 1] * h[0, 1] + edge[0, 2] * h[0, 2]
    size = abs(h[0, 0]) * (abs(h[1, 1] * h[2, 2]) + abs(h[1, 2] * h[2, 1]))
    size += abs(h[0, 1]) * (abs(h[1, 2] * h[2, 0]) + abs(h[1, 0] * h[2, 2]))
    size += abs(h[0, 2]) * (abs(h[1, 0] * h[2, 1]) + abs(h[1, 1] * h[2, 0]))
    return det if abs(det) > FLAT * size else 0.0


@compile_loop
def draw_faces(points, faces, perspective, near, far, facing, face_index, depth):
    """Draw one view into ``face_index`` and ``depth`` (H, W), filled with -1 and inf.

    Edge functions in homogeneous coordinates (Olano and Greer, "Triangle Scan Conversion using 2D
    Homogeneous Coordinates", 1997): with corner k at ``h_k = w_k (u_k, v_k, 1)`` and
    ``det = h_0 . (h_1 x h_2)``, the value ``e_0 = (h_1 x h_2) . (u, v, 1) / det`` is the
    barycentric weight of corner 0 divided by w at the pixel. It holds for corners behind the camera
    too, so a face that crosses the near plane needs no cutting: pixels nearer than ``near`` are
    skipped one by one.

    Args:
        points: (P, 3) float64 ``(w u, w v, z)``, with w = z for perspective, 1 for orthographic
            cameras; z is depth, u and v are pixels.
        faces: (F, 3) integers; rows below 0 are padding.
        near, far: depths that are drawn.
        facing: faces with ``det * facing < 0`` are not drawn; 0 draws both sides.
    """
    height, width = face_index.shape
    h = np.empty((3, 3))
    edge = np.empty((3, 3))
    for f in range(faces.shape[0]):
        if faces[f, 0] < 0:
            continue
        z0 = points[faces[f, 0], 2]
        z1 = points[faces[f, 1], 2]
        z2 = points[faces[f, 2], 2]
        if max(z0, z1, z2) < near or min(z0, z1, z2) > far:
            continue
        det = corner_edges(points, faces, f, perspective, h, edge)
        if det == 0.0 or det * facing < 0.0:
            continue  # seen edge-on, without area, or seen from behind
        # the rectangle of pixels around the part of the face in front of the near plane
        u_min = np.inf
        u_max = -np.inf
        v_min = np.inf
        v_max = -np.inf
        for k in range(3):
            za = points[faces[f, k], 2]
            if za >= near:
                u = h[k, 0] / h[k, 2]
                v = h[k, 1] / h[k, 2]
                u_min = min(u_min, u)
                u_max = max(u_max, u)
                v_min = min(v_min, v)
                v_max = max(v_max, v)
            n = (k + 1) % 3
            zb = points[faces[f, n], 2]
            if (za >= near) != (zb >= near):
                s = (near - za) / (zb - za)
                w = h[k, 2] + s * (h[n, 2] - h[k, 2])
                u = (h[k, 0] + s * (h[n, 0] - h[k, 0])) / w
                v = (h[k, 1] + s * (h[n, 1] - h[k, 1])) / w
                u_min = min(u_min, u)
                u_max = max(u_max, u)
                v_min = min(v_min, v)
                v_max = max(v_max, v)
        # Clamped before the conversion to integers: far outside of the picture they overflow. The
        # margin is for rounding, which must not lose a pixel centre that lies on an edge.
        j0 = int(np.ceil(min(max(u_min, 0.0), width + 1.0) - 0.5 - MARGIN))
        j1 = int(np.floor(min(max(u_max, -1.0), width) - 0.5 + MARGIN))
        i0 = int(np.ceil(min(max(v_min, 0.0), height + 1.0) - 0.5 - MARGIN))
        i1 = int(np.floor(min(max(v_max, -1.0), height) - 0.5 + MARGIN))
        sign = 1.0 if det > 0.0 else -1.0
        for i in range(i0, i1 + 1):
            v = i + 0.5
            for j in range(j0, j1 + 1):
                u = j + 0.5
                e0 = sign * (edge[0, 0] * u + edge[0, 1] * v + edge[0, 2])
                e1 = sign * (edge[1, 0] * u + edge[1, 1] * v + edge[1, 2])
                e2 = sign * (edge[2, 0] * u + edge[2, 1] * v + edge[2, 2])
                if e0 < 0.0 or e1 < 0.0 or e2 < 0.0:
                    continue
                total = e0 + e1 + e2
                if total <= 0.0:
                    continue
                z = e0 / total * z0 + e1 / total * z1 + e2 / total * z2
                # of two faces at the same depth the one with the smaller index stays
                if z < near or z > far or z >= depth[i, j]:
                    continue
                depth[i, j] = z
                face_index[i, j] = f


@compile_loop
def barycentric(points, faces, perspective, face_index, bary):
    """Weights of the corners of the visible faces, into ``bary`` (H, W, 3), filled with 0."""
    height, width = face_index.shape
    h = np.empty((3, 3))
    edge = np.empty((3, 3))
    for i in range(height):
        for j in range(width):
            f = face_index[i, j]
            if f < 0:
                continue
            corner_edges(points, faces, f, perspective, h, edge)
            total = 0.0
            for k in range(3):
                bary[i, j, k] = edge[k, 0] * (j + 0.5) + edge[k, 1] * (i + 0.5) + edge[k, 2]
                total += bary[i, j, k]
            for k in range(3):
                bary[i, j, k] /= total


@compile_loop
def find_faces(start, stop, views, perspective, near, far, points, faces, facing, index):
    height, width = index.shape[1:]
    depth = np.empty((height, width))
    for s in range(start, stop):
        depth[:] = np.inf
        index[s] = -1
        draw_faces(points[s], faces[s // views], perspective, near, far, facing[s], index[s], depth)


@compile_loop
def interpolate(
    start, stop, views, perspective, points, faces, index, features, feature_rows,
    depth, bary, rendered,
):  # fmt: skip
    height, width = index.shape[1:]
    channels = features.shape[2]
    h, edge, b = np.empty((3, 3)), np.empty((3, 3)), np.empty(3)
    for s in range(start, stop):
        sample = s // views
        for i in range(height):
            for j in range(width):
                f = index[s, i, j]
                if f < 0:
                    depth[s, i, j] = 0
                    bary[s, i, j] = 0
                    rendered[s, i, j] = 0
                    continue
                corner_edges(points[s], faces[sample], f, perspective, h, edge)
                for k in range(3):
                    b[k] = edge[k, 0] * (j + 0.5) + edge[k, 1] * (i + 0.5) + edge[k, 2]
                total = b[0] + b[1] + b[2]
                z = 0.0
                for k in range(3):
                    b[k] /= total
                    z += b[k] * points[s, faces[sample, f, k], 2]
                    bary[s, i, j, k] = b[k]
                depth[s, i, j] = z
                r0, r1, r2 = feature_rows[sample, f]
                b0, b1, b2 = bary[s, i, j]
                for c in range(channels):
                    rendered[s, i, j, c] = (
                        b0 * features[sample, r0, c]
                        + b1 * features[sample, r1, c]
                        + b2 * features[sample, r2, c]
                    )


@compile_loop
def interpolate_backward(
    start, stop, views, perspective, points, faces, index, features, feature_rows,
    grad_depth, grad_bary, grad_rendered, grad_points, grad_features,
):  # fmt: skip
    height, width = index.shape[1:]
    channels = features.shape[2]
    want_features = grad_features.shape[2] > 0
    h, edge = np.empty((3, 3)), np.empty((3, 3))
    b, gb, ge = np.empty(3), np.empty(3), np.empty((3, 3))
    for s in range(start, stop):
        sample = s // views
        for i in range(height):
            for j in range(width):
                f = index[s, i, j]
                if f < 0:
                    continue
                corner_edges(points[s], faces[sample], f, perspective, h, edge)
                for k in range(3):
                    b[k] = edge[k, 0] * (j + 0.5) + edge[k, 1] * (i + 0.5) + edge[k, 2]
                total = b[0] + b[1] + b[2]
                gz = grad_depth[s, i, j]
                mean = 0.0
                for k in range(3):
                    b[k] /= total
                    p, r = faces[sample, f, k], feature_rows[sample, f, k]
                    gb[k] = grad_bary[s, i, j, k] + gz * points[s, p, 2]
                    grad_points[s, p, 2] += gz * b[k]
                    for c in range(channels):
                        g = grad_rendered[s, i, j, c]
                        gb[k] += g * features[sample, r, c]
                        if want_features:
                            grad_features[s, r, c] += g * b[k]
                    mean += gb[k] * b[k]
                for k in range(3):
                    g = (gb[k] - mean) / total
                    ge[k, 0] = g * (j + 0.5)
                    ge[k, 1] = g * (i + 0.5)
                    ge[k, 2] = g
                # edge_m = h_a x h_b passes h_b x g to h_a and g x h_a to h_b
                for k in range(3):
                    p, n, m = faces[sample, f, k], (k + 1) % 3, (k + 2) % 3
                    # corner k comes first in edge m, and second in edge n
                    for x in range(3):
                        y, w = (x + 1) % 3, (x + 2) % 3
                        g = h[n, y] * ge[m, w] - h[n, w] * ge[m, y]
                        g += ge[n, y] * h[m, w] - ge[n, w] * h[m, y]
                        if x < 2 or perspective:
                            grad_points[s, p, x] += g


@compile_loop
def _first(edge, size):
    return int(math.ceil(min(max(edge, 0.0), size)))


@compile_loop
def _last(edge, size):
    return int(math.floor(min(max(edge, -1.0), size - 1.0)))


@compile_loop
def _reach(s, f, perspective, boxlen, points, image, faces, inside, facing, shape, corner, h, edge):
    """Pixels (i0, i1, j0, j1) that a face reaches, with its corners put into ``corner``."""
    height, width = shape
    if faces[f, 0] < 0:
        return 0, -1, 0, -1
    for k in range(3):
        if not inside[s, faces[f, k]]:
            return 0, -1, 0, -1
        corner[k, 0] = image[s, faces[f, k], 0]
        corner[k, 1] = image[s, faces[f, k], 1]
    x0 = min(corner[0, 0], corner[1, 0], corner[2, 0]) - boxlen
    x1 = max(corner[0, 0], corner[1, 0], corner[2, 0]) + boxlen
    y0 = min(corner[0, 1], corner[1, 1], corner[2, 1]) - boxlen
    y1 = max(corner[0, 1], corner[1, 1], corner[2, 1]) + boxlen
    j0, j1 = _first(x0 * (width / 2) - 0.5, width), _last(x1 * (width / 2) - 0.5, width)
    i0, i1 = _first(y0 * (height / 2) - 0.5, height), _last(y1 * (height / 2) - 0.5, height)
    if j0 <= j1 and i0 <= i1:
        det = corner_edges(points[s], faces, f, perspective, h, edge)
        if det != 0.0 and det * facing[s] >= 0.0:
            return i0, i1, j0, j1
    return 0, -1, 0, -1


@compile_loop
def _distance(corner, x, y):
    """Squared distance to the outline, the nearest edge, and how far along it."""
    best, which, where = np.inf, 0, 0.0
    for k in range(3):
        n = (k + 1) % 3
        ax, ay = corner[n, 0] - corner[k, 0], corner[n, 1] - corner[k, 1]
        dx, dy = x - corner[k, 0], y - corner[k, 1]
        length2 = ax * ax + ay * ay
        t = 0.0
        if length2 > 0.0:
            t = min(max((ax * dx + ay * dy) / length2, 0.0), 1.0)
        dx -= t * ax
        dy -= t * ay
        d2 = dx * dx + dy * dy
        if d2 < best:
            best, which, where = d2, k, t
    return best, which, where


@compile_loop
def soft_mask(
    start, stop, views, perspective, sigmainv, boxlen, knum,
    image, points, faces, index, inside, facing, clear,
):  # fmt: skip
    height, width = index.shape[1:]
    h, edge, corner = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 2))
    count = np.empty((height, width), np.int64)
    for s in range(start, stop):
        count[:] = 0
        triangles = faces[s // views]
        for f in range(len(triangles)):
            i0, i1, j0, j1 = _reach(
                s, f, perspective, boxlen, points, image, triangles, inside, facing,
                (height, width), corner, h, edge,
            )  # fmt: skip
            for i in range(i0, i1 + 1):
                for j in range(j0, j1 + 1):
                    if index[s, i, j] >= 0 or count[i, j] >= knum:
                        continue
                    count[i, j] += 1
                    d2, _, _ = _distance(corner, (j + 0.5) * (2 / width), (i + 0.5) * (2 / height))
                    clear[s, i, j] *= max(-math.expm1(-sigmainv * d2), TINY)


@compile_loop
def soft_mask_backward(
    start, stop, views, perspective, sigmainv, boxlen, knum,
    image, points, faces, index, inside, facing, clear, grad_clear, grad_image,
):  # fmt: skip
    height, width = index.shape[1:]
    h, edge, corner = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 2))
    count = np.empty((height, width), np.int64)
    for s in range(start, stop):
        count[:] = 0
        triangles = faces[s // views]
        for f in range(len(triangles)):
            i0, i1, j0, j1 = _reach(
                s, f, perspective, boxlen, points, image, triangles, inside, facing,
                (height, width), corner, h, edge,
            )  # fmt: skip
            for i in range(i0, i1 + 1):
                y = (i + 0.5) * (2 / height)
                for j in range(j0, j1 + 1):
                    if index[s, i, j] >= 0 or count[i, j] >= knum:
                        continue
                    count[i, j] += 1
                    x = (j + 0.5) * (2 / width)
                    d2, k, t = _distance(corner, x, y)
                    factor = -math.expm1(-sigmainv * d2)
                    if factor <= TINY:
                        continue
                    slope = grad_clear[s, i, j] * clear[s, i, j] / factor
                    slope *= 2 * sigmainv * math.exp(-sigmainv * d2)
                    n = (k + 1) % 3
                    gx = slope * (corner[k, 0] + t * (corner[n, 0] - corner[k, 0]) - x)
                    gy = slope * (corner[k, 1] + t * (corner[n, 1] - corner[k, 1]) - y)
                    a, b = triangles[f, k], triangles[f, n]
                    grad_image[s, a, 0] += (1 - t) * gx
                    grad_image[s, a, 1] += (1 - t) * gy
                    grad_image[s, b, 0] += t * gx
                    grad_image[s, b, 1] += t * gy
