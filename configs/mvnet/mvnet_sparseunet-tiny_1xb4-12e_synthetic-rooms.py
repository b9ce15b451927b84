# MVNet on SyntheticRooms, in minutes on a CPU core. First its teacher:
# tools/train.py configs/mvnet/teacher_resnet18-tiny_1xb16-8e_synthetic-rooms.py
_base_ = [
    '../_base_/models/mvnet_sparseunet_tiny.py',
    '../_base_/datasets/synthetic_rooms_frames.py',
    '../_base_/schedules/mvnet_tiny.py',
    '../_base_/default_runtime.py',
]

# two pairs of each room: with all of them an epoch takes more than three times as long
train_dataloader = dict(dataset=dict(max_tuples=2))
