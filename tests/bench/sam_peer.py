"""SAM-B's image encoder in transformers on one picture of 1024 px for every line on stdin; argv[1]: eager or sdpa."""

import sys

try:
    import torch
    from transformers import SamVisionConfig
    from transformers.models.sam.modeling_sam import SamVisionEncoder
except ImportError:
    sys.exit(3)
from answer_lines import answer_lines

torch.set_num_threads(1)
torch.manual_seed(0)
config = SamVisionConfig()
config._attn_implementation = sys.argv[1]
encoder = SamVisionEncoder(config).eval()
pixels = torch.rand(1, 3, 1024, 1024)


def work():
    with torch.inference_mode():
        encoder(pixels)


answer_lines(work)
