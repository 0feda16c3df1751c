"""Quantises a model with the static quantiser of ONNX Runtime: same images, same excluded nodes, uint8 activations, int8 weights per channel."""

import json
import logging
import os
import sys

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

logging.disable(logging.WARNING)
folder = sys.argv[1]
job = json.load(open(os.path.join(folder, "job.json")))
size = job["imgsz"]
images = np.fromfile(os.path.join(folder, "images.bin"), np.float32).reshape(-1, 1, 3, size, size)


class Reader(CalibrationDataReader):
    def __init__(self):
        self.left = iter(images)

    def get_next(self):
        image = next(self.left, None)
        return None if image is None else {"images": image}


quantize_static(
    job["fp32"],
    job["out"],
    Reader(),
    quant_format=QuantFormat.QDQ,
    per_channel=True,
    activation_type=QuantType.QUInt8,
    weight_type=QuantType.QInt8,
    nodes_to_exclude=job["exclude"],
    calibrate_method=CalibrationMethod.MinMax,
)
