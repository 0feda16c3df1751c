// { specifier: { file, names } | { error } } through require.
const { pathToFileURL } = require("node:url");

const found = {};
for (const specifier of process.argv.slice(2)) {
  try {
    const names = Object.keys(require(specifier)).sort();
    found[specifier] = { file: pathToFileURL(require.resolve(specifier)).href, names };
  } catch (error) {
    found[specifier] = { error: String(error?.stack ?? error) };
  }
}
console.log(JSON.stringify(found));
