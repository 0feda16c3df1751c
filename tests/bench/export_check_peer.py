"""Checks every .onnx of a folder: onnx.checker with full checks, a run in ONNX Runtime with default optimisations, names as a Python literal."""

import ast
import json
import os
import sys

import numpy as np
import onnx
import onnxruntime as ort

folder = sys.argv[1]
result = {}
for name in sorted(os.listdir(folder)):
    if not name.endswith(".onnx"):
        continue
    path = os.path.join(folder, name)
    try:
        onnx.checker.check_model(path, full_check=True)
        session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        [image] = session.get_inputs()
        shape = [side if isinstance(side, int) else {"batch": 2}.get(side, 192) for side in image.shape]
        kind = np.float16 if "float16" in image.type else np.float32
        outputs = session.run(None, {image.name: np.full(shape, 0.4, kind)})
        assert all(np.isfinite(output.astype(np.float32)).all() for output in outputs), "not finite"
        names = ast.literal_eval(session.get_modelmeta().custom_metadata_map["names"])
        assert names == {0: "ear", 1: "it's", 2: 'la"bel\n'}, names
        result[name] = "ok"
    except Exception as error:
        result[name] = f"{type(error).__name__}: {error}"[:400]
print(json.dumps(result))
