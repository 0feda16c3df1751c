import { describe, expect, test } from "vitest";
import {
  assertModel,
  CheckFailedError,
  checkModel,
  DataType,
  decodeModel,
  encodeModel,
  GraphBuilder,
  type IssueCode,
  type Model,
  type Node,
  type Tensor,
} from "./index.js";

function good(): Model {
  const b = new GraphBuilder();
  const x = b.input("x", DataType.FLOAT, [1, 2]);
  const w = b.initializer("w", DataType.FLOAT, [2], new Float32Array([1, 2]));
  const [y] = b.node("Mul", [x, w], { name: "mul", outputs: ["m"] });
  const [z] = b.node("Relu", [y!], { name: "relu", outputs: ["z"] });
  b.output(z!, DataType.FLOAT, [1, 2]);
  return b.build();
}

const withNodes = (nodes: Node[]): Model => {
  const model = good();
  return { ...model, graph: { ...model.graph, nodes } };
};
const withTensor = (tensor: Partial<Tensor>): Model => {
  const model = good();
  return { ...model, graph: { ...model.graph, initializers: [{ ...model.graph.initializers[0]!, ...tensor }] } };
};
const external = (entries: Record<string, string>): Model => {
  const model = withTensor({ externalData: Object.entries(entries).map(([key, value]) => ({ key, value })) });
  delete model.graph.initializers[0]!.rawData;
  return model;
};
const [mul, relu] = good().graph.nodes as [Node, Node];

describe("checkModel", () => {
  test("a good model has no issues", () => expect(checkModel(good())).toEqual([]));

  test.each<[IssueCode, string, Model]>([
    ["not-sorted", "m", withNodes([relu, mul])],
    ["duplicate-value", "z", withNodes([mul, relu, { ...relu, name: "again" }])],
    ["duplicate-value", "x", withNodes([mul, relu, { ...relu, name: "again", outputs: ["x"] }])],
    ["unknown-input", "nothing", withNodes([mul, { ...relu, inputs: ["nothing"] }])],
    ["unknown-output", "z", withNodes([mul])],
    ["missing-opset", "com.microsoft", withNodes([mul, { ...relu, domain: "com.microsoft", opType: "Gelu" }])],
    ["tensor-size", "w", withTensor({ dims: [3] })],
    ["tensor-size", "w", withTensor({ dataType: 99 })],
    ["tensor-size", "w", withTensor({ dims: [-2] })],
    ["tensor-size", "w", withTensor({ dataType: DataType.STRING, strings: [] })],
    ["tensor-size", "w", external({ location: "a.data", length: "9" })],
    ["tensor-size", "w", external({ location: "a.data", offset: "-1" })],
    ["external-path", "w", external({ location: "../a.data" })],
    ["external-path", "w", external({ location: "a/../../b" })],
    ["external-path", "w", external({ location: "/etc/passwd" })],
    ["external-path", "w", external({ location: "C:/a" })],
    ["external-path", "w", external({ location: "a\\b" })],
    ["external-path", "w", external({})],
  ])("%s of %s", (code, subject, model) => {
    const issues = checkModel(model);
    expect(issues.map((issue) => ({ code: issue.code, subject: issue.subject, severity: issue.severity }))).toEqual([
      { code, subject, severity: "error" },
    ]);
  });

  test.each<[IssueCode, string, Model]>([
    ["empty-node-name", "Relu#1", withNodes([mul, { ...relu, name: "" }])],
    ["duplicate-node-name", "mul", withNodes([mul, { ...relu, name: "mul" }])],
  ])("%s at %s", (code, node, model) => {
    expect(checkModel(model)).toMatchObject([{ code, node, severity: "error" }]);
  });

  test("an unused opset import is a warning", () => {
    const model = good();
    const issues = checkModel({ ...model, opsetImport: [...model.opsetImport, { domain: "a.b", version: 1 }] });
    expect(issues).toMatchObject([{ code: "unused-opset", severity: "warning", subject: "a.b" }]);
  });

  test.each([
    [7, 17, true],
    [8, 17, false],
    [8, 18, false],
    [8, 19, true],
    [9, 20, false],
    [9, 21, true],
    [10, 21, false],
    [3, 8, false],
    [3, 9, true],
    [12, 25, true],
  ])("IR %i with opset %i: mismatch %s", (irVersion, version, mismatch) => {
    const codes = checkModel({ ...good(), irVersion, opsetImport: [{ domain: "", version }] }).map(({ code }) => code);
    expect(codes).toEqual(mismatch ? ["ir-opset-mismatch"] : []);
  });

  test("graph inputs and outputs need a type", () => {
    const model = good();
    const graph = { ...model.graph, inputs: [{ name: "x", dataType: 0 }], outputs: [{ name: "z", dataType: 0 }] };
    const issues = checkModel({ ...model, graph });
    expect(issues.map(({ code, subject }) => [code, subject])).toEqual([
      ["io-without-type", "x"],
      ["io-without-type", "z"],
    ]);
  });

  test("an attribute without a type, as old exporters wrote it, is found", () => {
    const raw = Buffer.from("2a050a01611801", "hex"); // attribute { name: "a", i: 1 }
    const model = decodeModel(encodeModel(withNodes([mul, { ...relu, unknown: [raw] }])));
    expect(checkModel(model)).toMatchObject([{ code: "attribute-without-type", subject: "a", node: "relu" }]);
  });

  test("subgraphs see outer values that were produced before them, not later ones", () => {
    const branch = (value: string) => {
      const b = new GraphBuilder("branch");
      b.output(b.node("Identity", [value], { name: `use ${value}`, outputs: [`${value} copy`] })[0]!);
      return b.graph();
    };
    const build = (value: string) => {
      const b = new GraphBuilder();
      const c = b.input("c", DataType.BOOL, []);
      const x = b.input("x", DataType.FLOAT, [1]);
      const [y] = b.node("If", [c], {
        attributes: { then_branch: { graph: branch(value) }, else_branch: { graph: branch("x") } },
      });
      const [late] = b.node("Relu", [x], { outputs: ["late"] });
      b.output(y!, DataType.FLOAT);
      b.output(late!, DataType.FLOAT);
      return b.build();
    };
    expect(checkModel(build("c"))).toEqual([]);
    expect(checkModel(build("late")).map(({ code }) => code)).toContain("not-sorted");
    expect(checkModel(build("nowhere")).map(({ code }) => code)).toContain("unknown-input");
  });

  test("all findings are returned, and assertModel throws the errors", () => {
    const model = withNodes([{ ...relu, name: "", inputs: ["gone"] }]);
    const bad = { ...model, irVersion: 3, opsetImport: [...model.opsetImport, { domain: "a.b", version: 1 }] };
    const codes = checkModel(bad).map(({ code }) => code);
    expect(codes.sort()).toEqual(["empty-node-name", "ir-opset-mismatch", "unknown-input", "unused-opset"]);
    let caught: unknown;
    try {
      assertModel(bad);
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(CheckFailedError);
    expect((caught as CheckFailedError).code).toBe("CHECK_FAILED");
    expect((caught as CheckFailedError).issues).toHaveLength(3);
    expect(() => assertModel(good())).not.toThrow();
  });
});
