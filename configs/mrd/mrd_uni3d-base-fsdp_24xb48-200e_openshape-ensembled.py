# mrd_uni3d-base_24xb48-200e_openshape-ensembled.py
# through FSDP: parameters, gradients and optimiser spread over the GPUs.
_base_ = ['./mrd_uni3d-base_24xb48-200e_openshape-ensembled.py', '../_base_/strategies/fsdp.py']
