/** Which hosts are shown, and in which order. */

import type { Host } from "./api";

/** What the person looks for. */
export interface Filter {
  /** Words; each has to be in the name, a label or a login. */
  words: string;
  /** Chosen labels (`key=value`): one value of each key has to fit. */
  labels: ReadonlySet<string>;
  onlineOnly: boolean;
}

/** A label as a filter, and how many hosts have it. */
export interface LabelCount {
  /** `key=value`. */
  label: string;
  count: number;
}

const byName = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** Hosts that fit: the recently used ones first, by `recent`; then all others by name (`db2` before `db10`). */
export function found(hosts: readonly Host[], filter: Filter, recent: readonly string[]): Host[] {
  const words = filter.words.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const wanted = byKey(filter.labels);
  const rank = new Map(recent.map((name, at) => [name, at]));
  const place = (host: Host): number => rank.get(host.name) ?? recent.length;
  return hosts
    .filter((host) => fits(host, words, wanted, filter.onlineOnly))
    .sort((a, b) => place(a) - place(b) || byName.compare(a.name, b.name));
}

function fits(
  host: Host,
  words: readonly string[],
  wanted: ReadonlyMap<string, ReadonlySet<string>>,
  onlineOnly: boolean,
): boolean {
  if (onlineOnly && host.state !== "online") {
    return false;
  }
  for (const [key, values] of wanted) {
    const value = host.labels[key];
    if (value === undefined || !values.has(value)) {
      return false;
    }
  }
  if (words.length === 0) {
    return true;
  }
  const text = [host.name, ...labelsOf(host), ...host.logins].join("\n").toLowerCase();
  return words.every((word) => text.includes(word));
}

/** Labels as `key=value`, by key. */
export function labelsOf(host: Host): string[] {
  return Object.entries(host.labels)
    .map(([key, value]) => `${key}=${value}`)
    .sort(byName.compare);
}

function byKey(labels: ReadonlySet<string>): Map<string, Set<string>> {
  const wanted = new Map<string, Set<string>>();
  for (const label of labels) {
    const at = label.indexOf("=");
    const [key, value] = [label.slice(0, at), label.slice(at + 1)];
    const values = wanted.get(key) ?? new Set();
    wanted.set(key, values.add(value));
  }
  return wanted;
}

/**
 * The labels that are worth a filter: those that do not stand at every host, the most frequent ones first,
 * `limit` at most. Chosen ones are always among them.
 */
export function labelCounts(hosts: readonly Host[], chosen: ReadonlySet<string>, limit: number): LabelCount[] {
  const counts = new Map<string, number>();
  for (const label of chosen) {
    counts.set(label, 0);
  }
  for (const host of hosts) {
    for (const label of labelsOf(host)) {
      counts.set(label, (counts.get(label) ?? 0) + 1);
    }
  }
  const useful = [...counts]
    .map(([label, count]) => ({ label, count }))
    .filter(({ label, count }) => chosen.has(label) || count < hosts.length);
  const kept = useful
    .sort((a, b) => Number(chosen.has(b.label)) - Number(chosen.has(a.label)) || b.count - a.count)
    .slice(0, limit);
  return kept.sort((a, b) => byName.compare(a.label, b.label));
}

/** Whether a login is a pattern, of which the person has to choose a name. */
export function isPattern(login: string): boolean {
  return /[*?]/.test(login);
}

/** Whether a login may be typed where this pattern stands: `*` is any text, `?` any character. */
export function matches(pattern: string, login: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replace(/\*/g, ".*")
    .replace(/\?/g, ".");
  return new RegExp(`^${source}$`, "u").test(login);
}

/** The command with which one logs in; nothing in it means anything to a shell. */
export function command(login: string, host: string): string {
  return `ssh ${quoted(`${login}@${host}`)}`;
}

/** A word as a POSIX shell reads it back. A word that begins with `-` would be an option. */
function quoted(word: string): string {
  const safe = /^[A-Za-z0-9._:@%+/][A-Za-z0-9._:@%+/-]*$/.test(word);
  const text = safe ? word : `'${word.replaceAll("'", "'\\''")}'`;
  return word.startsWith("-") ? `-- ${text}` : text;
}
