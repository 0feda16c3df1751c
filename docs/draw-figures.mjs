// Draws explanation/figures/*.svg: `node draw-figures.mjs`. In the site the drawings are part of the page and take its colours (.vitepress/theme);
// as files of their own they follow the system's light or dark mode.
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const COLOURS = {
  light: {
    ink: "#1f2933",
    soft: "#52606d",
    line: "#7b8794",
    paper: "#f5f7fa",
    accent: "#dbeafe",
    frozen: "#e4e7eb",
    good: "#d9f2e3",
  },
  dark: {
    ink: "#e4e7eb",
    soft: "#b8c2cc",
    line: "#8d99a6",
    paper: "#232a33",
    accent: "#1f3b63",
    frozen: "#37414d",
    good: "#1c4a35",
  },
};
/** Rules of the parts in given colours. */
const rules = ({ ink, soft, line, paper, accent, frozen, good }) => `
.fig-box{fill:${paper};stroke:${line}}.fig-accent{fill:${accent};stroke:${line}}
.fig-frozen{fill:${frozen};stroke:${line}}.fig-good{fill:${good};stroke:${line}}
.fig-line{stroke:${line};fill:none}.fig-tip{fill:${line}}.fig-text{fill:${ink}}.fig-sub{fill:${soft}}`;
// Plain colours, no variables: drawing programs know none.
const style = `<style>
.fig-line{stroke-width:1.5}.fig-dash{stroke-dasharray:5 4}
.fig-text{font:14px system-ui,sans-serif}.fig-sub{font:12px system-ui,sans-serif}.fig-bold{font-weight:600}${rules(COLOURS.light)}
@media (prefers-color-scheme:dark){${rules(COLOURS.dark)}}
</style>`;

const escapeXml = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const text = (x, y, words, { kind = "text", anchor = "middle", bold = false } = {}) =>
  `<text x="${x}" y="${y}" text-anchor="${anchor}" class="fig-${kind}${bold ? " fig-bold" : ""}">${escapeXml(words)}</text>`;

/** A box with a title and lines below it, centred. */
function box(x, y, width, height, title, lines = [], kind = "box") {
  const top = y + height / 2 - (lines.length * 16) / 2 + 5;
  return [
    `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="6" class="fig-${kind}"/>`,
    text(x + width / 2, top, title, { bold: true }),
    ...lines.map((line, i) => text(x + width / 2, top + 17 + 16 * i, line, { kind: "sub" })),
  ].join("");
}

/** A line through points, with a tip at its end. */
function arrow(points, { dashed = false } = {}) {
  const [x1, y1] = points.at(-2);
  const [x2, y2] = points.at(-1);
  const length = Math.hypot(x2 - x1, y2 - y1);
  const [dx, dy] = [(x2 - x1) / length, (y2 - y1) / length];
  const tip = [
    [x2, y2],
    [x2 - 8 * dx + 4 * dy, y2 - 8 * dy - 4 * dx],
    [x2 - 8 * dx - 4 * dy, y2 - 8 * dy + 4 * dx],
  ];
  const round = (pairs) => pairs.map((pair) => pair.map((value) => Math.round(value * 10) / 10).join(",")).join(" ");
  return `<polyline points="${round(points)}" class="fig-line${dashed ? " fig-dash" : ""}"/><polygon points="${round(tip)}" class="fig-tip"/>`;
}

