/** The pages, and the paths at which they are. `src/web/assets.rs` has the same paths. */
export const routes = [
  { page: "hosts", path: "/", title: "Hosts" },
  { page: "account", path: "/account", title: "Account" },
  { page: "signIn", path: "/sign-in", title: "Sign in" },
] as const;
