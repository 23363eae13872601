import { expect, test } from "vitest";

import { ago, count, exact } from "./format";

const now = Date.parse("2026-12-01T12:00:00Z");

test.each([
  ["2026-12-01T11:59:30Z", "just now"],
  ["2026-12-01T12:00:30Z", "in less than a minute"],
  ["2026-12-01T11:58:40Z", "1 minute ago"],
  ["2026-12-01T11:00:30Z", "1 hour ago"],
  ["2026-12-01T15:59:59Z", "in 4 hours"],
  ["2026-11-30T11:00:00Z", "yesterday"],
  ["2026-10-01T11:00:00Z", "2 months ago"],
  ["2024-10-01T11:00:00Z", "2 years ago"],
])("%s is %s", (time, words) => {
  expect(ago(time, now)).toBe(words);
});

test("what is no time has no words", () => {
  expect(ago(null, now)).toBeUndefined();
  expect(ago("soon", now)).toBeUndefined();
  expect(exact("soon")).toBeUndefined();
});

test("numbers agree with their nouns", () => {
  expect([count(0, "host"), count(1, "host"), count(1200, "host")]).toEqual(["0 hosts", "1 host", "1,200 hosts"]);
});
