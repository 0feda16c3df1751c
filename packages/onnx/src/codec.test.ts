import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import * as ort from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import {
  type Attribute,
  DataType,
  decodeModel,
  encodeChunks,
  encodeModel,
  GraphBuilder,
  MalformedProtobufError,
  type Model,
  type Node,
  type Tensor,
  tensorData,
  type ValueInfo,
} from "./index.js";
import { WireReader } from "./wire-reader.js";
import { WireWriter } from "./wire-writer.js";

/** Message-typed fields by message, from onnx.proto; enough to walk a model without the codec under test. */
const schema: Record<string, Record<number, string>> = {
  Model: { 7: "Graph", 8: "Opset", 14: "Entry" },
  Graph: { 1: "Node", 5: "Tensor", 11: "Value", 12: "Value", 13: "Value" },
  Node: { 5: "Attribute" },
  Attribute: { 5: "Tensor", 6: "Graph" },
  Tensor: { 13: "Entry" },
  Value: { 2: "Type" },
  Type: { 1: "TensorType" },
  TensorType: { 2: "Shape" },
  Shape: { 1: "Dim" },
  Opset: {},
  Entry: {},
  Dim: {},
};

const seen = new Set<string>();

/** Appends `extra` to every message of a serialised model. */
function inject(bytes: Uint8Array, message: string, extra: (message: string) => Uint8Array): Uint8Array {
  seen.add(message);
  const r = new WireReader(bytes);
  const parts: Uint8Array[] = [];
  while (r.next()) {
    const inner = schema[message]![r.field];
    const { field } = r;
    if (!inner) parts.push(r.raw());
    else {
      const w = new WireWriter(1024);
      w.bytesField(field, inject(r.data(), inner, extra));
      parts.push(...w.chunks());
    }
  }
  return Buffer.concat([...parts, extra(message)]);
}

function field(number: number, wireType: 0 | 1 | 2 | 5, seed: number): Uint8Array {
  const w = new WireWriter(256);
  if (wireType === 2) w.bytesField(number, Uint8Array.of(seed, 0xff, 0));
  else {
    if (wireType === 0) w.int64(-seed);
    else w.raw(new Uint8Array(wireType === 1 ? 8 : 4).fill(seed));
    w.tag(number, wireType);
  }
  return Buffer.concat(w.chunks());
}

function everything(): Model {
  const inner = new GraphBuilder("then");
  inner.output(inner.node("Identity", ["sum"], { name: "inner" })[0]!, DataType.FLOAT, [2]);
  const b = new GraphBuilder("main");
  const x = b.input("x", DataType.FLOAT, ["batch", 2, null]);
  const w = b.initializer("w", DataType.FLOAT, [2], new Float32Array([1.5, -0]));
  const condition = b.initializer("c", DataType.BOOL, [], new Uint8Array([1]));
  const [sum] = b.node("Add", [x, w], { outputs: ["sum"], name: "größe" });
  const tensor: Tensor = { name: "", dataType: DataType.INT64, dims: [1], rawData: new Uint8Array(8).fill(7) };
  const [y] = b.node("Odd", [sum!, ""], {
    domain: "test",
    attributes: {
      f: { float: 0.1 },
      i: -3,
      s: "ü",
      t: tensor,
      fs: { floats: [1, -2.5] },
      is: [1, -1, 2 ** 40],
      ss: ["a", ""],
    },
  });
  b.node("If", [condition], { attributes: { then_branch: { graph: inner.graph() } } });
  b.output(y!, DataType.FLOAT, []);
  const model = b.build();
  const external: Tensor = {
    name: "big",
    dataType: DataType.FLOAT,
    dims: [4],
    externalData: [{ key: "location", value: "m.data" }],
  };
  return {
    ...model,
    producerVersion: "1",
    domain: "d",
    modelVersion: -(2n ** 63n),
    docString: "doc",
    metadataProps: [{ key: "names", value: "{0: 'a'}" }],
    graph: {
      ...model.graph,
      initializers: [
        ...model.graph.initializers,
        external,
        { name: "s", dataType: DataType.STRING, dims: [1], strings: [Uint8Array.of(0xff)] },
      ],
      valueInfo: [
        { name: "sum", dataType: DataType.FLOAT, shape: [] },
        { name: "unranked", dataType: DataType.INT8 },
      ],
      docString: "g",
    },
  };
}

