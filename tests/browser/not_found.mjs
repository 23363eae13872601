// A path at which there is no page, and files that there are not.

import assert from "node:assert/strict";

import { known, open, pictures, test } from "./support.mjs";

await test(async ({ page, expectFailure }) => {
  const path = "/no/such/<page>";
  expectFailure(401, "/api/v1/session");
  expectFailure(404, encodeURI(path));
  const answer = await open(page, encodeURI(path));
  assert.equal(answer.status(), 404);
  await page.getByRole("heading", { name: "There is no such page" }).waitFor();
  await page.getByText("/no/such/").waitFor();
  await pictures(page, "not-found");
  await page.getByRole("link", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();

  for (const missing of ["/assets/nothing.js", "/assets/", "/assets/..%2findex.html"]) {
    const response = await page.request.get(known.url + missing);
    assert.ok([400, 404].includes(response.status()), `${missing}: ${response.status()}`);
  }
});
