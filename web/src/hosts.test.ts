import { describe, expect, test } from "vitest";

import type { Host } from "./api";
import { command, found, isPattern, labelCounts, matches, type Filter } from "./hosts";

const host = (name: string, labels: Record<string, string> = {}, rest: Partial<Host> = {}): Host => ({
  name,
  labels,
  logins: ["deploy"],
  state: "online",
  ...rest,
});

const hosts = [
  host("db10", { env: "prod", tier: "db" }),
  host("db2", { env: "staging", tier: "db" }, { state: "offline" }),
  host("web1", { env: "prod", tier: "web" }, { logins: ["root", "www"] }),
  host("alone", {}, { state: null }),
];

const names = (filter: Partial<Filter>, recent: string[] = []): string[] =>
  found(hosts, { words: "", labels: new Set(), onlineOnly: false, ...filter }, recent).map(({ name }) => name);

describe("found", () => {
  test("everything, by name as people count", () => {
    expect(names({})).toEqual(["alone", "db2", "db10", "web1"]);
  });

  test("recently used ones come first, in their order; unknown ones are passed over", () => {
    expect(names({}, ["web1", "gone", "db10"])).toEqual(["web1", "db10", "alone", "db2"]);
  });

  test("every word has to be there: in the name, a label or a login", () => {
    expect(names({ words: " DB  prod" })).toEqual(["db10"]);
    expect(names({ words: "www" })).toEqual(["web1"]);
    expect(names({ words: "tier=web" })).toEqual(["web1"]);
    expect(names({ words: "nothing" })).toEqual([]);
  });

  test("one value of each key", () => {
    expect(names({ labels: new Set(["env=prod"]) })).toEqual(["db10", "web1"]);
    expect(names({ labels: new Set(["env=prod", "env=staging"]) })).toEqual(["db2", "db10", "web1"]);
    expect(names({ labels: new Set(["env=prod", "tier=db"]) })).toEqual(["db10"]);
  });

  test("a value may have an equals sign", () => {
    const odd = host("odd", { filter: "a=b" });
    const filter = { words: "", labels: new Set(["filter=a=b"]), onlineOnly: false };
    expect(found([odd], filter, [])).toEqual([odd]);
  });

  test("online only", () => {
    expect(names({ onlineOnly: true })).toEqual(["db10", "web1"]);
  });
});

describe("labelCounts", () => {
  test("counts what tells hosts apart", () => {
    const both = [host("a", { dc: "x", env: "prod" }), host("b", { dc: "x" })];
    expect(labelCounts(both, new Set(), 9)).toEqual([{ label: "env=prod", count: 1 }]);
  });

  test("chosen ones stay, also beyond the limit and without hosts", () => {
    expect(labelCounts(hosts, new Set(["env=gone", "tier=web"]), 2)).toEqual([
      { label: "env=gone", count: 0 },
      { label: "tier=web", count: 1 },
    ]);
  });
});

describe("logins", () => {
  test("patterns are recognised and matched whole", () => {
    expect(isPattern("deploy")).toBe(false);
    expect(isPattern("app-*")).toBe(true);
    expect(matches("app-*", "app-1")).toBe(true);
    expect(matches("app-*", "xapp-1")).toBe(false);
    expect(matches("a?", "ab")).toBe(true);
    expect(matches("a.c", "abc")).toBe(false);
  });

  test("a command is one word for a shell", () => {
    expect(command("deploy", "db1")).toBe("ssh deploy@db1");
    expect(command("a b", "db1")).toBe("ssh 'a b@db1'");
    expect(command("x'; rm -rf ~", "db1")).toBe("ssh 'x'\\''; rm -rf ~@db1'");
    expect(command("-oProxyCommand=x", "db1")).toBe("ssh -- '-oProxyCommand=x@db1'");
  });
});
