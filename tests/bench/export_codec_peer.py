"""Compares pairs of ONNX files (listed on stdin, tab-separated): equal as protobuf messages, or equal once tensors hold their values the same way."""

import json
import sys

import onnx
from onnx import numpy_helper


def normalise(message):
    """Rewrites every tensor as raw data, so that the typed and the raw field compare equal."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for child in value if hasattr(value, "__len__") else [value]:
            if field.message_type.name == "TensorProto" and child.data_type != onnx.TensorProto.STRING and not child.external_data:
                array = numpy_helper.to_array(child)
                fresh = numpy_helper.from_array(array, child.name)
                for name in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
                    child.ClearField(name)
                child.raw_data = fresh.raw_data
            else:
                normalise(child)


counts = {"message": 0, "values": 0, "different": 0}
examples = []
for line in sys.stdin:
    left, right = (onnx.load(path, load_external_data=False) for path in line.rstrip("\n").split("\t"))
    if left == right:
        counts["message"] += 1
        continue
    normalise(left)
    normalise(right)
    kind = "values" if left == right else "different"
    counts[kind] += 1
    if kind == "different":
        examples.append(line.split("\t")[0])
print(json.dumps({"counts": counts, "examples": examples[:5]}))
