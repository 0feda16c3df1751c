/** Writes `api/commands.md` from the option specs of the CLI, and `api/errors.md` from the error classes of the packages. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { type CommandTable, commands, EXIT_CODES, type OptionSpec } from "@seg/cli";
import ts from "typescript";

const root = fileURLToPath(new URL("..", import.meta.url));
const api = join(root, "docs/api");

const cell = (text: string): string =>
  text.replaceAll("|", "\\|").replaceAll("<", "&lt;").replaceAll("{{", "&lbrace;{").replaceAll(/\s+/g, " ").trim();

function takes({ type, choices, range, path }: OptionSpec): string {
  if (choices !== undefined) return choices.join(", ");
  if (path !== undefined) return path;
  if (type === "list") return "one or more words";
  if (type === "boolean") return "";
  if (type === "string") return "text";
  const { integer = false, min, max, above, below, multipleOf } = range ?? {};
  const bounds = [
    ...(min === undefined ? [] : [`>= ${min}`]),
    ...(above === undefined ? [] : [`> ${above}`]),
    ...(max === undefined ? [] : [`<= ${max}`]),
    ...(below === undefined ? [] : [`< ${below}`]),
    ...(multipleOf === undefined ? [] : [`multiple of ${multipleOf}`]),
  ];
  return [integer ? "whole number" : "number", ...bounds].join(", ");
}

function optionRow([name, spec]: [string, OptionSpec]): string {
  const also =
    (spec.aliases ?? []).length === 0 ? "" : ` (also ${spec.aliases!.map((alias) => `\`--${alias}\``).join(", ")})`;
  const fallback = spec.required
    ? "required"
    : spec.fallback === undefined
      ? cell(String(spec.usual ?? ""))
      : `\`${spec.fallback}\``;
  return `| \`--${name}\` | ${cell(takes(spec))} | ${cell(spec.help)}${also} | ${fallback} |`;
}

async function commandPages(table: CommandTable, path: readonly string[]): Promise<string[]> {
  const parts: string[] = [];
  for (const [name, command] of Object.entries(table)) {
    const words = [...path, name];
    if ("subcommands" in command) {
      parts.push(...(await commandPages(command.subcommands, words)));
      continue;
    }
    const { options } = await command.load();
    const usage = [...words, ...(command.positional === undefined ? [] : [command.positional]), "[options]"].join(" ");
    parts.push(
      `## ${words.join(" ")}\n\n${command.summary[0]!.toUpperCase()}${command.summary.slice(1)}.\n\n\`\`\`sh\n${usage}\n\`\`\``,
    );
    const groups = new Map<string, string[]>();
    for (const entry of Object.entries(options)) {
      const group = entry[1].group ?? "Options";
      groups.set(group, [...(groups.get(group) ?? []), optionRow(entry)]);
    }
    for (const [group, rows] of groups) {
      const heading = groups.size === 1 ? "" : `**${group}**\n\n`;
      parts.push(`${heading}| option | takes | what | default |\n|---|---|---|---|\n${rows.join("\n")}`);
    }
    for (const note of command.notes ?? []) parts.push(cell(note));
    if (command.examples !== undefined) {
      parts.push(`\`\`\`sh\n${command.examples.map((example) => `seg ${example}`).join("\n")}\n\`\`\``);
    }
  }
  return parts;
}

interface ErrorRow {
  readonly code: string;
  readonly name: string;
  readonly when: string;
}

const literal = (node: ts.Node): string | null => (ts.isStringLiteral(node) ? node.text : null);

/** The first sentence of the comment above a node. */
function comment(node: ts.Node): string {
  const doc = ts.getJSDocCommentsAndTags(node).find(ts.isJSDoc);
  const text = typeof doc?.comment === "string" ? doc.comment : (ts.getTextOfJSDocComment(doc?.comment) ?? "");
  return text.replaceAll(/\{@link ([^}]+)\}/g, "$1").split(/\n\s*\n|\n- |\n\|/)[0]!;
}

