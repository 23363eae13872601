/** The proxy's API (`/api/v1`, described at `/api/v1/openapi.json`), as far as the pages use it. */

/** What anybody may know about the proxy. */
export interface About {
  cluster: string;
  version: string;
}

/** Who is signed in, and until when. */
export interface Session {
  name: string;
  roles: string[];
  started: string | null;
  expires: string | null;
}

/** A host that one may log in to. */
export interface Host {
  name: string;
  labels: Record<string, string>;
  /** Names of accounts, or patterns of them (`deploy`, `*`). */
  logins: string[];
  /** `null`: the proxy does not watch this host. */
  state: "online" | "offline" | null;
}

/** A registered key. */
export interface Key {
  fingerprint: string;
  comment: string;
  registered: string | null;
  used: string | null;
}

/** A sign-in by ssh, or in a browser. */
export interface SignIn {
  id: string;
  kind: "ssh" | "browser";
  client: string;
  started: string | null;
  expires: string | null;
  /** The one of this page. */
  this: boolean;
}

/** One's own account. */
export interface Account {
  name: string;
  roles: string[];
  keys: Key[];
  sign_ins: SignIn[];
  /** Its kind; `null`: there is none. */
  second_factor: string | null;
  recovery_codes_left: number | null;
}

/** Why a request failed, for people to read. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string;

  constructor(status: number, code: string, message: string, hint: string) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.hint = hint;
  }

  /** Nobody is signed in, or not any more. */
  get isSignedOut(): boolean {
    return this.status === 401;
  }
}

/** Longer than any answer of a proxy that is well: the second question of a sign-in waits for a hash. */
const TIMEOUT_MS = 30_000;

/** Calls the API. `onSignedOut` is called when an answer says that the sign-in has ended. */
export class Api {
  readonly #fetch: typeof fetch;
  /** Called when a request that needs a sign-in has found that there is none. */
  onSignedOut: () => void = () => {};

  constructor(fetcher: typeof fetch = (input, init) => fetch(input, init)) {
    this.#fetch = fetcher;
  }

  about(): Promise<About> {
    return this.#ask("GET", "about");
  }

  /** The sign-in of this browser; `null`: there is none. */
  async session(): Promise<Session | null> {
    try {
      return await this.#ask<Session>("GET", "session");
    } catch (error) {
      if (error instanceof ApiError && error.isSignedOut) {
        return null;
      }
      throw error;
    }
  }

  signIn(name: string, password: string, code: string): Promise<Session> {
    return this.#ask("POST", "session", { name, password, code });
  }

  /** Who is not signed in any more has what they wanted. */
  async signOut(): Promise<void> {
    try {
      await this.#ask<void>("DELETE", "session");
    } catch (error) {
      if (!(error instanceof ApiError && error.isSignedOut)) {
        throw error;
      }
    }
  }

  signOutEverywhere(): Promise<void> {
    return this.#asSignedIn("DELETE", "sessions");
  }

  async hosts(): Promise<Host[]> {
    const answer = await this.#asSignedIn<{ hosts: Host[] }>("GET", "hosts");
    return answer.hosts;
  }

  account(): Promise<Account> {
    return this.#asSignedIn("GET", "account");
  }

  /** A wrong password or code is answered with 403. */
  changePassword(password: string, code: string, newPassword: string): Promise<void> {
    return this.#asSignedIn("POST", "account/password", { password, code, new_password: newPassword });
  }

  removeKey(fingerprint: string): Promise<void> {
    return this.#asSignedIn("DELETE", `account/keys/${encodeURIComponent(fingerprint)}`);
  }

  endSignIn(id: string): Promise<void> {
    return this.#asSignedIn("DELETE", `account/sign-ins/${encodeURIComponent(id)}`);
  }

  async #asSignedIn<T>(method: string, path: string, body?: unknown): Promise<T> {
    try {
      return await this.#ask<T>(method, path, body);
    } catch (error) {
      if (error instanceof ApiError && error.isSignedOut) {
        this.onSignedOut();
      }
      throw error;
    }
  }

  async #ask<T>(method: string, path: string, body?: unknown): Promise<T> {
    const headers: Record<string, string> = { accept: "application/json" };
    const request: RequestInit = {
      method,
      headers,
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    };
    if (method !== "GET") {
      // Pages of other origins cannot send it without asking first.
      headers["rproxy-request"] = "1";
    }
    if (body !== undefined) {
      headers["content-type"] = "application/json";
      request.body = JSON.stringify(body);
    }
    let answer: Response;
    let text: string;
    try {
      answer = await this.#fetch(`/api/v1/${path}`, request);
      text = await answer.text();
    } catch {
      throw new ApiError(0, "unreachable", "The proxy does not answer.", "Check your network, then try again.");
    }
    const value = parsed(text);
    if (!answer.ok) {
      throw failure(answer.status, value);
    }
    return value as T;
  }
}

function parsed(text: string): unknown {
  try {
    return text === "" ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The error that an answer stands for. Answers that are not the API's, of a gateway for example, get words too. */
function failure(status: number, value: unknown): ApiError {
  const said = (value as { error?: Record<string, unknown> } | undefined)?.error;
  const text = (key: string): string | undefined => {
    const found = said?.[key];
    return typeof found === "string" && found !== "" ? found : undefined;
  };
  return new ApiError(
    status,
    text("code") ?? "unknown",
    text("message") ?? `The proxy answered with status ${status}.`,
    text("hint") ?? "",
  );
}
