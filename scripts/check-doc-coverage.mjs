// Every symbol that a package exports has a TSDoc comment. Reads syntax trees only, no types: a second for all packages.
import { existsSync, readFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import ts from "typescript";
import { entryPoints } from "../docs/entry-points.mjs";
import { ROOT } from "./doc-texts.mjs";

const trees = new Map();
function treeOf(file) {
  if (!trees.has(file)) {
    trees.set(file, ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.ES2022, true));
  }
  return trees.get(file);
}

/** The source file behind a relative specifier, null for other packages (they document their own symbols). */
function sourceOf(from, specifier) {
  if (!specifier.startsWith(".")) return null;
  const base = resolve(dirname(from), specifier);
  const candidates = [base.replace(/\.js$/, ".ts"), base.replace(/\.js$/, ".tsx"), base];
  return candidates.find((file) => existsSync(file)) ?? null;
}

const isExported = (node) => node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) ?? false;
const names = (pattern) =>
  ts.isIdentifier(pattern)
    ? [pattern.text]
    : pattern.elements.flatMap((e) => (ts.isOmittedExpression(e) ? [] : names(e.name)));

/** Names that a file declares at its top level, each with its declarations. */
function declarationsOf(file) {
  const found = new Map();
  const add = (name, node, exported) => {
    const known = found.get(name) ?? { nodes: [], exported: false };
    known.nodes.push(node);
    known.exported ||= exported;
    found.set(name, known);
  };
  for (const node of treeOf(file).statements) {
    if (ts.isVariableStatement(node)) {
      for (const { name } of node.declarationList.declarations) {
        for (const each of names(name)) add(each, node, isExported(node));
      }
    } else if ("name" in node && node.name !== undefined && ts.isIdentifier(node.name)) {
      add(node.name.text, node, isExported(node));
    }
  }
  return found;
}

const isDocumented = (nodes) =>
  nodes.some((node) =>
    ts.getJSDocCommentsAndTags(node).some((doc) => ts.isJSDoc(doc) && (doc.comment?.length ?? 0) > 0),
  );

/** What `file` exports: name -> where it is declared and whether a comment stands there. */
function exportsOf(file, seen = new Set()) {
  const result = new Map();
  if (seen.has(file)) return result;
  seen.add(file);
  const declared = declarationsOf(file);
  const imported = new Map();
  for (const node of treeOf(file).statements) {
    if (!ts.isImportDeclaration(node)) continue;
    const bindings = node.importClause?.namedBindings;
    if (bindings === undefined) continue;
    const from = node.moduleSpecifier.text;
    if (ts.isNamespaceImport(bindings)) imported.set(bindings.name.text, { from, name: null });
    else for (const e of bindings.elements) imported.set(e.name.text, { from, name: (e.propertyName ?? e.name).text });
  }
  const take = (name, from, original) => {
    const source = sourceOf(file, from);
    if (source === null) return;
    if (original === null) result.set(name, { file: source, documented: isModuleDocumented(source) });
    else result.set(name, exportsOf(source).get(original) ?? { file: source, documented: false });
  };
  for (const [name, { nodes, exported }] of declared) {
    if (exported) result.set(name, { file, documented: isDocumented(nodes) });
  }
  for (const node of treeOf(file).statements) {
    if (!ts.isExportDeclaration(node)) continue;
    const from = node.moduleSpecifier?.text;
    if (node.exportClause === undefined) {
      const source = sourceOf(file, from);
      if (source !== null) for (const [name, entry] of exportsOf(source, seen)) result.set(name, entry);
    } else if (ts.isNamespaceExport(node.exportClause)) {
      take(node.exportClause.name.text, from, null);
    } else {
      for (const e of node.exportClause.elements) {
        const original = (e.propertyName ?? e.name).text;
        if (from !== undefined) take(e.name.text, from, original);
        else if (declared.has(original)) {
          result.set(e.name.text, { file, documented: isDocumented(declared.get(original).nodes) });
        } else if (imported.has(original)) {
          take(e.name.text, imported.get(original).from, imported.get(original).name);
        }
      }
    }
  }
  return result;
}

/** A namespace is documented by the comment at the top of its file. */
function isModuleDocumented(file) {
  return /^\s*\/\*\*/.test(readFileSync(file, "utf8"));
}

/**
 * Exported symbols of all entry points of all packages.
 * @returns {{ count: number, missing: string[] }} one line a symbol without a comment
 */
export function docCoverage() {
  const missing = new Set();
  let count = 0;
  for (const { name, source } of entryPoints()) {
    for (const [symbol, { file, documented }] of exportsOf(source)) {
      count++;
      if (!documented) missing.add(`${relative(ROOT, file)}: ${symbol} (${name}) has no comment`);
    }
  }
  return { count, missing: [...missing].sort() };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { count, missing } = docCoverage();
  for (const line of missing) console.error(line);
  console.log(`${count} exported symbols, ${missing.length} without a comment`);
  process.exit(missing.length === 0 ? 0 : 1);
}
