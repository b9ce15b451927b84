# DR-Point with the depth renderer of SpareNet instead of this toolbox's own: eight orthographic
# cameras at the corners of a cube, 256 x 256, radii of 5, 7 and 10 pixels, the maximum over cosine
# splats, nearness relative to the batch. Use it in place of drpoint_pointtransformer.py, or copy
# the two lines into any config.
_base_ = ['./drpoint_pointtransformer.py']

model = dict(
    renderer=dict(_delete_=True, type='SpareNetDepthRenderer'),
    views=dict(_delete_=True, type='SpareNetViews'),
)
