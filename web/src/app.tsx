/** The application: who is signed in, which page is shown, and where the focus is when that changes. */

import type { VNode } from "preact";
import { useEffect, useErrorBoundary, useMemo, useRef, useState } from "preact/hooks";

import type { About, Api, Session } from "./api";
import { SharedContext, type Shared } from "./context";
import { AccountPage } from "./pages/account";
import { HostsPage } from "./pages/hosts";
import { NotFoundPage } from "./pages/not-found";
import { SignInPage } from "./pages/sign-in";
import { Failure, Notice } from "./parts/ui";
import { Frame } from "./parts/frame";
import { type Page, pageAt, routes, signInFrom, wayBack } from "./routes";
import type { Stored } from "./stored";

/** What is known of the sign-in: nothing yet, an answer, or that it ended while a page was open. */
type Standing =
  | { is: "unknown" }
  | { is: "failed"; error: unknown }
  | { is: "signedOut"; words?: string }
  | { is: "ended"; session: Session }
  | { is: "signedIn"; session: Session };

interface Place {
  path: string;
  search: string;
}

const here = (): Place => ({ path: location.pathname, search: location.search });

export function App({ api, stored }: { api: Api; stored: Stored }): VNode {
  const [place, setPlace] = useState(here);
  const [about, setAbout] = useState<About>();
  const [standing, setStanding] = useState<Standing>({ is: "unknown" });
  const [announced, setAnnounced] = useState("");
  const [broken] = useErrorBoundary((error: unknown) => console.error(error));

  const go = (to: string, replace = false): void => {
    history[replace ? "replaceState" : "pushState"](null, "", to);
    setPlace(here());
  };

  useEffect(() => {
    const moved = (): void => setPlace(here());
    addEventListener("popstate", moved);
    api.about().then(setAbout, () => {});
    api.session().then(
      (session) => setStanding(session === null ? { is: "signedOut" } : { is: "signedIn", session }),
      (error: unknown) => setStanding({ is: "failed", error }),
    );
    return () => removeEventListener("popstate", moved);
  }, []);

  api.onSignedOut = () =>
    setStanding((now) => (now.is === "signedIn" ? { is: "ended", session: now.session } : now));

  const shared = useMemo<Shared>(
    () => ({
      api,
      stored,
      about,
      session: standing.is === "signedIn" ? standing.session : null,
      go,
      announce: (words) => {
        // The same words twice are said twice.
        setAnnounced("");
        setTimeout(() => setAnnounced(words), 50);
      },
      signedIn: (session) => {
        setStanding({ is: "signedIn", session });
        if (pageAt(location.pathname) === "signIn") {
          go(wayBack(location.search), true);
        }
      },
      signedOut: (words) => {
        setStanding({ is: "signedOut", words });
        go("/sign-in");
      },
    }),
    [about, standing],
  );

  const page = pageAt(place.path);
  const isWaiting = standing.is === "unknown";
  const needsSignIn = standing.is === "signedOut" && page !== undefined && page !== "signIn";
  const isNeedless = standing.is === "signedIn" && page === "signIn";
  useEffect(() => {
    if (needsSignIn) {
      go(signInFrom(place.path), true);
    } else if (isNeedless) {
      go(wayBack(place.search), true);
    }
  }, [needsSignIn, isNeedless]);

  const shown = isWaiting || needsSignIn || isNeedless ? "waiting" : standing.is === "ended" ? "ended" : (page ?? "none");
  useTitle(shown, about);
  useFocus(shown);

  return (
    <SharedContext.Provider value={shared}>
      <Frame page={shown === "ended" ? undefined : page}>
        {broken !== undefined ? (
          <Failure error={broken} />
        ) : standing.is === "failed" && page !== undefined ? (
          <Failure error={standing.error} />
        ) : (
          <Content page={page} standing={standing} shown={shown} />
        )}
      </Frame>
      <div class="hidden" aria-live="polite">
        {announced}
      </div>
    </SharedContext.Provider>
  );
}

type Shown = Page | "waiting" | "ended" | "none";

function Content({ page, standing, shown }: { page: Page | undefined; standing: Standing; shown: Shown }): VNode {
  switch (shown) {
    case "waiting":
      return <p class="waiting">Loading …</p>;
    case "ended":
      return (
        <SignInPage
          heading="Your session has ended"
          name={standing.is === "ended" ? standing.session.name : ""}
          notice={<Notice kind="info">Sign in again, and this page goes on where it was.</Notice>}
        />
      );
    case "none":
      return <NotFoundPage />;
    case "signIn": {
      const words = standing.is === "signedOut" ? standing.words : undefined;
      return <SignInPage notice={words === undefined ? undefined : <Notice kind="success">{words}</Notice>} />;
    }
    case "hosts":
      return <HostsPage key={page} />;
    case "account":
      return <AccountPage key={page} />;
  }
}

function useTitle(shown: Shown, about: About | undefined): void {
  useEffect(() => {
    const title =
      shown === "ended"
        ? "Session ended"
        : shown === "none"
          ? "Not found"
          : routes.find(({ page }) => page === shown)?.title;
    document.title = [title, about?.cluster, "rproxy"].filter((part) => part !== undefined).join(" · ");
  }, [shown, about]);
}

/** Moves the focus to a page that has come in place of another one, as a load of a page would. */
function useFocus(shown: Shown): void {
  const before = useRef<Shown>("waiting");
  useEffect(() => {
    const isFirst = before.current === "waiting";
    if (shown === "waiting" || shown === before.current) {
      return;
    }
    before.current = shown;
    scrollTo(0, 0);
    // A page with a field that has to be filled in first has the focus there already.
    const main = document.getElementById("content");
    if (!isFirst && main !== null && !main.contains(document.activeElement)) {
      main.focus({ preventScroll: true });
    }
  }, [shown]);
}
