import { resolve } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatAir, formatModelRef, isSafeRevision, type ModelRef, parseModelRef } from "./model-ref.js";

const hf = (repo: string, revision: string | null = null, path: string | null = null): ModelRef => ({
  source: "hf",
  repo,
  revision,
  path,
});
const civitai = (model: string | null, version: string | null = null, file: string | null = null): ModelRef => ({
  source: "civitai",
  model,
  version,
  file,
});

describe("parseModelRef", () => {
  test.each<[string, ModelRef]>([
    ["hf:facebook/sam-vit-base", hf("facebook/sam-vit-base")],
    ["facebook/sam-vit-base", hf("facebook/sam-vit-base")],
    ["hf:gpt2", hf("gpt2")],
    ["hf:a/b@refs/pr/3:onnx/model.onnx", hf("a/b", "refs/pr/3", "onnx/model.onnx")],
    ["civitai:4384", civitai("4384")],
    ["civitai:4384@128713", civitai("4384", "128713")],
    ["civitai:4384@128713+99", civitai("4384", "128713", "99")],
    ["civitai:@128713", civitai(null, "128713")],
    ["urn:air:sd1:lora:civitai:4384@128713", civitai("4384", "128713")],
    ["air:sdxl:checkpoint:civitai:4384@128713+7.safetensors", civitai("4384", "128713", "7")],
    ["https://host/m.onnx#sha256=ab", { source: "url", url: "https://host/m.onnx#sha256=ab" }],
    ["url:http://host/m.onnx", { source: "url", url: "http://host/m.onnx" }],
    ["./model.onnx", { source: "local", path: resolve("model.onnx") }],
    ["/models/a.pt", { source: "local", path: "/models/a.pt" }],
    ["local:models/a.pt", { source: "local", path: resolve("models/a.pt") }],
    ["sam_vit_b", { source: "catalogue", id: "sam_vit_b" }],
    ["  catalogue:sam2.1_tiny ", { source: "catalogue", id: "sam2.1_tiny" }],
  ])("reads %j", (text, ref) => {
    expect(parseModelRef(text)).toEqual(ref);
  });

  test.each([
    "",
    "   ",
    "x".repeat(5000),
    "hf:",
    "hf:a/b/c",
    "hf:../etc",
    "hf:a--b/c",
    "hf:a/b.git",
    "hf:a/b@../x",
    "hf:a/b@.hidden",
    "hf:a/b@x.lock",
    "civitai:name",
    "civitai:",
    "urn:air:sd1:lora:civitai:name@1",
    "urn:air:sd1:lora:elsewhere:1",
    "url:ftp://host/x",
    "ftp://host/x",
    "file:///etc/passwd",
    "s3://bucket/key",
    "ftp:host",
    "url:nonsense",
    "local:",
    "two words",
  ])("refuses %j", (text) => {
    expect(() => parseModelRef(text)).toThrow(expect.objectContaining({ code: "INVALID_REQUEST" }));
  });

  test("an error does not show a URL's credentials", () => {
    for (const ref of ["url:ftp://ana:secret@host/x?token=abc", "ftp://ana:secret@host/x?token=abc"])
      expect(() => parseModelRef(ref)).toThrow(/^(?!.*(secret|abc)).*$/s);
  });

  const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.]{0,20}[A-Za-z0-9]$/).filter((n) => !/\.\.|\.git$/.test(n));
  const number = fc.nat().map(String);
  const refs = fc.oneof(
    fc
      .tuple(name, name, fc.option(name.filter(isSafeRevision)), fc.option(name))
      .map(([owner, model, revision, path]) => hf(`${owner}/${model}`, revision, path)),
    fc.tuple(number, fc.option(number), fc.option(number)).map(([m, v, f]) => civitai(m, v, f)),
    name.map((path): ModelRef => ({ source: "local", path: resolve(path) })),
    name.map((id): ModelRef => ({ source: "catalogue", id })),
    fc.webUrl().map((url): ModelRef => ({ source: "url", url: new URL(url).href })),
  );
  test("reads back what it writes", () => {
    fc.assert(
      fc.property(refs, (ref) => {
        expect(parseModelRef(formatModelRef(ref))).toEqual(ref);
      }),
    );
  });

  test("any text gives a reference or a refusal of ours", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseModelRef(text);
        } catch (error) {
          expect(error).toMatchObject({ code: "INVALID_REQUEST" });
        }
      }),
    );
  });
});

test("formatAir writes what parseModelRef reads", () => {
  const air = formatAir({ ecosystem: "SD 1.5", type: "LORA", model: "4384", version: "128713", file: "9" });
  expect(air).toBe("urn:air:sd15:lora:civitai:4384@128713+9");
  expect(parseModelRef(air)).toEqual(civitai("4384", "128713", "9"));
});
