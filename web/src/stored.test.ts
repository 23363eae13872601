import { expect, test } from "vitest";

import { Stored } from "./stored";

function store(): Pick<Storage, "getItem" | "setItem" | "removeItem"> {
  const kept = new Map<string, string>();
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  };
}

test("the last used host is the first, once, for each person", () => {
  const stored = new Stored(store());
  stored.use("alice", "db1");
  stored.use("alice", "db2");
  expect(stored.use("alice", "db1")).toEqual(["db1", "db2"]);
  expect(stored.recent("alice")).toEqual(["db1", "db2"]);
  expect(stored.recent("bob")).toEqual([]);
});

test("there is an end to it", () => {
  const stored = new Stored(store());
  for (let n = 0; n < 50; n += 1) {
    stored.use("alice", `db${n}`);
  }
  expect(stored.recent("alice")).toHaveLength(20);
});

test("what others have written there does no harm", () => {
  const kept = store();
  const stored = new Stored(kept);
  for (const text of ["", "{", "null", '{"a":1}', '[1, null, "db1"]']) {
    kept.setItem("rproxy.recent.alice", text);
    expect(stored.recent("alice").every((name) => name === "db1")).toBe(true);
  }
  kept.setItem("rproxy.theme", "purple");
  expect(stored.theme).toBe("system");
});

test("a browser that keeps nothing works", () => {
  const closed = { getItem: () => { throw new Error(); }, setItem: () => { throw new Error(); }, removeItem: () => { throw new Error(); } };
  for (const stored of [new Stored(undefined), new Stored(closed)]) {
    stored.theme = "dark";
    expect(stored.theme).toBe("system");
    expect(stored.use("alice", "db1")).toEqual(["db1"]);
    expect(stored.recent("alice")).toEqual([]);
  }
});
