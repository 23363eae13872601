// Signing in: by the keyboard, with the API's words for what is wrong, back to where one wanted to go.

import assert from "node:assert/strict";

import { focused, known, open, pictures, signIn, test, until, weigh } from "./support.mjs";

await test(async ({ page, expectFailure }) => {
  expectFailure(401, "/api/v1/session");
  await weigh(page, "/sign-in");

  // Who wants to go to a page is asked to sign in first.
  expectFailure(401, "/api/v1/session");
  await open(page, "/account");
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  assert.equal(new URL(page.url()).pathname + new URL(page.url()).search, "/sign-in?then=%2Faccount");

  // What browsers and password managers fill in.
  const names = await page.locator("form input").evaluateAll((all) => all.map((input) => input.autocomplete));
  assert.deepEqual(names, ["username", "current-password", "one-time-code"]);
  await until("the name has the focus", async () => (await focused(page)) === "Name");
  await pictures(page, "sign-in");

  // A wrong password.
  expectFailure(401, "/api/v1/session");
  await signIn(page, { password: "a wrong password", code: known.wrongCode });
  const alert = page.getByRole("alert");
  await alert.waitFor();
  assert.match(await alert.innerText(), /\w+ .*\./);
  assert.equal(await page.getByLabel("One-time code").inputValue(), "");
  assert.equal(await focused(page), "Password");
  await pictures(page, "sign-in-refused", { everySize: false });

  // By the keyboard alone: from the password on, which is selected.
  await page.keyboard.type(known.password);
  await page.keyboard.press("Tab");
  await page.keyboard.type(known.code);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: known.name }).waitFor();
  assert.equal(new URL(page.url()).pathname, "/account");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "content", "the focus is at the new page");

  // The cookie is none that a page, a request without TLS or another site gets.
  const cookies = await page.context().cookies();
  assert.equal(cookies.length, 1);
  const [cookie] = cookies;
  if (known.url.startsWith("https:")) {
    assert.deepEqual(
      [cookie.name, cookie.path, cookie.secure, cookie.httpOnly, cookie.sameSite],
      ["__Host-rproxy-session", "/", true, true, "Strict"],
    );
  }
  assert.equal(await page.evaluate(() => document.cookie), "");

  // Who has signed in needs no page for it.
  await open(page, "/sign-in");
  await page.getByRole("heading", { level: 1, name: "Hosts" }).waitFor();
});
