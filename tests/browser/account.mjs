// One's own account: sign-ins and keys are shown and end, the password changes, one signs out.

import assert from "node:assert/strict";

import { focused, known, open, openSignedIn, pictures, signIn, test, until } from "./support.mjs";

await test(async ({ page, expectFailure }) => {
  await openSignedIn(page, "/account", expectFailure);
  await page.getByRole("heading", { level: 1, name: known.name }).waitFor();
  const signIns = page.getByRole("region", { name: "Sign-ins" }).locator("tbody tr");
  const keys = page.getByRole("region", { name: "Keys" }).locator("tbody tr");
  const before = { signIns: await signIns.count(), keys: await keys.count() };
  assert.deepEqual(before, { signIns: known.signIns, keys: known.keys });
  assert.equal(await page.getByText("this one").count(), 1);
  await pictures(page, "account");

  // A sign-in ends, once it is confirmed; the focus stays where it was when it is not.
  const end = page.getByRole("button", { name: /^End the sign-in from / }).first();
  await end.click();
  const dialog = page.getByRole("dialog", { name: "End this sign-in?" });
  await dialog.waitFor();
  await pictures(page, "account-question", { everySize: false });
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  assert.match(await focused(page), /^End the sign-in/);
  assert.equal(await signIns.count(), before.signIns);
  await end.click();
  await page.getByRole("button", { name: "End the sign-in", exact: true }).click();
  await until("the sign-in is gone", async () => (await signIns.count()) === before.signIns - 1);

  // A key is removed.
  await page.getByRole("button", { name: /^Remove the key / }).first().click();
  await page.getByRole("button", { name: "Remove the key", exact: true }).click();
  await until("the key is gone", async () => (await page.getByRole("button", { name: /^Remove the key / }).count()) === before.keys - 1);

  // The password: two different ones are not sent, a wrong one is refused, a right one is changed.
  const next = "another password, quite long";
  const fill = async (now, again) => {
    await page.getByLabel("Password now").fill(now);
    await page.getByLabel("New password", { exact: true }).fill(next);
    await page.getByLabel("New password again").fill(again);
  };
  const change = page.getByRole("button", { name: "Change the password" });
  await fill(known.password, "something else");
  await page.getByText("The two new passwords differ.").waitFor();
  assert.equal(await change.isDisabled(), true);
  await fill("a wrong password", next);
  expectFailure(403, "/api/v1/account/password");
  await change.click();
  await page.getByRole("alert").waitFor();
  await fill(known.password, next);
  await change.click();
  await page.getByText("The password is changed. Your other sign-ins have ended.").waitFor();

  // The sign-in of this page goes on.
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await page.getByText("You have signed out in this browser.").waitFor();
  await pictures(page, "signed-out", { everySize: false });
  expectFailure(401, "/api/v1/session");
  await open(page, "/account");
  await signIn(page, { password: next });
  await page.getByRole("button", { name: "Sign out everywhere" }).click();
  const everywhere = page.getByRole("dialog", { name: "Sign out everywhere?" });
  await everywhere.getByRole("button", { name: "Sign out everywhere" }).click();
  await page.getByText("You have signed out everywhere.").waitFor();
});
