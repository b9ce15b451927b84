# OpenCLIP ViT-bigG-14, 1280-d: the space of OpenShape's training data.
text_space = dict(type='CLIPTeacher', model='ViT-bigG-14', weights='laion2b_s39b_b160k')
prompts = 'modelnet40_64'
