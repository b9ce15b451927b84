# Parameters, gradients and the optimiser's state spread over the processes; a block of the encoder
# is whole while it is computed. Start with a launcher: tools/dist_train.sh CONFIG GPUS.
runner_type = 'FlexibleRunner'
strategy = dict(type='FSDPStrategy', blocks=('point_encoder.blocks',))
