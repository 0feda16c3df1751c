"""Runs an exported model in the published ultralytics package, as any of its users would, and prints what it finds."""

import json
import sys

from ultralytics import YOLO

job = json.load(open(sys.argv[1]))
model = YOLO(job["model"], task=job["task"])
images = []
for path in job["images"]:
    [found] = model.predict(
        path, imgsz=job["imgsz"], conf=job["conf"], iou=job["iou"], device="cpu", retina_masks=True, verbose=False
    )
    images.append(
        {
            "boxes": found.boxes.xyxy.tolist(),
            "scores": found.boxes.conf.tolist(),
            "classes": [int(index) for index in found.boxes.cls.tolist()],
            "areas": None if found.masks is None else found.masks.data.sum(dim=(1, 2)).tolist(),
        }
    )
print(json.dumps({"names": {str(index): name for index, name in model.names.items()}, "images": images}))
