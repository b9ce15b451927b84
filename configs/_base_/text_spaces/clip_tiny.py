# Small: the embedded teacher, trained by configs/mrd/clip-tiny_1xb64-30e_synthetic.py.
_base_ = '../models/clip_tiny.py'

text_space = dict(
    type='CLIPTeacher',
    model=_base_.clip_model,
    weights='work_dirs/clip-tiny_1xb64-30e_synthetic/epoch_30.pth',
    prefix='clip',
)
prompts = 'a'
