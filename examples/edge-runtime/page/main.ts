/** The page: fetches model and pictures from where it came from, runs the model in WebAssembly, shows what it finds. */
import { createDetector, type Detector } from "@seg/export/runtime";
import * as ort from "onnxruntime-web/wasm";
import { areaOf, draw, rgbOf } from "./draw.js";

/** Runs of a measurement, after as many that do not count. */
const RUNS = { warmup: 5, counted: 30 };

ort.env.wasm.wasmPaths = { wasm: "/ort-wasm-simd-threaded.wasm" };
// More need a page that is isolated from others; one thread is also what a small device gives away.
ort.env.wasm.numThreads = 1;

const element = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const say = (text: string) => {
  element("status").textContent = text;
};
const bytesOf = async (path: string) => {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${answer.statusText}`);
  return answer;
};

let picture: ImageBitmap | null = null;
let name = "";

/** Finds and shows. */
async function look(detector: Detector): Promise<void> {
  if (picture === null) return;
  const confidence = element<HTMLInputElement>("confidence").valueAsNumber;
  if (!(confidence > 0 && confidence <= 1)) return say("The lowest score lies between 0 and 1.");
  const found = await detector.predict(rgbOf(picture), { confidence });
  const canvas = element<HTMLCanvasElement>("picture");
  draw(canvas, picture, found);
  const objects = found.names.length === 1 ? "1 object" : `${found.names.length} objects`;
  canvas.ariaLabel = `${name} with ${objects}: ${found.names.join(", ")}`;
  element("found").replaceChildren(
    ...found.names.map((label, i) => {
      const row = document.createElement("tr");
      const box = Array.from(found.boxes.subarray(4 * i, 4 * i + 4), (value) => value.toFixed(1));
      const mask = found.masks?.[i];
      for (const text of [label, found.scores[i]!.toFixed(3), ...box, mask ? String(areaOf(mask)) : "-"])
        row.insertCell().textContent = text;
      return row;
    }),
  );
  say(`${objects} in ${name}.`);
}

/** Milliseconds from pixels to decoded objects. */
async function measure(detector: Detector): Promise<void> {
  if (picture === null) return;
  say("Measuring…");
  const image = rgbOf(picture);
  const times: number[] = [];
  for (let run = 0; run < RUNS.warmup + RUNS.counted; run++) {
    const began = performance.now();
    await detector.predict(image);
    if (run >= RUNS.warmup) times.push(performance.now() - began);
  }
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.floor(share * (times.length - 1))]!.toFixed(1);
  element("latency").textContent =
    `Letterbox, network, decoding: ${at(0.5)} ms, 95 % within ${at(0.95)} ms (${RUNS.counted} runs, one thread of WebAssembly).`;
  say("Measured.");
}

async function start(): Promise<void> {
  const model = new Uint8Array(await (await bytesOf("/model.onnx")).arrayBuffer());
  const detector = await createDetector({ model, ort });
  const names = (await (await bytesOf("/pictures.json")).json()) as string[];
  const sample = element<HTMLSelectElement>("sample");
  sample.append(...names.map((each) => new Option(each)));
  const show = async (blob: Blob, title: string) => {
    picture?.close();
    picture = await createImageBitmap(blob);
    name = title;
    await look(detector);
  };
  const showSample = async () => show(await (await bytesOf(`/pictures/${sample.value}`)).blob(), sample.value);
  // One after the other: a session answers one picture at a time.
  let queue = Promise.resolve();
  const enqueue = (work: () => Promise<void>) => {
    queue = queue.then(work).catch((error: unknown) => say(`That did not work: ${String(error)}`));
  };
  sample.addEventListener("change", () => enqueue(showSample));
  element("confidence").addEventListener("change", () => enqueue(() => look(detector)));
  element("measure").addEventListener("click", () => enqueue(() => measure(detector)));
  const own = element<HTMLInputElement>("own");
  own.addEventListener("change", () => {
    const file = own.files?.[0];
    if (file !== undefined) enqueue(() => show(file, file.name));
  });
  enqueue(showSample);
}

start().catch((error: unknown) => say(`The model could not be opened: ${String(error)}`));
