// esbuild adds these names to each file with elements.
export { Fragment, h } from "preact";
