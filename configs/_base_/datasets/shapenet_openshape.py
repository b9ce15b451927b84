# OpenShape's training data, its ShapeNet part alone: the cheapest comparison on equal data.
_base_ = ['./openshape_triplets.py']

train_dataloader = dict(dataset=dict(split='train_shapenet_only'))
