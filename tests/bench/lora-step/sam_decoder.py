"""The step of sam-decoder.ts in transformers and peft; argv: lora or full, images."""

import sys
from pathlib import Path

try:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import SamConfig, SamModel
except ImportError:
    sys.exit(3)
sys.path.insert(0, str(Path(__file__).parent.parent))
from answer_lines import answer_lines

mode, images = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(1)
torch.manual_seed(0)
model = SamModel(SamConfig())
if mode == "lora":
    targets = r".*mask_decoder\.transformer\..*\.(q_proj|k_proj|v_proj|out_proj|lin1|lin2)"
    model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=targets))
    given = {"image_embeddings": torch.rand(images, 256, 64, 64) * 2 - 1}
else:
    given = {"pixel_values": torch.rand(images, 3, 1024, 1024) * 2 - 1}
model.train()
trainable = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trainable, lr=5e-4, weight_decay=0.01)
boxes = torch.tensor([[[100.0, 120.0, 500.0, 520.0]]]).repeat(images, 1, 1)
targets = torch.zeros(images, 1, 1, 256, 256)
targets[..., 30:130, 30:120] = 1


def loss_of(logits, iou):
    x, t = logits.flatten(3), targets.expand_as(logits).flatten(3)
    p = torch.sigmoid(x)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(x, t, reduction="none")
    focal = ((0.75 - 0.5 * t) * entropy * (p + t - 2 * p * t) ** 2).mean(3)
    dice = 1 - (2 * (p * t).sum(3) + 1) / (p.sum(3) + t.sum(3) + 1)
    best = (20 * focal + dice).min(2).values.mean()
    with torch.no_grad():
        both = ((x > 0) & (t > 0.5)).sum(3)
        actual = both / ((x > 0) | (t > 0.5)).sum(3).clamp(min=1)
    return best + ((iou - actual) ** 2).mean()


def work():
    output = model(**given, input_boxes=boxes, multimask_output=True)
    loss = loss_of(output.pred_masks, output.iou_scores)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trainable, 0.1)
    optimizer.step()


answer_lines(work, trainable=sum(p.numel() for p in trainable))
