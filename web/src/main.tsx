import { render } from "preact";

import { Api } from "./api";
import { App } from "./app";
import { browserStore, Stored } from "./stored";
import "./style.css";
import { applyTheme } from "./theme";

const stored = new Stored(browserStore());
applyTheme(stored.theme);

const root = document.getElementById("app");
if (root !== null) {
  render(<App api={new Api()} stored={stored} />, root);
}