describe("encodeModel, decodeModel", () => {
  test("an empty message is an empty model and encodes to nothing again", () => {
    const model = decodeModel(new Uint8Array(0));
    expect(model).toMatchObject({ irVersion: 0, opsetImport: [], graph: { nodes: [] } });
    expect(encodeModel(model).length).toBe(0);
  });

  test("golden bytes of a one-node model", () => {
    const b = new GraphBuilder("g");
    b.output(b.node("Relu", [b.input("x", 1, [2])], { outputs: ["y"], name: "n" })[0]!, 1, ["N"]);
    const hex = [
      "0808", // ir_version 8
      "1209",
      `${Buffer.from("@seg/onnx").toString("hex")}`, // producer_name
      "3a37", // graph, 55 bytes
      "0a0f",
      "0a0178",
      "120179",
      "1a016e",
      `2204${Buffer.from("Relu").toString("hex")}`, // node
      "120167", // name
      "5a0f",
      "0a0178",
      "120a",
      "0a08",
      "0801",
      "1204",
      "0a02",
      "0802", // input x: float[2]
      "6210",
      "0a0179",
      "120b",
      "0a09",
      "0801",
      "1205",
      "0a03",
      "12014e", // output y: float[N]
      "4202",
      "1011", // opset 17
    ].join("");
    const bytes = Buffer.from(encodeModel(b.build())).toString("hex");
    expect(bytes).toBe(hex);
  });

  test("every kind of content survives", () => {
    const model = everything();
    expect(decodeModel(encodeModel(model))).toEqual(model);
  });

  test("unknown fields of every message and wire type come back byte for byte", () => {
    seen.clear();
    const source = encodeModel(everything());
    for (const wireType of [0, 1, 2, 5] as const) {
      let count = 0;
      const bytes = inject(source, "Model", () =>
        Buffer.concat([field(1000 + count, wireType, ++count % 250), field(536870911, 0, 1)]),
      );
      expect(count).toBeGreaterThan(40);
      expect(Buffer.compare(encodeModel(decodeModel(bytes)), bytes)).toBe(0);
    }
    expect([...seen].sort()).toEqual(Object.keys(schema).sort());
  });

  test("fields of newer ONNX versions survive edits of their message", () => {
    const bytes = inject(encodeModel(everything()), "Model", (message) =>
      message === "Node" ? field(8, 2, 65) : new Uint8Array(0),
    );
    const model = decodeModel(bytes);
    const nodes = model.graph.nodes.map((node) => ({ ...node, name: "renamed" }));
    const again = decodeModel(encodeModel({ ...model, graph: { ...model.graph, nodes } }));
    for (const node of again.graph.nodes) expect(Buffer.from(node.unknown![0]!)).toEqual(Buffer.from(field(8, 2, 65)));
  });

  test("explicitly written defaults stay written", () => {
    // opset { domain: "" (explicit), version: 17 }, graph { name: "" (explicit), node { domain: "" (explicit) } }
    const graph = Buffer.from("0a02" + "3a00" + "1200", "hex");
    const opset = Buffer.from("0a00" + "1011", "hex");
    const source = Buffer.concat([Buffer.from([0x3a, graph.length]), graph, Buffer.from([0x42, opset.length]), opset]);
    expect(Buffer.from(encodeModel(decodeModel(source)))).toEqual(source);
  });

  test("an attribute that the data type cannot hold is kept raw on its node", () => {
    const noType = Buffer.from("2a05" + "0a0161" + "1801", "hex"); // name "a", i 1, no type
    const binary = Buffer.from("2a09" + "0a0162" + "2201ff" + "a00103", "hex"); // STRING, not UTF-8
    const node = Buffer.concat([noType, binary]);
    const graph = Buffer.concat([Buffer.from([0x0a, node.length]), node]);
    const source = Buffer.concat([Buffer.from([0x3a, graph.length]), graph]);
    const model = decodeModel(source);
    expect(model.graph.nodes[0]!.attributes).toEqual([]);
    expect(model.graph.nodes[0]!.unknown?.map((raw) => Buffer.from(raw))).toEqual([noType, binary]);
    expect(Buffer.from(encodeModel(model))).toEqual(source);
  });

  test("raw data is a view into the source, also when written in chunks", () => {
    const b = new GraphBuilder();
    const data = new Float32Array(5000).fill(3);
    b.initializer("w", DataType.FLOAT, [5000], data);
    const model = b.build();
    expect(encodeChunks(model).some((chunk) => chunk.buffer === data.buffer)).toBe(true);
    const bytes = encodeModel(model);
    expect(decodeModel(bytes).graph.initializers[0]!.rawData!.buffer).toBe(bytes.buffer);
  });

  test("int64 extremes, packed or not, become numbers inside 2^53 and bigints outside", () => {
    const values = [0, -1, 2 ** 53 - 1, -(2 ** 53 - 1), 2n ** 53n, -(2n ** 53n), 2n ** 63n - 1n, -(2n ** 63n)];
    const b = new GraphBuilder();
    b.node("X", [], { attributes: { empty: [], v: 0 } });
    const model = b.build();
    model.graph.nodes[0]!.attributes[0] = { name: "v", type: "INTS", value: values };
    expect(decodeModel(encodeModel(model)).graph.nodes[0]!.attributes[0]).toEqual({
      name: "v",
      type: "INTS",
      value: values,
    });
    const attribute = Buffer.from("0a0176" + "4001" + "40ffffffffffffffffff01" + "a00107", "hex");
    const wrap = (tag: number, body: Uint8Array): Buffer => Buffer.concat([Buffer.from([tag, body.length]), body]);
    const bytes = wrap(0x3a, wrap(0x0a, wrap(0x2a, attribute)));
    expect(decodeModel(bytes).graph.nodes[0]!.attributes[0]).toMatchObject({ type: "INTS", value: [1, -1] });
  });

  test.each([
    ["float_data, packed", DataType.FLOAT, "22080000803f00000040", [1, 2]],
    ["float_data, unpacked", DataType.FLOAT, "250000803f" + "2500000040", [1, 2]],
    ["int32_data of int8", DataType.INT8, "2a0b" + "ffffffffffffffffff01" + "05", [-1, 5]],
    ["int32_data of float16 bits", DataType.FLOAT16, "2a04" + "80f801" + "00", [0x7c00, 0]],
    ["int32_data of bool, unpacked", DataType.BOOL, "2801" + "2800", [1, 0]],
    ["int64_data", DataType.INT64, "3a0b" + "ffffffffffffffffff01" + "05", [-1n, 5n]],
    ["uint64_data", DataType.UINT64, "5a0b" + "ffffffffffffffffff01" + "05", [2n ** 64n - 1n, 5n]],
    ["uint64_data of uint32", DataType.UINT32, "5a06" + "ffffffff0f" + "05", [2 ** 32 - 1, 5]],
    ["double_data", DataType.DOUBLE, "5210" + "000000000000f03f" + "0000000000000040", [1, 2]],
  ])("%s is rewritten as raw data", (_, dataType, hex, expected) => {
    const tensor = Buffer.from(`080210${dataType.toString(16).padStart(2, "0")}${hex}`, "hex");
    const graph = Buffer.concat([Buffer.from([0x2a, tensor.length]), tensor]);
    const model = decodeModel(Buffer.concat([Buffer.from([0x3a, graph.length]), graph]));
    expect([...tensorData(model.graph.initializers[0]!)]).toEqual(expected);
    const again = decodeModel(encodeModel(model));
    expect(again).toEqual(model);
  });

  test("typed data that does not fit the element type is kept as it is", () => {
    const tensor = Buffer.from("0801" + "1001" + "2a0105", "hex"); // FLOAT with int32_data
    const graph = Buffer.concat([Buffer.from([0x2a, tensor.length]), tensor]);
    const model = decodeModel(Buffer.concat([Buffer.from([0x3a, graph.length]), graph]));
    expect(model.graph.initializers[0]!.unknown?.map((raw) => Buffer.from(raw).toString("hex"))).toEqual(["2a0105"]);
  });

  test.each([
    ["a group", "3b3c"],
    ["field number 0", "0001"],
    ["wire type 7", "0f"],
    ["a varint of 11 bytes", "08ffffffffffffffffffff01"],
    ["a length beyond the end", "3a7f0a"],
    ["a length beyond the enclosing message", "3a020a05" + "0000000000"],
    ["text that is no UTF-8", "1201ff"],
    ["an ir_version beyond 2^53", "08ffffffffffffffff7f"],
  ])("rejects %s", (_, hex) => {
    let caught: unknown;
    try {
      decodeModel(Buffer.from(hex, "hex"));
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(MalformedProtobufError);
    const error = caught as MalformedProtobufError;
    expect(error.code).toBe("MALFORMED_PROTOBUF");
    expect(error.offset).toBeLessThanOrEqual(hex.length / 2);
  });

  test("rejects subgraphs nested beyond the limit instead of exhausting the stack", () => {
    let graph: Uint8Array = new Uint8Array(0);
    const wrap = (number: number, body: Uint8Array): Uint8Array => {
      const w = new WireWriter(64);
      w.bytesField(number, body);
      return Buffer.concat(w.chunks());
    };
    for (let i = 0; i < 500; i++) graph = wrap(1, wrap(5, wrap(6, graph)));
    expect(() => decodeModel(wrap(7, graph))).toThrow(expect.objectContaining({ code: "MALFORMED_PROTOBUF" }));
  });

  test("cut at any byte: the typed error or a valid model", () => {
    const bytes = encodeModel(everything());
    let errors = 0;
    for (let length = 0; length < bytes.length; length++) {
      try {
        encodeModel(decodeModel(bytes.subarray(0, length)));
      } catch (error) {
        errors++;
        expect((error as MalformedProtobufError).code).toBe("MALFORMED_PROTOBUF");
        expect((error as MalformedProtobufError).offset).toBeLessThanOrEqual(length);
      }
    }
    expect(errors).toBeGreaterThan(bytes.length * 0.9);
  });

  test("damaged bytes never end in another error", () => {
    const bytes = encodeModel(everything());
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        (changes) => {
          const damaged = bytes.slice();
          for (const [at, value] of changes) damaged[at] = value;
          try {
            decodeModel(damaged);
          } catch (error) {
            if (!(error instanceof MalformedProtobufError)) throw error;
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

const name = fc
  .string({ unit: "binary-ascii", maxLength: 12 })
  .chain((ascii) => fc.constantFrom(ascii, `${ascii}é`, `\u{1F600}${ascii}`));
const int64 = fc.oneof(
  fc.maxSafeInteger(),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((v) => (Number.isSafeInteger(Number(v)) ? Number(v) : v)),
);
const float = fc.float({ noNaN: true });
const bytes = fc.uint8Array({ maxLength: 3000 });
const tensor: fc.Arbitrary<Tensor> = fc.record(
  {
    name,
    dataType: fc.constantFrom(1, 2, 3, 6, 7, 9, 10, 11),
    dims: fc.array(fc.nat(2 ** 40), { maxLength: 4 }),
    rawData: bytes,
    docString: name,
  },
  { requiredKeys: ["name", "dataType", "dims"] },
);
const attribute: fc.Arbitrary<Attribute> = fc.oneof(
  fc.record({ name, type: fc.constant("FLOAT" as const), value: float }),
  fc.record({ name, type: fc.constant("INT" as const), value: int64 }),
  fc.record({ name, type: fc.constant("STRING" as const), value: name }),
  fc.record({ name, type: fc.constant("TENSOR" as const), value: tensor }),
  fc.record({ name, type: fc.constant("FLOATS" as const), value: fc.array(float) }),
  fc.record({ name, type: fc.constant("INTS" as const), value: fc.array(int64) }),
  fc.record({ name, type: fc.constant("STRINGS" as const), value: fc.array(name) }),
);
const node: fc.Arbitrary<Node> = fc.record({
  opType: name,
  domain: name,
  name,
  inputs: fc.array(name),
  outputs: fc.array(name),
  attributes: fc.array(attribute, { maxLength: 4 }),
});
const value: fc.Arbitrary<ValueInfo> = fc.record(
  {
    name,
    dataType: fc.nat(20),
    shape: fc.array(
      fc.oneof(
        fc.nat(1e6),
        name.filter((n) => n !== ""),
        fc.constant(null),
      ),
      { maxLength: 4 },
    ),
  },
  { requiredKeys: ["name", "dataType"] },
);
const model: fc.Arbitrary<Model> = fc.record({
  irVersion: fc.nat(20),
  opsetImport: fc.array(fc.record({ domain: name, version: fc.nat(30) }), { maxLength: 3 }),
  metadataProps: fc.array(fc.record({ key: name, value: name }), { maxLength: 3 }),
  graph: fc.record({
    name,
    nodes: fc.array(node, { maxLength: 5 }),
    initializers: fc.array(tensor, { maxLength: 4 }),
    inputs: fc.array(value, { maxLength: 2 }),
    outputs: fc.array(value, { maxLength: 2 }),
    valueInfo: fc.array(value, { maxLength: 2 }),
  }),
});

describe("round trip", () => {
  test("decode(encode(m)) equals m, and encoding again gives the same bytes", () => {
    fc.assert(
      fc.property(model, (m) => {
        const encoded = encodeModel(m);
        const decoded = decodeModel(encoded);
        expect(decoded).toEqual(m);
        expect(Buffer.compare(encodeModel(decoded), encoded)).toBe(0);
      }),
      { numRuns: 150 },
    );
  });
});

describe("onnxruntime", () => {
  test("reads what the encoder writes", async () => {
    const b = new GraphBuilder();
    const x = b.input("x", DataType.FLOAT, [1, 4]);
    const w = b.initializer("w", DataType.FLOAT, [4], new Float32Array([1, 2, 3, 4]));
    const [product] = b.node("Mul", [x, w]);
    const [y] = b.node("LeakyRelu", [product!], { attributes: { alpha: { float: 0.5 } } });
    const parts = b.node("Split", [y!, b.initializer("sizes", DataType.INT64, [2], [1, 3])], {
      outputs: 2,
      attributes: { axis: -1 },
    });
    b.output(parts[1]!, DataType.FLOAT, [1, 3]);
    const session = await ort.InferenceSession.create(encodeModel(b.build()));
    const out = await session.run({ x: new ort.Tensor("float32", [1, -1, 1, -1], [1, 4]) });
    expect([...(out[parts[1]!]!.data as Float32Array)]).toEqual([-1, 3, -2]);
  });
});

const shared = process.env["SEG_SHARED"] ?? join(import.meta.dirname, "../../../../shared");
const files: string[] = [];
try {
  const visit = (folder: string): void => {
    for (const entry of readdirSync(folder)) {
      const path = join(folder, entry);
      if (statSync(path).isDirectory()) visit(path);
      else if (entry.endsWith(".onnx")) files.push(path);
    }
  };
  visit(shared);
} catch {
  // no fixtures in this checkout
}

describe.skipIf(files.length === 0)("models of other exporters in shared/", () => {
  test.each(files)("%s decodes to the same content after encoding", (path) => {
    const first = decodeModel(readFileSync(path));
    expect(decodeModel(encodeModel(first))).toEqual(first);
  });
});
