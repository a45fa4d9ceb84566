import { render } from "preact";
import { takeToken } from "./api/client";
import { App } from "./app";
import { startKeys } from "./lib/keys";
import { startRouter } from "./lib/router";

takeToken();
// The link of `plsync ui`, opened in a tab that shows the page already.
addEventListener("hashchange", () => takeToken() && location.reload());
startRouter();
startKeys();
const plain = document.getElementById("plain");
if (plain) plain.hidden = true;
render(<App />, document.getElementById("app") as HTMLElement);
