# OpenAI's CLIP ViT-B-32, 512-d, through OpenCLIP. The weights come from the hub, or from a file. A
# file does not say that OpenAI's networks use QuickGELU, the name of the model must:
#   --cfg-options text_space.model=ViT-B-32-quickgelu text_space.weights=ViT-B-32.safetensors
text_space = dict(type='CLIPTeacher', model='ViT-B-32', weights='openai')
prompts = 'modelnet40_64'
