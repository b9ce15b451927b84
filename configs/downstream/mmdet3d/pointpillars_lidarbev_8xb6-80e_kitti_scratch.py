# As _ft, from random weights: mmdet3d's own config.
_base_ = ['mmdet3d::pointpillars/pointpillars_hv_secfpn_8xb6-160e_kitti-3d-3class.py']
custom_imports = dict(imports=['mm3dpretrain'], allow_failed_imports=False)
