/** What is around every page: the head with the ways to other pages, and the foot. */

import type { ComponentChildren, VNode } from "preact";
import { useState } from "preact/hooks";

import { useShared } from "../context";
import type { Page } from "../routes";
import type { Theme } from "../stored";
import { applyTheme } from "../theme";
import { Icon, Logo } from "./icons";

const themes: readonly (readonly [Theme, string])[] = [
  ["system", "As the system"],
  ["light", "Light"],
  ["dark", "Dark"],
];

function ThemeSwitch(): VNode {
  const { stored } = useShared();
  const [theme, setTheme] = useState(stored.theme);
  const choose = (chosen: Theme): void => {
    stored.theme = chosen;
    applyTheme(chosen);
    setTheme(chosen);
  };
  return (
    <fieldset class="themes">
      <legend class="hidden">Colours</legend>
      {themes.map(([name, words]) => (
        <label key={name} title={words}>
          <input type="radio" name="theme" value={name} checked={theme === name} onChange={() => choose(name)} />
          <Icon name={name} />
          <span class="hidden">{words}</span>
        </label>
      ))}
    </fieldset>
  );
}

/** A link inside of the interface: without a new load of the page, if it is a plain click. */
export function Link({ to, current, children }: { to: string; current?: boolean; children: ComponentChildren }): VNode {
  const { go } = useShared();
  return (
    <a
      href={to}
      aria-current={current === true ? "page" : undefined}
      onClick={(event) => {
        if (event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey) {
          event.preventDefault();
          go(to);
        }
      }}
    >
      {children}
    </a>
  );
}

/** The frame of a page. */
export function Frame({ page, children }: { page: Page | undefined; children: ComponentChildren }): VNode {
  const { about, session } = useShared();
  return (
    <>
      <a class="skip" href="#content">
        Skip to the content
      </a>
      <header class="head">
        <div class="head-inner">
          <Link to="/">
            <span class="brand">
              <Logo />
              <span>rproxy</span>
            </span>
          </Link>
          {about !== undefined && <span class="cluster">{about.cluster}</span>}
          {session !== null && (
            <nav aria-label="Pages">
              <Link to="/" current={page === "hosts"}>
                Hosts
              </Link>
              <Link to="/account" current={page === "account"}>
                Account
              </Link>
            </nav>
          )}
          <ThemeSwitch />
        </div>
      </header>
      <main id="content" tabIndex={-1}>
        {children}
      </main>
      <footer class="foot">
        <span>{about === undefined ? "rproxy" : `rproxy ${about.version}`}</span>
        <a href="/assets/third-party.txt">Software of others</a>
      </footer>
    </>
  );
}
