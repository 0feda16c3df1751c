import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { analyseTask, domainOfClasses, ollamaModel, readEmphasis } from "./analyse.js";
import { DOMAIN_DISTANCE } from "./facts.js";

describe("readEmphasis", () => {
  test.each([
    ["(scratch)", { scratch: 1.1 }],
    ["((scratch))", { scratch: 1.21 }],
    ["[metal]", { metal: 1 / 1.1 }],
    ["{edge}", { edge: 1.05 }],
    ["(dent:2)", { dent: 2 }],
    ["(deep dent:2.5)", { deep: 2.5, dent: 2.5 }],
    ["([leaf])", {}],
    ["(dent:90)", { dent: 4 }],
    ["(dent:0)", { dent: 0.25 }],
    ["[[[[[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]]]]", { x: 0.25 }],
    ["(dent", {}],
    ["dent) [x", {}],
    ["(dent]", {}],
    ["f(x) = (y:1.5)", { x: 1.1, y: 1.5 }],
  ])("%s", (text, expected) => {
    const { emphasis } = readEmphasis(text);
    expect([...emphasis.keys()].sort()).toEqual(Object.keys(expected).sort());
    for (const [word, factor] of Object.entries(expected)) expect(emphasis.get(word)).toBeCloseTo(factor, 10);
  });

  test("the text stays, without its brackets; unbalanced ones are text", () => {
    expect(readEmphasis("find ((deep) scratches:2) on [metal").plain).toBe("find deep scratches:2 on [metal");
  });

  test("any text: factors within bounds, no crash", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("(", ")", "[", "]", "{", "}", ":", "a", "b", "1", "."), maxLength: 60 }),
        (text) => {
          for (const factor of readEmphasis(text).emphasis.values()) {
            expect(factor).toBeGreaterThanOrEqual(0.25);
            expect(factor).toBeLessThanOrEqual(4);
          }
        },
      ),
    );
  });
});

describe("analyseTask", () => {
  test("concepts by category, intent, distractors", async () => {
    const analysis = await analyseTask(
      "Find ((scratches)) and dents on reflective metal lids on a conveyor belt, dim light",
    );
    expect(analysis).toMatchObject({
      intent: { domain: "industrial", content_type: "defects", quality_level: "standard" },
      source: "rules",
    });
    const categories = Object.fromEntries(analysis.concepts.map(({ text, category }) => [text, category]));
    expect(categories).toMatchObject({
      scratches: "defect",
      dents: "defect",
      metal: "material",
      conveyor: "scene",
      dim: "lighting",
    });
    expect(analysis.concepts.find(({ text }) => text === "scratches")?.emphasis).toBeCloseTo(1.21, 12);
    expect(analysis.negatives).toContain("shadow");
  });

  test("class names are concepts; what is looked for is no distractor", async () => {
    const { concepts, intent, negatives } = await analyseTask("count under the microscope", {
      classNames: ["Red Cell", "debris"],
    });
    expect(concepts.slice(0, 2).map(({ text }) => text)).toEqual(["Red Cell", "debris"]);
    expect(intent.domain).toBe("medical");
    expect(negatives).toEqual(["background", "air bubble"]);
  });

  test("every domain that words can name has a distance", async () => {
    for (const word of ["thermal", "blood", "drone", "invoice", "weeds", "dent", "rendered", "cat"]) {
      expect(DOMAIN_DISTANCE).toHaveProperty((await analyseTask(word)).intent.domain);
    }
  });
});

describe("a language model", () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });
  /** An Ollama that answers `content`, or with a status. */
  async function ollama(content: string, status = 200) {
    const asked: { format?: object; options?: object; messages?: { content: string }[] }[] = [];
    const server = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk) => {
        body += chunk;
      });
      request.on("end", () => {
        asked.push(JSON.parse(body));
        response.writeHead(status, { "content-type": "application/json" });
        response.end(JSON.stringify({ message: { role: "assistant", content } }));
      });
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    return { llm: ollamaModel({ baseUrl: `http://127.0.0.1:${port}`, model: "small" }), asked };
  }
  const good = {
    concepts: [{ text: "wheat ear", category: "object" }],
    domain: "agricultural",
    content_type: "objects",
    quality_level: "high",
    negatives: ["weed"],
  };

  test("is asked for JSON of a schema at temperature 0, and its answer is used", async () => {
    const { llm, asked } = await ollama(JSON.stringify(good));
    const analysis = await analyseTask("(wheat:2) ears", { llm });
    expect(analysis).toEqual({
      concepts: [{ text: "wheat ear", category: "object", emphasis: 2 }],
      intent: { domain: "agricultural", content_type: "objects", quality_level: "high" },
      negatives: ["weed"],
      source: "llm",
    });
    expect(asked[0]).toMatchObject({ format: { type: "object" }, options: { temperature: 0 } });
    expect(asked[0]!.messages![0]!.content).toContain("wheat ears");
  });

  test.each([
    ["garbage", "I think it is about wheat.", 200],
    ["an unknown domain", JSON.stringify({ ...good, domain: "culinary" }), 200],
    ["half an answer", JSON.stringify({ domain: "medical" }), 200],
    ["an error", "{}", 500],
  ])("%s: the rules answer", async (_what, content, status) => {
    const { llm } = await ollama(content, status);
    expect(await analyseTask("weeds in a crop", { llm })).toMatchObject({
      source: "rules",
      intent: { domain: "agricultural" },
    });
  });

  test("not there: the rules answer", async () => {
    const llm = ollamaModel({ baseUrl: "http://127.0.0.1:9", model: "small" });
    expect((await analyseTask("weeds", { llm })).source).toBe("rules");
  });
});

describe("domainOfClasses", () => {
  test("takes names that only one kind of pictures has, and no others", () => {
    expect(domainOfClasses(["RBC", "WBC", "Platelets"])).toBe("medical");
    expect(domainOfClasses(["cell phone", "potted plant"])).toBeNull();
    expect(domainOfClasses(["ear", "defect", "label"])).toBeNull();
    expect(domainOfClasses([])).toBeNull();
  });
});
