import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { peerPython } from "./peer-python.js";

/** The reference paths in Python, one thread: Pillow and torchvision for Grounding DINO and SAM, OpenCV and torch for YOLO. */
const PROGRAM = `
import io, json, sys, time
import numpy as np, torch, cv2, PIL, torchvision
from PIL import Image
import torchvision.transforms.functional as TF
torch.set_num_threads(1); cv2.setNumThreads(1)
MEAN, STD = [.485,.456,.406], [.229,.224,.225]
def tensor(im, size):
    return TF.normalize(TF.to_tensor(im.resize(size, Image.BILINEAR)), MEAN, STD)
def decode(b): return Image.open(io.BytesIO(b)).convert("RGB")
def dino(b, size): return tensor(decode(b), size)
def sam(b, size):
    t = tensor(decode(b), size)
    return torch.nn.functional.pad(t, (0, 1024 - t.shape[2], 0, 1024 - t.shape[1]))
def yolo(b, size):
    a = cv2.imdecode(np.frombuffer(b, np.uint8), 1)
    if a.shape[1] != size[0] or a.shape[0] != size[1]: a = cv2.resize(a, size)
    t, l = (640 - size[1]) // 2, (640 - size[0]) // 2
    a = cv2.copyMakeBorder(a, t, 640 - size[1] - t, l, 640 - size[0] - l, cv2.BORDER_CONSTANT, value=(114,) * 3)
    return torch.from_numpy(np.ascontiguousarray(a[..., ::-1].transpose(2, 0, 1))).float() / 255
JOBS = {"grounding_dino": dino, "sam": sam, "yolov8_seg": yolo, "decode": lambda b, size: decode(b)}
print(json.dumps({"versions": f"Pillow {PIL.__version__}, torch {torch.__version__}, torchvision {torchvision.__version__}, OpenCV {cv2.__version__}"}), flush=True)
files = {}
for line in sys.stdin:
    job = json.loads(line)
    if job["file"] not in files: files[job["file"]] = open(job["file"], "rb").read()
    b, run, size, times = files[job["file"]], JOBS[job["model"]], tuple(job["size"]), []
    for _ in range(job["repeats"]):
        s = time.process_time(); run(b, size); times.append(1000 * (time.process_time() - s))
    print(json.dumps({"times": times}), flush=True)
`;

/** A running Python that prepares pictures on request. */
export interface PreprocessPeer {
  readonly versions: string;
  /** CPU-milliseconds of each repeat. */
  run(job: { file: string; model: string; size: readonly number[]; repeats: number }): Promise<number[]>;
  close(): void;
}

/** null where Python or one of its packages is missing. */
export async function startPreprocessPeer(): Promise<PreprocessPeer | null> {
  const child: ChildProcess = spawn(peerPython(), ["-c", PROGRAM], { stdio: ["pipe", "pipe", "ignore"] });
  child.on("error", () => {});
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const read = async (): Promise<Record<string, unknown> | null> => {
    const { value, done } = await lines.next();
    return done === true ? null : (JSON.parse(value) as Record<string, unknown>);
  };
  const hello = await read();
  if (hello === null) return null;
  return {
    versions: String(hello["versions"]),
    async run(job) {
      child.stdin!.write(`${JSON.stringify(job)}\n`);
      const answer = await read();
      if (answer === null) throw new Error(`the Python peer ended at ${JSON.stringify(job)}`);
      return answer["times"] as number[];
    },
    close: () => child.stdin!.end(),
  };
}
