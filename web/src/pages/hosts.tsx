import type { VNode } from "preact";
import { useEffect, useId, useMemo, useRef, useState } from "preact/hooks";

import type { Host } from "../api";
import { useShared } from "../context";
import { count } from "../format";
import { command, found, isPattern, labelCounts, labelsOf, matches } from "../hosts";
import { Icon } from "../parts/icons";
import { CopyButton, Failure, useAsked } from "../parts/ui";

/** How often the page asks again which hosts are online, while somebody looks at it. */
const REFRESH_MS = 60_000;
/** Hosts that are shown before somebody asks for all. */
const FIRST = 200;
/** Labels that are offered as filters. */
const LABELS = 24;

export function HostsPage(): VNode {
  const { api, stored, session, announce } = useShared();
  const person = session?.name ?? "";
  const { value: hosts, error, again } = useAsked(() => api.hosts());
  const [words, setWords] = useState("");
  const [labels, setLabels] = useState<ReadonlySet<string>>(new Set());
  const [onlineOnly, setOnlineOnly] = useState(false);
  const [recent, setRecent] = useState(() => stored.recent(person));
  const [open, setOpen] = useState<string>();
  const [all, setAll] = useState(false);
  // The order stays while somebody reads: what is used now comes first at the next visit.
  const order = useRef(recent);
  const search = useRef<HTMLInputElement>(null);
  const list = useRef<HTMLUListElement>(null);

  useEffect(() => {
    const look = (): void => {
      if (document.visibilityState === "visible") {
        void again();
      }
    };
    const timer = setInterval(look, REFRESH_MS);
    document.addEventListener("visibilitychange", look);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, []);
  useEffect(() => slashFocuses(search.current), [hosts === undefined]);

  const shown = useMemo(
    () => found(hosts ?? [], { words, labels, onlineOnly }, order.current),
    [hosts, words, labels, onlineOnly],
  );
  const offered = useMemo(() => labelCounts(hosts ?? [], labels, LABELS), [hosts, labels]);
  const isFiltered = words !== "" || labels.size > 0 || onlineOnly;
  useEffect(() => {
    if (hosts !== undefined && isFiltered) {
      const timer = setTimeout(() => announce(`${count(shown.length, "host")} found`), 600);
      return () => clearTimeout(timer);
    }
    return undefined;
  }, [shown]);

  if (hosts === undefined) {
    return error === undefined ? <p class="waiting">Loading the hosts …</p> : <Failure error={error} />;
  }
  const toggle = (label: string): void => {
    const next = new Set(labels);
    if (!next.delete(label)) {
      next.add(label);
    }
    setLabels(next);
  };
  const clear = (): void => {
    setWords("");
    setLabels(new Set());
    setOnlineOnly(false);
    search.current?.focus();
  };
  const visible = all ? shown : shown.slice(0, FIRST);
  const online = hosts.filter((host) => host.state === "online").length;
  const isWatched = hosts.some((host) => host.state !== null);

  return (
    <div class="hosts">
      <div class="title">
        <h1>Hosts</h1>
        <p class="muted">
          {isFiltered ? `${shown.length.toLocaleString("en")} of ${count(hosts.length, "host")}` : count(hosts.length, "host")}
          {isWatched && `, ${online.toLocaleString("en")} online`}
        </p>
      </div>
      {error !== undefined && <Failure error={error} />}
      <search class="filters">
        <div class="search">
          <Icon name="search" />
          <input
            ref={search}
            type="search"
            aria-label="Search by name, label or login"
            placeholder="Search"
            aria-keyshortcuts="/"
            autocomplete="off"
            spellcheck={false}
            value={words}
            onInput={(event) => setWords(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key === "ArrowDown") {
                event.preventDefault();
                rows(list.current)[0]?.focus();
              } else if (event.key === "Escape") {
                setWords("");
              } else if (event.key === "Enter") {
                setOpen(shown[0]?.name);
                rows(list.current)[0]?.focus();
              }
            }}
          />
          <kbd aria-hidden="true">/</kbd>
        </div>
        {(offered.length > 0 || isWatched) && (
          <div class="chips" role="group" aria-label="Filters">
            {isWatched && (
              <button type="button" class="chip" aria-pressed={onlineOnly} onClick={() => setOnlineOnly(!onlineOnly)}>
                <span class="dot dot-online" aria-hidden="true" />
                online
              </button>
            )}
            {offered.map(({ label, count: n }) => (
              <button
                key={label}
                type="button"
                class="chip"
                aria-pressed={labels.has(label)}
                aria-label={`${label}, ${count(n, "host")}`}
                onClick={() => toggle(label)}
              >
                {label} <span class="number">{n}</span>
              </button>
            ))}
            {isFiltered && (
              <button type="button" class="button button-small button-plain" onClick={clear}>
                <Icon name="close" />
                Clear
              </button>
            )}
          </div>
        )}
      </search>
      {shown.length === 0 ? (
        <Nothing hasHosts={hosts.length > 0} onClear={clear} />
      ) : (
        <ul class="list" ref={list} aria-label="Hosts" onKeyDown={(event) => moveAmongRows(event, list.current, search.current)}>
          {visible.map((host) => (
            <HostRow
              key={host.name}
              host={host}
              isRecent={recent.includes(host.name)}
              isOpen={open === host.name}
              onToggle={() => setOpen(open === host.name ? undefined : host.name)}
              onUsed={() => setRecent(stored.use(person, host.name))}
            />
          ))}
        </ul>
      )}
      {visible.length < shown.length && (
        <p class="more">
          <button type="button" class="button" onClick={() => setAll(true)}>
            Show all {count(shown.length, "host")}
          </button>
        </p>
      )}
    </div>
  );
}

