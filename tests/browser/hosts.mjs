// Hosts: search, filters, keys, how to connect; what was used comes first the next time.

import assert from "node:assert/strict";

import { focused, known, open, openSignedIn, pictures, test, until, weigh } from "./support.mjs";

const names = async (page) => await page.locator(".row .name").allInnerTexts();

/** The picture of the README. */
async function keep(page) {
  await page.getByRole("searchbox").fill("");
  await page.setViewportSize({ width: 960, height: 520 });
  await page.screenshot({ path: known.keep, animations: "disabled" });
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.getByRole("searchbox").fill(known.search.words);
}

await test(async ({ page, expectFailure }) => {
  await openSignedIn(page, "/", expectFailure);
  await page.getByRole("heading", { level: 1, name: "Hosts" }).waitFor();
  await page.getByRole("list", { name: "Hosts" }).waitFor();
  const all = await names(page);
  assert.deepEqual(all, known.hosts);
  assert.ok((await page.title()).startsWith("Hosts · "));
  await pictures(page, "hosts");

  // The search, by its key.
  await page.keyboard.press("/");
  assert.equal(await focused(page), "Search by name, label or login");
  await page.keyboard.type(known.search.words);
  await until("the search has an effect", async () => (await names(page)).length < all.length);
  assert.deepEqual(await names(page), known.search.hosts);

  // Down to the first host, Enter shows how to connect, and the copy is what it shows.
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  const copy = page.getByRole("button", { name: /^Copy ssh / }).first();
  await copy.waitFor();
  assert.equal(await page.locator(".row-button").first().getAttribute("aria-expanded"), "true");
  await pictures(page, "hosts-open", { everySize: false });
  if (known.keep) {
    await keep(page);
  }
  await copy.click();
  await page.getByText("Copied").first().waitFor();
  const command = await page.locator(".command code").first().innerText();
  assert.equal(command, known.search.command);
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), command);

  // Up again leads to the search, Escape empties it.
  await page.locator(".row-button").first().focus();
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Escape");
  assert.deepEqual(await names(page), all);

  // A label as a filter: pressed, its hosts, and all of them again.
  const chip = page.getByRole("button", { name: known.label.chip });
  await chip.click();
  assert.equal(await chip.getAttribute("aria-pressed"), "true");
  assert.deepEqual(await names(page), known.label.hosts);
  await page.getByRole("button", { name: "Clear" }).click();
  assert.deepEqual(await names(page), all);

  await page.getByRole("searchbox").fill("no such host anywhere");
  await page.getByText("No host fits.").waitFor();
  await pictures(page, "hosts-none", { everySize: false });

  // The host whose command was copied comes first from now on.
  await weigh(page, "/");
  await page.getByRole("list", { name: "Hosts" }).waitFor();
  const used = known.search.hosts[0];
  assert.deepEqual(await names(page), [used, ...all.filter((name) => name !== used)]);

  // The switch is kept, whatever the system says.
  await page.emulateMedia({ colorScheme: "light" });
  const ground = async () => await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.getByRole("radio", { name: "Dark" }).check({ force: true });
  assert.notEqual(await ground(), light);
  await open(page, "/");
  await page.getByRole("list", { name: "Hosts" }).waitFor();
  assert.notEqual(await ground(), light);
  assert.equal(await page.getByRole("radio", { name: "Dark" }).isChecked(), true);

  // Software of others is named.
  const notices = await page.request.get(new URL(await page.getByRole("link", { name: "Software of others" }).getAttribute("href"), known.url).href);
  assert.match(await notices.text(), /preact \d+\.\d+\.\d+ \(MIT\)/);
});
