import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, describe, expect, test } from "vitest";
import { CheckpointFormatError, SegError, UnsafePickleError } from "../errors.js";
import { readSafetensors } from "../safetensors/read.js";
import type { WeightFile } from "../weights/weight-file.js";
import { PickleObject } from "./pickle-values.js";
import { readTorchCheckpoint } from "./read.js";

const shared = process.env["SEG_SHARED"] ?? join(import.meta.dirname, "../../../../../shared");
const fixtures = join(shared, "fixtures/weights-format");

/** The error of opening a checkpoint and reading all of it; null when that succeeds. */
function errorOf(source: string | Uint8Array): unknown {
  try {
    readTorchCheckpoint(source).toStateDict();
    return null;
  } catch (error) {
    return error;
  }
}

function expectSameTensors(actual: WeightFile, expected: WeightFile): void {
  expect([...actual.names()].sort()).toEqual([...expected.names()].sort());
  for (const name of expected.names()) {
    expect(actual.info(name), name).toEqual(expected.info(name));
    expect(Buffer.from(actual.raw(name)).equals(Buffer.from(expected.raw(name))), name).toBe(true);
    const [a, b] = [actual.tensor(name).data, expected.tensor(name).data];
    expect(Buffer.from(a.buffer).equals(Buffer.from(b.buffer)), name).toBe(true);
  }
}

describe.skipIf(!existsSync(fixtures))("weights-format fixtures", () => {
  const good = (name: string) => join(fixtures, "good", name);

  test.each([
    ["sam_zip.pth", "sam_zip.safetensors"],
    ["sam_legacy.pth", "sam_legacy.safetensors"],
    ["nested_zip.pth", "nested.model.safetensors"],
    ["nested_legacy.pth", "nested.model.safetensors"],
  ])("%s holds the bytes of %s", (file, twin) => {
    expectSameTensors(readTorchCheckpoint(good(file)), readSafetensors(good(twin)));
    expectSameTensors(readTorchCheckpoint(readFileSync(good(file))), readSafetensors(good(twin)));
  });

  test("keeps what lies beside the tensors as plain data", () => {
    const root = readTorchCheckpoint(good("nested_zip.pth")).root as Map<string, unknown>;
    const { nested } = JSON.parse(readFileSync(join(fixtures, "expected.json"), "utf8")) as {
      nested: Record<string, unknown>;
    };
    expect(root.get("epoch")).toBe(nested["epoch"]);
    expect(root.get("best")).toBe(nested["best"]);
    expect(root.get("name")).toBe(nested["name"]);
    expect(root.get("flags")).toEqual(nested["flags"]);
    expect(String(root.get("big"))).toBe(nested["big"]);
    expect(root.get("neg")).toBe(nested["neg"]);
    expect(root.get("shape")).toEqual(nested["shape"]);
  });

  test("reads a transposed view in row-major order", () => {
    expect([...readTorchCheckpoint(good("handmade_ok.pth")).tensor("w").data]).toEqual([1, 3, 2, 4]);
  });

  test.each([
    ["deep_nesting.pth", "nn/checkpoint-format", /nested deeper/],
    ["empty.pth", "nn/checkpoint-format", /empty/],
    ["eval_global.pth", "nn/unsafe-pickle", /builtins.*\.eval at byte/],
    ["git_lfs_pointer.pth", "nn/checkpoint-format", /Git LFS/],
    ["html_page.pth", "nn/checkpoint-format", /HTML/],
    ["huge_size.pth", "nn/checkpoint-format", /leaves its storage/],
    ["huge_numel.pth", "nn/checkpoint-format", /claims/],
    ["inst_opcode.pth", "nn/unsafe-pickle", /os\.system/],
    ["negative_stride.pth", "nn/checkpoint-format", /stride/],
    ["not_a_dict.pth", "nn/checkpoint-format", /a number, expected a dict/],
    ["os_system_legacy.pth", "nn/unsafe-pickle", /system/],
    ["os_system_plain.pkl", "nn/unsafe-pickle", /system/],
    ["os_system_zip.pth", "nn/unsafe-pickle", /system/],
    ["stack_global.pth", "nn/unsafe-pickle", /posix\.system at byte 17/],
    ["zero_stride_bomb.pth", "nn/checkpoint-format", /repeats/],
    ["zip_truncated_tail.pth", "nn/checkpoint-format", /directory/],
    ["big_endian.pth", "nn/checkpoint-format", /little-endian/],
  ])("refuses %s with %s", (file, code, message) => {
    expect(errorOf(join(fixtures, "reject", file))).toMatchObject({ code, message: expect.stringMatching(message) });
  });

  const bad = existsSync(fixtures)
    ? readdirSync(join(fixtures, "reject")).filter((name) => !name.startsWith("st_"))
    : [];
  test.each(bad)("refuses %s with a typed error", (file) => {
    const error = errorOf(join(fixtures, "reject", file));
    expect(UnsafePickleError.isInstance(error) || CheckpointFormatError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ path: join(fixtures, "reject", file) });
  });

  test("finds all reject cases", () => expect(bad.length).toBe(31));

  test("walks a pickled module of allowed classes", () => {
    const path = join(fixtures, "reject/pickled_module.pt");
    const file = readTorchCheckpoint(path, { allowModuleClasses: ["torch.nn.modules."] });
    expect(file.root).toBeInstanceOf(PickleObject);
    expect(file.names().length).toBeGreaterThan(0);
    for (const tensor of file.toStateDict().values()) expect(tensor.data.every(Number.isFinite)).toBe(true);
  });

  test("truncation anywhere ends in a typed error or an equal file", () => {
    for (const name of ["nested_zip.pth", "nested_legacy.pth"]) {
      const bytes = readFileSync(good(name));
      for (let length = 0; length < bytes.length; length += 13) {
        const error = errorOf(bytes.subarray(0, length));
        expect(SegError.isInstance(error), `${name} cut at ${length}: ${String(error)}`).toBe(true);
      }
    }
  });
});

