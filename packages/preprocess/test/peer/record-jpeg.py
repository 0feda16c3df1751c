# Records small JPEGs of Pillow and the SHA-256 of what Pillow decodes: python record-jpeg.py > jpeg.json
import base64, hashlib, io, json
import numpy as np, PIL
from PIL import Image

def picture(w, h):
    y, x = np.mgrid[0:h, 0:w]
    r = 128 + 100 * np.sin(x / 5 + y / 9) + (x * 7919 + y * 104729) % 23
    g = 128 + 90 * np.cos(x / 7 - y / 4) + (x * 31 + y * 17) % 19
    b = (x ^ y) * 5 % 256
    return Image.fromarray(np.stack([r, g, b], -1).clip(0, 255).astype(np.uint8))

exif = Image.Exif()
exif[0x0112] = 6
cases = {
    "4:2:0": ((41, 29), dict(subsampling="4:2:0", quality=85)),
    "4:2:2": ((41, 29), dict(subsampling="4:2:2", quality=85)),
    "4:4:4": ((41, 29), dict(subsampling="4:4:4", quality=85)),
    "4:2:0, restart every 2 MCUs": ((41, 29), dict(subsampling="4:2:0", quality=85, restart_marker_blocks=2)),
    "4:2:0, restart every row": ((41, 29), dict(subsampling="4:2:0", quality=85, restart_marker_rows=1)),
    "4:4:4, optimised tables, quality 100": ((23, 17), dict(subsampling="4:4:4", quality=100, optimize=True)),
    "4:2:0, quality 1": ((41, 29), dict(subsampling="4:2:0", quality=1)),
    "4:2:0, EXIF orientation 6": ((20, 11), dict(subsampling="4:2:0", quality=85, exif=exif)),
    "4:2:0, five columns": ((5, 9), dict(subsampling="4:2:0", quality=85)),
    "4:2:0, three columns": ((3, 9), dict(subsampling="4:2:0", quality=85)),
    "gray": ((41, 29), dict(quality=85, mode="L")),
    "progressive": ((41, 29), dict(subsampling="4:2:0", quality=85, progressive=True)),
    "RGB without conversion": ((23, 17), dict(keep_rgb=True, quality=85)),
    "CMYK": ((23, 17), dict(quality=85, mode="CMYK")),
}
out = {"pillow": PIL.__version__, "cases": []}
for name, ((w, h), options) in cases.items():
    image = picture(w, h)
    mode = options.pop("mode", None)
    if mode: image = image.convert(mode)
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    data = Image.open(io.BytesIO(file.getvalue())).convert("RGB").tobytes()
    out["cases"].append({"name": name, "width": w, "height": h, "jpeg": base64.b64encode(file.getvalue()).decode(), "sha256": hashlib.sha256(data).hexdigest()})
print(json.dumps(out, indent=1))
