// A session that ends while a page is open: the page says so, and goes on where it was.

import assert from "node:assert/strict";

import { focused, known, openSignedIn, pictures, signIn, test, until } from "./support.mjs";

await test(async ({ page, expectFailure }) => {
  await openSignedIn(page, "/", expectFailure);
  await page.getByRole("list", { name: "Hosts" }).waitFor();

  // Somewhere else, the same person signs out everywhere.
  const ended = await page.request.delete(`${known.url}/api/v1/sessions`, { headers: { "rproxy-request": "1" } });
  assert.equal(ended.status(), 204);

  expectFailure(401, "/api/v1/account");
  await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Account" }).click();
  await page.getByRole("heading", { name: "Your session has ended" }).waitFor();
  assert.ok((await page.title()).startsWith("Session ended · "));
  assert.equal(await page.getByLabel("Name", { exact: true }).inputValue(), known.name);
  await until("the password has the focus", async () => (await focused(page)) === "Password");
  await pictures(page, "ended");

  await signIn(page);
  await page.getByRole("heading", { level: 1, name: known.name }).waitFor();
  assert.equal(new URL(page.url()).pathname, "/account");
});
