# CrossPoint-like: shapes against their images alone, with a fixed temperature of 0.1. CrossPoint
# itself also contrasts two augmentations of a cloud and trains its image network; here the images
# are the frozen teacher's, so that only the loss differs from the other baselines.
_base_ = ['./mrd_pointbert_ulip.py']

model = dict(
    alignment=dict(weights=dict(_delete_=True, image=1.0), temperature=0.1, learnable=False)
)
