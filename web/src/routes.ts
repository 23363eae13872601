/** The pages, and the paths at which they are. `src/web/assets.rs` has the same paths. */
export const routes = [
  { page: "hosts", path: "/", title: "Hosts" },
  { page: "account", path: "/account", title: "Account" },
  { page: "signIn", path: "/sign-in", title: "Sign in" },
] as const;

/** A page. */
export type Page = (typeof routes)[number]["page"];

/** A path of a page. */
export type Path = (typeof routes)[number]["path"];

/** The page at a path; `undefined`: there is none. */
export function pageAt(path: string): Page | undefined {
  return routes.find((route) => route.path === path)?.page;
}

/** Where a sign-in leads back to: a path of a page here, never an address that a link has brought. */
export function wayBack(search: string): Path {
  const wanted = new URLSearchParams(search).get("then");
  return routes.find(({ path, page }) => path === wanted && page !== "signIn")?.path ?? "/";
}

/** The sign-in page that leads back to this path. */
export function signInFrom(path: string): string {
  const back = pageAt(path);
  return back === undefined || back === "signIn" || path === "/" ? "/sign-in" : `/sign-in?then=${encodeURIComponent(path)}`;
}
