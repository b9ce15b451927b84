# DeepSpeed's ZeRO-2: the gradients are spread as well.
_base_ = ['./deepspeed_zero1.py']

strategy = dict(zero_optimization=dict(stage=2))
