# For encoders that are no stack of blocks: gradients and the optimiser's state are spread, and the
# whole model is gathered for a step.
runner_type = 'FlexibleRunner'
strategy = dict(type='FSDPStrategy')
