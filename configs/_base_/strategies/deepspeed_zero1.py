# DeepSpeed's ZeRO-1: the optimiser's state is spread over the processes. pip install deepspeed
# Clipping, accumulation and precision are those of the optim_wrapper.
runner_type = 'FlexibleRunner'
strategy = dict(
    type='DeepSpeedStrategy',
    zero_optimization=dict(stage=1, overlap_comm=True, contiguous_gradients=True),
)
