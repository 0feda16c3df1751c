"""Grounding DINO-T in transformers on one picture of 800 x 1066 px for every line on stdin; argv[1]: eager or sdpa."""

import sys

try:
    import torch
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection, SwinConfig
except ImportError:
    sys.exit(3)
from answer_lines import answer_lines

torch.set_num_threads(1)
torch.manual_seed(0)
backbone = SwinConfig(
    window_size=7,
    image_size=224,
    embed_dim=96,
    depths=[2, 2, 6, 2],
    num_heads=[3, 6, 12, 24],
    out_indices=[2, 3, 4],
)
config = GroundingDinoConfig(backbone_config=backbone)
config._attn_implementation = sys.argv[1]
model = GroundingDinoForObjectDetection(config).eval()
pixels = torch.rand(1, 3, 800, 1066)
ids = torch.tensor([[101, 1037, 4937, 1012, 1037, 6556, 2491, 1012, 1037, 3899, 1012, 102]])


def work():
    with torch.inference_mode():
        model(pixel_values=pixels, input_ids=ids)


answer_lines(work)