/** Codes that a file names: literal `code` fields of classes, literals of `...ErrorCode` types, keys of tables of codes, `code:` of errors that are made. */
function errorsOf(file: string): ErrorRow[] {
  const tree = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.ES2022, true);
  const rows: ErrorRow[] = [];
  /** Rows of a table in a comment: `| CODE | when |`. */
  const tableOf = (node: ts.Node): Map<string, string> => {
    const text = ts.getJSDocCommentsAndTags(node).find(ts.isJSDoc)?.getText() ?? "";
    const found = text.matchAll(/^\s*\*?\s*(?:\| *`?([\w/-]+)`? *\| *(.+?) *\||- `([\w/-]+)`: (.+))$/gm);
    return new Map([...found].map(([, code, when, code2, when2]) => [code ?? code2!, when ?? when2!]));
  };
  const visit = (node: ts.Node): void => {
    if (ts.isClassDeclaration(node) && node.name !== undefined) {
      for (const member of node.members) {
        if (!ts.isPropertyDeclaration(member) || member.name.getText() !== "code" || member.initializer === undefined)
          continue;
        const value = ts.isAsExpression(member.initializer) ? member.initializer.expression : member.initializer;
        const code = literal(value);
        if (code !== null) rows.push({ code, name: node.name.text, when: comment(node) });
      }
    }
    if (ts.isTypeAliasDeclaration(node) && /ErrorCode$/.test(node.name.text) && ts.isUnionTypeNode(node.type)) {
      const table = tableOf(node);
      for (const member of node.type.types) {
        const code = ts.isLiteralTypeNode(member) ? literal(member.literal) : null;
        if (code !== null) rows.push({ code, name: node.name.text.replace(/Code$/, ""), when: table.get(code) ?? "" });
      }
    }
    if (ts.isInterfaceDeclaration(node) && /ErrorDetails$/.test(node.name.text)) {
      for (const member of node.members) {
        if (member.name === undefined) continue;
        rows.push({ code: member.name.getText(), name: node.name.text.replace(/Details$/, ""), when: comment(member) });
      }
    }
    if (ts.isVariableDeclaration(node) && node.name.getText() === "HUB_ERROR_STATUS") {
      const object = node.initializer;
      const entries = object !== undefined && ts.isAsExpression(object) ? object.expression : object;
      if (entries !== undefined && ts.isObjectLiteralExpression(entries)) {
        for (const property of entries.properties) {
          if (!ts.isPropertyAssignment(property)) continue;
          const status = property.initializer.getText();
          rows.push({ code: property.name.getText(), name: "HubError", when: `HTTP ${status}. ${comment(property)}` });
        }
      }
    }
    if (ts.isNewExpression(node) && node.expression.getText() === "CommandError") {
      const given = node.arguments?.[0];
      const code =
        given !== undefined && ts.isObjectLiteralExpression(given)
          ? given.properties.find(
              (p): p is ts.PropertyAssignment => ts.isPropertyAssignment(p) && p.name.getText() === "code",
            )
          : undefined;
      const value = code === undefined ? null : literal(code.initializer);
      if (value !== null) rows.push({ code: value, name: "CommandError", when: "" });
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return rows;
}

function errorPage(): string {
  const parts: string[] = [];
  for (const name of readdirSync(join(root, "packages"))) {
    const source = join(root, "packages", name, "src");
    const files = readdirSync(source, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"))
      .map((file) => join(source, file));
    const rows = new Map<string, ErrorRow & { files: Set<string> }>();
    for (const file of files) {
      for (const row of errorsOf(file)) {
        const known = rows.get(row.code);
        if (known === undefined) rows.set(row.code, { ...row, files: new Set([file]) });
        else known.files.add(file);
      }
    }
    if (rows.size === 0) continue;
    const lines = [...rows.values()]
      .sort((a, b) => (a.code < b.code ? -1 : 1))
      .map(({ code, name: error, when, files: at }) => {
        const where = when === "" ? [...at].map((file) => `\`${relative(source, file)}\``).join(", ") : cell(when);
        return `| \`${code}\` | \`${error}\` | ${where} |`;
      });
    parts.push(`## @seg/${name}\n\n| code | class | when, or where it is thrown |\n|---|---|---|\n${lines.join("\n")}`);
  }
  return parts.join("\n\n");
}

const notice = "---\neditLink: false\noutline: 2\n---\n";

async function write(name: string, text: string): Promise<void> {
  const file = join(api, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${notice}\n${text}\n`);
}

const common = "Every command takes `--help`, `--json` (JSON lines on stdout) and `--quiet` (results only).";
const codes = EXIT_CODES.map(([code, meaning]) => `| ${code} | ${meaning} |`).join("\n");
await write(
  "commands.md",
  `# Commands\n\nWritten by a script from the option specifications of \`@seg/cli\` when this site is built. In a checkout, \`seg\` is \`npm run seg --\`.\n\n${common}\n\n| exit code | means |\n|---|---|\n${codes}\n\n${(await commandPages(commands, ["seg"])).join("\n\n")}`,
);
await write(
  "errors.md",
  `# Error codes\n\nWritten by a script from the sources when this site is built. Every error of the packages has a \`code\` that stays; match on it, never on the message.\n\n\`\`\`ts\nimport { SegError } from "@seg/coco-dataset";\n\ntry {\n  await loadDataset("annotations.json");\n} catch (error) {\n  if (SegError.isInstance(error) && error.code === "coco/file-not-found") ask(error.message);\n  else throw error;\n}\n\`\`\`\n\n\`isInstance\` looks at a brand, so it holds across ESM and CJS copies of a package. With \`--json\` a command prints \`{"type":"error","code","message"}\`.\n\n${errorPage()}`,
);
