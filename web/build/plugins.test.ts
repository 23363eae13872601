import { expect, test } from "vitest";

import { notice, packageOf } from "./plugins";

test("a bundled module belongs to the innermost package", () => {
  expect(packageOf("/w/web/node_modules/preact/dist/preact.mjs")).toBe("/w/web/node_modules/preact");
  expect(packageOf("/w/node_modules/@a/b/c.js?x")).toBe("/w/node_modules/@a/b");
  expect(packageOf("/w/node_modules/a/node_modules/b/c.js")).toBe("/w/node_modules/a/node_modules/b");
  expect(packageOf("/w/web/src/main.tsx")).toBeUndefined();
});

test("a notice has the licence word for word", () => {
  const text = notice("node_modules/preact");
  expect(text).toMatch(/^preact \d+\.\d+\.\d+ \(MIT\)\n/);
  expect(text).toContain("Permission is hereby granted, free of charge");
});
