# Records what OpenCV makes of one small picture: python record.py > opencv.json
import base64, json
import cv2, numpy as np

h, w = 96, 128
y, x = np.mgrid[0:h, 0:w]
image = np.stack([128 + 90 * np.sin(x / 9 + c) * np.cos(y / (7 + c)) + 20 * ((x // 16 + y // 16) % 2) for c in range(3)], -1)
image = np.clip(image, 0, 255).astype(np.uint8)
b64 = lambda a: base64.b64encode(np.ascontiguousarray(a).tobytes()).decode()

# Pixel-centre matrix of: rotate 25 degrees counter-clockwise and scale 1.1 about the centre, in edge coordinates x + 0.5.
t = np.deg2rad(25)
s = 1.1
R = s * np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]])
c = np.array([w / 2, h / 2])
edge = np.hstack([R, (c - R @ c)[:, None]])
pixel = edge.copy()
pixel[:, 2] = edge[:, :2] @ [0.5, 0.5] + edge[:, 2] - 0.5
affine = cv2.warpAffine(image, pixel, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
points = np.array([[20.25, 30.5], [64, 48], [100.75, 70.25]])
moved = points @ edge[:, :2].T + edge[:, 2]

hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(int)
hsv[..., 0] = (hsv[..., 0] + 12) % 180
hsv[..., 1] = np.clip(hsv[..., 1] + 25, 0, 255)
hsv[..., 2] = np.clip(hsv[..., 2] - 15, 0, 255)
shifted = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)

lut = np.clip(np.floor(1.2 * np.arange(256) + 25.5 + 0.5), 0, 255).astype(np.uint8)
gray = image[..., 1]
# A muted copy: luma and the L of Lab part ways on saturated colours.
muted = (0.25 * image + 0.75 * image.mean(-1, keepdims=True)).astype(np.uint8)
lab = cv2.cvtColor(muted, cv2.COLOR_RGB2LAB)
lab[..., 0] = cv2.createCLAHE(2.0, (8, 8)).apply(lab[..., 0])
print(json.dumps({
    "opencv": cv2.__version__, "width": w, "height": h, "image": b64(image), "flip": b64(cv2.flip(image, 1)),
    "affine": b64(affine), "points": points.tolist(), "moved": moved.tolist(), "hsv": b64(shifted),
    "muted": b64(muted), "gray": b64(cv2.createCLAHE(2.0, (8, 8)).apply(np.ascontiguousarray(gray))),
    "tone": b64(cv2.LUT(image, lut)), "clahe": b64(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)),
}))
