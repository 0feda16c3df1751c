"""The step of grounding-dino-decoder.ts in transformers and peft; argv: lora or full, images."""

import sys
from pathlib import Path

try:
    import scipy  # noqa: F401, the matcher of transformers needs it
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection, SwinConfig
except ImportError:
    sys.exit(3)
sys.path.insert(0, str(Path(__file__).parent.parent))
from answer_lines import answer_lines

mode, images = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(1)
torch.manual_seed(0)
backbone = SwinConfig(
    embed_dim=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24], window_size=7, image_size=224, out_indices=[2, 3, 4], drop_path_rate=0.0
)
config = GroundingDinoConfig(
    backbone_config=backbone, auxiliary_loss=True, dropout=0.0, fusion_dropout=0.0, fusion_droppath=0.0, disable_custom_kernels=True
)
model = GroundingDinoForObjectDetection(config)
height, width = 800, 1066
cells = 100 * 134 + 50 * 67 + 25 * 34 + 13 * 17
ids = torch.tensor([[101, 2000, 2001, 1012, 2002, 2003, 1012, 2004, 1012, 102]]).repeat(images, 1)
pixels = torch.rand(images, 3, height, width) * 2 - 1
given = {"pixel_values": pixels, "input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
if mode == "lora":
    # What comes before the decoder is computed once and then handed out: the cache of this side.
    kept = {}

    def keep(name, module):
        original = module.forward

        def forward(*args, **kwargs):
            if name not in kept:
                with torch.no_grad():
                    kept[name] = original(*args, **kwargs)
            return kept[name]

        module.forward = forward

    inner = model.model
    for name in ("backbone", "text_backbone", "encoder"):
        keep(name, getattr(inner, name))
    for i, projection in enumerate(inner.input_proj_vision):
        keep(f"input_proj.{i}", projection)
    config.tie_word_embeddings = False
    targets = r".*decoder\.layers\.\d+\.self_attn\.(query|key|value|out_proj)"
    model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=targets))
model.train()
trainable = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trainable, lr=1e-4, weight_decay=1e-4)
boxes = torch.tensor([[0.15 + 0.15 * i, 0.3 + 0.1 * i, 0.1 + 0.05 * i, 0.2] for i in range(5)])
labels = [{"class_labels": torch.tensor([0, 1, 2, 0, 1]), "boxes": boxes} for _ in range(images)]


def work():
    loss = model(**given, labels=labels).loss
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trainable, 0.1)
    optimizer.step()


answer_lines(work, trainable=sum(p.numel() for p in trainable))