const figures = {
  "prompt-free": [
    "Prompted teacher and prompt-free student",
    720,
    250,
    [
      text(10, 24, "Foundation model: needs somebody who points", { anchor: "start", bold: true }),
      box(10, 40, 110, 60, "image"),
      box(150, 40, 170, 60, "prompt", ["words, a box, a point"], "accent"),
      arrow([
        [120, 70],
        [150, 70],
      ]),
      arrow([
        [320, 70],
        [370, 70],
      ]),
      box(370, 40, 170, 60, "Grounding DINO, SAM", ["hundreds of MB"], "frozen"),
      arrow([
        [540, 70],
        [590, 70],
      ]),
      box(590, 40, 120, 60, "mask of that"),
      text(10, 154, "Student: the image is all it gets", { anchor: "start", bold: true }),
      box(10, 170, 110, 60, "image"),
      arrow([
        [120, 200],
        [370, 200],
      ]),
      box(370, 170, 170, 60, "YOLOv8n-seg, INT8", ["3.5 MB in the demo"], "good"),
      arrow([
        [540, 200],
        [590, 200],
      ]),
      box(590, 170, 120, 60, "every object", ["box, mask, class"]),
    ],
  ],
  pipeline: [
    "From annotations to report",
    760,
    330,
    [
      box(10, 20, 150, 60, "annotations.json", ["COCO, and images"]),
      arrow([
        [160, 50],
        [200, 50],
      ]),
      box(200, 20, 150, 60, "seg validate", ["check, repair, split"]),
      arrow([
        [350, 50],
        [390, 50],
      ]),
      box(390, 20, 170, 60, "seg train-teacher", ["LoRA on the teachers"], "accent"),
      arrow([
        [475, 80],
        [475, 130],
      ]),
      box(390, 130, 170, 60, "teacher cache", ["asked once per image"]),
      arrow(
        [
          [275, 80],
          [275, 160],
          [200, 160],
        ],
        { dashed: true },
      ),
      text(285, 120, "labels", { kind: "sub", anchor: "start" }),
      arrow([
        [390, 170],
        [200, 170],
      ]),
      box(30, 130, 170, 60, "seg train-student", ["image in, objects out"], "accent"),
      arrow([
        [115, 190],
        [115, 240],
      ]),
      box(30, 240, 170, 70, "seg optimize", ["ONNX, TFLite, INT8", "certificate"], "good"),
      arrow([
        [200, 275],
        [390, 275],
      ]),
      box(390, 240, 170, 70, "seg evaluate", ["held-out split", "teacher beside student"]),
      arrow([
        [560, 275],
        [600, 275],
      ]),
      box(600, 240, 150, 70, "report", ["report.html", "report.json"]),
    ],
  ],
  lora: [
    "A LoRA layer",
    720,
    260,
    [
      box(20, 100, 90, 56, "x", ["n values"]),
      arrow([
        [110, 128],
        [150, 128],
        [150, 60],
        [220, 60],
      ]),
      arrow([
        [110, 128],
        [150, 128],
        [150, 200],
        [220, 200],
      ]),
      box(220, 25, 240, 70, "W", ["m x n, frozen", "not stored in the adapter"], "frozen"),
      box(220, 170, 100, 60, "A", ["r x n"], "accent"),
      arrow([
        [320, 200],
        [360, 200],
      ]),
      box(360, 170, 100, 60, "B", ["m x r, from 0"], "accent"),
      arrow([
        [460, 60],
        [540, 60],
        [540, 112],
      ]),
      arrow([
        [460, 200],
        [540, 200],
        [540, 144],
      ]),
      text(500, 224, "times alpha / r", { kind: "sub", anchor: "start" }),
      `<circle cx="540" cy="128" r="15" class="fig-box"/>`,
      text(540, 133, "+", { bold: true }),
      arrow([
        [555, 128],
        [600, 128],
      ]),
      box(600, 100, 100, 56, "y", ["m values"]),
    ],
  ],
  distillation: [
    "What a student learns from",
    760,
    330,
    [
      box(10, 30, 120, 60, "image"),
      arrow([
        [130, 60],
        [190, 60],
      ]),
      arrow([
        [70, 90],
        [70, 250],
        [190, 250],
      ]),
      box(190, 25, 170, 70, "teachers", ["Grounding DINO, SAM", "adapted with LoRA"], "frozen"),
      arrow([
        [360, 60],
        [420, 60],
      ]),
      box(420, 15, 150, 90, "what they say", ["class scores, boxes", "soft masks", "features"]),
      box(190, 215, 170, 70, "student", ["YOLOv8-seg, FastSAM-s", "MobileSAM"], "accent"),
      arrow([
        [360, 250],
        [420, 250],
      ]),
      box(420, 205, 150, 90, "what it says", ["class scores, boxes", "masks, features"]),
      box(620, 15, 130, 90, "labels", ["boxes, masks", "as annotated"]),
      arrow(
        [
          [495, 105],
          [495, 205],
        ],
        { dashed: true },
      ),
      arrow(
        [
          [685, 105],
          [685, 250],
          [570, 250],
        ],
        { dashed: true },
      ),
      text(485, 150, "distillation", { kind: "sub", anchor: "end" }),
      text(485, 166, "terms", { kind: "sub", anchor: "end" }),
      text(677, 150, "task losses", { kind: "sub", anchor: "end" }),
      text(380, 318, "A term exists only where both sides have the quantity.", { kind: "sub" }),
    ],
  ],
  int8: [
    "INT8 quantisation",
    760,
    320,
    [
      text(10, 22, "One scale for a tensor: a real value is scale * (q - zero point)", { anchor: "start", bold: true }),
      `<line x1="40" y1="60" x2="720" y2="60" class="fig-line"/>`,
      ...Array.from(
        { length: 35 },
        (_, i) => `<line x1="${40 + 20 * i}" y1="54" x2="${40 + 20 * i}" y2="66" class="fig-line"/>`,
      ),
      text(40, 86, "-128", { kind: "sub" }),
      text(720, 86, "127", { kind: "sub" }),
      text(380, 86, "256 steps between the calibrated smallest and largest value", { kind: "sub" }),
      text(10, 140, "In the file: QuantizeLinear and DequantizeLinear around float operators (QDQ)", {
        anchor: "start",
        bold: true,
      }),
      box(10, 160, 80, 50, "float"),
      arrow([
        [90, 185],
        [120, 185],
      ]),
      box(120, 160, 60, 50, "Q DQ"),
      arrow([
        [180, 185],
        [210, 185],
      ]),
      box(210, 160, 110, 50, "Conv", ["INT8 weights"], "good"),
      arrow([
        [320, 185],
        [350, 185],
      ]),
      box(350, 160, 60, 50, "Q DQ"),
      arrow([
        [410, 185],
        [440, 185],
      ]),
      box(440, 160, 110, 50, "Conv", ["INT8 weights"], "good"),
      arrow([
        [550, 185],
        [590, 185],
      ]),
      box(590, 160, 160, 50, "decode head", ["stays float"], "frozen"),
      text(10, 262, "The runtime fuses DQ, Conv, Q into one integer kernel.", { anchor: "start", kind: "sub" }),
      text(
        10,
        282,
        "Layers that cost more accuracy than --max-map-drop allows stay float, worst first, until the gate holds.",
        { anchor: "start", kind: "sub" },
      ),
    ],
  ],
  certificate: [
    "What the certificate covers",
    760,
    250,
    [
      box(10, 30, 150, 70, "model files", ["fp32, INT8, TFLite"]),
      box(10, 140, 150, 70, "test images", ["of your split"]),
      arrow([
        [160, 65],
        [210, 65],
      ]),
      arrow([
        [160, 175],
        [185, 175],
        [185, 85],
        [210, 85],
      ]),
      box(
        210,
        30,
        160,
        80,
        "checks",
        ["one input: the image", "no baked-in prompt", "answers, twice the same"],
        "accent",
      ),
      arrow([
        [370, 70],
        [420, 70],
      ]),
      box(420, 30, 150, 80, "facts", ["inputs, outputs, parity", "SHA-256 of each file"]),
      arrow([
        [570, 70],
        [610, 70],
      ]),
      box(610, 30, 140, 80, "seal", ["hash over all facts", "signature, with a key"], "good"),
      arrow(
        [
          [680, 110],
          [680, 185],
          [570, 185],
        ],
        { dashed: true },
      ),
      box(370, 150, 200, 70, "checkCertificates", ["hashes files, graphs, facts", "again; one byte is enough"]),
    ],
  ],
  architecture: [
    "Packages in layers",
    760,
    450,
    [
      box(10, 10, 740, 50, "@seg/cli, examples", ["commands, report"], "accent"),
      box(10, 90, 170, 60, "@seg/teachers", ["Grounding DINO, SAM"]),
      box(200, 90, 170, 60, "@seg/distill", ["students, losses"]),
      box(390, 90, 170, 60, "@seg/export", ["ONNX, TFLite, INT8"]),
      box(580, 90, 170, 60, "@seg/model-hub", ["registry, HTTP"]),
      box(10, 180, 170, 50, "@seg/lora", ["adapters"]),
      box(200, 180, 170, 50, "@seg/train", ["loop, checkpoints"]),
      box(10, 255, 360, 50, "@seg/nn", ["modules, weight files, YOLOv8"]),
      box(10, 330, 170, 50, "@seg/coco-dataset", ["data, metrics"]),
      box(200, 330, 170, 50, "@seg/preprocess", ["pixels in"]),
      box(390, 330, 170, 50, "@seg/augment", ["views"]),
      box(10, 400, 360, 45, "@seg/tfjs-onnxruntime", ["records, compiles, runs"], "good"),
      box(390, 400, 360, 45, "@seg/onnx", ["models as data"], "good"),
      text(665, 352, "Imports go down only;", { kind: "sub" }),
      text(665, 370, "each package is useful alone.", { kind: "sub" }),
    ],
  ],
  resume: [
    "A resumed run",
    760,
    190,
    [
      text(10, 40, "unbroken", { anchor: "start" }),
      arrow([
        [110, 36],
        [640, 36],
      ]),
      box(640, 14, 110, 44, "weights", [], "good"),
      text(10, 120, "killed", { anchor: "start" }),
      `<line x1="110" y1="116" x2="330" y2="116" class="fig-line"/>`,
      ...[170, 250].map((x) => `<circle cx="${x}" cy="116" r="5" class="fig-accent"/>`),
      text(210, 146, "checkpoints", { kind: "sub" }),
      text(338, 121, "SIGKILL", { anchor: "start", bold: true }),
      `<polyline points="250,116 250,170 420,170 420,116" class="fig-line fig-dash"/>`,
      text(335, 164, "--resume", { kind: "sub" }),
      arrow([
        [420, 116],
        [640, 116],
      ]),
      box(640, 94, 110, 44, "weights", [], "good"),
      arrow(
        [
          [695, 58],
          [695, 94],
        ],
        { dashed: true },
      ),
      text(686, 82, "same bytes", { kind: "sub", anchor: "end" }),
    ],
  ],
  presence: [
    "Fields decide teachers and students",
    760,
    250,
    [
      box(10, 95, 150, 60, "annotations.json", ["which fields are there?"]),
      arrow([
        [160, 110],
        [210, 110],
        [210, 45],
        [260, 45],
      ]),
      arrow([
        [160, 125],
        [260, 125],
      ]),
      arrow([
        [160, 140],
        [210, 140],
        [210, 205],
        [260, 205],
      ]),
      box(260, 20, 140, 50, "boxes only"),
      box(260, 100, 140, 50, "masks only"),
      box(260, 180, 140, 50, "boxes and masks"),
      arrow([
        [400, 45],
        [450, 45],
      ]),
      arrow([
        [400, 125],
        [450, 125],
      ]),
      arrow([
        [400, 205],
        [450, 205],
      ]),
      box(450, 20, 130, 50, "Grounding DINO", [], "frozen"),
      box(450, 100, 130, 50, "SAM", [], "frozen"),
      box(450, 180, 130, 50, "both", [], "frozen"),
      arrow([
        [580, 45],
        [620, 45],
      ]),
      arrow([
        [580, 125],
        [620, 125],
      ]),
      arrow([
        [580, 205],
        [620, 205],
      ]),
      box(620, 20, 130, 50, "YOLOv8", [], "good"),
      box(620, 100, 130, 50, "FastSAM", ["or MobileSAM"], "good"),
      box(620, 180, 130, 50, "YOLOv8-seg", [], "good"),
    ],
  ],
};

for (const [name, [title, width, height, parts]] of Object.entries(figures)) {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}"><title>${title}</title>${style}${parts.join("")}</svg>\n`;
  writeFileSync(fileURLToPath(new URL(`explanation/figures/${name}.svg`, import.meta.url)), svg);
}
