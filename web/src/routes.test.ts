import { expect, test } from "vitest";

import { pageAt, signInFrom, wayBack } from "./routes";

test("a path is a page's or none", () => {
  expect(pageAt("/account")).toBe("account");
  expect(pageAt("/account/")).toBeUndefined();
  expect(pageAt("/nothing")).toBeUndefined();
});

test("a sign-in leads back to pages of ours alone", () => {
  expect(wayBack("?then=/account")).toBe("/account");
  for (const search of ["", "?then=//evil.example", "?then=https://evil.example/", "?then=javascript:1", "?then=/sign-in"]) {
    expect(wayBack(search)).toBe("/");
  }
});

test("the way back is kept", () => {
  expect(signInFrom("/account")).toBe("/sign-in?then=%2Faccount");
  expect(wayBack(signInFrom("/account").slice("/sign-in".length))).toBe("/account");
  expect(["/", "/sign-in", "/nothing"].map(signInFrom)).toEqual(["/sign-in", "/sign-in", "/sign-in"]);
});