const python = process.env["SEG_PEER_PYTHON"];
describe.skipIf(!python)("files that the peer's torch writes (SEG_PEER_PYTHON)", () => {
  const directory = mkdtempSync(join(tmpdir(), "seg-nn-torch-"));
  afterAll(() => rmSync(directory, { recursive: true }));
  const run = (script: string) => execFileSync(python!, ["-c", script], { cwd: directory });

  test("protocol 4, float8, several state dicts, untyped storages", () => {
    run(`
import torch
from safetensors.torch import save_file
t = {"a": torch.arange(12.).reshape(3, 4).t(), "b": torch.linspace(-3, 3, 7).to(torch.float8_e4m3fn),
     "c": torch.linspace(-3, 3, 7).to(torch.float8_e5m2), "d": torch.arange(5).to(torch.uint16), "e": torch.tensor([1+2j])}
torch.save({"model": t, "ema": t, "epoch": 1}, "a.pt", pickle_protocol=4)
save_file({k: v.contiguous() for k, v in t.items()}, "a.safetensors")
`);
    const path = join(directory, "a.pt");
    expect(errorOf(path)).toMatchObject({ reason: expect.stringMatching(/several state dicts \(model, ema\)/) });
    const [file, twin] = [
      readTorchCheckpoint(path, { select: "ema" }),
      readSafetensors(join(directory, "a.safetensors")),
    ];
    for (const name of twin.names()) {
      expect(file.info(name)).toEqual(twin.info(name));
      expect(file.raw(name)).toEqual(twin.raw(name));
    }
    expect([...file.tensor("b").data]).toEqual([-3, -2, -1, 0, 1, 2, 3]);
    expect([...file.tensor("c").data]).toEqual([-3, -2, -1, 0, 1, 2, 3]);
    expect(() => file.tensor("e")).toThrow(/complex/);
  });

  test("a TorchScript archive is named", () => {
    run(`import torch; torch.jit.script(torch.nn.Linear(2, 2)).save("s.pt")`);
    expect(errorOf(join(directory, "s.pt"))).toMatchObject({ reason: expect.stringMatching(/TorchScript/) });
  });

  test("zip64 fields", () => {
    // Python's zipfile writes them for every entry that is opened with force_zip64.
    run(`
import zipfile, torch
torch.save({"w": torch.arange(6.).reshape(2, 3)}, "z.pt")
old = zipfile.ZipFile("z.pt")
with zipfile.ZipFile("z64.pt", "w") as new:
    for i in old.infolist():
        with new.open(zipfile.ZipInfo(i.filename), "w", force_zip64=True) as f: f.write(old.read(i))
`);
    expect([...readTorchCheckpoint(join(directory, "z64.pt")).tensor("w").data]).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test("bytes written to a file and bytes in memory read alike", () => {
    run(`import torch; torch.save({"w": torch.ones(3)}, "m.bin")`);
    const bytes = readFileSync(join(directory, "m.bin"));
    writeFileSync(join(directory, "n.bin"), bytes);
    expect(readTorchCheckpoint(bytes).tensor("w")).toEqual(readTorchCheckpoint(join(directory, "n.bin")).tensor("w"));
  });
});
