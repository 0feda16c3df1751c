// { specifier: { file, names } | { error } } through import.
const found = {};
for (const specifier of process.argv.slice(2)) {
  try {
    const names = Object.keys(await import(specifier)).sort();
    found[specifier] = { file: import.meta.resolve(specifier), names };
  } catch (error) {
    found[specifier] = { error: String(error?.stack ?? error) };
  }
}
console.log(JSON.stringify(found));