function Nothing({ hasHosts, onClear }: { hasHosts: boolean; onClear: () => void }): VNode {
  if (!hasHosts) {
    return (
      <div class="card empty">
        <p>Your roles allow no host.</p>
        <p class="hint">Ask an administrator: roles say who may log in where, and under which logins.</p>
      </div>
    );
  }
  return (
    <div class="card empty">
      <p>No host fits.</p>
      <button type="button" class="button" onClick={onClear}>
        Clear the filters
      </button>
    </div>
  );
}

interface RowProps {
  host: Host;
  isRecent: boolean;
  isOpen: boolean;
  onToggle: () => void;
  onUsed: () => void;
}

function HostRow({ host, isRecent, isOpen, onToggle, onUsed }: RowProps): VNode {
  const id = useId();
  return (
    <li class={isOpen ? "row row-open" : "row"}>
      <button type="button" class="row-button" aria-expanded={isOpen} aria-controls={`${id}-how`} onClick={onToggle}>
        <Icon name="chevron" />
        <span class="row-name">
          <span class="name">{host.name}</span>
          {isRecent && <span class="tag">recent</span>}
        </span>
        <State state={host.state} />
        <span class="labels">
          {labelsOf(host).map((label) => (
            <span key={label} class="label">
              {label}
            </span>
          ))}
        </span>
        <span class="logins">
          <span class="hidden">logins: </span>
          {host.logins.map((login) => (login === "*" ? "any" : login)).join(", ")}
        </span>
      </button>
      <div id={`${id}-how`} class="how" hidden={!isOpen}>
        {isOpen && <HowToConnect host={host} onUsed={onUsed} />}
      </div>
    </li>
  );
}

function State({ state }: { state: Host["state"] }): VNode {
  if (state === null) {
    return <span class="state" />;
  }
  return (
    <span class="state">
      <span class={`dot dot-${state}`} aria-hidden="true" />
      {state}
    </span>
  );
}

function HowToConnect({ host, onUsed }: { host: Host; onUsed: () => void }): VNode {
  return (
    <>
      {host.state === "offline" && (
        <p class="hint">This host does not report to the proxy at the moment: a connection may fail.</p>
      )}
      <p>In a terminal:</p>
      <ul class="commands">
        {host.logins.map((login) =>
          isPattern(login) ? (
            <ChosenLogin key={login} pattern={login} host={host.name} onUsed={onUsed} />
          ) : (
            <Command key={login} login={login} host={host.name} onUsed={onUsed} />
          ),
        )}
      </ul>
      <p class="hint">
        Your <code>~/.ssh/config</code> needs the block for this proxy, which an administrator prints with{" "}
        <code>rproxy config</code>.
      </p>
    </>
  );
}

function Command({ login, host, onUsed }: { login: string; host: string; onUsed: () => void }): VNode {
  const text = command(login, host);
  return (
    <li class="command">
      <code>{text}</code>
      <CopyButton text={text} what={text} onCopied={onUsed} />
    </li>
  );
}

/** The role allows every login that fits a pattern: the person says which. */
function ChosenLogin({ pattern, host, onUsed }: { pattern: string; host: string; onUsed: () => void }): VNode {
  const id = useId();
  const [login, setLogin] = useState("");
  const fits = login !== "" && matches(pattern, login);
  return (
    <li class="command command-chosen">
      <label for={id}>
        {pattern === "*" ? "Any login" : <>A login like <code>{pattern}</code></>}
      </label>
      <input
        id={id}
        type="text"
        value={login}
        placeholder="login"
        autocomplete="off"
        autocapitalize="none"
        spellcheck={false}
        aria-invalid={login !== "" && !fits}
        onInput={(event) => setLogin(event.currentTarget.value.trim())}
      />
      {fits && (
        <>
          <code>{command(login, host)}</code>
          <CopyButton text={command(login, host)} what={command(login, host)} onCopied={onUsed} />
        </>
      )}
    </li>
  );
}

// --- keys -----------------------------------------------------------------------------------------

/** `/` goes to the search, as it does at other places. */
function slashFocuses(search: HTMLInputElement | null): () => void {
  const pressed = (event: KeyboardEvent): void => {
    const isTyped = event.target instanceof HTMLElement && event.target.matches("input, textarea, select");
    if (event.key === "/" && !isTyped && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search?.focus();
      search?.select();
    }
  };
  addEventListener("keydown", pressed);
  return () => removeEventListener("keydown", pressed);
}

function rows(list: HTMLElement | null): HTMLElement[] {
  return [...(list?.querySelectorAll<HTMLElement>(".row-button") ?? [])];
}

/** Up and down move among the hosts; up from the first one leads to the search. */
function moveAmongRows(event: KeyboardEvent, list: HTMLElement | null, search: HTMLElement | null): void {
  const all = rows(list);
  const at = all.findIndex((row) => row === document.activeElement);
  if (at < 0) {
    return;
  }
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
  if (to === undefined) {
    return;
  }
  event.preventDefault();
  (to < 0 ? search : all[to])?.focus();
}
