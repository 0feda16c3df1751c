import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { injectLora, type LoraConfigInput, mergeAndUnload, saveAdapter } from "@seg/lora";
import { type Module, readSafetensors, stateDict } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadGroundingDino } from "../grounding-dino/load.js";
import { Sam } from "../sam/sam.js";

const shared = process.env["SEG_SHARED"] ?? join(import.meta.dirname, "../../../../../shared");
const fixtures = join(shared, "fixtures");
const python = process.env["SEG_PEER_PYTHON"];

/**
 * Loads each adapter folder of argv[2:] with PEFT: KIND=FOLDER. Any missing or unexpected key ends the script. Writes `peer.safetensors` into the folder: weights
 * that merge_and_unload changed and, for SAM, outputs.
 */
const SCRIPT = `
import sys, warnings, torch
from safetensors.torch import load_file, save_file
from peft import PeftModel
from peft.utils import load_peft_weights, set_peft_model_state_dict
torch.manual_seed(0); torch.set_num_threads(1)
warnings.filterwarnings("error", message=".*missing adapter keys.*")
fixtures = sys.argv[1]
for item in sys.argv[2:]:
    kind, folder = item.split("=")
    if kind == "sam":
        from transformers import SamModel as Model
        base = fixtures + "/sam/model"
    else:
        from transformers import GroundingDinoForObjectDetection as Model
        base = fixtures + "/grounding-dino/model"
    model = Model.from_pretrained(base, attn_implementation="eager").eval()
    if kind != "sam": model.config.tie_word_embeddings = False
    before = {k: v.clone() for k, v in model.state_dict().items()}
    peft = PeftModel.from_pretrained(model, folder).eval()
    result = set_peft_model_state_dict(peft, load_peft_weights(folder))
    missing = [k for k in result.missing_keys if "lora_" in k or "modules_to_save" in k]
    assert not missing, missing
    assert not result.unexpected_keys, result.unexpected_keys
    out = {}
    if kind == "sam":
        inputs = load_file(fixtures + "/sam/inputs.safetensors")
        with torch.no_grad():
            y = peft(pixel_values=inputs["pixel_values"], input_boxes=inputs["input_boxes"], input_masks=inputs["input_masks"], multimask_output=True)
        out["out.low_res_masks"], out["out.iou"] = y.pred_masks.contiguous(), y.iou_scores.contiguous()
    merged = peft.merge_and_unload().state_dict()
    out.update({"w." + k: v.clone().contiguous() for k, v in merged.items() if k in before and not torch.equal(v, before[k])})
    save_file(out, folder + "/peer.safetensors")
`;

/** Values that make every adapter tensor count. */
function randomise(parameters: ReturnType<ReturnType<typeof injectLora>["trainableParameters"]>): void {
  let n = 0;
  for (const parameter of parameters.values()) {
    parameter.assign(parameter.data().map((value) => 0.7 * value + 0.2 * Math.sin(++n * 78.233)));
  }
}

