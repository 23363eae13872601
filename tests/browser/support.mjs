// What every test in a browser needs: Chromium, a page that may do nothing that a page must not do, pictures
// of it, and axe. A test is a program that fails; tests/e2e/browser.rs starts it with what it has to know as
// JSON in RPROXY_BROWSER.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const require = createRequire(new URL("../../web/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const axeSource = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

/** What the test has to know: `url`, `chromium`, `pictures`, `name`, `password`, and what is its own. */
export const known = JSON.parse(process.env.RPROXY_BROWSER);

/** A page load has this many bytes at most, compressed, as they come over the network. */
const MAX_WEIGHT = 300 * 1024;
/** Longest wait for anything, in milliseconds: for machines with much else to do. */
const PATIENCE = 30_000;

const sizes = [
  ["360", { width: 360, height: 740 }],
  ["1280", { width: 1280, height: 800 }],
  ["4k", { width: 3840, height: 2160 }],
];

/** Runs a test with a browser of its own. It fails too if a page broke its policy, spoke with others or logged an error. */
export async function test(run) {
  const profile = mkdtempSync(join(tmpdir(), "rproxy-browser-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: known.chromium,
    headless: true,
    ignoreHTTPSErrors: true,
    viewport: { width: 1280, height: 800 },
    permissions: ["clipboard-read", "clipboard-write"],
    // What a browser asks others for by itself, it must not ask here.
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--disable-dev-shm-usage",
    ],
  });
  try {
    context.setDefaultTimeout(PATIENCE);
    const page = context.pages()[0] ?? (await context.newPage());
    const watched = watch(context, page);
    await run({ context, page, expectFailure: watched.expectFailure });
    assert.deepEqual(await watched.faults(), [], "the page did what a page must not do");
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

/** Collects what must not happen. Answers that a test expects to fail are named by it: Chromium logs them as errors. */
function watch(context, page) {
  const faults = [];
  const expected = [];
  const origin = new URL(known.url).origin;
  const isOurs = (url) => url.startsWith(`${origin}/`) || url.startsWith("data:") || url.startsWith("blob:");
  context.on("request", (request) => {
    if (!isOurs(request.url())) {
      faults.push(`request to ${request.url()}`);
    }
  });
  context.on("requestfailed", (request) => {
    const why = request.failure()?.errorText;
    // A page that is left stops asking.
    if (why !== "net::ERR_ABORTED") {
      faults.push(`${request.url()}: ${why}`);
    }
  });
  context.on("weberror", (error) => faults.push(`exception: ${error.error()}`));
  context.on("console", (message) => {
    if (message.type() !== "error" && message.type() !== "warning") {
      return;
    }
    const place = message.location().url;
    const at = expected.findIndex(({ status, path }) => message.text().includes(`status of ${status}`) && place === origin + path);
    if (at >= 0) {
      expected.splice(at, 1);
    } else {
      faults.push(`console: ${message.text()} (${place})`);
    }
  });
  const violations = page.addInitScript(() => {
    globalThis.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => {
      globalThis.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`);
    });
  });
  return {
    expectFailure: (status, path) => expected.push({ status, path }),
    faults: async () => {
      await violations;
      const here = await page.evaluate(() => globalThis.violations ?? []);
      const missed = expected.map(({ status, path }) => `${path} was not answered with ${status}`);
      return [...faults, ...here, ...missed];
    },
  };
}

/** Goes to a page of the interface. */
export async function open(page, path) {
  return await page.goto(known.url + path, { waitUntil: "load" });
}

/** Fills in the form for signing in, and sends it. */
export async function signIn(page, { name = known.name, password = known.password, code = "" } = {}) {
  await page.getByLabel("Name", { exact: true }).fill(name);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByLabel("One-time code").fill(code);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** Opens a page as somebody who has signed in. */
export async function openSignedIn(page, path, expectFailure) {
  expectFailure(401, "/api/v1/session");
  await open(page, path);
  await signIn(page);
  await page.getByRole("navigation", { name: "Pages" }).waitFor();
}

/**
 * Pictures of the page as it is, in both themes, and in every size or only the usual ones; nothing of it is
 * wider than the window.
 */
export async function pictures(page, name, { everySize = true } = {}) {
  mkdirSync(known.pictures, { recursive: true });
  for (const theme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
    for (const [size, viewport] of everySize ? sizes : sizes.slice(0, 2)) {
      await page.setViewportSize(viewport);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${name} is ${wide} pixels too wide at ${size}`);
      await page.screenshot({ path: join(known.pictures, `${name}-${theme}-${size}.png`), animations: "disabled" });
    }
    await page.setViewportSize({ width: 1280, height: 800 });
    await accessible(page, `${name}, ${theme}`);
  }
  await page.emulateMedia({ colorScheme: null, reducedMotion: null });
}

/** axe finds nothing serious or critical. */
async function accessible(page, name) {
  // Evaluated by the browser's debugger, which the page's policy does not hold for.
  await page.evaluate(axeSource);
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const grave = found.violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html).join(" ")}`);
  assert.deepEqual(grave, [], name);
}

/** Loads a page with nothing in any cache, and counts what comes over the network. */
export async function weigh(page, path) {
  const cdp = await page.context().newCDPSession(page);
  let bytes = 0;
  await cdp.send("Network.enable");
  await cdp.send("Network.setCacheDisabled", { cacheDisabled: true });
  cdp.on("Network.loadingFinished", ({ encodedDataLength }) => {
    bytes += encodedDataLength;
  });
  await page.goto(known.url + path, { waitUntil: "networkidle" });
  await cdp.send("Network.setCacheDisabled", { cacheDisabled: false });
  await cdp.detach();
  console.log(`${path}: ${bytes} bytes`);
  assert.ok(bytes > 1024 && bytes < MAX_WEIGHT, `${path} weighs ${bytes} bytes`);
}

/** What has the focus, by the name that a screen reader says. */
export async function focused(page) {
  return await page.evaluate(() => {
    const at = document.activeElement;
    return at?.getAttribute("aria-label") ?? at?.labels?.[0]?.textContent ?? at?.textContent ?? "";
  });
}

/** Waits until this holds. */
export async function until(what, look) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    if (await look()) {
      return;
    }
    assert.ok(Date.now() < end, `not so after ${PATIENCE / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
