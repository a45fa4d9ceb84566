// Bundle src into the files that the wheel carries: one classic script, one style sheet, one page.
import { copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const out = process.argv[2] ?? "../python/plsync/ui/static";
const MOST_BYTES = 150_000;

mkdirSync(out, { recursive: true });
await build({
  entryPoints: { app: "src/main.tsx" },
  bundle: true,
  minify: true,
  format: "iife",
  target: ["chrome123", "firefox120", "safari17.5"],
  charset: "utf8",
  legalComments: "none",
  // Shorter than the automatic runtime by 7 KB.
  inject: ["src/jsx.ts"],
  // The minified file of uPlot is smaller than the one that esbuild makes of its module.
  banner: { js: readFileSync("node_modules/uplot/dist/uPlot.iife.min.js", "utf8").replace(/^\/\*.*?\*\/\s*/s, "") },
  outdir: out,
  logLevel: "warning",
});
await build({
  entryPoints: { app: "src/styles/app.css" },
  bundle: true,
  minify: true,
  target: ["chrome123", "firefox120", "safari17.5"],
  outdir: out,
  logLevel: "warning",
});
for (const name of ["index.html", "favicon.svg"]) copyFileSync(`src/${name}`, `${out}/${name}`);

writeFileSync(`${out}/licences.txt`, licences());

const size = statSync(`${out}/app.js`).size;
console.log(`${out}/app.js: ${size} bytes`);
if (size > MOST_BYTES) {
  console.error(`app.js has more than ${MOST_BYTES} bytes`);
  process.exit(1);
}

/** The notices that the licences of the bundled packages require. */
function licences() {
  const { dependencies } = JSON.parse(readFileSync("package.json", "utf8"));
  const texts = Object.entries(dependencies).map(
    ([name, version]) => `${name} ${version}\n\n${readFileSync(`node_modules/${name}/LICENSE`, "utf8").trim()}\n`,
  );
  return texts.join(`\n${"-".repeat(72)}\n\n`);
}
