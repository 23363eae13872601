/** What the browser keeps: the theme, and the hosts that were used last. No secret, and nothing that is missed. */

/** How much of it there is at most. */
const MOST_RECENT = 20;

type Store = Pick<Storage, "getItem" | "setItem" | "removeItem">;

/** Light or dark whatever the system says, or as the system says. */
export type Theme = "light" | "dark" | "system";

/** What is kept for one person, in one browser. A browser that keeps nothing is fine. */
export class Stored {
  readonly #store: Store | undefined;

  constructor(store: Store | undefined) {
    this.#store = store;
  }

  get theme(): Theme {
    const kept = this.#get("rproxy.theme");
    return kept === "light" || kept === "dark" ? kept : "system";
  }

  set theme(theme: Theme) {
    this.#set("rproxy.theme", theme === "system" ? undefined : theme);
  }

  /** Names of hosts, the last one first. */
  recent(person: string): string[] {
    try {
      const kept: unknown = JSON.parse(this.#get(recentOf(person)) ?? "[]");
      return Array.isArray(kept) ? kept.filter((name) => typeof name === "string").slice(0, MOST_RECENT) : [];
    } catch {
      return [];
    }
  }

  /** This host was used just now. */
  use(person: string, host: string): string[] {
    const recent = [host, ...this.recent(person).filter((name) => name !== host)].slice(0, MOST_RECENT);
    this.#set(recentOf(person), JSON.stringify(recent));
    return recent;
  }

  #get(key: string): string | undefined {
    try {
      return this.#store?.getItem(key) ?? undefined;
    } catch {
      return undefined;
    }
  }

  #set(key: string, value: string | undefined): void {
    try {
      if (value === undefined) {
        this.#store?.removeItem(key);
      } else {
        this.#store?.setItem(key, value);
      }
    } catch {
      // The browser's store is full or closed: the next page has the defaults again.
    }
  }
}

function recentOf(person: string): string {
  return `rproxy.recent.${person}`;
}

/** The browser's own store, if it lets us. */
export function browserStore(): Store | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined;
  }
}