describe.skipIf(!python || !existsSync(fixtures))("Python PEFT loads what we write (SEG_PEER_PYTHON)", () => {
  const directory = mkdtempSync(join(tmpdir(), "seg-peft-"));
  afterAll(() => rmSync(directory, { recursive: true }));
  beforeAll(() => tf.setBackend("cpu"));

  const decoder = "mask_decoder.transformer.layers.*";
  const cases: [name: string, kind: "sam" | "gdino", config: LoraConfigInput][] = [
    [
      "sam-plain",
      "sam",
      { targetModules: [`${decoder}.self_attn.q_proj`, `${decoder}.self_attn.v_proj`], r: 3, loraAlpha: 5 },
    ],
    ["sam-dora", "sam", { targetModules: ["lin1", "neck.conv2"], r: 2, useDora: true }],
    [
      "sam-rslora-patterns",
      "sam",
      { targetModules: ["qkv", "q_proj"], r: 2, useRslora: true, rankPattern: { qkv: 4 }, alphaPattern: { q_proj: 3 } },
    ],
    [
      "sam-saved-bias",
      "sam",
      { targetModules: ["v_proj"], r: 2, bias: "lora_only", modulesToSave: ["iou_prediction_head"] },
    ],
    ["sam-lora-bias", "sam", { targetModules: ["out_proj"], r: 2, loraBias: true }],
    [
      "gdino-decoder",
      "gdino",
      { targetModules: ["model.decoder.layers.*.self_attn.query", "model.decoder.layers.*.fc1"], r: 3 },
    ],
    ["gdino-dora-conv", "gdino", { targetModules: ["input_proj_vision.1.0", "text_projection"], r: 2, useDora: true }],
  ];

  test("no key is missing or unexpected; outputs and merged weights agree", { timeout: 300_000 }, async () => {
    const made = cases.map(([name, kind, config]) => {
      const model =
        kind === "sam"
          ? Sam.fromPretrained(join(fixtures, "sam/model"))
          : loadGroundingDino(join(fixtures, "grounding-dino/model"));
      const before = stateDict(model);
      const handle = injectLora(model, config, { seed: 1 });
      randomise(handle.trainableParameters());
      const folder = join(directory, name);
      saveAdapter(handle, folder);
      const outputs = model instanceof Sam ? predict(model) : null;
      mergeAndUnload(model);
      const merged = new Map(
        [...stateDict(model)].filter(([key, { data }]) => data.some((v, i) => v !== before.get(key)!.data[i])),
      );
      (model as Module).dispose();
      return { name, kind, folder, outputs, merged };
    });
    const script = join(directory, "load.py");
    writeFileSync(script, SCRIPT);
    execFileSync(python!, [script, fixtures, ...made.map(({ kind, folder }) => `${kind}=${folder}`)], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const { name, outputs, folder, merged } of made) {
      const peer = readSafetensors(join(folder, "peer.safetensors"));
      for (const [key, actual] of Object.entries(outputs ?? {})) {
        const expected = peer.tensor(`out.${key}`).data as Float32Array;
        const scale = expected.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
        const error = actual.reduce((most, v, i) => Math.max(most, Math.abs(v - expected[i]!)), 0);
        // Two float32 implementations of the same network.
        expect(error, `${name} ${key}, scale ${scale}`).toBeLessThan(1e-5 * Math.max(1, scale));
      }
      const changed = peer
        .names()
        .filter((key) => key.startsWith("w."))
        .map((key) => key.slice(2));
      // Aliases of a tied tensor are listed by PyTorch, not by us; there are none among adapted layers.
      expect([name, changed.sort()]).toEqual([name, [...merged.keys()].sort()]);
      for (const key of changed) {
        const expected = peer.tensor(`w.${key}`).data as Float32Array;
        const actual = merged.get(key)!.data as Float32Array;
        const error = actual.reduce((most, v, i) => Math.max(most, Math.abs(v - expected[i]!)), 0);
        expect(error, `${name} ${key}`).toBeLessThan(2e-6);
      }
    }
  });
});

/** Outputs for the recorded inputs, three masks a prompt. */
function predict(sam: Sam): Record<string, Float32Array> {
  const inputs = readSafetensors(join(fixtures, "sam/inputs.safetensors"));
  const tensor = (name: string) => tf.tensor(inputs.tensor(name).data as Float32Array, [...inputs.info(name).shape]);
  const nhwc = (name: string) => tf.transpose(tensor(name), [0, 2, 3, 1]) as tf.Tensor4D;
  const { lowResMasks, iou } = tf.tidy(() =>
    sam.predictMasks({
      imageEmbeddings: sam.encodeImage(nhwc("pixel_values")),
      boxes: tensor("input_boxes") as tf.Tensor3D,
      masks: nhwc("input_masks"),
    }),
  );
  const result = { low_res_masks: lowResMasks.dataSync() as Float32Array, iou: iou.dataSync() as Float32Array };
  tf.dispose([lowResMasks, iou]);
  return result;
}
