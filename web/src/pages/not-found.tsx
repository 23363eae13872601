import type { VNode } from "preact";

import { useShared } from "../context";
import { Link } from "../parts/frame";

export function NotFoundPage(): VNode {
  const { session } = useShared();
  return (
    <section class="narrow card">
      <h1>There is no such page</h1>
      <p>
        Nothing is at <code class="break">{location.pathname}</code>. The address may be mistyped, or from another version of
        rproxy.
      </p>
      <p>
        <Link to={session === null ? "/sign-in" : "/"}>{session === null ? "Sign in" : "Show the hosts"}</Link>
      </p>
    </section>
  );
}
